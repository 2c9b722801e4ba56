"""Chips to tiles: nothing is shifted, flipped, blended twice or left out, and what has no score says so.

The heads here are arithmetic on the input, so that the right answer is known without a network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from geoseg.composite import Composite
from geoseg.errors import RequestError
from geoseg.grid import Window
from geoseg.heads import Chips, HeadOutput
from geoseg.models import ClassInfo
from geoseg.pixels import FAILED_CLASS, NEAR_FAILED_BIT, NO_CLASS, NO_CONFIDENCE, Reason
from geoseg.predict import Predictor, TileResult
from geoseg.predict.parts import spread, taper_of
from geoseg.predict.tensors import Tensors, pick_device
from geoseg.tiles import ChipPlan, Tile, around

SIDE = 48
FINITE = ChipPlan((5, 3, 4, 2), 4, None, None, 2)
GLOBAL = ChipPlan((0, 0, 0, 0), 4, 24, 12, 2)
PLANS = pytest.mark.parametrize("plan", [FINITE, GLOBAL], ids=["finite", "global"])


@dataclass
class FakeHead:
    """A head whose scores are a function of the chip, and which remembers what it was shown."""

    function: Callable[[Tensor, Tensor], Tensor]
    seen: list[tuple[int, ...]] = field(default_factory=list)
    class_table: tuple[ClassInfo, ...] = ()

    def __call__(self, chips: Chips) -> HeadOutput:
        (image,) = chips.inputs.values()
        assert image.dtype == torch.float32
        assert chips.valid.dtype == torch.bool
        assert chips.valid.shape == (image.shape[0], *image.shape[-2:])
        assert chips.gsd_m == 10.0
        self.seen.append(tuple(image.shape))
        return HeadOutput(self.function(image[:, 0], chips.valid))


def predictor(function: Callable[[Tensor, Tensor], Tensor], plan: ChipPlan) -> Predictor:
    return Predictor(FakeHead(function), plan, Tensors("cpu"), 10.0)


def world(window: Window) -> np.ndarray:
    """Class and confidence of every pixel of an endless world, (2, y, x): no two neighbours are alike."""
    rows, cols = np.mgrid[window.row0 : window.row1, window.col0 : window.col1]
    return np.stack([(rows * 31 + cols * 17 + rows * cols) % 7, 40 + (rows * 13 + cols * 29) % 61]).astype("float32")


def paint(values: Tensor, valid: Tensor) -> Tensor:
    """Scores that say what is painted on the input: the class of band 0 with the confidence of band 1."""
    classes, confidence = torch.nan_to_num(values[:, 0]).long(), torch.nan_to_num(values[:, 1]) / 100
    hot = torch.nn.functional.one_hot(classes, 7).movedim(-1, 1)
    return torch.where(hot == 1, confidence[:, None], (1 - confidence[:, None]) / 6)


def composite(window: Window, reason: np.ndarray | None = None) -> Composite:
    reason = np.zeros(window.shape, dtype="uint8") if reason is None else reason
    return Composite(np.where(reason == 0, world(window), np.nan).astype("float32"), reason, {}, {})


def reach_of(plan: ChipPlan, tile: Tile, cells: np.ndarray) -> Window:
    return around(chip.window for chip in plan.chips(tile, cells))


def everything(tile: Tile) -> np.ndarray:
    return np.ones((tile.side_cells, tile.side_cells), dtype=bool)


def expected(tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    classes, confidence = world(tile.window)
    return classes.astype("uint8"), confidence.astype("uint8")


@PLANS
@given(st.integers(-40, 40), st.integers(-40, 40), arrays(bool, (6, 6)).filter(np.any))
@settings(max_examples=20)
def test_a_painted_world_comes_back_pixel_for_pixel(plan, row, col, cells):
    tile = Tile(row, col, 6, 8)
    window = reach_of(plan, tile, cells)
    result = predictor(paint, plan).predict(tile, cells, composite(window), window)
    classes, confidence = expected(tile)
    wanted = tile.expand(cells)
    assert (result.classes == np.where(wanted, classes, NO_CLASS)).all()
    assert (result.confidence == np.where(wanted, confidence, NO_CONFIDENCE)).all()
    assert (result.reason == np.where(wanted, Reason.OBSERVED, Reason.UNOBSERVED)).all()
    assert {array.dtype for array in (result.classes, result.confidence, result.reason)} == {np.dtype("uint8")}


@PLANS
def test_an_image_larger_than_needed_changes_nothing(plan):
    tile = Tile(-3, 5, 6, 8)
    window = reach_of(plan, tile, everything(tile)).padded(7, 11, 3, 5)
    result = predictor(paint, plan).predict(tile, everything(tile), composite(window), window)
    classes, confidence = expected(tile)
    assert (result.classes == classes).all()
    assert (result.confidence == confidence).all()


def test_a_finite_chip_is_shown_its_cells_with_the_halo_of_each_side():
    tile, head = Tile(0, 0, 6, 8), FakeHead(paint)
    window = reach_of(FINITE, tile, everything(tile))
    Predictor(head, FINITE, Tensors("cpu"), 10.0).predict(tile, everything(tile), composite(window), window)
    # Chips of two cells; radius 5, 3, 4, 2 is 8, 4, 4, 4 in whole strides.
    assert head.seen == [(1, 1, 2, 16 + 12, 16 + 8)] * 9


def test_a_global_network_is_shown_nothing_but_its_chip():
    tile, head = Tile(0, 0, 6, 8), FakeHead(paint)
    window = reach_of(GLOBAL, tile, everything(tile))
    Predictor(head, GLOBAL, Tensors("cpu"), 10.0).predict(tile, everything(tile), composite(window), window)
    # A chip of 24 each 12 px that touches 0 ... 48: starts -12, 0, 12, 24, 36.
    assert head.seen == [(1, 1, 2, 24, 24)] * 25


def position_in_chip(values: Tensor, valid: Tensor) -> Tensor:
    """Scores that depend on where in its chip a pixel lies: what blending has to even out the same way everywhere."""
    rows = torch.linspace(0, 1, values.shape[-2])[:, None]
    cols = torch.linspace(0, 1, values.shape[-1])[None, :]
    return torch.stack([rows * cols, rows * (1 - cols), (1 - rows) * cols, (1 - rows) * (1 - cols)])[None]


def test_blended_scores_do_not_depend_on_the_tile():
    """One large tile against 36 of one cell, each with the chips of its own."""
    large = Tile(-1, 2, 6, 8)
    window = reach_of(GLOBAL, large, everything(large))
    whole = predictor(position_in_chip, GLOBAL).predict(large, everything(large), composite(window), window)
    for row in range(large.window.row0 // 8, large.window.row1 // 8):
        for col in range(large.window.col0 // 8, large.window.col1 // 8):
            small = Tile(row, col, 1, 8)
            own = reach_of(GLOBAL, small, everything(small))
            part = predictor(position_in_chip, GLOBAL).predict(small, everything(small), composite(own), own)
            at = small.window.within(large.window)
            assert (part.classes == whole.classes[at]).all()
            assert (part.confidence == whole.confidence[at]).all()


def test_a_global_network_is_not_asked_where_nothing_was_observed():
    """What it gets blended from is what it would have been blended from anyway."""
    tile = Tile(0, 0, 6, 8)
    window = reach_of(GLOBAL, tile, everything(tile))
    reason = np.full(window.shape, Reason.UNOBSERVED, dtype="uint8")
    seen = Window(13, 30, 21, 44)
    reason[seen.within(window)] = Reason.OBSERVED
    few, image = FakeHead(position_in_chip), composite(window, reason)
    part = Predictor(few, GLOBAL, Tensors("cpu"), 10.0).predict(tile, everything(tile), image, window)
    whole = predictor(position_in_chip, GLOBAL).predict(tile, everything(tile), composite(window), window)
    # In whole strides rows 12 ... 23, which chips from 0 and 12 hold, and columns 28 ... 43: 12, 24 and 36.
    assert len(few.seen) == 2 * 3
    assert (part.classes[seen.within(tile.window)] == whole.classes[seen.within(tile.window)]).all()
    assert (part.confidence[seen.within(tile.window)] == whole.confidence[seen.within(tile.window)]).all()
    assert (part.classes != NO_CLASS).sum() == seen.size_px


def test_blending_is_the_weighted_mean_of_all_chips():
    """Brute force in float64: every chip of the lattice, every pixel, the same pyramid."""
    tile = Tile(1, 1, 6, 8)
    window = reach_of(GLOBAL, tile, everything(tile))
    result = predictor(position_in_chip, GLOBAL).predict(tile, everything(tile), composite(window), window)
    ramp = np.minimum(np.arange(1, 25), np.arange(24, 0, -1)) / 12
    weights = np.outer(ramp, ramp)
    scores = position_in_chip(torch.zeros(1, 2, 24, 24), torch.ones(1, 24, 24, dtype=torch.bool))[0].double().numpy()
    total, weight = np.zeros((4, SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for top in range(-120, 240, 12):
        for left in range(-120, 240, 12):
            for row in range(24):
                for col in range(24):
                    r, c = top + row - tile.window.row0, left + col - tile.window.col0
                    if 0 <= r < SIDE and 0 <= c < SIDE:
                        total[:, r, c] += scores[:, row, col] * weights[row, col]
                        weight[r, c] += weights[row, col]
    mean = total / weight
    ordered = np.sort(mean, axis=0)
    sure = ordered[-1] - ordered[-2] > 1e-5
    assert sure.mean() > 0.9
    assert (result.classes == mean.argmax(axis=0))[sure].all()
    assert np.abs(result.confidence - mean.max(axis=0) * 100).max() <= 0.5 + 1e-3


@given(st.integers(1, 40))
def test_blending_weights_are_positive_symmetric_and_highest_in_the_middle(side):
    taper = taper_of(side)
    assert taper.shape == (side, side)
    assert (taper > 0).all()
    assert np.array_equal(taper, taper[::-1])
    assert np.array_equal(taper, taper.T)
    assert taper.max() == taper[side // 2, side // 2]


@PLANS
@pytest.mark.parametrize("share", [1 / 3, 0.404, 0.7, 1.0])
def test_constant_scores_stay_constant(plan, share):
    def constant(values: Tensor, valid: Tensor) -> Tensor:
        scores = torch.tensor([(1 - share) / 2, share, (1 - share) / 2])
        return scores[None, :, None, None].expand(1, 3, *values.shape[-2:])

    tile = Tile(3, -2, 6, 8)
    window = reach_of(plan, tile, everything(tile))
    result = predictor(constant, plan).predict(tile, everything(tile), composite(window), window)
    assert set(np.unique(result.confidence)) == {round(share * 100)}
    if share > 1 / 3:
        assert set(np.unique(result.classes)) == {1}


@PLANS
@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("band", [0, 2], ids=["the best class", "another class"])
def test_scores_that_are_no_numbers_become_failed_pixels(plan, broken, band):
    """A world with the value 50 in band 1 at one place; there the network's answer is no number."""
    tile = Tile(0, 0, 6, 8)
    window = reach_of(plan, tile, everything(tile))
    image = composite(window)
    row, col = 20, 30
    image.values[1, row - window.row0, col - window.col0] = 1000

    def breaks(values: Tensor, valid: Tensor) -> Tensor:
        scores = torch.tensor([0.8, 0.1, 0.1])[None, :, None, None].repeat(1, 1, *values.shape[-2:])
        scores[:, band][values[:, 1] == 1000] = broken
        return scores

    result = predictor(breaks, plan).predict(tile, everything(tile), image, window)
    failed = np.zeros((SIDE, SIDE), dtype=bool)
    failed[row, col] = True
    assert ((result.classes == FAILED_CLASS) == failed).all()
    assert ((result.confidence == NO_CONFIDENCE) == failed).all()
    assert ((result.reason == Reason.MODEL) == failed).all()
    assert (result.classes[~failed] == 0).all()


