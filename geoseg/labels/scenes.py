"""STAC items as images: read as ``geoseg run`` reads them, a window at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from geoseg.errors import AssetReadError, NothingToDoError, RequestError
from geoseg.grid import Window
from geoseg.labels.features import Features
from geoseg.labels.members import Member, Truth
from geoseg.load import Rasters, lazy_item, pixels_of, reading
from geoseg.scenes import Item
from geoseg.scenes.catalogs import find_items
from geoseg.scenes.recognise import sensor_of
from geoseg.scenes.understand import understand

if TYPE_CHECKING:
    from geoseg.labels.vectors import ScenesConfig

_STRIP_ROWS = 512
_CACHE_BYTES = 64 * 2**20


@dataclass(frozen=True)
class StacImagery:
    """An item on its own grid; implements ``Imagery``.

    Attributes:
        item: What is read.
        bands: In the order of the item.
        quantity: Unit of the values.
    """

    item: Item
    bands: tuple[str, ...]
    quantity: str

    @property
    def grid(self) -> GeoBox:
        """See ``Imagery``."""
        return self.item.geobox

    @property
    def path(self) -> Path | None:
        """No file: an item has one for each band."""
        return None

    def member(self, truth: Truth) -> Member:
        """The item with labels."""
        return Member(self.item.id, self.item.id, self, truth)

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """See ``Imagery``; float32, and not valid where the item's quality band says so.

        Raises:
            AssetReadError: If a pixel of the window cannot be read: a hole in the labels would pass in silence.
        """
        grid = self.grid[window.row0 : window.row1, window.col0 : window.col1]
        with reading(_CACHE_BYTES):
            lazy = lazy_item(self.item, grid, _STRIP_ROWS, self.quantity, _rasters())
            pixels, failures = pixels_of(lazy, slice(0, grid.shape[0]), threads=1)
        if pixels.failed.any():
            cause = failures[0].cause if failures else "no cause was given"
            raise AssetReadError(
                f"item {self.item.id}, whose pixels cannot be read ({cause})",
                "scenes that can be read",
                "repair the file, or leave the item out with datetime",
            )
        return pixels.values, pixels.usable


def stac_imagery(
    config: ScenesConfig, features: Features, bands: Sequence[str], quantity: str
) -> Iterator[StacImagery]:
    """Items that touch the box of some features, by id.

    Raises:
        NothingToDoError: If there are none.
        CatalogError: If the catalogue cannot be read.
        ModelMismatchError: If an item lacks a band, or is of no known sensor.
    """
    bounds = _degrees(features)
    found = find_items(config.catalog, config.collection, bounds, config.datetime)
    if not found.items:
        raise NothingToDoError(
            f"no item of {config.collection or 'any collection'} in {config.catalog} where the labels are",
            "at least one item",
            "correct catalog, collection or datetime of scenes",
        )
    for item in found.items:
        known = understand(item, bands, sensor_of(item, config.sensor))
        yield StacImagery(known, tuple(bands), quantity)


@cache
def _rasters() -> Rasters:
    """What opens files: one for a process, since its connections cannot be handed on to another."""
    return Rasters()


def _degrees(features: Features) -> tuple[float, float, float, float]:
    """West, south, east, north of some features."""
    if features.crs is None or not len(features.geometries):
        raise RequestError("labels without a place, with scenes", "features with a CRS", "give the file a CRS")
    left, bottom, right, top = shapely.total_bounds(features.geometries)
    along = Transformer.from_crs(features.crs.proj, "EPSG:4326", always_xy=True)
    west, south, east, north = along.transform_bounds(left, bottom, right, top)
    return west, south, east, north
