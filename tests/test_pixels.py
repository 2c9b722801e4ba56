"""Layers of scores: every pixel by itself, in percent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from geoseg.pixels import LAYERS, layer_names, layers_of


def scores_of(classes: int, shape: tuple[int, int], seed: int) -> np.ndarray:
    raw = np.random.default_rng(seed).gamma(0.3, size=(classes, *shape)) + 1e-6
    return (raw / raw.sum(axis=0)).astype("float32")


@given(st.integers(2, 12), st.integers(1, 150), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=30)
def test_layers_are_what_their_names_say(classes, rows, cols, seed):
    scores = scores_of(classes, (rows, cols), seed)
    least = np.linspace(0, 1, classes)
    made = layers_of(scores, LAYERS, least)
    assert tuple(made) == layer_names(LAYERS, classes)
    exact = scores.astype("float64")
    for number in range(classes):
        assert np.abs(made[f"scores_{number:03d}"] - exact[number] * 100).max() <= 0.5
        np.testing.assert_array_equal(made[f"sets_{number:03d}"], exact[number] >= least[number])
    assert np.abs(made["entropy"] - entropy(exact, axis=0) / np.log(classes) * 100).max() <= 0.5 + 1e-4
    ordered = np.sort(exact, axis=0)
    assert np.abs(made["margin"] - (ordered[-1] - ordered[-2]) * 100).max() <= 0.5


@given(st.integers(0, 99), st.integers(0, 140), st.integers(1, 60))
@settings(max_examples=20)
def test_a_part_has_the_layers_of_the_whole(seed, row, size):
    scores = scores_of(5, (200, 3), seed)
    whole, part = (layers_of(some, LAYERS, [0.2] * 5) for some in (scores, scores[:, row : row + size]))
    for name, layer in part.items():
        np.testing.assert_array_equal(layer, whole[name][row : row + size])


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_leaves_a_gap_in_every_layer(broken):
    scores = scores_of(4, (3, 3), 1)
    scores[2, 1, 1] = broken
    for layer in layers_of(scores, LAYERS, [0.2] * 4).values():
        assert layer[1, 1] == 255
        assert (np.delete(layer.ravel(), 4) <= 100).all()


def test_certainty_and_doubt_are_the_ends_of_the_scale():
    sure, torn = np.array([1, 0, 0, 0], "float32"), np.full(4, 0.25, "float32")
    made = layers_of(np.stack([sure, torn], axis=1)[:, None], LAYERS, [0.25] * 4)
    assert [made[f"sets_{number:03d}"].tolist() for number in range(4)] == [[[1, 1]], *[[[0, 1]]] * 3]
    assert made["entropy"].tolist() == [[0, 100]]
    assert made["margin"].tolist() == [[100, 0]]
    assert layers_of(np.ones((1, 1, 1), "float32"), ("entropy",))["entropy"].tolist() == [[0]]


def test_only_what_is_wanted_is_made():
    assert set(layers_of(scores_of(3, (2, 2), 0), ("margin",))) == {"margin"}
    assert layers_of(scores_of(3, (2, 2), 0), ()) == {}
