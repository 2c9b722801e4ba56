"""Borders, by brute force: every pixel looks at every other one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geoseg.evaluation import boundary
from geoseg.evaluation.boundary import BoundaryCounts
from geoseg.evaluation.confusion import NOTHING

MAP = arrays(np.uint8, (7, 9), elements=st.sampled_from([0, 0, 0, 1, 1, 2, NOTHING]))


def brute(reference, found, index, reach):
    """Borders and bands of one class by looping over pairs of pixels."""
    unknown = (reference == NOTHING) | (found == NOTHING)
    places = [tuple(place) for place in np.argwhere(~unknown)]

    def edges(classes):
        return {
            (r, c)
            for r, c in places
            if classes[r, c] == index
            and any(
                classes[q] != classes[r, c]
                for q in ((r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1))
                if q in set(places)
            )
        }

    def near(place, others):
        return any(max(abs(place[0] - r), abs(place[1] - c)) <= reach for r, c in others)

    def band(classes):
        others = [p for p in places if classes[p] != index]
        return {p for p in places if classes[p] == index and near(p, others)}

    true, made = edges(reference), edges(found)
    one, other = band(reference), band(found)
    return [
        len(made),
        sum(near(p, true) for p in made),
        len(true),
        sum(near(p, made) for p in true),
        len(one & other),
        len(one | other),
    ]


@given(MAP, MAP, st.integers(1, 3))
def test_counts_are_those_of_brute_force_however_an_image_is_cut(reference, found, reach):
    expected = [brute(reference, found, index, reach) for index in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        for block in (100, 4):
            patch.setattr(boundary, "_BLOCK_PX", block)
            assert BoundaryCounts.of(reference, found, 3, reach).counts.tolist() == expected


def test_a_square_that_is_moved_by_the_tolerance_is_right_and_by_more_is_not():
    reference = np.zeros((40, 40), np.uint8)
    reference[10:30, 10:30] = 1
    near, far = np.roll(reference, 2, axis=1), np.roll(reference, 9, axis=1)
    assert BoundaryCounts.of(reference, near, 2, 2).f1 == pytest.approx([1, 1])
    assert (BoundaryCounts.of(reference, far, 2, 2).f1 < 0.7).all()
    assert BoundaryCounts.of(reference, reference, 2, 2).iou == pytest.approx([1, 1])


def test_boundary_iou_of_a_small_thing_is_its_iou():
    reference, found = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    reference[8:11, 8:11] = 1
    found[8:11, 9:12] = 1
    assert BoundaryCounts.of(reference, found, 2, 3).iou[1] == pytest.approx(6 / 12)


def test_a_class_without_a_border_has_no_number_and_one_that_is_missed_has_zero():
    reference, found = np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8)
    assert np.isnan(BoundaryCounts.of(reference, found, 2, 1).f1).all()
    reference[3:6, 3:6] = 1
    scores = BoundaryCounts.of(reference, found, 2, 1)
    assert scores.f1[1] == 0
    assert scores.iou[1] == 0
    assert scores.present.tolist() == [True, True]
