"""The minimum mapping unit against a brute-force version on the whole map."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from geoseg.polygons import ClassSource, sieve
from tests.polygons.maps import UInt8, class_maps, confidence_of, landscape, source_of, unhurried


def read_whole(source: ClassSource) -> tuple[UInt8, UInt8]:
    """Both rasters, put together from their blocks."""
    rows, cols = len(source.row_edges) - 1, len(source.col_edges) - 1
    blocks = [[source.read(i, j) for j in range(cols)] for i in range(rows)]
    classes, confidence = (np.block([[block[k] for block in row] for row in blocks]) for k in (0, 1))
    return classes, confidence


def sieve_brute_force(classes: UInt8, min_pixels: int) -> UInt8:
    """Looks at one pixel edge after the other."""
    regions = np.full(classes.shape, -1)
    count = 0
    for value in np.unique(classes[classes <= 250]):
        numbers, found = ndimage.label(classes == value)
        regions[numbers > 0] = numbers[numbers > 0] + count - 1
        count += found
    size = {k: int((regions == k).sum()) for k in range(count)}
    value_of = {k: int(classes[regions == k][0]) for k in range(count)}
    first = {k: int(np.flatnonzero(regions.ravel() == k)[0]) for k in range(count)}
    borders: dict[int, dict[int, int]] = {k: {} for k in range(count)}
    rows, cols = classes.shape
    for y in range(rows):
        for x in range(cols):
            for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                if 0 <= y + dy < rows and 0 <= x + dx < cols:
                    one, other = int(regions[y, x]), int(regions[y + dy, x + dx])
                    if one >= 0 <= other and one != other:
                        borders[one][other] = borders[one].get(other, 0) + 1
    result = classes.copy()
    for k in range(count):
        if size[k] < min_pixels and borders[k]:
            ranked = sorted(borders[k].items(), key=lambda b: (-b[1], -size[b[0]], value_of[b[0]], first[b[0]]))
            result[regions == k] = value_of[ranked[0][0]]
    return result


@unhurried
@given(class_maps(), st.integers(1, 13), st.integers(0, 12))
def test_sieve_is_that_of_the_whole_map(classes: UInt8, block_px: int, min_pixels: int) -> None:
    found, confidence = read_whole(sieve(source_of(classes, block_px), min_pixels))
    np.testing.assert_array_equal(found, sieve_brute_force(classes, min_pixels))
    np.testing.assert_array_equal(confidence, confidence_of(classes))


def test_sieve_of_a_landscape_does_not_depend_on_blocks() -> None:
    classes = landscape(700, seed=3)
    whole, _ = read_whole(sieve(source_of(classes, 700), 30))
    assert (whole != classes).mean() > 0.002
    for block_px in (64, 150, 511):
        found, _ = read_whole(sieve(source_of(classes, block_px), 30))
        np.testing.assert_array_equal(found, whole)
