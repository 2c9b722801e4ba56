"""Small maps, and their polygons by GDAL."""

from dataclasses import dataclass

import numpy as np
import pytest
import rasterio.features
import shapely
from shapely.geometry import shape


@dataclass(frozen=True)
class Class:
    index: int
    name: str
    colour: str
    code: int | None = None
    description: str = ""


@dataclass(frozen=True)
class Batch:
    geometry: np.ndarray
    class_index: np.ndarray
    pixels: np.ndarray
    confidence_mean: np.ndarray
    confidence_p10: np.ndarray
    first_pixel: np.ndarray
    split: np.ndarray

    def take(self, index):
        return Batch(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def _polygons_of(pixels):
    found = [(shape(g), int(v)) for g, v in rasterio.features.shapes(pixels, mask=pixels < 254, connectivity=4)]
    outlines = np.array([g for g, _ in found], dtype=object)
    if len(found) == 0:
        outlines = np.zeros(0, object)
    values = np.array([v for _, v in found], np.uint8)
    inside = shapely.get_coordinates(shapely.point_on_surface(outlines)).astype(int).reshape(-1, 2)
    n = len(found)
    return Batch(
        outlines,
        values,
        shapely.area(outlines).astype(np.int64),
        np.linspace(40, 90, n),
        np.full(n, 33, np.uint8),
        (inside[:, 1] * pixels.shape[1] + inside[:, 0]).astype(np.int64),
        np.zeros(n, bool),
    )


@pytest.fixture(scope="session")
def polygons_of():
    """A function: the regions of a map in pixel coordinates, by GDAL."""
    return _polygons_of


@pytest.fixture
def legend():
    return (
        Class(0, "water", "#1a5bab", 80),
        Class(1, "trees & <b>", "#358221", 10),
        Class(7, "naïve", "#a59b8f", None),
    )


@pytest.fixture
def pixels():
    rng = np.random.default_rng(3)
    coarse = rng.choice(np.array([0, 1, 7, 254, 255], np.uint8), (9, 12))
    return np.kron(coarse, np.ones((5, 4), np.uint8))
