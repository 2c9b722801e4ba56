"""What grows is found among what only wavers."""

from __future__ import annotations

import numpy as np
import pytest

from geoseg.bench.soak import LIMITS, trends

ROUNDS = 60


def measured(growth: dict[str, float]) -> tuple[list[float], list[dict[str, float]]]:
    """An hour of rounds that waver by a hundredth, with a warm-up at the beginning."""
    rng = np.random.default_rng(0)
    seconds = [60.0 * number for number in range(ROUNDS)]
    samples = []
    for number, at in enumerate(seconds):
        base = {name: 300.0 + min(number, 15) * 20 + growth.get(name, 0.0) * at / 3600 for name in LIMITS}
        samples.append({name: value + rng.normal() * 3 for name, value in base.items()})
    return seconds, samples


def test_what_wavers_is_flat_and_what_grows_is_named():
    assert [trend.name for trend in trends(*measured({})) if not trend.is_flat] == []
    for name, limit in LIMITS.items():
        found = trends(*measured({name: limit + 40.0}))
        assert [trend.name for trend in found if not trend.is_flat] == [name]
        (grown,) = [trend for trend in found if trend.name == name]
        assert grown.per_hour == pytest.approx(limit + 40.0, abs=4 * grown.error)
        assert grown.last - grown.first == pytest.approx((limit + 40.0) * 2 / 3, rel=0.3)


def test_a_few_rounds_make_no_line():
    seconds, samples = measured({})
    with pytest.raises(ValueError, match="at least"):
        trends(seconds[:6], samples[:6])
