"""A composite to classes and confidence. The one place that computes, and the only one that knows chips and heads.

Finite networks see any rectangle of cells with a halo of at least their radius, so that what is kept equals one pass
over the whole image. Global networks see the chips of a fixed lattice, blended with fixed weights; a tile computes all
chips that touch it. Either way a pixel's result does not depend on the tile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoseg.composite import Composite
from geoseg.errors import GeosegError, RequestError
from geoseg.grid import Window
from geoseg.heads import Chips, Head
from geoseg.pixels import FAILED_CLASS, NEAR_FAILED_BIT, NO_CLASS, NO_CONFIDENCE, Reason
from geoseg.tiles import Chip, ChipPlan, Tile

# Where, the highest score, and its class.
type Part = tuple[Window, NDArray[np.float32], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class TileResult:
    """Classes of a tile.

    Attributes:
        classes: (y, x) uint8; 254 = failed, 255 = nothing observed or not computed.
        confidence: (y, x) uint8 percent; 255 where there is no class.
        reason: (y, x) uint8, see ``geoseg.pixels.Reason``; bit 7 is set where a class lies near a failed pixel.
    """

    classes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    reason: NDArray[np.uint8]


class _Stopped(Exception):  # noqa: N818  # not an error: the way out of a pass
    """The run was asked to stop."""


def pick_device(wanted: str) -> str:
    """``cpu`` or ``cuda``: what was asked for, or the better one that is there for ``auto``.

    Raises:
        RequestError: If CUDA is asked for and absent.
    """
    if wanted != "cpu" and torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise RequestError("--device cuda without a GPU that torch can use", "a CUDA device", "use --device cpu")
    return "cpu"


class Predictor:
    """Runs one head on the chips of tiles. Several tiles may be predicted at the same time; they share the passes.

    On a CPU several passes of one thread beat one pass of several threads: those wait for each other after every layer,
    and so for whatever else runs on the machine, the reading of the next tile for one.

    Args:
        head: From chips to scores.
        chips: Chip shapes.
        device: ``cpu`` or ``cuda``.
        resolution_m: Pixel size handed to the head.
        threads: Threads of one forward pass; part of the job's key, because sums may round differently.
        passes: Forward passes at the same time.
    """

    def __init__(
        self, head: Head, chips: ChipPlan, device: str, resolution_m: float, *, threads: int = 1, passes: int = 1
    ) -> None:
        self._head = head
        self._chips = chips
        self._device = torch.device(device)
        self._resolution_m = resolution_m
        self._passes = passes
        self._pool = ThreadPoolExecutor(passes, "pass", initializer=torch.set_num_threads, initargs=(threads,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def predict(
        self,
        tile: Tile,
        cells: NDArray[np.bool_],
        image: Composite,
        window: Window,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> TileResult | None:
        """Classes of the cells that are set.

        Args:
            tile: The tile.
            cells: Bitmap of the cells to compute.
            image: Composite over ``window``, which contains every chip.
            window: See ``image``.
            should_stop: Asked before each chip.

        Returns:
            The result over the whole tile, or ``None`` when stopped.
        """
        side = (tile.side_px, tile.side_px)
        classes, confidence = np.full(side, NO_CLASS, dtype="uint8"), np.full(side, NO_CONFIDENCE, dtype="uint8")
        finite = np.ones(side, dtype=bool)
        parts = self._finite_parts if self._chips.chip_px is None else self._blended_parts
        try:
            for core, best, index in parts(tile, cells, image, window, should_stop):
                at = core.within(tile.window)
                good = np.isfinite(best)
                finite[at] = good
                classes[at] = index
                confidence[at] = np.rint(np.where(good, best, 0) * 100).astype("uint8")
        except _Stopped:
            return None
        return self._finish(tile, cells, image, window, classes, confidence, finite)

    def _finish(
        self,
        tile: Tile,
        cells: NDArray[np.bool_],
        image: Composite,
        window: Window,
        classes: NDArray[np.uint8],
        confidence: NDArray[np.uint8],
        finite: NDArray[np.bool_],
    ) -> TileResult:
        """Put nodata and failure where there is no class, and mark classes near a failure."""
        computed = tile.expand(cells)
        reason = np.full(classes.shape, Reason.UNOBSERVED, dtype="uint8")
        shared = window & tile.window
        reason[shared.within(tile.window)] = image.reason[shared.within(window)]
        reason[~computed] = Reason.UNOBSERVED
        reason[(reason == Reason.OBSERVED) & ~finite] = Reason.MODEL
        classes[reason != Reason.OBSERVED] = NO_CLASS
        classes[(reason == Reason.FAILED) | (reason == Reason.MODEL)] = FAILED_CLASS
        confidence[reason != Reason.OBSERVED] = NO_CONFIDENCE
        near = self._near_failed(image.reason == Reason.FAILED)
        if near is not None:
            part = np.zeros(classes.shape, dtype=bool)
            part[shared.within(tile.window)] = near[shared.within(window)]
            reason[part & (classes < FAILED_CLASS)] |= NEAR_FAILED_BIT
        return TileResult(classes, confidence, reason)

    def _near_failed(self, failed: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Pixels whose receptive field holds a failed one; for a global network, whose chips might."""
        if not failed.any():
            return None
        reach = (self._chips.chip_px,) * 4 if self._chips.chip_px else self._chips.radius_px
        top, left, bottom, right = reach
        return _spread(_spread(failed, 0, top, bottom), 1, left, right)

    def _finite_parts(
        self, tile: Tile, cells: NDArray[np.bool_], image: Composite, window: Window, should_stop: Callable[[], bool]
    ) -> Iterator[Part]:
        def compute(chip: Chip) -> Part | None:
            core = self._observed(chip.core, image, window)
            if core is None:
                return None  # its pixels have a reason for having no class
            # Neither farther than the data reach, nor out of step with the stride.
            top, left = chip.core.row0 - chip.window.row0, chip.core.col0 - chip.window.col0
            bottom, right = chip.window.row1 - chip.core.row1, chip.window.col1 - chip.core.col1
            seen = core.padded(top, left, bottom, right)
            scores = self._scores(seen, image, window)
            rows, cols = core.within(seen)
            return core, *_best(scores[:, rows, cols])

        for part in self._in_order(compute, self._chips.chips(tile, cells), should_stop):
            if part is not None:
                yield part

    def _in_order[T](
        self, compute: Callable[[Chip], T], chips: Sequence[Chip], should_stop: Callable[[], bool]
    ) -> Iterator[T]:
        """Results of chips, in their order; computed side by side, one more than there are passes held at most.

        Raises:
            _Stopped: If asked to stop.
        """

        def unless_stopped(chip: Chip) -> T:
            if should_stop():
                raise _Stopped
            return compute(chip)

        waiting: deque[Future[T]] = deque()
        try:
            for chip in chips:
                waiting.append(self._pool.submit(unless_stopped, chip))
                if len(waiting) > self._passes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _observed(self, core: Window, image: Composite, window: Window) -> Window | None:
        """The part of a chip's core around its observed pixels, in whole strides; ``None`` where there are none."""
        observed = image.reason[core.within(window)] == Reason.OBSERVED
        rows, cols = np.flatnonzero(observed.any(axis=1)), np.flatnonzero(observed.any(axis=0))
        if not rows.size:
            return None
        part = Window(
            core.row0 + int(rows[0]),
            core.col0 + int(cols[0]),
            core.row0 + int(rows[-1]) + 1,
            core.col0 + int(cols[-1]) + 1,
        )
        return part.snapped(self._chips.stride_px) & core

    def _blended_parts(
        self, tile: Tile, cells: NDArray[np.bool_], image: Composite, window: Window, should_stop: Callable[[], bool]
    ) -> Iterator[Part]:
        """Sum weighted scores chip by chip, in lattice order, so that every tile adds the same terms in one order."""
        area = tile.window
        total: Tensor | None = None
        weight = torch.zeros(area.shape, device=self._device)
        assert self._chips.chip_px is not None  # noqa: S101  # only global networks come here
        taper = _taper(self._chips.chip_px, self._device)

        def compute(chip: Chip) -> tuple[Chip, Tensor]:
            return chip, self._scores(chip.window, image, window)

        for chip, scores in self._in_order(compute, self._chips.chips(tile, cells), should_stop):
            if total is None:
                total = torch.zeros((scores.shape[0], *area.shape), device=self._device)
            shared = chip.window & area
            into, part = shared.within(area), shared.within(chip.window)
            total[(slice(None), *into)] += scores[(slice(None), *part)] * taper[part]
            weight[into] += taper[part]
        if total is not None:
            yield area, *_best(total / weight.clamp(min=torch.finfo(weight.dtype).tiny))

    def _scores(self, chip: Window, image: Composite, window: Window) -> Tensor:
        """Scores (class, y, x) of a chip."""
        rows, cols = chip.within(window)
        values = torch.from_numpy(np.ascontiguousarray(image.values[:, rows, cols])).to(self._device)
        valid = torch.from_numpy(np.ascontiguousarray(image.reason[rows, cols] == Reason.OBSERVED)).to(self._device)
        chips = Chips(inputs={"image": values[None, None]}, valid=valid[None], gsd_m=self._resolution_m)
        try:
            return self._forward(chips)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
        try:
            return self._forward(chips)
        except torch.OutOfMemoryError as err:
            raise GeosegError(
                f"a chip of {chip.shape[0]} x {chip.shape[1]} px, too large for the device's memory",
                "room for one forward pass",
                "lower --tile-size or --workers, or use --device cpu; finished tiles are kept",
            ) from err

    def _forward(self, chips: Chips) -> Tensor:
        with torch.inference_mode():
            return self._head(chips).scores[0]


def _spread(flags: NDArray[np.bool_], axis: int, before: int, after: int) -> NDArray[np.bool_]:
    """Where any flag is set from ``before`` pixels ahead of a pixel to ``after`` pixels behind it."""
    length = flags.shape[axis]
    running = np.insert(np.cumsum(flags, axis=axis, dtype="int32"), 0, 0, axis=axis)
    place = np.arange(length)
    upto = np.take(running, np.minimum(place + after + 1, length), axis=axis)
    return upto > np.take(running, np.maximum(place - before, 0), axis=axis)


def _best(scores: Tensor) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Highest score and its class; NaN and infinity anywhere in a pixel's scores make its best NaN."""
    best, index = scores.max(dim=0)
    best = torch.where(torch.isfinite(scores).all(dim=0), best, torch.nan)
    return best.cpu().numpy(), index.to(torch.uint8).cpu().numpy()


def _taper(side: int, device: torch.device) -> Tensor:
    """Fixed blending weights: a pyramid, highest in the middle, positive everywhere."""
    ramp = torch.arange(1, side + 1, dtype=torch.float32, device=device)
    line = torch.minimum(ramp, ramp.flip(0)) / ((side + 1) // 2)
    return line[:, None] * line[None, :]
