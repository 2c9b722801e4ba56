"""The end of a change map: its mosaic, its polygons without what did not change, and the columns that they get."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from scipy import ndimage as ndi

from geoseg.change.fromto import NO_CHANGE
from geoseg.heads.detector import CLASSES
from geoseg.heads.from_to import DATE_LAYERS
from geoseg.models import ClassInfo
from geoseg.mosaic import Blocks, Mosaic
from geoseg.outputs.vector import PolygonBatch
from geoseg.pipeline.prepared import Prepared
from geoseg.pipeline.sizes import kept_layers
from geoseg.pixels import NEAR_FAILED_BIT, NO_CLASS, NO_CONFIDENCE, Reason, layer_names
from geoseg.polygons import ClassSource, OverSource, RegionBatch, polygonize
from geoseg.store import Store
from geoseg.tally import Tally
from geoseg.transitions import CONFIDENCE_AFTER, CONFIDENCE_BEFORE, ChangeMosaic, dates_of
from geoseg.words import LAYERS as WORDS_LAYERS

CLOUD_SHARE = "cloud_share"
# A cloud mask that ends here was drawn with an uncertainty of about as many pixels.
_NEAR_PX = 2
_MEMORY_SHARE = 8

UInt8 = NDArray[np.uint8]


def mosaic_of(prepared: Prepared, tallies: Sequence[Tally], store: Store) -> tuple[Prepared, Blocks]:
    """The finished map, and the job with its class table, which of a change map is known now.

    Args:
        prepared: The job.
        tallies: What was done of each of its tile lists.
        store: The records.

    Raises:
        RequestError: If more pairs of classes were observed than a raster can hold.
    """
    memory = prepared.budget.finish_bytes // _MEMORY_SHARE // len(tallies)
    layers = layer_names(kept_layers(prepared.spec), len(prepared.classes))
    layers += () if prepared.words is None else WORDS_LAYERS
    layers += DATE_LAYERS if prepared.model.spec.land_cover else ()
    made = [
        Mosaic(one.region, one.tasks, tally.keys, store, memory, layers)
        for one, tally in zip(prepared.lists, tallies, strict=True)
    ]
    classes = classes_of_dates(prepared)
    if not classes:
        return prepared, made[0]
    before, after, *change = made if prepared.of_dates else [*dates_of(prepared.region, made[0]), made[0]]
    mosaic = ChangeMosaic(prepared.region, before, after, change[0] if change else None, [c.name for c in classes])
    table = [CLASSES[NO_CHANGE]]
    for found in mosaic.from_to.transitions:
        earlier, later = classes[found.before], classes[found.after]
        colour = _mixed(earlier.colour, later.colour)
        table.append(ClassInfo(found.index, found.name, colour, found.code, before=earlier.name, after=later.name))
    return replace(prepared, from_to=tuple(table)), mosaic


def classes_of_dates(prepared: Prepared) -> tuple[ClassInfo, ...]:
    """Classes of either date of a change map that tells from what to what; else none."""
    return prepared.of_dates[0].classes if prepared.of_dates else prepared.model.spec.land_cover


def _mixed(before: str, after: str) -> str:
    """A colour that shows what the land became, and a little of what it was."""
    parts = zip(*(bytes.fromhex(colour[1:]) for colour in (before, after)), strict=True)
    return "#" + bytes(round((earlier + 2 * later) / 3) for earlier, later in parts).hex()


@dataclass(frozen=True, eq=False)
class _Looked(OverSource):
    """A map in which what did not change is no region, with any layer where confidence stands."""

    source: ClassSource
    layer: Callable[[int, int], UInt8] | None = None

    def read(self, block_row: int, block_col: int) -> tuple[UInt8, UInt8]:
        """Classes of change, and the layer."""
        classes, confidence = self.source.read(block_row, block_col)
        layer = confidence if self.layer is None else self.layer(block_row, block_col)
        return np.where(classes == NO_CHANGE, np.uint8(NO_CLASS), classes), layer


def changes_of(source: ClassSource) -> ClassSource:
    """The map without what did not change, for its polygons."""
    return _Looked(source)


class ChangeColumns:
    """Columns of the polygons of a change map.

    Implements ``geoseg.outputs.vector.FurtherColumns``. The means are gathered before the polygons are written, by the
    way of their confidence: so they are exact for regions of any size, in bounded memory.

    Args:
        prepared: The job, with its class table.
        mosaic: The map as it was computed.
        source: The map as it is written.
        threads: That trace at the same time.
    """

    def __init__(self, prepared: Prepared, mosaic: Blocks, source: ClassSource, threads: int) -> None:
        self._classes = prepared.classes
        self._has_pairs = bool(classes_of_dates(prepared))
        self._means: dict[str, tuple[NDArray[np.int64], NDArray[np.float64]]] = {}
        names = (CONFIDENCE_BEFORE, CONFIDENCE_AFTER) if self._has_pairs else ()
        layers: dict[str, Callable[[int, int], UInt8]] = {name: _layer_of(mosaic, name) for name in names}
        layers[CLOUD_SHARE] = _near_masked(mosaic)
        for name, layer in layers.items():
            batches = list(polygonize(_Looked(source, layer), threads=threads))
            first = np.concatenate([np.empty(0, np.int64), *(batch.first_pixel for batch in batches)])
            mean = np.concatenate([np.empty(0), *(batch.confidence_mean for batch in batches)])
            order = np.argsort(first)
            self._means[name] = first[order], mean[order]

    @property
    def fields(self) -> tuple[pa.Field, ...]:
        """Names and types."""
        pair = ("before", "after") if self._has_pairs else ()
        return (
            *(pa.field(name, pa.string()) for name in pair),
            *(pa.field(name, pa.float64()) for name in self._means),
        )

    def arrays(self, batch: PolygonBatch, areas_m2: NDArray[np.float64] | None) -> list[pa.Array]:
        """The columns of a batch."""
        del areas_m2
        words = [[getattr(self._classes[index], name) for index in batch.class_index] for name in ("before", "after")]
        columns = [pa.array(column, pa.string()) for column in words] if self._has_pairs else []
        return [*columns, *(pa.array(self._of(name, batch)) for name in self._means)]

    def cloud_share(self, batch: PolygonBatch) -> NDArray[np.float64]:
        """Share of each polygon that lies beside what a cloud or its shadow hid on either date."""
        return self._of(CLOUD_SHARE, batch)

    def _of(self, name: str, batch: PolygonBatch) -> NDArray[np.float64]:
        first, mean = self._means[name]
        found = mean[np.searchsorted(first, batch.first_pixel)]
        return found / 100 if name == CLOUD_SHARE else found


def _layer_of(mosaic: Blocks, name: str) -> Callable[[int, int], UInt8]:
    return lambda block_row, block_col: mosaic.layers((name,), block_row, block_col)[0]


def _near_masked(mosaic: Blocks) -> Callable[[int, int], UInt8]:
    """100 where a pixel lies within two of one that was masked on either date, else 0."""

    def read(block_row: int, block_col: int) -> UInt8:
        window = mosaic.window(block_row, block_col)
        around = window.padded(*(_NEAR_PX,) * 4)
        layers = mosaic.pixels(around)
        if layers is None:
            return np.full(window.shape, NO_CONFIDENCE, "uint8")
        masked = (layers["reason"] & ~np.uint8(NEAR_FAILED_BIT)) == Reason.MASKED
        near = ndi.binary_dilation(masked, np.ones((3, 3), dtype=bool), iterations=_NEAR_PX)
        return np.where(near[window.within(around)], 100, 0).astype("uint8")

    return read


@dataclass
class Sorting:
    """Leaves out polygons that are likely no change of the land.

    Attributes:
        prepared: The job.
        columns: What is known of them.
        dropped: How many were left out.
    """

    prepared: Prepared
    columns: ChangeColumns
    dropped: int = 0

    def kept(self, batches: Iterable[RegionBatch]) -> Iterator[RegionBatch]:
        """Batches without those that are too thin, or too near a cloud, where the job asks for it."""
        spec, fitted = self.prepared.spec, self.prepared.fitted
        for batch in batches:
            good = np.ones(len(batch), dtype=bool)
            if spec.max_cloud is not None:
                good &= self.columns.cloud_share(batch) <= spec.max_cloud
            if spec.drop_thin and fitted is not None and fitted.alignment.left_px > 0:
                # Twice the misregistration wide: what is left of it when that much is taken off on each side.
                inner = shapely.buffer(batch.geometry, -fitted.alignment.left_px, join_style="mitre")
                good &= ~shapely.is_empty(inner)
            self.dropped += int((~good).sum())
            yield batch if good.all() else batch.take(good)
