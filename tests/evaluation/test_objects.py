"""Objects: by hand, and by an oracle that labels each class with scipy and tries all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from geoseg.evaluation.confusion import NO_ANSWER, NOTHING
from geoseg.evaluation.objects import SIZES_PX, ObjectCounts

LABELS = arrays(np.uint8, (8, 9), elements=st.sampled_from([0, 0, 1, 1, 2, NOTHING]))
MAPPED = arrays(np.uint8, (8, 9), elements=st.sampled_from([0, 0, 1, 1, 2, NO_ANSWER]))


def regions(classes, index):
    labels, count = ndimage.label(classes == index)
    return [labels == number for number in range(1, count + 1)]


@given(LABELS, MAPPED)
def test_objects_are_those_of_scipy_and_all_pairs(reference, found):
    found = np.where(reference == NOTHING, NOTHING, found)
    counts = ObjectCounts.of(reference, found, 3).counts
    for index in range(3):
        true, made = regions(reference, index), regions(found, index)
        right = sum(int((one & (found == index)).sum()) for one in true)
        # Above one half there is at most one partner; at one half exactly there may be two, of which one is taken.
        sure = sum(any((a & b).sum() > 0.5 * (a | b).sum() for b in made) for a in true)
        some = sum(any((a & b).sum() >= 0.5 * (a | b).sum() for b in made) for a in true)
        total = counts[index].sum(axis=0)
        assert total[[0, 2, 4, 5]].tolist() == [len(true), len(made), sum(map(np.sum, true)), right]
        assert total[1] == total[3]
        assert sure <= total[1] <= some


def test_two_halves_are_matched_once():
    reference = np.array([[1, 1, 2, 1, 1]], np.uint8)
    found = np.array([[1, 1, 1, 1, 1]], np.uint8)
    wide = ObjectCounts.of(reference, found, 3)
    assert wide.counts[1].sum(axis=0)[:4].tolist() == [2, 0, 1, 0]
    halves = np.array([[1, 1], [0, 0], [1, 1]], np.uint8)
    one = np.array([[1, 1], [0, 0], [0, 0]], np.uint8)
    assert ObjectCounts.of(halves, one, 2).f1[1] == pytest.approx(2 / 3)


def test_a_tie_at_one_half_is_one_object_not_two():
    reference = np.array([[1, 1], [1, 1]], np.uint8)
    found = np.array([[1, 1], [0, 0]], np.uint8)
    counts = ObjectCounts.of(reference, found, 2)
    assert counts.f1[1] == pytest.approx(1.0)
    unknown = np.array([[1, 1], [NOTHING, 1]], np.uint8)
    assert ObjectCounts.of(unknown, found, 2).f1[1] == pytest.approx(1.0)


def test_objects_stand_in_the_row_of_their_own_size():
    reference = np.zeros((64, 64), np.uint8)
    reference[0:4, 0:4] = 1  # 16 px
    reference[10:40, 10:40] = 1  # 900 px
    found = np.where(reference == 1, 1, 0).astype(np.uint8)
    found[0:4, 0:4] = 0
    counts = ObjectCounts.of(reference, found, 2).counts[1]
    small, large = SIZES_PX.index(16), SIZES_PX.index(256)
    assert counts[small].tolist() == [1, 0, 0, 0, 16, 0]
    assert counts[large].tolist() == [1, 1, 1, 1, 900, 900]
    assert counts.sum() == counts[[small, large]].sum()


def test_nothing_is_no_number():
    empty = np.full((4, 4), NOTHING, np.uint8)
    assert np.isnan(ObjectCounts.of(empty, empty, 2).f1).all()
