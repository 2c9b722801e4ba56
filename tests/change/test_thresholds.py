"""Otsu against every possible cut, and what must not move it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.change.thresholds import otsu

numbers = st.lists(st.integers(-50, 50), min_size=2, max_size=40)


def brute_force(values: np.ndarray) -> float:
    """The least variance within two groups, over all cuts."""
    within = [
        ((low := values[values <= cut]) - low.mean()).var() * len(low)
        + ((high := values[values > cut]) - high.mean()).var() * len(high)
        for cut in np.unique(values)[:-1]
    ]
    return min(within)


@given(numbers)
def test_no_other_cut_leaves_less_variance(values):
    values = np.array(values, dtype=float)
    split = otsu(values)
    low, high = values[~split.above(values)], values[split.above(values)]
    if len(np.unique(values)) == 1:
        assert not len(high)
        return
    assert low.var() * len(low) + high.var() * len(high) == pytest.approx(brute_force(values), abs=1e-9)
    assert (split.low, split.high) == pytest.approx((low.mean(), high.mean()))
    assert split.spread**2 * len(values) == pytest.approx(low.var() * len(low) + high.var() * len(high), abs=1e-6)


@given(numbers, st.randoms())
def test_order_and_numbers_that_are_none_change_nothing(values, random):
    mixed = [*values, np.nan, np.inf]
    random.shuffle(mixed)
    assert otsu(np.array(mixed)) == otsu(np.array(values, dtype=float))


@given(numbers)
def test_probability_is_above_one_half_exactly_above_the_threshold(values):
    values = np.array([*values, np.nan])
    split = otsu(values)
    share = split.probability(values)
    assert share.dtype == np.float32
    assert np.array_equal(share > 0.5, split.above(values))
    assert np.isnan(share[-1])
    order = np.argsort(values[:-1])
    assert (np.diff(share[:-1][order]) >= 0).all()


def test_of_nothing_nothing_is_high_and_the_last_bits_do_not_count():
    assert not otsu(np.array([])).above(np.array([1e300])).any()
    one, next_one = 1.0, np.nextafter(1.0, 2.0)
    split = otsu(np.array([one, next_one]))
    assert split.above(np.array([one, next_one])).tolist() == [False, True]
    assert split.probability(np.array([next_one]))[0] > 0.5
    assert otsu(np.array([0.0, 1.0])).raised_to(3.0).threshold == 3.0
    assert otsu(np.array([0.0, 1.0])).raised_to(0.1).threshold == 0.5
