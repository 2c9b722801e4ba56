"""Polygons as well-known binary, written straight from their vertices."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from affine import Affine
from numpy.typing import NDArray

from geoseg.compiled import compiled
from geoseg.outputs.flattened import Outlines

Float = NDArray[np.float64]
Int64 = NDArray[np.int64]


def to_wkb(outlines: Outlines, transform: Affine) -> tuple[pa.Array, Float]:
    """Polygons in the grid's CRS, shells anticlockwise and holes clockwise.

    The arithmetic is GDAL's, so that the corners of equal pixels are equal to the last bit wherever they come from.

    Args:
        outlines: In pixel coordinates (x = column, y = row).
        transform: From (column, row) to the CRS.

    Returns:
        WKB as an Arrow array, and the bounding boxes, float64 (n, 4): west, south, east, north.
    """
    vertices = np.ascontiguousarray(outlines.vertices, np.float64)
    data, offsets, bounds = _encode(
        vertices, outlines.ring_offsets, outlines.polygon_offsets, np.array(tuple(transform)[:6], float)
    )
    if len(data) >= 2**31:
        raise ValueError(f"{len(data):,} bytes of polygons at once, and Arrow counts them with 31 bits")
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers), bounds


@compiled("Tuple((uint8[::1], int64[::1], float64[:, ::1]))(float64[:, ::1], int64[::1], int64[::1], float64[::1])")
def _encode(vertices: Float, rings: Int64, polygons: Int64, affine: Float) -> tuple[NDArray[np.uint8], Int64, Float]:
    a, b, c, d, e, f = affine
    flips = a * e - b * d < 0
    count = len(polygons) - 1
    offsets, bounds = np.empty(count + 1, np.int64), np.empty((count, 4))
    offsets[0] = 0
    for polygon in range(count):
        first, last = polygons[polygon], polygons[polygon + 1]
        offsets[polygon + 1] = offsets[polygon] + 9 + 4 * (last - first) + 16 * (rings[last] - rings[first])
    data = np.empty(offsets[-1], np.uint8)
    number, place = np.empty(1, np.uint32), np.empty(2)
    number_bytes, place_bytes = number.view(np.uint8), place.view(np.uint8)
    for polygon in range(count):
        first, last = polygons[polygon], polygons[polygon + 1]
        at = offsets[polygon]
        data[at], data[at + 1], data[at + 2], data[at + 3], data[at + 4] = 1, 3, 0, 0, 0  # little endian, a polygon
        number[0] = last - first
        data[at + 5 : at + 9] = number_bytes
        at += 9
        west, south, east, north = np.inf, np.inf, -np.inf, -np.inf
        for ring in range(first, last):
            start, stop = rings[ring], rings[ring + 1]
            number[0] = stop - start
            data[at : at + 4] = number_bytes
            at += 4
            doubled = 0.0
            for vertex in range(start, stop - 1):
                x, y = vertices[vertex, 0] - vertices[start, 0], vertices[vertex, 1] - vertices[start, 1]
                after_x, after_y = (
                    vertices[vertex + 1, 0] - vertices[start, 0],
                    vertices[vertex + 1, 1] - vertices[start, 1],
                )
                doubled += x * after_y - after_x * y
            clockwise = (doubled < 0) != flips
            backwards = clockwise == (ring == first)
            for step in range(stop - start):
                vertex = stop - 1 - step if backwards else start + step
                col, row = vertices[vertex, 0], vertices[vertex, 1]
                x, y = c + col * a + row * b, f + col * d + row * e  # the order of additions is GDAL's
                place[0], place[1] = x, y
                for byte in range(16):
                    data[at + byte] = place_bytes[byte]
                at += 16
                west, south, east, north = min(west, x), min(south, y), max(east, x), max(north, y)
        bounds[polygon, 0], bounds[polygon, 1], bounds[polygon, 2], bounds[polygon, 3] = west, south, east, north
    return data, offsets, bounds
