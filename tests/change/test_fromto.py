"""From-to classes: a fixed order, codes, and what a raster can hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.change.fromto import MOST_PAIRS, FromTo, observed_pairs
from geoseg.errors import RequestError

NAMES = ("water", "trees", "bare", "built")
pixels = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 3, 254, 255]), st.sampled_from([0, 1, 2, 3, 254, 255]), st.booleans())
)


def test_the_order_is_that_of_the_classes_and_codes_are_two_numbers_in_one():
    table = FromTo.of([(3, 0), (1, 2), (1, 2), (1, 0)], NAMES)
    assert [(t.index, t.code, t.name) for t in table.transitions] == [
        (1, 100, "trees to water"),
        (2, 102, "trees to bare"),
        (3, 300, "built to water"),
    ]
    assert FromTo.of([(120, 7)], tuple(map(str, range(200)))).transitions[0].code == 120_007


def test_more_pairs_than_a_raster_holds_are_a_wrong_request():
    names = tuple(map(str, range(40)))
    pairs = [(a, b) for a in range(40) for b in range(40) if a != b]
    assert len(FromTo.of(pairs[:MOST_PAIRS], names).transitions) == 250
    with pytest.raises(RequestError, match="251 pairs") as refused:
        FromTo.of(pairs[: MOST_PAIRS + 1], names)
    assert refused.value.exit_code == 2


@given(pixels)
def test_every_pixel_is_told_by_its_two_classes(made):
    before, after, changed = (
        np.array([p[n] for p in made], dtype=kind) for n, kind in ((0, "uint8"), (1, "uint8"), (2, bool))
    )
    pairs = observed_pairs(before, after, changed)
    table = FromTo.of(pairs, NAMES)
    found = table.classes(before, after, changed)
    for b, a, c, value in zip(before, after, changed, found, strict=True):
        if 254 in (b, a):
            assert value == 254
        elif 255 in (b, a):
            assert value == 255
        elif not c:
            assert value == 0
        else:
            assert (table.transitions[value - 1].before, table.transitions[value - 1].after) == (b, a)
    assert sum(pairs.values()) == sum(c and max(b, a) < 254 for b, a, c in zip(before, after, changed, strict=True))


def test_a_pair_that_the_table_lacks_is_a_mistake_of_ours():
    one = np.array([1], "uint8")
    with pytest.raises(ValueError, match="does not have"):
        FromTo(()).classes(one, one + 1, np.array([True]))
