"""Scenes as slim values: what a tile needs to know to read an item, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from affine import Affine
from odc.geo.geobox import GeoBox

from geoseg.scenes.sensors import Sensor

# Rasters without a place: a pixel is a metre of some projected CRS, rows run south. No output says so.
PIXEL_CRS = "EPSG:3857"
PIXEL_STEP = Affine(1.0, 0.0, 0.0, 0.0, -1.0, 0.0)


@dataclass(frozen=True, slots=True)
class BandSource:
    """Where one band of an item lies.

    Attributes:
        asset: Asset key in the item.
        index: Band number in the file, from 1; 0 is the file's mask, in it or beside it (0 = unusable).
        href: Address or path of the file.
        scale: Value = raw x scale + offset.
        offset: See ``scale``.
        nodata: Raw value of missing pixels, or ``None`` where the file's own tag rules.
        pixel_grid: Whether the file's rows and columns are its place, whatever its header says.
        damage: Why none of the file's pixels is to be believed, or "".
    """

    asset: str
    index: int
    href: str
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    pixel_grid: bool = False
    damage: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One STAC item, reduced to what planning and reading need.

    Attributes:
        id: Item id.
        collection: Collection id, or ``None``.
        sensor: Entry of the sensor table.
        datetime: ISO 8601 in UTC, or "" where unknown.
        platform: Platform name, or "".
        cloud_cover_percent: ``eo:cloud_cover``; ``None`` where unknown.
        version: What the producer says about the processing, part of the tile key.
        geobox: Pixel grid of the item's finest band that the model reads.
        bands: Band name to source, for the bands that the model reads.
        mask: Source of the quality band, if the sensor has one.
        alpha: Whether ``mask`` is an alpha band or the file's own mask (0 = unusable) instead of a table of codes.
        licence: Licence of the pixels, or "".
        document: The STAC item as JSON, with absolute hrefs.
        href: The item's own address, or "".
        square: Name of the square that the item covers, as it or its id states it, or "".
        witnesses: Bands that the model does not read, and whose pixels tell whether what is said of the others is right.
    """

    id: str
    collection: str | None
    sensor: Sensor
    datetime: str
    platform: str
    cloud_cover_percent: float | None
    version: str
    geobox: GeoBox
    bands: Mapping[str, BandSource]
    mask: BandSource | None
    alpha: bool
    licence: str
    document: Mapping[str, Any] = field(repr=False, compare=False)
    href: str = ""
    square: str = ""
    witnesses: Mapping[str, BandSource] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        """What tells the item from every other of a job: ids are unique in a collection only."""
        return f"{self.collection or ''}/{self.id}"

    @property
    def sources(self) -> tuple[BandSource, ...]:
        """Every source that the job reads of this item."""
        return (*self.bands.values(), *((self.mask,) if self.mask else ()))


@dataclass(frozen=True, slots=True)
class Scene:
    """The items of one platform and time, in a fixed order.

    Attributes:
        items: Ordered by id: where two abut or overlap, the first one with a usable pixel gives it.
    """

    items: tuple[Item, ...]

    @property
    def datetime(self) -> str:
        """Acquisition time, ISO 8601 in UTC, or ""."""
        return self.items[0].datetime


def group_scenes(items: Iterable[Item]) -> tuple[Scene, ...]:
    """Items to scenes: same platform and same minute belong together; newest scene first."""

    def key(item: Item) -> tuple[str, str, str]:
        minute = item.datetime[:16]
        return minute, item.platform, "" if minute else item.id

    ordered = sorted(items, key=lambda item: (*key(item), item.id))
    scenes = [Scene(tuple(members)) for _, members in groupby(ordered, key=key)]
    return tuple(reversed(scenes))


def order_scenes(scenes: Iterable[Scene], rule: str) -> tuple[Scene, ...]:
    """Scenes in the order in which a composite rule asks them.

    ``first``: newest first. ``median``: newest first, the order does not matter. ``least-cloudy``: item by item, by the
    cloud cover that each item states of itself, newest first among equals, unknown cover last. A mean over the items
    of a scene would depend on which of them the AOI happens to find.
    """
    newest_first = sorted(scenes, key=lambda s: (s.datetime, s.items[0].key), reverse=True)
    if rule != "least-cloudy":
        return tuple(newest_first)
    items = [item for scene in newest_first for item in scene.items]
    return tuple(Scene((item,)) for item in sorted(items, key=_stated_cover))


def _stated_cover(item: Item) -> float:
    return float("inf") if item.cloud_cover_percent is None else item.cloud_cover_percent
