"""Confidences: the calibration error by hand, temperatures that are known, class sets that keep their promise."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import log_loss

from geoseg.evaluation.bootstrap import Resampling
from geoseg.evaluation.calibration import Sample, at_temperature, fit_class_sets, fit_temperature, fit_temperatures
from geoseg.evaluation.confusion import Confusion, accuracy, recall
from geoseg.evaluation.reliability import BINS, Reliability


def drawn(pixels, classes, seed, temperature=1.0):
    """Logits, and labels that are drawn from their softmax: probabilities that hold, then made too sure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (pixels, classes))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (shares.cumsum(axis=1) > rng.random((pixels, 1))).argmax(axis=1)
    sure = np.exp(logits * temperature)
    return truth, (sure / sure.sum(axis=1, keepdims=True)).astype(np.float32)


def test_the_calibration_error_is_that_of_sorted_pixels_in_equal_bins():
    truth, scores = drawn(30_000, 4, 1, temperature=2.5)
    found = scores.argmax(axis=1)
    made = Reliability.of(truth, found, scores.T)
    order = np.argsort(scores.max(axis=1), kind="stable")
    expected = 0.0
    for part in np.array_split(order, BINS):
        expected += len(part) * abs((found[part] == truth[part]).mean() - scores[part].max(axis=1).mean())
    assert made.ece == pytest.approx(expected / len(truth), abs=2e-3)
    exact = scores.astype(np.float64) / scores.sum(axis=1, keepdims=True, dtype=np.float64)
    assert made.mean_nll == pytest.approx(log_loss(truth, exact, labels=range(4)), abs=1e-6)
    hot = np.eye(4)[truth]
    assert made.mean_brier == pytest.approx(((scores - hot) ** 2).sum(axis=1).mean(), abs=1e-6)


def test_parts_of_pixels_add_up_and_nothing_is_no_number():
    truth, scores = drawn(5000, 3, 2)
    found = scores.argmax(axis=1)
    whole = Reliability.of(truth, found, scores.T)
    halves = [Reliability.of(truth[at], found[at], scores[at].T) for at in (slice(0, 1000), slice(1000, None))]
    assert (halves[0] + halves[1]).ece == pytest.approx(whole.ece, abs=1e-12)
    assert Reliability.nothing().ece is None
    one = Reliability.of(np.zeros(100, int), np.zeros(100, int), np.tile([[1.0], [0.0]], 100))
    assert (one.ece, len(one.bins)) == (0.0, 1)


