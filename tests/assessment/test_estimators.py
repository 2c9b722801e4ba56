"""Accuracy and areas from samples: the published example, the formulas by hand, and what intervals promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.assessment import Strata, allocate, estimate_accuracy, ratio, sample_size, share

# Olofsson et al. (2014), section 5: deforestation, forest gain, stable forest, stable non-forest; 10 million pixels of 30 m.
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
WEIGHTS = np.array([0.020, 0.015, 0.320, 0.645])
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])


def accuracy_of(counts, weights=WEIGHTS, pixels=PIXELS):
    mapped, reference = (np.repeat(axis.ravel(), counts.ravel()) for axis in np.indices(counts.shape))
    return estimate_accuracy(mapped, mapped, reference, len(counts), weights, pixels)


def test_the_worked_example_is_met_to_the_printed_digits():
    found = accuracy_of(COUNTS)
    assert round(float(found.overall.value), 3) == 0.947
    assert round(float(found.overall.margin), 3) == 0.018
    assert [round(float(found.areas.value[0] * 10e6)), round(float(found.areas.margin[0] * 10e6))] == [235_086, 68_418]
    assert [round(v * 10e6 * 0.09) for v in (found.areas.value[0], found.areas.margin[0])] == [
        21_158,
        6_158,
    ]  # hectares
    np.testing.assert_array_equal(found.users.value.round(2), [0.88, 0.73, 0.93, 0.96])
    np.testing.assert_array_equal(found.users.margin.round(2), [0.07, 0.10, 0.04, 0.02])
    np.testing.assert_array_equal(found.producers.value.round(2), [0.75, 0.85, 0.93, 0.96])
    assert round(float(found.producers.margin[0]), 2) == 0.21


def test_its_size_is_met_and_small_classes_get_their_least_number():
    size = sample_size(WEIGHTS, np.array([0.70, 0.60, 0.90, 0.95]), 0.01)
    assert size == 641
    given_ = allocate(size, WEIGHTS, 75, PIXELS)
    assert given_.tolist() == [75, 75, 163, 328]  # the rest in proportion to .320 and .645


def test_producers_accuracy_has_the_variance_of_equation_7():
    found, n = accuracy_of(COUNTS), COUNTS.sum(axis=1)
    users = COUNTS.diagonal() / n
    for j in range(4):
        of_class = (PIXELS * COUNTS[:, j] / n).sum()
        p = found.producers.value[j]
        own = PIXELS[j] ** 2 * (1 - p) ** 2 * users[j] * (1 - users[j]) / (n[j] - 1)
        others = [i for i in range(4) if i != j]
        q = COUNTS[others, j] / n[others]
        rest = p**2 * (PIXELS[others] ** 2 * q * (1 - q) / (n[others] - 1)).sum()
        assert found.producers.standard_error[j] == pytest.approx(np.sqrt((own + rest) / of_class**2), rel=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_strata_that_are_no_classes_give_the_estimators_of_stehman(seed):
    rng = np.random.default_rng(seed)
    stratum = np.concatenate((np.repeat(np.arange(3), 4), rng.integers(0, 3, 30)))
    mapped, reference = rng.integers(0, 4, (2, len(stratum)))
    weights, pixels = rng.dirichlet(np.ones(3)), np.array([10**6] * 3)
    found = estimate_accuracy(stratum, mapped, reference, 4, weights, pixels)

    def by_hand(y, x):  # equations 23 to 28, one sum after the other
        y, x = y.astype(float), x.astype(float)
        top = sum(w * y[stratum == h].mean() for h, w in enumerate(weights))
        below = sum(w * x[stratum == h].mean() for h, w in enumerate(weights))
        variance = 0.0
        for h, w in enumerate(weights):
            a, b = y[stratum == h], x[stratum == h]
            both = np.cov(a, b, ddof=1)
            r = top / below if below else np.nan
            variance += w**2 * (both[0, 0] + r**2 * both[1, 1] - 2 * r * both[0, 1]) / len(a)
        return (top / below, np.sqrt(max(variance, 0)) / below) if below else (np.nan, np.nan)

    everywhere = np.ones(len(stratum))
    right = (mapped == reference).astype(float)
    cases = [(found.overall, (), right, everywhere)]
    for k in range(4):
        is_k = reference == k
        cases += [
            (found.areas, k, is_k, everywhere),
            (found.users, k, right * (mapped == k), mapped == k),
            (found.producers, k, right * is_k, is_k),
        ]
    for estimate, at, y, x in cases:
        value, error = by_hand(np.asarray(y), np.asarray(x))
        np.testing.assert_allclose(estimate.value[at], value, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(estimate.standard_error[at], error, rtol=1e-6, atol=1e-9)


def population(name):
    """Shares of the classes in each stratum, and weights."""
    if name == "the worked example":
        return COUNTS / COUNTS.sum(axis=1, keepdims=True), WEIGHTS, 300
    rare = np.array([[0.85, 0.10, 0.05], [0.003, 0.937, 0.06], [0.002, 0.018, 0.98]])
    return rare, np.array([0.02, 0.38, 0.60]), 400


@pytest.mark.parametrize("name", ["the worked example", "a rare class"])
def test_intervals_of_areas_hold_what_they_promise_where_margins_do_not(name):
    truth, weights, size = population(name)
    drawn = allocate(size, weights, 50, np.array([10**7] * len(weights)))
    rng = np.random.default_rng(5)
    draws = np.stack([rng.multinomial(n, shares, 1000) for n, shares in zip(drawn, truth, strict=True)], axis=-1)
    found, areas = share(draws, Strata(weights, drawn, np.array([10**7] * len(weights)))), weights @ truth
    covered = ((found.low <= areas) & (areas <= found.high)).mean(axis=0)
    assert ((covered >= 0.93) & (covered <= 0.97)).all(), covered
    plain = (abs(found.value - areas) <= found.margin).mean(axis=0)
    assert plain.min() < 0.90, plain  # or else there is no need for another interval


@given(st.lists(st.tuples(st.integers(2, 60), st.floats(0.01, 1)), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_intervals_hold_the_estimate_and_stay_between_nothing_and_all(strata, seed):
    drawn = np.array([n for n, _ in strata])
    weights = np.array([w for _, w in strata]) / sum(w for _, w in strata)
    hits = np.random.default_rng(seed).integers(0, drawn + 1)
    found = share(hits, Strata(weights, drawn, np.full(len(drawn), 10**6)))
    assert 0 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 1
    if not hits.any():
        assert found.value == found.standard_error == 0
        assert found.high > 0  # nothing seen is not nothing there


def test_one_stratum_has_the_interval_of_wilson():
    for hits in (0, 3, 50, 100):
        found = share(np.array([hits]), Strata(np.ones(1), np.array([100]), np.array([10**6])))
        p, z2 = hits / 100, 1.96**2 / 100
        middle, half = (p + z2 / 2) / (1 + z2), np.sqrt(z2 * p * (1 - p) + z2**2 / 4) / (1 + z2)
        np.testing.assert_allclose([found.low, found.high], [middle - half, middle + half], atol=1e-6)


def test_a_stratum_that_was_looked_at_whole_has_no_error():
    strata = Strata(np.array([0.5, 0.5]), np.array([40, 50]), np.array([40, 50]))
    found = share(np.array([13, 50]), strata)
    assert found.standard_error == 0
    assert found.low == found.value == found.high
    assert share(np.array([13, 30]), Strata(np.array([0.5, 0.5]), np.array([40, 50]), np.array([40, 10**6]))).margin > 0


def test_what_no_sample_tells_is_no_number():
    counts = np.array([[10, 0, 0], [3, 7, 0], [0, 0, 0]])
    mapped, reference = (np.repeat(axis.ravel(), counts.ravel()) for axis in np.indices(counts.shape))
    found = estimate_accuracy(mapped, mapped, reference, 3, np.array([0.5, 0.5]), np.array([10**6] * 2))
    assert np.isnan(found.users.value[2])
    assert np.isnan(found.producers.value[2])
    assert found.areas.value[2] == 0
    assert not np.isnan(found.overall.value)
    assert (
        ratio(
            np.array([0, 0]), np.array([0, 2]), Strata(np.array([0.5, 0.5]), np.array([9, 9]), np.array([99, 99]))
        ).value
        == 0
    )


@given(st.integers(2, 3000), st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)), min_size=1, max_size=9))
def test_allocation_gives_each_stratum_its_least_number_and_no_more_than_it_has(samples, strata):
    sizes, pixels = (np.array(column) for column in zip(*strata, strict=True))
    given_ = allocate(samples, sizes / sizes.sum(), 50, pixels)
    assert (given_ >= np.minimum(50, pixels)).all()
    assert (given_ <= pixels).all()
    if (pixels > samples).all():
        assert given_.sum() == max(samples, 50 * len(pixels))
