"""What a job fits: alignment first, then the detector on dates as they will be read; said, refused, remembered."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage as ndi

from geoseg.change.alignment import moved
from geoseg.change.detectors import DEFAULT
from geoseg.change.fitting import Fitted, fit_dates
from geoseg.change.sample import Part
from geoseg.errors import NothingToDoError, RequestError
from geoseg.grid import Window
from tests.change.scenery import land

SHAPE = (200, 260)
AT = Window(-40, 70, -40 + SHAPE[0], 70 + SHAPE[1])
RNG = np.random.default_rng(0)
BEFORE = land(1, 3, SHAPE) + ndi.gaussian_filter(RNG.normal(0, 25, (3, *SHAPE)), (0, 0.8, 0.8))
LATER = BEFORE * 1.3 - 8 + RNG.normal(0, 1, BEFORE.shape)
LATER[:, 60:90, 100:150] += np.array([60, -50, 80])[:, None, None]


class Dates:
    """Two dates in memory, which count how often they are read."""

    def __init__(self, later: np.ndarray) -> None:
        self.later, self.asked = later, []

    def __call__(self, window: Window, by: tuple[float, float]) -> Part:
        self.asked.append((window, by))
        rows, cols = window.within(AT)
        later = moved(self.later, *by)[:, rows, cols]
        valid = np.isfinite(later).all(axis=0)
        return Part(window, BEFORE[:, rows, cols], later, valid)


def shifted(rows: float, cols: float) -> np.ndarray:
    return np.stack([ndi.shift(band, (rows, cols), order=5, mode="mirror") for band in LATER])


def test_dates_that_lie_well_are_read_once():
    dates = Dates(LATER)
    made = fit_dates(dates, AT, DEFAULT)
    assert {by for _, by in dates.asked} == {(0.0, 0.0)}
    assert made.pixels == AT.size_px
    assert made.warnings == ()
    assert Fitted.from_facts(json.loads(json.dumps(made.facts()))) == made
    assert fit_dates(dates, AT, DEFAULT) == made


def test_a_shift_is_taken_back_before_the_detector_is_fitted():
    dates = Dates(shifted(0.7, -1.6))
    made = fit_dates(dates, AT, DEFAULT)
    assert made.alignment.correction == pytest.approx((0.7, -1.6), abs=0.1)
    assert dates.asked[-1][1] == made.alignment.correction
    straight = fit_dates(Dates(LATER), AT, DEFAULT)
    found, expected = (
        one.detector.measure.mad.correlations[0] for one in (made, straight)
    )  # dates that lie askew have less in common
    assert found == pytest.approx(expected, abs=0.02)


def test_what_no_shift_mends_is_refused_in_three_lines():
    with pytest.raises(RequestError, match="at most 3 px") as refused:
        fit_dates(Dates(shifted(5.0, 0.0)), AT, DEFAULT)
    assert len(str(refused.value).splitlines()) == 3
    assert refused.value.exit_code == 2
    with pytest.raises(NothingToDoError, match="do not overlap"):
        fit_dates(Dates(LATER), Window(0, 0, 0, 5), DEFAULT)


def test_other_ground_is_said_to_be_unmeasured():
    other = land(9, 3, SHAPE) + ndi.gaussian_filter(np.random.default_rng(9).normal(0, 25, (3, *SHAPE)), (0, 0.8, 0.8))
    made = fit_dates(Dates(other), AT, DEFAULT)
    assert made.alignment.verdict == "unmeasured"
    assert "could not be measured" in made.warnings[0]


def test_a_date_that_shows_nothing_is_told():
    made = fit_dates(Dates(np.full_like(LATER, 900.0)), AT, DEFAULT)
    assert any("same value everywhere" in text for text in made.warnings)