@pytest.mark.parametrize("wanted", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_a_network_too_sure_is_found(wanted):
    truth, scores = drawn(40_000, 5, 3, temperature=wanted)
    fit = fit_temperature([Sample("a", "a", truth, scores)], np.eye(5))
    assert fit.temperature == pytest.approx(wanted, rel=0.03)
    assert not fit.at_bound
    assert fit.nll_after <= fit.nll_before
    after = at_temperature(scores, fit.temperature)
    assert (after.argmax(axis=1) == scores.argmax(axis=1)).all()
    assert Reliability.of(truth, after.argmax(axis=1), after.T).ece < 0.01


def test_each_class_gets_the_temperature_that_made_it_too_sure():
    """Right about the first class as often as it says, too sure of the others."""
    truth, shown = drawn(60_000, 3, 7)
    wanted = (1.0, 3.0, 2.0)
    # What comes out at these temperatures is what the labels were drawn by.
    rng = np.random.default_rng(1)
    chances = at_temperature(shown, wanted)
    truth = (chances.cumsum(axis=1) > rng.random((len(chances), 1))).argmax(axis=1)
    samples = [Sample(f"{at}", f"{at}", truth[at::4], shown[at::4]) for at in range(4)]
    fit = fit_temperatures(samples, np.eye(3))
    assert fit.temperature == 1
    assert fit.temperatures == pytest.approx(wanted, rel=0.08)
    found, after = shown.argmax(axis=1), at_temperature(shown, fit.temperatures)
    assert (after.argmax(axis=1) == found).all()
    assert Reliability.of(truth, found, after.T).ece < 0.01 < Reliability.of(truth, found, shown.T).ece
    assert fit.nll_after < fit_temperature(samples, np.eye(3)).nll_after < fit.nll_before


def test_what_is_nearly_equal_stays_nearly_equal():
    near = np.array([[0.45 + 1e-6, 0.45 - 1e-6, 0.1], [0.45 - 1e-6, 0.45 + 1e-6, 0.1]], np.float32)
    after = at_temperature(near, (0.5, 8.0, 1.0))
    np.testing.assert_allclose(after[0], after[1], atol=1e-5)


def test_a_temperature_of_a_network_with_more_classes_than_the_labels_is_fitted_on_their_sums():
    truth, scores = drawn(40_000, 4, 4, temperature=2.0)
    legend = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], float)
    fit = fit_temperature([Sample("a", "a", truth // 2, scores)], legend)
    assert fit.temperature == pytest.approx(2.0, rel=0.05)


def test_a_fit_that_wants_more_than_is_allowed_says_so():
    rng = np.random.default_rng(5)
    scores = np.tile(np.array([[0.999, 0.001]], np.float32), (1000, 1))
    fit = fit_temperature([Sample("a", "a", rng.integers(0, 2, 1000), scores)], np.eye(2))
    assert fit.at_bound
    assert fit.temperature == 8.0
    assert fit_temperature([Sample("a", "a", np.zeros(9, int), scores[:9])], np.eye(2)).temperature == 0.25


def scenes(count, seed):
    """Scenes that differ in how hard they are."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        truth, scores = drawn(400, 3, int(rng.integers(10**6)), temperature=float(rng.uniform(0.5, 4)))
        made.append((truth, scores))
    return made


def test_class_sets_hold_the_truth_as_often_as_promised_for_a_new_scene():
    miss, covered = 0.2, []
    for trial in range(150):
        made = scenes(11, trial)
        units = [str(at) for at in range(10)]
        sets = fit_class_sets(units, [t for t, _ in made[:10]], [s for _, s in made[:10]], miss)
        truth, scores = made[10]
        inside = sets.sets(scores)[np.arange(len(truth)), truth]
        covered.append([inside[truth == index].mean() for index in range(3)])
    means = np.mean(covered, axis=0)
    assert (means >= 1 - miss - 3 * np.std(covered, axis=0) / np.sqrt(150)).all()
    assert (means < 0.99).all()


def test_too_few_scenes_promise_nothing_and_say_so():
    made = scenes(5, 0)
    sets = fit_class_sets([str(at) for at in range(5)], [t for t, _ in made], [s for _, s in made], 0.1)
    assert np.isinf(sets.quantiles).all()
    assert sets.scenes.tolist() == [5, 5, 5]
    assert sets.sets(made[0][1]).all()


def test_samples_of_one_scene_weigh_as_one():
    made = scenes(20, 7)
    truths, scores = [t for t, _ in made], [s for _, s in made]
    apart = fit_class_sets([str(at) for at in range(20)], truths, scores, 0.1)
    halves = [part for t in truths for part in (t[:100], t[100:])], [p for s in scores for p in (s[:100], s[100:])]
    again = fit_class_sets([str(at // 2) for at in range(40)], *halves, 0.1)
    np.testing.assert_allclose(apart.quantiles, again.quantiles)


def matrices(count, seed):
    rng = np.random.default_rng(seed)
    hits = rng.binomial(100, rng.uniform(0.6, 0.9, count))
    return [Confusion(np.array([[hit, 100 - hit, 0], [0, 0, 0]])) for hit in hits]


def test_the_interval_of_an_accuracy_covers_the_true_one_about_as_often_as_it_says():
    inside = 0
    for trial in range(300):
        found = Resampling(30, seed=trial, resamples=300).interval(matrices(30, trial), accuracy)
        inside += found.low <= 0.75 <= found.high
    assert 0.89 < inside / 300 <= 0.985


def test_draws_are_those_of_a_loop():
    units = matrices(6, 1)
    found = Resampling(6, seed=3, resamples=500).interval(units, accuracy)
    weights = np.random.default_rng(3).multinomial(6, [1 / 6] * 6, size=500)
    values = [accuracy(sum(w * u.counts for w, u in zip(row, units, strict=True))) for row in weights]
    assert [found.low, found.high] == pytest.approx(np.quantile(values, [0.025, 0.975]))
    both = Resampling(6, seed=3, resamples=500).intervals(units, recall, 2)
    assert both == (found, None)  # of one class only, whose recall is the accuracy


def test_a_difference_is_drawn_in_pairs_and_one_unit_gives_no_interval():
    units = matrices(8, 2)
    same = Resampling(8).interval(units, accuracy, against=units)
    assert (same.low, same.high) == (0.0, 0.0)
    assert Resampling(1).interval(units[:1], accuracy) is None
    empty = [Confusion.nothing(2)] * 4
    assert Resampling(4).interval(empty, accuracy) is None
