"""From a catalogue or rasters on disk to scenes. Planning only: no pixel is read here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geoseg.aoi import box_in_words
from geoseg.errors import ModelMismatchError, NothingToDoError
from geoseg.scenes.scene import BandSource, Item, Scene, group_scenes, order_scenes
from geoseg.scenes.sensors import SENSOR_TABLE_VERSION, SENSORS, Sensor

_SHOWN = 5  # collections in a message

if TYPE_CHECKING:
    from geoseg.spec import JobSpec

__all__ = [
    "SENSORS",
    "SENSOR_TABLE_VERSION",
    "BandSource",
    "Found",
    "Item",
    "Scene",
    "Sensor",
    "find_scenes",
    "group_scenes",
    "order_scenes",
]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave.

    Attributes:
        items: Items that can be used, ordered by id.
        skipped: Item id and reason, for the others.
        notes: What was guessed, in plain words.
        documents: Every item that was found, as JSON, to be frozen with the job.
        warnings: What a person should know before they believe the map, in plain words.
    """

    items: tuple[Item, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    documents: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()


def find_scenes(
    spec: JobSpec,
    bounds: tuple[float, float, float, float] | None,
    bands: Sequence[str],
    documents: Sequence[dict[str, Any]] = (),
) -> Found:
    """Items for a job.

    Args:
        spec: The job.
        bounds: West, south, east, north in degrees, grown so far that whatever the job reads is covered;
            ``None`` with ``spec.scenes`` takes the rasters as they are.
        bands: Bands that the model reads.
        documents: Item documents that an earlier search froze; then no catalogue is asked.

    Raises:
        NothingToDoError: If there are no items.
        ModelMismatchError: If no item has the bands, with the reason of the first.
        CatalogError: If the catalogue cannot be read.
        RequestError: If a raster or a sensor name is wrong.
    """
    if spec.scenes:
        return _from_rasters(spec, bands)
    return _from_catalog(spec, bounds, bands, documents)


def _from_rasters(spec: JobSpec, bands: Sequence[str]) -> Found:
    from geoseg.scenes.rasters import items_of_rasters  # noqa: PLC0415  # rasterio only where a file is opened

    found = items_of_rasters(spec.scenes, spec.bands, spec.sensor, bands, pixel_grid=spec.pixel_grid)
    return Found(found.items, found.skipped, found.notes, (), found.warnings)


def _from_catalog(
    spec: JobSpec,
    bounds: tuple[float, float, float, float] | None,
    bands: Sequence[str],
    documents: Sequence[dict[str, Any]],
) -> Found:
    import pystac  # noqa: PLC0415  # 0.2 s that --help need not wait

    from geoseg.scenes.catalog import find_items  # noqa: PLC0415
    from geoseg.scenes.understand import sensor_of, understand  # noqa: PLC0415

    if documents:
        found = [pystac.Item.from_dict(document, preserve_dict=False) for document in documents]
    else:
        assert bounds is not None and spec.catalog is not None  # noqa: S101, PT018  # JobSpec guarantees both
        found = find_items(spec.catalog, spec.collection, bounds, spec.datetime)
    if not found:
        raise _nothing_found(spec, bounds)
    items: list[Item] = []
    refused: list[tuple[str, ModelMismatchError]] = []
    for item in found:
        try:
            items.append(understand(item, bands, sensor_of(item, spec.sensor)))
        except ModelMismatchError as err:
            refused.append((item.id, err))
    if not items:
        raise refused[0][1]
    reasons = tuple((name, f"does not have {err.expected}") for name, err in refused)
    frozen = tuple(item.to_dict(include_self_link=True, transform_hrefs=False) for item in found)
    return Found(tuple(items), reasons, (), frozen)


def _nothing_found(spec: JobSpec, bounds: tuple[float, float, float, float] | None) -> NothingToDoError:
    """What was asked for, what there is, and which of the two does not fit the other."""
    from geoseg.scenes.catalog import holdings, parse_time_range  # noqa: PLC0415  # as above

    assert bounds is not None and spec.catalog is not None  # noqa: S101, PT018  # JobSpec guarantees both
    has = holdings(spec.catalog)
    named = [holding for holding in has if spec.collection in {None, holding.collection}]
    there = [h for h in named if any(_meet(box, bounds) for box in h.boxes)]
    start, end = parse_time_range(spec.datetime)
    ways = {
        "name one of its collections with --collection": not named,
        "move the region (--aoi)": named and not there,
        "set --datetime to a time that it has": named and not any(h.start <= end and h.end >= start for h in named),
    }
    fitting = " and ".join(way for way, fits in ways.items() if fits) if has else ""
    shown = "; ".join(str(holding) for holding in has[:_SHOWN]) + ("; …" if len(has) > _SHOWN else "")
    return NothingToDoError(
        f"no item of {spec.collection or 'any collection'} in {spec.catalog} for {spec.datetime or 'any time'} "
        f"and {box_in_words(bounds)}",
        f"at least one item; the catalogue has {shown}" if has else "at least one item",
        fitting or "widen --datetime, check --collection, or move the region (--aoi)",
    )


def _meet(box: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return box[0] <= other[2] and box[2] >= other[0] and box[1] <= other[3] and box[3] >= other[1]