REASONS = arrays("uint8", (SIDE, SIDE), elements=st.sampled_from([0, 0, 0, 1, 2, 3]))


@PLANS
@given(REASONS)
@settings(max_examples=20)
def test_what_was_not_observed_has_no_class_whatever_the_network_says(plan, inside):
    tile = Tile(2, 2, 6, 8)
    window = reach_of(plan, tile, everything(tile))
    reason = np.full(window.shape, Reason.UNOBSERVED, dtype="uint8")
    reason[tile.window.within(window)] = inside
    result = predictor(paint, plan).predict(tile, everything(tile), composite(window, reason), window)
    classes, confidence = expected(tile)
    observed, failed = inside == Reason.OBSERVED, inside == Reason.FAILED
    assert (result.reason & ~np.uint8(NEAR_FAILED_BIT) == inside).all()
    assert (result.classes[failed] == FAILED_CLASS).all()
    assert (result.classes[~observed & ~failed] == NO_CLASS).all()
    assert (result.confidence[~observed] == NO_CONFIDENCE).all()
    if plan is FINITE:
        assert (result.classes == classes)[observed].all()
        assert (result.confidence == confidence)[observed].all()
    assert not (result.reason[~observed] & NEAR_FAILED_BIT).any(), "only what has a class lies near a failure"


