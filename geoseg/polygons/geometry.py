"""From mosaic pixels to coordinates."""

from __future__ import annotations

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray


def to_crs_geometry(geometry: NDArray[np.object_], transform: Affine) -> NDArray[np.object_]:
    """Polygons in CRS coordinates, bit for bit what GDAL computes from the same pixel corners.

    Rings keep their order of vertices: where rows run downwards (north up), shells are anticlockwise in the result.

    Args:
        geometry: Shapely polygons in mosaic pixels (x = column, y = row).
        transform: Affine of the mosaic, from (column, row) to (x, y).
    """
    a, b, c, d, e, f = transform[:6]

    def apply(col: NDArray[np.float64], row: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return c + col * a + row * b, f + col * d + row * e  # the order of additions is GDAL's

    return np.asarray(shapely.transform(geometry, apply, interleaved=False), dtype=object)
