"""IR-MAD: what it must not see, and its first round against canonical correlations by another road."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from geoseg.change import radiometry
from geoseg.change.radiometry import fit_lines, fit_mad, weighted_moments
from geoseg.errors import NothingToDoError
from tests.change.scenery import flat, pair


@settings(max_examples=15)
@given(st.integers(0, 50), st.sampled_from([1e-4, 1.0, 1e4]), st.sampled_from([0.0, 1e5]))
def test_an_affine_map_of_either_date_does_not_move_it(seed, size, level):
    before, after, _ = (flat(a) if a.ndim == 3 else a for a in pair(seed))
    rng = np.random.default_rng(seed)
    maps = [np.linalg.qr(rng.normal(size=(4, 4)))[0] @ np.diag(rng.uniform(0.5, 2, 4)) for _ in range(2)]
    first, second = maps[0] @ before * size + level * size, maps[1] @ after - 7
    plain = fit_mad(before, after).statistic(before, after)
    mapped = fit_mad(first, second).statistic(first, second)
    assert mapped == pytest.approx(plain, rel=1e-4, abs=1e-6)


def test_single_bands_may_have_any_gain_and_offset():
    before, after, _ = pair(3)
    gains, offsets = np.array([[1e-3], [5.0], [-2.0], [1e3]]), np.array([[1.0], [-1e3], [0.0], [1e6]])
    before, after = flat(before), flat(after)
    plain = fit_mad(before, after).statistic(before, after)
    gained = after * gains + offsets
    assert fit_mad(before, gained).statistic(before, gained) == pytest.approx(plain, rel=1e-6, abs=1e-9)


def test_the_first_round_is_canonical_correlation(monkeypatch):
    monkeypatch.setattr(radiometry, "_ROUNDS", 1)
    before, after, _ = (flat(a) if a.ndim == 3 else a for a in pair(1))
    made = fit_mad(before, after)
    both = np.cov(np.concatenate([before, after]))
    xx, xy, yy = both[:4, :4], both[:4, 4:], both[4:, 4:]
    # Squared correlations are the eigenvalues of a generalised problem.
    squares = scipy.linalg.eigh(xy @ np.linalg.solve(yy, xy.T), xx, eigvals_only=True)[::-1]
    assert np.array(made.correlations) ** 2 == pytest.approx(squares)
    variates = np.array(made.before) @ (before - before.mean(axis=1, keepdims=True))
    assert np.cov(variates) == pytest.approx(np.eye(4), abs=1e-3)
    others = np.array(made.after) @ (after - after.mean(axis=1, keepdims=True))
    z = ((variates - others) ** 2 / np.array(made.variances)[:, None]).sum(axis=0)
    assert made.statistic(before, after) == pytest.approx(z)
    assert made.no_change(z) == pytest.approx(chi2.sf(z, 4))


@given(st.integers(0, 20))
@settings(max_examples=8)
def test_swapped_dates_give_the_swapped_answer_to_the_bit(seed):
    before, after, _ = (flat(a) if a.ndim == 3 else a for a in pair(seed))
    one, other = fit_mad(before, after), fit_mad(after, before)
    assert one == other.swapped
    assert np.array_equal(one.statistic(before, after), other.statistic(after, before))


def test_bands_that_follow_from_others_or_say_nothing_do_no_harm():
    before, after, _ = (flat(a) if a.ndim == 3 else a for a in pair(2))
    plain = fit_mad(before, after)
    more = [np.concatenate([a, a[:1] * 2 + a[1:2], np.full_like(a[:1], 7.0)]) for a in (before, after)]
    made = fit_mad(*more)
    assert len(made.variances) == 4
    assert made.statistic(*more) == pytest.approx(plain.statistic(before, after), rel=1e-4, abs=1e-6)


def test_one_date_that_follows_from_the_other_has_no_change():
    before, _, _ = (flat(a) if a.ndim == 3 else a for a in pair(4))
    for after in (before, before * 3 - 5, before[::-1] + before):
        assert fit_mad(before, after).statistic(before, after).max() < 1e-6


def test_where_nothing_changed_the_statistic_is_chi_square():
    rng = np.random.default_rng(0)
    land = rng.normal(size=(3, 40_000))
    before, after = land + rng.normal(0, 0.3, land.shape), 2 * land + rng.normal(0, 0.6, land.shape)
    z = fit_mad(before, after).statistic(before, after)
    for share in (0.5, 0.9, 0.99):
        # Reweighting favours small differences, so the scale shrinks somewhat; the shape stays.
        assert (z / np.median(z) * chi2.median(3) < chi2.ppf(share, 3)).mean() == pytest.approx(share, abs=0.01)


def test_too_few_pixels_are_refused():
    with pytest.raises(NothingToDoError, match="at least 80"):
        fit_mad(np.zeros((4, 79)), np.zeros((4, 79)))


def test_moments_do_not_depend_on_a_constant_and_weigh():
    rng = np.random.default_rng(5)
    values, weights = rng.normal(size=(3, 1000)), rng.integers(0, 4, 1000).astype(float)
    repeated = np.repeat(values, weights.astype(int), axis=1)
    mean, moments = weighted_moments(values, weights)
    assert mean == pytest.approx(repeated.mean(axis=1))
    assert moments == pytest.approx(np.cov(repeated, bias=True))
    assert weighted_moments(values + 1e9, weights)[1] == pytest.approx(moments, rel=1e-5)


def test_lines_through_unchanged_pixels_are_those_of_the_light():
    rng = np.random.default_rng(6)
    before = rng.uniform(20, 200, (2, 5000))
    slopes, intercepts = np.array([[0.7], [1.4]]), np.array([[12.0], [-9.0]])
    after = before * slopes + intercepts + rng.normal(0, 0.5, before.shape)
    after[:, :1500] = rng.uniform(0, 255, (2, 1500))  # change, in spite of its probability
    line = fit_lines(before, after, np.ones(5000))
    assert line.slopes == pytest.approx(slopes.ravel(), rel=0.01)
    assert line.intercepts == pytest.approx(intercepts.ravel(), abs=1.0)
    assert line.apply(before)[:, 1500:] == pytest.approx(after[:, 1500:], abs=4)
    back = fit_lines(after, before, np.ones(5000))
    assert [a * b for a, b in zip(line.slopes, back.slopes, strict=True)] == pytest.approx([1, 1], rel=1e-3)
    assert fit_lines(before, 300 - before, np.ones(5000)).slopes == pytest.approx([1, 1])
    only = np.zeros(5000)
    only[2000:] = 1
    assert max(fit_lines(before, after, only).pixels) <= 3000
