"""A detector through tiles: the same for every cut, nothing where a date is missing, nothing for equal dates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.change.detectors import DEFAULT, Detector, fit_detector
from geoseg.composite import Composite, join
from geoseg.grid import Window
from geoseg.heads import Chips
from geoseg.heads.detector import CLASSES, DetectorHead
from geoseg.pixels import FAILED_CLASS, NO_CLASS, Reason
from geoseg.predict import NumpyArrays, Predictor
from geoseg.tiles import ChipPlan, Tile
from tests.change.scenery import flat, pair

BEFORE, AFTER, TRUTH = (image.astype("float32") if image.dtype != bool else image for image in pair(3))
ROWS, COLS = TRUTH.shape


def image(values: np.ndarray, reason: np.ndarray | None = None, name: str = "a") -> Composite:
    reason = np.zeros(values.shape[1:], "uint8") if reason is None else reason
    return Composite(np.where(reason == Reason.OBSERVED, values, np.nan).astype("float32"), reason, {name: 3}, {})


def fitted() -> Detector:
    return fit_detector(DEFAULT, flat(BEFORE), flat(AFTER))


def mapped(both: Composite, cells_a_side: int, chip_cells: int, cell_px: int = 16) -> tuple[np.ndarray, ...]:
    """Classes, confidence and reasons of the whole image, tile by tile."""
    side = cells_a_side * cell_px
    maps = np.zeros((3, -(-ROWS // side) * side, -(-COLS // side) * side), "uint8")
    plan = ChipPlan((0, 0, 0, 0), 1, None, None, chip_cells)
    padded = np.full((both.values.shape[0], *maps.shape[1:]), np.nan, "float32")
    padded[:, :ROWS, :COLS] = both.values
    reason = np.full(maps.shape[1:], Reason.UNOBSERVED, "uint8")
    reason[:ROWS, :COLS] = both.reason
    whole = Composite(padded, reason, {}, {}, both.dates)
    with Predictor(DetectorHead(fitted()), plan, NumpyArrays(), 10.0) as predictor:
        for row in range(maps.shape[1] // side):
            for col in range(maps.shape[2] // side):
                tile = Tile(row, col, cells_a_side, cell_px)
                cells = np.ones((cells_a_side, cells_a_side), dtype=bool)
                made = predictor.predict(tile, cells, whole, Window(0, 0, *maps.shape[1:]))
                at = tile.window.within(Window(0, 0, *maps.shape[1:]))
                maps[(slice(None), *at)] = np.stack([made.classes, made.confidence, made.reason])
    return tuple(maps[:, :ROWS, :COLS])


@settings(max_examples=6)
@given(st.integers(1, 8), st.integers(1, 4))
def test_the_cut_changes_nothing_and_the_map_is_that_of_the_detector(cells_a_side, chip_cells):
    classes, confidence, _ = mapped(join(image(BEFORE), image(AFTER)), cells_a_side, chip_cells)
    valid = np.ones(TRUTH.shape, dtype=bool)
    assert np.array_equal(classes == 1, fitted().changed(BEFORE, AFTER, valid))
    scores = fitted().scores(BEFORE, AFTER, valid)
    assert np.array_equal(confidence, np.rint(scores.max(axis=0) * np.float32(100)).astype("uint8"))
    assert (classes[TRUTH] == 1).mean() > 0.95


def test_equal_dates_are_an_empty_map():
    head = DetectorHead(fit_detector(DEFAULT, flat(BEFORE), flat(BEFORE)))
    chips = Chips({"image": np.stack([BEFORE, BEFORE])[None]}, np.ones((1, ROWS, COLS), dtype=bool))
    assert (head(chips).scores.argmax(axis=1) == 0).all()


@settings(max_examples=10)
@given(st.integers(0, 2**31))
def test_a_pixel_that_either_date_lacks_never_changes(seed):
    rng = np.random.default_rng(seed)
    reasons = rng.choice([0, 0, 0, 0, 1, 2, 3], size=(2, ROWS, COLS)).astype("uint8")
    both = join(image(BEFORE, reasons[0]), image(AFTER, reasons[1], "b"))
    classes, _, reason = mapped(both, 4, 2)
    seen = (reasons == Reason.OBSERVED).all(axis=0)
    failed = (reasons == Reason.FAILED).any(axis=0)
    masked = (reasons == Reason.MASKED).any(axis=0) & ~failed
    assert (classes[~seen & ~failed] == NO_CLASS).all()
    assert (classes[failed] == FAILED_CLASS).all()
    assert (reason[masked] == Reason.MASKED).all()
    assert np.array_equal(classes[seen] == 1, fitted().changed(BEFORE, AFTER, seen)[seen])
    assert both.used_px == {"a": 3, "b": 3}
    assert join(image(BEFORE), image(AFTER)).used_px == {"a": 6}


def test_other_shapes_are_refused():
    head = DetectorHead(fitted())
    assert head.class_table == CLASSES
    valid = np.ones((1, 4, 4), dtype=bool)
    with pytest.raises(ValueError, match="2, c, h, w"):
        head(Chips({"image": np.zeros((1, 1, 4, 4, 4), "float32")}, valid))
    with pytest.raises(ValueError, match="one input"):
        head(Chips({}, valid))