def test_a_head_is_told_which_pixels_to_believe():
    tile = Tile(0, 0, 6, 8)
    window = reach_of(FINITE, tile, everything(tile))
    reason = np.zeros(window.shape, dtype="uint8")
    reason[10:20, 5:30] = Reason.MASKED
    reason[25:, 40:] = Reason.FAILED

    def listen(values: Tensor, valid: Tensor) -> Tensor:
        assert (torch.isfinite(values).all(dim=1) == valid).all()
        place = torch.nan_to_num(values)
        return torch.cat([valid[:, None].float(), 1 - valid[:, None].float(), place[:, :1] * 0], dim=1)

    result = predictor(listen, FINITE).predict(tile, everything(tile), composite(window, reason), window)
    observed = reason[tile.window.within(window)] == Reason.OBSERVED
    assert (result.classes[observed] == 0).all()
    assert (result.confidence[observed] == 100).all()


def test_a_tile_in_which_nothing_was_observed_asks_no_network():
    tile, head = Tile(0, 0, 6, 8), FakeHead(paint)
    window = reach_of(FINITE, tile, everything(tile))
    reason = np.full(window.shape, Reason.MASKED, dtype="uint8")
    result = Predictor(head, FINITE, Tensors("cpu"), 10.0).predict(
        tile, everything(tile), composite(window, reason), window
    )
    assert head.seen == []
    assert (result.classes == NO_CLASS).all()
    assert (result.reason == Reason.MASKED).all()


