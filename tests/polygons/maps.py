"""Maps and oracles for the tests of this room."""

from __future__ import annotations

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from geoseg.polygons import ArraySource, RegionBatch

UInt8 = NDArray[np.uint8]

unhurried = settings(deadline=None)
"""For properties: other work on the machine must not fail them."""


@st.composite
def class_maps(draw: st.DrawFn) -> UInt8:
    """Small maps with what breaks polygonisers: saddles, holes in holes, speckle, gaps and thin shapes."""
    rows, cols = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    y, x = np.mgrid[:rows, :cols]
    kind = draw(st.sampled_from(["noise", "majority", "checker", "rings", "stripes", "smooth", "constant"]))
    if kind == "noise":
        classes = rng.integers(0, draw(st.integers(2, 4)), (rows, cols))
    elif kind == "majority":
        classes = np.where(rng.random((rows, cols)) < 0.7, 7, rng.integers(0, 3, (rows, cols)))
    elif kind == "checker":
        classes = (x // draw(st.integers(1, 3)) + y) % 2
    elif kind == "rings":
        classes = np.maximum(abs(x - cols // 2), abs(y - rows // 2)) // draw(st.integers(1, 2)) % 3
    elif kind == "stripes":
        classes = (x + draw(st.integers(0, 1)) * y) % 3
    elif kind == "smooth":
        classes = np.argmax([ndimage.gaussian_filter(rng.random((rows, cols)), 1.2) for _ in range(3)], axis=0)
    else:
        classes = np.full((rows, cols), 250)
    gaps = draw(st.sampled_from([0.0, 0.1, 0.5]))
    lost = rng.random((rows, cols)) < gaps
    return np.where(lost, rng.choice([254, 255], (rows, cols)), classes).astype(np.uint8)


def confidence_of(classes: UInt8, seed: int = 0) -> UInt8:
    """Random confidence with 255 where there is no class."""
    confidence = np.random.default_rng(seed).integers(0, 101, classes.shape)
    return np.where(classes > 250, 255, confidence).astype(np.uint8)


def source_of(classes: UInt8, block_px: int) -> ArraySource:
    """The map with a confidence that depends on nothing else."""
    return ArraySource(classes, confidence_of(classes), block_px)


def landscape(size_px: int, classes: int = 5, seed: int = 0) -> UInt8:
    """A map like land cover: the largest of several smoothed noise fields, with detail on all scales."""
    rng = np.random.default_rng(seed)
    best = np.full((size_px, size_px), -np.inf, np.float32)
    result = np.zeros((size_px, size_px), np.uint8)
    for index in range(classes):
        height = np.zeros((size_px, size_px), np.float32)
        for step in (2, 8, 32, 128):
            nodes = size_px // step + 3
            at = np.linspace(0, nodes - 1.001, size_px)
            low, part = at.astype(int), (at % 1).astype(np.float32)
            grid = ndimage.gaussian_filter(rng.standard_normal((nodes, nodes), dtype=np.float32), 1)
            rows = grid[low] * (1 - part)[:, None] + grid[low + 1] * part[:, None]
            height += (rows[:, low] * (1 - part) + rows[:, low + 1] * part) * np.float32(step**0.5)
        result[height > best] = index
        np.maximum(best, height, out=best)
    return result


def gdal_polygons(classes: UInt8, transform: Affine | None = None) -> list[tuple[int, bytes]]:
    """What GDAL makes of the whole map: class and normalised polygon, sorted."""
    shapes = rasterio.features.shapes(
        classes, mask=classes <= 250, connectivity=4, transform=transform or Affine.identity()
    )
    values = [(int(value), shapely.geometry.shape(geometry)) for geometry, value in shapes]
    return sorted((value, shapely.normalize(polygon).wkb) for value, polygon in values)


def as_sorted(batch: RegionBatch) -> list[tuple[int, bytes]]:
    """The same of a batch."""
    return sorted(zip(batch.class_index.tolist(), shapely.to_wkb(shapely.normalize(batch.geometry)), strict=True))
