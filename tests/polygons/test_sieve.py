"""The minimum mapping unit against a brute-force version on the whole map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from geoseg.polygons import ClassSource, sieve
from geoseg.polygons.contacts import Contacts, Facts, best_neighbours
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


@pytest.mark.parametrize("turns", range(4))
def test_borders_with_a_neighbour_that_is_joined_in_another_block_add_up(turns: int) -> None:
    # The arms of the 3 share two edges each with the 7, the 1 shares three; the arms meet below the block.
    classes = np.full((12, 6), 3, np.uint8)
    classes[:2] = 1
    classes[1:4, 2] = 7
    classes[4:6, 2] = 5
    classes = np.rot90(classes, turns).copy()
    found, _ = read_whole(sieve(source_of(classes, 6), 4))
    assert set(found[classes == 7].tolist()) == {3}
    np.testing.assert_array_equal(found, sieve_brute_force(classes, 4))


def test_a_tie_goes_to_the_region_that_is_larger_on_the_whole_map() -> None:
    classes = np.array([[1, 1, 1, 7, 2, 2, 2, 2, 2]], np.uint8)
    found, _ = read_whole(sieve(source_of(classes, 6), 2))
    assert found[0, 3] == 2


def test_last_ties_go_to_the_lower_class_and_then_to_the_first_region() -> None:
    found, _ = read_whole(sieve(source_of(np.array([[4, 4, 7, 2, 2]], np.uint8), 2), 2))
    assert found[0, 2] == 2
    # Two regions of one class look alike on the map; the choice between them shows in the table only.
    contacts = Contacts(np.array([0, 0]), np.array([2, 1]), np.array([1, 1]))
    facts = Facts(np.array([1, 5, 5]), np.array([9, 3, 3], np.uint8), np.array([4, 8, 6]))
    assert best_neighbours(contacts, facts)[1].tolist() == [2]


def test_sieve_of_less_than_two_pixels_is_the_map_itself() -> None:
    source = source_of(landscape(20), 7)
    assert sieve(source, 1) is source