def spread_by_hand(failed: np.ndarray, top: int, left: int, bottom: int, right: int) -> np.ndarray:
    """Whether anything from ``top`` rows above to ``bottom`` rows below a pixel, likewise for columns, failed."""
    rows, cols = failed.shape
    near = np.zeros_like(failed)
    for row in range(rows):
        for col in range(cols):
            near[row, col] = failed[
                max(0, row - top) : row + bottom + 1,
                max(0, col - left) : col + right + 1,
            ].any()
    return near


FLAGS = st.tuples(st.integers(1, 14), st.integers(1, 14)).flatmap(
    lambda shape: arrays(bool, shape, elements=st.sampled_from([False] * 6 + [True]))
)


@given(FLAGS, st.tuples(*[st.integers(0, 20)] * 4))
def test_spreading_equals_looking_around_each_pixel(failed, radius):
    top, left, bottom, right = radius
    assert (spread(spread(failed, 0, top, bottom), 1, left, right) == spread_by_hand(failed, *radius)).all()


@given(st.lists(st.tuples(st.integers(-8, SIDE + 3), st.integers(-4, SIDE + 3)), min_size=1, max_size=3))
@settings(max_examples=15)
def test_near_failed_is_what_the_asymmetric_field_of_view_reaches(places):
    """Failures in the halo count too. The radius, not the halo rounded up to strides, decides."""
    tile = Tile(0, 0, 6, 8)
    window = reach_of(FINITE, tile, everything(tile))
    reason = np.zeros(window.shape, dtype="uint8")
    for row, col in places:
        reason[row - window.row0, col - window.col0] = Reason.FAILED
    result = predictor(paint, FINITE).predict(tile, everything(tile), composite(window, reason), window)
    failed = reason == Reason.FAILED
    near = (spread_by_hand(failed, *FINITE.radius_px) & ~failed)[tile.window.within(window)]
    assert ((result.reason & NEAR_FAILED_BIT > 0) == near).all()
    assert (result.classes[near] < FAILED_CLASS).all(), "they keep their class"


