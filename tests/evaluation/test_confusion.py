"""Numbers of a confusion matrix against scikit-learn, and what becomes of a division by nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics

from geoseg.evaluation.confusion import (
    NO_ANSWER,
    NOTHING,
    SUMMARIES,
    Confusion,
    f1,
    iou,
    kappa,
    recall,
)

LABELS = st.sampled_from([0, 1, 2, 3, NOTHING])
MAPPED = st.sampled_from([0, 1, 2, 3, NO_ANSWER, NOTHING])
MAPS = st.tuples(arrays(np.uint8, (6, 7), elements=LABELS), arrays(np.uint8, (6, 7), elements=MAPPED))


@given(MAPS)
def test_counts_are_those_of_a_loop(maps):
    reference, found = maps
    counts = np.zeros((4, 5), int)
    for true, made in zip(reference.ravel(), found.ravel(), strict=True):
        if NOTHING not in (true, made):
            counts[true, 4 if made == NO_ANSWER else made] += 1
    assert (Confusion.of(reference, found, 4).counts == counts).all()


@given(MAPS)
def test_numbers_are_those_of_scikit_learn(maps):
    reference, found = maps
    asked = (reference != NOTHING) & (found != NOTHING)
    if not asked.any():
        return
    truth, made = reference[asked], np.minimum(found[asked], 4)
    matrix = Confusion.of(reference, found, 4)
    assert matrix.accuracy == pytest.approx(metrics.accuracy_score(truth, made))
    given_labels = {"labels": range(4), "average": None, "zero_division": np.nan}
    precisions, recalls, f1s, _ = metrics.precision_recall_fscore_support(truth, made, **given_labels)
    ious = metrics.jaccard_score(truth, made, labels=range(4), average=None, zero_division=0)
    for index, score in enumerate(matrix.classes):
        assert score.precision == (None if np.isnan(precisions[index]) else pytest.approx(precisions[index]))
        assert score.recall == (None if np.isnan(recalls[index]) else pytest.approx(recalls[index]))
        there = score.reference + score.found > 0
        assert score.f1 == (pytest.approx(np.nan_to_num(f1s[index])) if there else None)
        assert score.iou == (pytest.approx(ious[index]) if there else None)
    expected = metrics.cohen_kappa_score(truth, made) if len(set(truth) | set(made)) > 1 else None
    assert matrix.kappa == (None if expected is None else pytest.approx(expected))


@given(MAPS, MAPS)
def test_parts_add_up(one, other):
    whole = [np.concatenate([first, second]) for first, second in zip(one, other, strict=True)]
    total = Confusion.of(*one, 4) + Confusion.of(*other, 4)
    assert (total.counts == Confusion.of(*whole, 4).counts).all()


def test_a_class_that_the_reference_lacks_is_left_out_of_means_by_name_and_still_counts_against_others():
    reference = np.array([[0, 0, 0, 1, 1, 1]], np.uint8)
    found = np.array([[0, 0, 2, 1, 1, 1]], np.uint8)
    matrix = Confusion.of(reference, found, 4)
    mean = matrix.mean(iou)
    assert mean.value == pytest.approx((2 / 3 + 1) / 2)
    assert (mean.classes, mean.left_out) == (2, (2, 3))
    assert matrix.classes[2].iou == 0.0  # it was said to be there, and is not
    assert matrix.classes[3].iou is None
    assert matrix.classes[2].recall is None


def test_a_class_that_is_never_found_makes_no_mean_vanish():
    reference, found = np.array([[0, 0, 1, 1]], np.uint8), np.array([[0, 0, 0, 0]], np.uint8)
    matrix = Confusion.of(reference, found, 2)
    assert matrix.classes[1].precision is None
    assert [matrix.mean(number).value for number in (recall, f1, iou)] == pytest.approx([0.5, 1 / 3, 0.25])


def test_no_pixel_is_no_number_and_no_warning():
    matrix = Confusion.nothing(3)
    assert (matrix.accuracy, matrix.kappa, matrix.mean(iou).value) == (None, None, None)
    assert all(score.iou is None for score in matrix.classes)


def test_a_pixel_without_an_answer_is_wrong_and_one_that_nobody_saw_is_not_asked():
    reference = np.zeros((1, 4), np.uint8)
    matrix = Confusion.of(reference, np.array([[0, 0, NO_ANSWER, NOTHING]], np.uint8), 2)
    assert matrix.accuracy == pytest.approx(2 / 3)
    assert matrix.pixels == 3


def test_numbers_of_many_matrices_at_once_are_those_of_each():
    rng = np.random.default_rng(0)
    many = rng.integers(0, 20, (5, 3, 4)) * rng.integers(0, 2, (5, 3, 1))
    for number in SUMMARIES.values():
        single = [number(counts) for counts in many]
        np.testing.assert_allclose(number(many), single)
    assert np.isnan(kappa(np.array([[5, 0, 0], [0, 0, 0]])))
