"""What makes a map of a labelled image: a model by the road of ``geoseg run``, or a baseline."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import rasterio
import rasterio.windows
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from geoseg.evaluation.legend import Legend
from geoseg.grid import Window
from geoseg.labels import Labelled, LabelSet
from geoseg.load import reading
from geoseg.models import ModelFolder
from geoseg.pipeline import prepare
from geoseg.pipeline.making import loader_of, recipe_of
from geoseg.pipeline.prepared import Prepared
from geoseg.scenes.sensors import SENSORS
from geoseg.settings import Settings
from geoseg.spec import JobSpec

if TYPE_CHECKING:
    from geoseg.cluster import ModelLoader
    from geoseg.predict import Predictor

_STRIP_ROWS = 512


@dataclass(frozen=True, slots=True)
class MapPart:
    """A rectangle of a map.

    Attributes:
        window: In pixels of the image.
        classes: (y, x) uint8, classes of what made it; 254 = failed, 255 = nothing observed.
        scores: (class, y, x) float32 probabilities; NaN where there is no class.
    """

    window: Window
    classes: NDArray[np.uint8]
    scores: NDArray[np.float32]


class Mapper(Protocol):
    """Makes maps of labelled images."""

    @property
    def name(self) -> str:
        """As it stands in tables."""
        ...

    @property
    def kind(self) -> str:
        """``network``, ``detector``, ``random forest`` or ``majority class``."""
        ...

    @property
    def legend(self) -> Legend:
        """What its classes mean in the labels' terms."""
        ...

    @property
    def facts(self) -> Mapping[str, str | int | float]:
        """Size and the like, for tables and the record."""
        ...

    def maps(self, member: Labelled) -> Iterator[MapPart]:
        """A map of an image, part by part; parts do not overlap and together cover it."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """How the numbers of a set's files are to be read, as options of ``geoseg run``.

    Attributes:
        scale: See ``JobSpec``.
        offset: See ``JobSpec``.
        sensor: Name in the sensor table, where the set says what it is.
    """

    scale: float | None = None
    offset: float | None = None
    sensor: str | None = None

    @classmethod
    def of(cls, labels: LabelSet) -> Self:
        """As a set of labels states it."""
        known = SENSORS.get(labels.expects)
        fits = known is not None and known.quantity == labels.quantity
        return cls(labels.scale, labels.offset, labels.expects if fits else None)


class ModelMapper:
    """A model by the road of ``geoseg run``: whole images, tiles, halo, composite, backend. Use it in a ``with`` block.

    Args:
        folder: The model.
        legend: What its classes mean.
        how: How files are read.
        settings: Where it runs.
        name: As it stands in tables; default the model's own.
    """

    kind = "network"

    def __init__(
        self, folder: ModelFolder, legend: Legend, how: Reading, settings: Settings | None = None, name: str = ""
    ) -> None:
        self.folder, self.legend = folder, legend
        self.name = name or folder.spec.name
        # This process maps: images are many and small, and what workers keep has no place for scores.
        self._how, self._settings = (
            how,
            (settings or Settings()).model_copy(update={"workers": None, "scheduler": None}),
        )
        self._predictor: Predictor | None = None
        self._loader: ModelLoader | None = None
        self._open, self._running = ExitStack(), ExitStack()
        self._scratch = ""
        self._pixels, self._seconds, self._backend = 0, 0.0, ""

    def __enter__(self) -> Self:
        self._scratch = self._open.enter_context(tempfile.TemporaryDirectory(prefix="geoseg-"))
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()
        self._open.close()
        self._predictor = self._loader = None

    @property
    def facts(self) -> Mapping[str, str | int | float]:
        """Size of the weights; and once something was mapped, what ran it and how fast forward passes were."""
        spec = self.folder.spec
        known: dict[str, str | int | float] = {"licence": spec.licence, "temperature": spec.temperature}
        if spec.temperatures:
            known["temperature"] = ", ".join(f"{number:g}" for number in spec.temperatures)
        if spec.weights.size_bytes is not None:
            known["size_bytes"] = spec.weights.size_bytes
        if self._seconds:
            known |= {"backend": self._backend, "mpx_per_s": self._pixels / 1e6 / self._seconds}
        return known

    def maps(self, member: Labelled) -> Iterator[MapPart]:
        """See ``Mapper``.

        Raises:
            GeosegError: As ``geoseg run`` on the image's file.
        """
        prepared, area = self._prepared(member)
        with prepared.remote:
            yield from self._parts(prepared, area)

    def _parts(self, prepared: Prepared, area: Window) -> Iterator[MapPart]:
        """The tiles of one tile list, cut to the image."""
        recipe = recipe_of(prepared)
        predictor, is_new = self._loaded(loader_of(prepared, recipe, keeps_scores=True), prepared)
        for task in prepared.tasks.alike_together(area):
            job = recipe.job(task)
            with reading(recipe.gdal_cache_bytes):
                image = recipe.image(job)
            start = time.perf_counter()
            made = predictor.predict(task.tile, task.cells, image, job.window)
            if not is_new:  # compilers and caches warm up on the first tile
                self._seconds += time.perf_counter() - start
                self._pixels += task.pixels
            is_new = False
            shared = task.tile.window & area
            if not shared or made is None:
                continue
            at = shared.within(task.tile.window)
            window = Window(
                shared.row0 - area.row0, shared.col0 - area.col0, shared.row1 - area.row0, shared.col1 - area.col0
            )
            assert made.scores is not None  # noqa: S101  # the loader says that they are kept
            yield MapPart(window, made.classes[at], made.scores[(slice(None), *at)])

    def _loaded(self, loader: ModelLoader, prepared: Prepared) -> tuple[Predictor, bool]:
        """What runs the network, and whether it is new: images of one kind share it."""
        if self._predictor is not None and loader == self._loader:
            return self._predictor, False
        self._running.close()
        self._predictor = self._running.enter_context(loader.load(prepared.budget.passes_at_once))
        self._loader, self._backend = loader, prepared.backend.name
        return self._predictor, True

    def _prepared(self, member: Labelled) -> tuple[Prepared, Window]:
        """The job of an image, and the image's place on its lattice.

        An image whose own grid is not the map's, such as a rotated one, is mapped in rows and columns.
        """
        options = self._options(member)
        prepared = self._prepare(options)
        if not options["pixel_grid"] and not _is_grid_of(prepared, member):
            prepared.remote.close()
            prepared = self._prepare({**options, "pixel_grid": True})
        return prepared, prepared.region.window

    def _prepare(self, options: Mapping[str, Any]) -> Prepared:
        return prepare(JobSpec.build(**options), self._settings, folder=self.folder)

    def _options(self, member: Labelled) -> dict[str, Any]:
        """Options of ``geoseg run`` that map an image."""
        own = member.path
        scene = own if own is not None and count_bands(own) == len(member.bands) else self._written(member)
        is_placed = member.crs is not None and scene == own
        return {"model": str(self.folder.path), "scenes": (str(scene),), **self._read_as(member, is_placed=is_placed)}

    def _read_as(self, member: Labelled, *, is_placed: bool) -> dict[str, Any]:
        """Options that say what the numbers of an image's files are."""
        is_as_stored = (self._how.scale, self._how.offset) == (1.0, 0.0)
        return {
            "bands": member.bands,
            "sensor": self._how.sensor,
            "scale": None if is_as_stored else self._how.scale,
            "offset": None if is_as_stored else self._how.offset,
            "pixel_grid": not is_placed,
            "composite": "first",
        }

    def _written(self, member: Labelled, name: str = "image", bands: slice = slice(None)) -> Path:
        """An image of which there is no raster that holds just its bands, as one."""
        path = Path(self._scratch) / f"{name}.tif"
        path.unlink(missing_ok=True)
        rows, cols = member.shape
        first, _ = member.image(Window(0, 0, 1, 1))
        profile = {"height": rows, "width": cols, "count": len(first[bands]), "dtype": first.dtype}
        tiling = {"tiled": True, "blockxsize": 256, "blockysize": 256}
        with _quiet(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):  # noqa: SIM117  # the file is within the setting
            with rasterio.open(path, "w", driver="GTiff", **profile, **tiling) as file:
                for row in range(0, rows, _STRIP_ROWS):
                    strip = Window(row, 0, min(rows, row + _STRIP_ROWS), cols)
                    pixels, valid = member.image(strip)
                    at = rasterio.windows.Window(0, row, cols, strip.shape[0])
                    file.write(pixels[bands], window=at)
                    file.write_mask(valid, window=at)
        return path


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # images without a place are expected here
        yield


def count_bands(path: Path) -> int:
    """Bands of a raster."""
    with _quiet(), rasterio.open(path) as source:
        return int(source.count)


def _is_grid_of(prepared: Prepared, member: Labelled) -> bool:
    """Whether the map's pixels are the image's own."""
    geobox = prepared.geobox
    return (
        member.transform is not None
        and tuple(geobox.shape) == member.shape
        and geobox.transform.almost_equals(member.transform, 1e-6 * abs(member.transform.a))
    )


def uncalibrated(folder: ModelFolder) -> ModelFolder:
    """The same model, giving probabilities as it was trained."""
    return replace(folder, spec=replace(folder.spec, temperature=1.0, temperatures=()))