def test_near_failed_of_a_global_network_holds_every_pixel_of_the_chips_that_saw_it():
    tile = Tile(0, 0, 6, 8)
    window = reach_of(GLOBAL, tile, everything(tile))
    reason = np.zeros(window.shape, dtype="uint8")
    row, col = 17, 3
    reason[row - window.row0, col - window.col0] = Reason.FAILED
    result = predictor(paint, GLOBAL).predict(tile, everything(tile), composite(window, reason), window)
    pixel = Window(row, col, row + 1, col + 1)
    reached = np.zeros((SIDE, SIDE), dtype=bool)
    for chip in GLOBAL.chips(tile, everything(tile)):
        if chip.window & pixel:
            reached[(chip.window & tile.window).within(tile.window)] = True
    reached[row, col] = False
    assert (result.reason[reached] & NEAR_FAILED_BIT > 0).all()


def test_a_class_that_lies_near_no_failure_is_not_marked():
    tile = Tile(0, 0, 6, 8)
    window = reach_of(FINITE, tile, everything(tile))
    result = predictor(paint, FINITE).predict(tile, everything(tile), composite(window), window)
    assert not (result.reason & NEAR_FAILED_BIT).any()


@PLANS
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_stop_ends_before_the_next_chip(plan, after):
    tile, head = Tile(0, 0, 6, 8), FakeHead(paint)
    window = reach_of(plan, tile, everything(tile))
    result = Predictor(head, plan, Tensors("cpu"), 10.0).predict(
        tile, everything(tile), composite(window), window, lambda: len(head.seen) >= after
    )
    assert result is None
    assert len(head.seen) == after


def test_a_stop_that_never_comes_changes_nothing():
    tile = Tile(0, 0, 6, 8)
    window = reach_of(FINITE, tile, everything(tile))
    result = predictor(paint, FINITE).predict(tile, everything(tile), composite(window), window, lambda: False)
    assert isinstance(result, TileResult)
    assert (result.classes == expected(tile)[0]).all()


def test_an_image_that_does_not_hold_the_chips_is_an_error_and_not_a_shifted_map():
    tile = Tile(0, 0, 6, 8)
    with pytest.raises(ValueError, match="does not lie within"):
        predictor(paint, FINITE).predict(tile, everything(tile), composite(tile.window), tile.window)


@pytest.mark.fault(57)
def test_cuda_is_refused_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == "cpu"
    with pytest.raises(RequestError) as refused:
        pick_device("cuda")
    assert len(str(refused.value).splitlines()) == 3


@PLANS
def test_kept_scores_are_those_that_were_decided_by(plan):
    tile = Tile(1, -2, 6, 8)
    window = reach_of(plan, tile, everything(tile))
    reason = np.zeros(window.shape, "uint8")
    gap = (slice(tile.window.row0 - window.row0 + 9, None), slice(tile.window.col0 - window.col0 + 30, None))
    reason[gap] = Reason.MASKED
    head = FakeHead(paint, class_table=tuple(ClassInfo(i, str(i), "#000000") for i in range(7)))
    with Predictor(head, plan, Tensors("cpu"), 10.0, keeps_scores=True) as running:
        result = running.predict(tile, everything(tile), composite(window, reason), window)
    assert result is not None
    assert result.scores is not None
    observed = result.reason == Reason.OBSERVED
    assert not observed.all()
    assert np.isnan(result.scores[:, ~observed]).all()
    assert (result.scores.argmax(axis=0)[observed] == result.classes[observed]).all()
    percent = np.rint(result.scores.max(axis=0)[observed] * 100)
    assert (percent == result.confidence[observed]).all()
