"""The steps of the algorithm, each by what it is for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import uniform_filter

from geoseg.store import TileStore
from geoseg.words import FeatureCache, Features, WordSettings
from geoseg.words.features import unit
from geoseg.words.scoring import cell_scores, choose, to_pixels

SETTINGS = WordSettings(temperature=0.07, null=0.3)


def vectors(*shape: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=shape).astype("float32"))


def scores_of(settings: WordSettings, cells: np.ndarray, phrases: np.ndarray, owners: tuple[int, ...]) -> np.ndarray:
    whole = unit(cells.reshape(-1, cells.shape[-1]).mean(axis=0))
    return cell_scores(cells, whole, np.ones(cells.shape[:2], bool), phrases, owners, settings)


def test_a_good_synonym_is_not_diluted_by_a_poor_one():
    scores = np.array([[[0.9]], [[0.1]], [[0.6]]], "float32")
    found = choose(scores, (0, 0, 1), SETTINGS)
    assert (found.classes[0, 0], found.phrase[0, 0], found.cosine[0, 0]) == (1, 0, 90)


def test_bias_takes_off_what_the_window_says_as_a_whole():
    cells, phrases = vectors(6, 6, 8), vectors(2, 8, seed=1)
    plain = scores_of(SETTINGS, cells, phrases, (0, 1))
    less = scores_of(replace(SETTINGS, bias=0.5), cells, phrases, (0, 1))
    own = phrases @ unit(cells.reshape(-1, 8).mean(axis=0))
    assert np.allclose(plain - less, 0.5 * own[:, None, None], atol=1e-6)


def test_gate_lowers_what_is_nowhere_near_and_leaves_what_is_there():
    cells = np.zeros((10, 10, 2), "float32")
    cells[..., 0] = 1
    cells[:2, :2] = (0, 1)
    phrases = np.array([[1, 0], [-0.6, -0.8]], "float32")
    gated = replace(SETTINGS, gate=2.0, gate_tau=0.4, gate_scale=0.05)
    change = scores_of(gated, cells, phrases, (0, 1)) - scores_of(SETTINGS, cells, phrases, (0, 1))
    assert np.abs(change[0]).max() < 1e-5
    assert np.allclose(change[1], 2 * 0.07 * np.log(0.05), atol=1e-5)  # the floor: never more


def thin_and_wide() -> tuple[np.ndarray, np.ndarray]:
    """Cells of two things side by side, with a line of what resembles a third where they meet; phrases of the three."""
    cells = np.zeros((20, 20, 3), "float32")
    cells[:, :10, 0] = cells[:, 10:, 1] = 1
    cells[:, 10] = (0, 0, 1)
    return cells, np.eye(3, dtype="float32")


def test_a_gate_of_neighbourhoods_lowers_what_wins_a_line_and_leaves_what_wins_a_patch():
    cells, phrases = thin_and_wide()
    gated = replace(SETTINGS, gate=2.0, gate_side=5, gate_tau=0.5, gate_scale=0.05)
    change = scores_of(gated, cells, phrases, (0, 1, 2)) - scores_of(SETTINGS, cells, phrases, (0, 1, 2))
    assert np.abs(change[:2]).max() < 0.01
    assert np.allclose(change[2], 2 * 0.07 * np.log(0.05), atol=1e-3)
    cells[:4, 10:13] = (0, 0, 1)  # half a neighbourhood at the rim
    wider = scores_of(gated, cells, phrases, (0, 1, 2)) - scores_of(SETTINGS, cells, phrases, (0, 1, 2))
    assert wider[2].min() > change[2].max()


def test_a_gate_of_neighbourhoods_knows_no_order_and_no_unseen_cell():
    cells, phrases = vectors(9, 12, 8), vectors(5, 8, seed=1)
    gated = replace(SETTINGS, gate=2.0, gate_side=3, gate_tau=0.3)
    owners = (0, 0, 1, 2, -1)
    made = scores_of(gated, cells, phrases, owners)
    turned = np.array([1, 0, 3, 2, 4])
    assert scores_of(gated, cells, phrases[turned], (0, 0, 1, 2, -1))[turned] == pytest.approx(made, abs=1e-6)
    seen = np.ones((9, 12), bool)
    seen[:, :4] = False
    whole = vectors(8, seed=2)
    first = cell_scores(cells, whole, seen, phrases, owners, gated)
    cells[:, :4] = vectors(9, 4, 8, seed=3)
    assert (cell_scores(cells, whole, seen, phrases, owners, gated)[:, :, 4:] == first[:, :, 4:]).all()


def test_what_a_cell_says_to_phrases_that_mean_nothing_is_taken_off():
    cells, phrases, generic = vectors(4, 4, 8), vectors(3, 8, seed=1), vectors(8, seed=2)
    seen, whole = np.ones((4, 4), bool), vectors(8)
    plain = cell_scores(cells, whole, seen, phrases, (0, 1, -1), SETTINGS)
    less = cell_scores(cells, whole, seen, phrases, (0, 1, -1), SETTINGS, generic=generic)
    assert np.allclose(plain - less, (cells @ generic)[None], atol=1e-6)


def test_guided_scores_follow_the_edges_of_the_image():
    scores = np.zeros((1, 8, 8), "float32")
    scores[:, :, 4:] = 1
    guide = np.zeros((32, 32), "float32")
    guide[:, 18:] = 1  # two pixels beside the edge of the cells
    plain, guided = (to_pixels(scores, edge, 4, 1e-4)[0, 16] for edge in (None, guide))
    assert np.diff(guided).argmax() == 17
    assert np.diff(guided).max() > 1.4 * np.diff(plain).max()
    assert to_pixels(np.full((1, 8, 8), 0.5, "float32"), guide, 4, 1e-3) == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("stride", [1, 3, 16])
def test_scores_of_pixels_are_those_of_the_formula_in_double_precision(stride):
    rng = np.random.default_rng(stride)
    scores, guide = rng.random((2, 5, 7), "float32"), rng.random((5 * stride, 7 * stride), "float32")
    wide = scores.astype(float)
    for axis, count in ((1, 5), (2, 7)):
        places = (np.arange(count * stride) + 0.5) / stride - 0.5
        wide = np.apply_along_axis(lambda line, at=places: np.interp(at, np.arange(line.size), line), axis, wide)
    assert to_pixels(scores, None, stride, 0) == pytest.approx(wide, abs=1e-6)

    side = 2 * (stride // 2) + 1 + 2 * (stride % 2)

    def mean(plane):
        return uniform_filter(plane, side, mode="nearest")

    own = guide.astype(float)
    for made, plane in zip(to_pixels(scores, guide, stride, 1e-2), wide, strict=True):
        slope = (mean(plane * own) - mean(plane) * mean(own)) / (mean(own * own) - mean(own) ** 2 + 1e-2)
        assert made == pytest.approx(mean(slope) * own + mean(mean(plane) - slope * mean(own)), abs=1e-5)


def test_background_by_null_by_threshold_and_by_margin():
    below = np.full((2, 1, 1), 0.1, "float32")
    assert choose(below, (0, 1), SETTINGS).classes[0, 0] == 0
    close = np.array([[[0.50]], [[0.49]]], "float32")
    assert choose(close, (0, 1), SETTINGS).classes[0, 0] == 1
    refused = choose(close, (0, 1), replace(SETTINGS, lead=0.1))
    assert refused.classes[0, 0] == 0
    assert (refused.phrase[0, 0], refused.cosine[0, 0]) == (255, 255)
    assert choose(close, (0, 1), replace(SETTINGS, least=0.9)).classes[0, 0] == 0
    phrases_of_none = np.array([[[0.5]], [[0.8]]], "float32")
    assert choose(phrases_of_none, (0, -1), replace(SETTINGS, null=None)).classes[0, 0] == 0


def test_a_score_that_is_no_number_gives_no_class():
    found = choose(np.array([[[np.nan, 0.9]]], "float32"), (0,), SETTINGS)
    assert found.percent[0].tolist()[0] == 255
    assert found.classes[0, 1] == 1
    assert np.isnan(found.probabilities[:, 0, 0]).all()


def test_probabilities_are_those_of_a_softmax_with_the_null():
    scores = np.array([[[0.5]], [[0.4]]], "float32")
    found = choose(scores, (0, 1), SETTINGS)
    expected = np.exp(np.array([0.3, 0.5, 0.4]) / 0.07)
    assert found.probabilities[:, 0, 0] == pytest.approx(expected / expected.sum(), abs=1e-5)
    assert found.percent[0, 0] == round(100 * float(found.probabilities[1, 0, 0]))


def test_features_are_found_again_by_the_pixels_of_their_window(tmp_path):
    values, valid = np.random.default_rng(0).random((3, 8, 8), "float32"), np.ones((8, 8), bool)
    made = Features.rounded(vectors(2, 2, 16), vectors(16))
    first = FeatureCache(TileStore(tmp_path), "net", 10**6)
    assert first.get(values, valid, lambda: made) is made
    again = FeatureCache(TileStore(tmp_path), "net", 0)
    found = again.get(values, valid, lambda: pytest.fail("it is kept"))
    assert (found.cells == made.cells).all()
    assert (found.whole == made.whole).all()
    assert all((one == other).all() for one, other in zip(found.units(), made.units(), strict=True))
    keys = {
        first.key(values, valid),
        first.key(values + 1e-6, valid),
        FeatureCache(None, "other", 0).key(values, valid),
    }
    assert len(keys) == 3
    masked = valid.copy()
    masked[0] = False
    assert first.key(values, masked) == first.key(np.where(masked, values, 9), masked)


def test_rounding_turns_no_feature_by_more_than_a_degree():
    cells = vectors(20, 20, 64)
    rounded, _ = Features.rounded(cells, cells[0, 0]).units()
    assert np.degrees(np.arccos(np.clip((rounded * cells).sum(axis=-1), -1, 1))).max() < 1


def test_no_more_features_are_kept_than_allowed(tmp_path):
    cache = FeatureCache(TileStore(tmp_path), "net", 2 * 2 * 16 + 16)
    for seed in range(3):
        values = np.full((3, 8, 8), seed, "float32")
        cache.get(values, np.ones((8, 8), bool), lambda: Features.rounded(vectors(2, 2, 16), vectors(16)))
    assert len(list(tmp_path.rglob("*.zip"))) == 1
