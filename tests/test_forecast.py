"""Forecasts: more work never takes less, and what was measured is what is foretold."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.forecast import DEFAULT_MEMORY_RATIO, Pace, Work, forecast

COUNTS = st.integers(0, 10**12)
PACES = st.one_of(st.none(), st.floats(0.01, 1000))
WORKS = st.builds(Work, *[COUNTS] * 4, st.integers(0, 20), COUNTS, COUNTS)
KNOWN = st.builds(Pace, st.floats(0.01, 1000), PACES, PACES, PACES, PACES)
WORK = Work(4, 4_000_000, 6_000_000, 12_000_000, 0, 1_000_000_000, 2_000_000_000)


@given(WORKS, KNOWN, st.sampled_from(["tiles", "pixels", "forward_px", "samples", "layers", "planned_bytes"]), COUNTS)
def test_more_work_never_takes_less(work, pace, what, more):
    less = forecast(work, pace, 1.5)
    greater = forecast(replace(work, **{what: getattr(work, what) + more}), pace, 1.5)
    for name in ("read_bytes", "forward_s", "wall_s", "peak_bytes", "disk_bytes", "cost"):
        assert getattr(greater, name) >= getattr(less, name), name


@given(WORKS, KNOWN)
def test_memory_stays_within_the_limit(work, pace):
    assert forecast(work, pace).peak_bytes <= work.max_bytes


def test_the_last_run_is_foretold():
    pace = Pace(forward_mpx_s=99.0, tiles_mpx_s=2.0, finish_mpx_s=4.0, start_s=3.0, memory_ratio=0.5)
    told = forecast(WORK, pace, price_per_hour=3600.0)
    assert told.wall_s == pytest.approx(3.0 + 2.0 + 1.0)
    assert told.cost == pytest.approx(6.0)
    assert told.peak_bytes == 500_000_000


def test_a_timed_backend_tells_of_the_first_run():
    told = forecast(WORK, Pace(forward_mpx_s=0.5))
    assert told.forward_s == pytest.approx(12.0)
    assert 12.0 < told.wall_s < 24.0
    assert told.cost is None


def test_without_any_measurement_no_time_is_told():
    told = forecast(WORK, Pace(), price_per_hour=1.0)
    assert told.wall_s is None
    assert told.cost is None
    assert told.peak_bytes == pytest.approx(DEFAULT_MEMORY_RATIO * WORK.planned_bytes)
