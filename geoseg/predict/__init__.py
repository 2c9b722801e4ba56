"""A composite to classes and confidence. The one place that computes, and the only one that knows chips and heads.

Finite networks see any rectangle of cells with a halo of at least their radius, so that what is kept equals one pass
over the whole image. Global networks see the chips of a fixed lattice, blended with fixed weights; a tile computes all
chips that touch it. Either way a pixel's result does not depend on the tile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from geoseg.composite import Composite
from geoseg.grid import Window
from geoseg.heads import FinishingHead, Head
from geoseg.pixels import FAILED_CLASS, NEAR_FAILED_BIT, NO_CLASS, NO_CONFIDENCE, Reason, layer_names, layers_of
from geoseg.predict.arrays import Arrays, Decision, NumpyArrays
from geoseg.predict.mean import MeanScores
from geoseg.predict.parts import Part, TileResult, spread, taper_of
from geoseg.predict.passes import Passes, StoppedError
from geoseg.predict.strips import decide_strips
from geoseg.tiles import Chip, ChipPlan, Tile, finite_halo, rectangles

__all__ = ["Arrays", "NumpyArrays", "Predictor", "TileResult"]

# A chip of another shape costs its network's compilation, so a smaller one has to spare that much of the pixels.
_WORTH_A_SHAPE = 0.75
_NO_NUMBER, _WRONG_SHAPE = "scores that are no numbers", "scores of a wrong shape"


class Predictor:
    """Runs one head on the chips of tiles. Several tiles may be predicted at the same time; they share the passes.

    On a CPU several passes of one thread beat one pass of several threads: those wait for each other after every layer,
    and so for whatever else runs on the machine, the reading of the next tile for one.

    Args:
        head: From chips to scores.
        chips: Chip shapes.
        arrays: What the head takes and gives.
        resolution_m: Pixel size handed to the head.
        threads: Threads of one forward pass; part of the job's key, because sums may round differently.
        passes: Forward passes at the same time.
        layers: Further layers to keep, of ``geoseg.pixels.LAYERS``.
        least: Least probability of each class in a class set, where these are kept.
        keeps_scores: Give the probabilities themselves too, which records of tiles have no place for.
    """

    def __init__(
        self,
        head: Head,
        chips: ChipPlan,
        arrays: Arrays,
        resolution_m: float,
        *,
        threads: int = 1,
        passes: int = 1,
        layers: Sequence[str] = (),
        least: Sequence[float] = (),
        keeps_scores: bool = False,
    ) -> None:
        self._head = head
        self._chips = chips
        self._arrays = arrays
        self._layers, self._least = tuple(layers), tuple(least)
        self._keeps_scores = keeps_scores
        self._finishing = head if isinstance(head, FinishingHead) else None
        self._channels = len(head.class_table) if self._finishing is None else self._finishing.channels
        self._passes = Passes(head, arrays, self._channels, resolution_m, threads=threads, at_once=passes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._passes.close()

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
        made = TileResult(
            np.full(side, NO_CLASS, "uint8"), np.full(side, NO_CONFIDENCE, "uint8"), np.empty(side, "uint8"), {}, {}
        )
        layers = self._no_layers(side)
        failures: dict[Window, str] = {}
        finite = np.ones(side, dtype=bool)
        scores = np.full((len(self._head.class_table), *side), np.nan, "float32") if self._keeps_scores else None
        parts = self._finite_parts if self._chips.chip_px is None else self._blended_parts
        try:
            for part in parts(tile, cells, image, window, should_stop):
                at = part.window.within(tile.window)
                made.classes[at] = part.decision.classes
                made.confidence[at] = part.decision.percent
                finite[at] = part.decision.percent != NO_CONFIDENCE
                for name, layer in part.layers.items():
                    layers[name][at] = layer
                failures |= part.failures
                if scores is not None and part.scores is not None:
                    scores[(slice(None), *at)] = self._arrays.get(part.scores)
        except StoppedError:
            return None
        self._finish(tile, cells, image, window, made, finite)
        for layer in layers.values():
            layer[made.confidence == NO_CONFIDENCE] = NO_CONFIDENCE
        if scores is not None:
            scores[:, made.confidence == NO_CONFIDENCE] = np.nan
        return replace(made, layers=layers, failures=failures, scores=scores)

    def predict_mean(
        self,
        tile: Tile,
        cells: NDArray[np.bool_],
        images: Iterable[Composite],
        window: Window,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> tuple[TileResult, Composite] | None:
        """Classes of the highest mean score over several images, each pixel's of those in which it was observed.

        One image is held at a time, and the sums of the scores.

        Args:
            tile: The tile.
            cells: Bitmap of the cells to compute.
            images: Composites over ``window``, each of one date; the order is that of the sum.
            window: See ``images``.
            should_stop: Asked before each chip.

        Returns:
            The result over the whole tile, and what all images together say of the window, without values; ``None`` when
            stopped.
        """
        mean = MeanScores(tile.side_px, self._channels, window)
        parts = self._finite_parts if self._chips.chip_px is None else self._blended_parts
        try:
            for image in images:
                mean.begin(image)
                if (image.reason == Reason.OBSERVED).any():
                    for part in parts(tile, cells, image, window, should_stop, keeps=True):
                        scores = None if part.scores is None else self._arrays.get(part.scores)
                        observed = image.reason[part.window.within(window)] == Reason.OBSERVED
                        mean.add(part.window.within(tile.window), scores, observed, part.failures)
                del image  # before the next one is read
        except StoppedError:
            return None
        scores, facts = mean.close()
        decision, layers, _ = self._decided(self._arrays.put(scores))
        side = (tile.side_px, tile.side_px)
        made = TileResult(decision.classes, decision.percent, np.empty(side, "uint8"), layers, mean.failures)
        self._finish(tile, cells, facts, window, made, made.confidence != NO_CONFIDENCE)
        for layer in made.layers.values():
            layer[made.confidence == NO_CONFIDENCE] = NO_CONFIDENCE
        return made, facts

    def _finish(
        self,
        tile: Tile,
        cells: NDArray[np.bool_],
        image: Composite,
        window: Window,
        made: TileResult,
        finite: NDArray[np.bool_],
    ) -> None:
        """Put nodata and failure where there is no class, and mark classes near a failure."""
        classes, reason = made.classes, made.reason
        reason[:] = Reason.UNOBSERVED
        shared = window & tile.window
        reason[shared.within(tile.window)] = image.reason[shared.within(window)]
        reason[~tile.expand(cells)] = Reason.UNOBSERVED
        reason[(reason == Reason.OBSERVED) & ~finite] = Reason.MODEL
        classes[reason != Reason.OBSERVED] = NO_CLASS
        classes[(reason == Reason.FAILED) | (reason == Reason.MODEL)] = FAILED_CLASS
        made.confidence[reason != Reason.OBSERVED] = NO_CONFIDENCE
        near = self._near_failed(image.reason == Reason.FAILED)
        if near is not None:
            part = np.zeros(classes.shape, dtype=bool)
            part[shared.within(tile.window)] = near[shared.within(window)]
            reason[part & (classes < FAILED_CLASS)] |= NEAR_FAILED_BIT

    def _near_failed(self, failed: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Pixels whose receptive field holds a failed one; for a global network, whose chips might."""
        if not failed.any():
            return None
        reach = (self._chips.chip_px,) * 4 if self._chips.chip_px else self._chips.radius_px
        top, left, bottom, right = reach
        return spread(spread(failed, 0, top, bottom), 1, left, right)

    def _finite_parts(
        self,
        tile: Tile,
        cells: NDArray[np.bool_],
        image: Composite,
        window: Window,
        should_stop: Callable[[], bool],
        *,
        keeps: bool = False,
    ) -> Iterator[Part]:
        halo = finite_halo(self._chips.radius_px, self._chips.stride_px)
        # Neither farther than the data reach, nor out of step with the stride.
        areas = (self._observed(core, image, window) for core in rectangles(tile, cells))
        streams = self._chips.column_px > 0 and not (keeps or self._keeps_scores) and hasattr(self._head, "strips")
        plan = self._chips if streams else replace(self._chips, column_px=0)
        chips = [chip for area in areas if area for chip in plan.chips_over(area, tile.cell_px)]

        def compute(chip: Chip) -> Part | None:
            core, seen = chip.core, chip.window
            observed = self._observed(core, image, window)
            if observed is None:
                return None  # its pixels have a reason for having no class
            if observed.size_px < _WORTH_A_SHAPE * core.size_px:
                core, seen = observed, observed.padded(*halo)
            if streams:
                part = self._streamed(core, seen, image, window, should_stop)
                if part is not None:
                    return part
            scores = self._passes.scores(seen, image, window)
            if scores is None:
                return Part(core, Decision.none(core.shape), self._no_layers(core.shape), {seen: _WRONG_SHAPE})
            rows, cols = core.within(seen)
            kept = scores[:, rows, cols]
            if keeps:
                observed = image.reason[core.within(window)] == Reason.OBSERVED
                wrong = (observed & ~self._arrays.get(self._arrays.are_finite(kept))).any()
                return Part(core, Decision.none((0, 0)), {}, {seen: _NO_NUMBER} if wrong else {}, kept)
            decision, layers, chosen = self._decided(kept)
            failed = (decision.percent == NO_CONFIDENCE) & (image.reason[core.within(window)] == Reason.OBSERVED)
            failures = {seen: _NO_NUMBER} if failed.any() else {}
            return Part(core, decision, layers, failures, chosen if self._keeps_scores else None)

        for part in self._passes.in_order(compute, chips, should_stop):
            if part is not None:
                yield part

    def _streamed(
        self, core: Window, seen: Window, image: Composite, window: Window, should_stop: Callable[[], bool]
    ) -> Part | None:
        """A chip strip by strip, so that its scores are never held; ``None`` where the head takes whole chips only."""
        strips: Any = getattr(self._head, "strips")  # noqa: B009  # not of every head
        rows, cols = seen.within(window)
        _, left, _, right = finite_halo(self._chips.radius_px, self._chips.stride_px)
        first, start = core.row0 - seen.row0, core.col0 - seen.col0 - left
        valid = image.reason[rows, cols] == Reason.OBSERVED
        spans = (first, first + core.shape[0]), (left, seen.shape[1] - right)
        made = strips(image.values[:, rows, cols], valid, *spans)
        if made is None:
            return None

        def unless_stopped() -> None:
            if should_stop():
                raise StoppedError

        kept, layers = (slice(*spans[0]), slice(start, start + core.shape[1])), self._no_layers(core.shape)
        decision = decide_strips(made, self._arrays, kept, layers, self._layers_of, unless_stopped)
        failed = (decision.percent == NO_CONFIDENCE) & (image.reason[core.within(window)] == Reason.OBSERVED)
        return Part(core, decision, layers, {seen: _NO_NUMBER} if failed.any() else {})

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
        self,
        tile: Tile,
        cells: NDArray[np.bool_],
        image: Composite,
        window: Window,
        should_stop: Callable[[], bool],
        *,
        keeps: bool = False,
    ) -> Iterator[Part]:
        """Sum weighted scores chip by chip, in lattice order, so that every tile adds the same terms in one order."""
        area = self._observed(tile.window & window, image, window)
        if area is None:
            return
        chips = [chip for chip in self._chips.chips(tile, cells) if chip.window & area]
        total: Any = None  # an array of the head's kind
        weight = np.zeros(area.shape, "float32")
        assert self._chips.chip_px is not None  # noqa: S101  # only global networks come here
        taper = taper_of(self._chips.chip_px)
        weights = self._arrays.put(taper)
        failures: dict[Window, str] = {}

        def compute(chip: Chip) -> tuple[Chip, Any, str]:
            scores = self._passes.scores(chip.window, image, window)
            return chip, scores, self._wrong(scores, chip.window, image, window)

        for chip, scores, wrong in self._passes.in_order(compute, chips, should_stop):
            shared = chip.window & area
            into, part = shared.within(area), shared.within(chip.window)
            if wrong:
                failures[chip.window] = wrong
            if total is None:
                channels = self._channels if scores is None else scores.shape[0]
                total = self._arrays.put(np.zeros((channels, *area.shape), "float32"))
            total[(slice(None), *into)] += np.nan if scores is None else scores[(slice(None), *part)] * weights[part]
            weight[into] += taper[part]
        if total is not None:
            scores = total / self._arrays.put(np.maximum(weight, np.finfo("float32").tiny))
            if keeps:
                yield Part(area, Decision.none((0, 0)), {}, failures, scores)
                return
            decision, layers, kept = self._decided(scores)
            yield Part(area, decision, layers, failures, kept)

    def _decided(self, scores: Any) -> tuple[Decision, Mapping[str, NDArray[np.uint8]], Any]:
        """The choice, further layers, and probabilities, from scores (channel, y, x) of the head."""
        if self._finishing is None:
            return self._arrays.decide(scores), self._layers_of(scores), scores
        made = self._finishing.finish(scores)
        layers = layers_of(made.probabilities, self._layers, self._least) if self._layers else {}
        return Decision(made.classes, made.percent), {**layers, **made.layers}, self._arrays.put(made.probabilities)

    def _wrong(self, scores: Any, chip: Window, image: Composite, window: Window) -> str:
        """What is wrong with the scores of a chip of a global network, or nothing."""
        if scores is None:
            return _WRONG_SHAPE
        finite = self._arrays.get(self._arrays.are_finite(scores))
        observed = image.reason[chip.within(window)] == Reason.OBSERVED
        return _NO_NUMBER if (observed & ~finite).any() else ""

    def _layers_of(self, scores: Any) -> dict[str, NDArray[np.uint8]]:
        return layers_of(self._arrays.get(scores), self._layers, self._least) if self._layers else {}

    def _no_layers(self, shape: tuple[int, int]) -> dict[str, NDArray[np.uint8]]:
        names = layer_names(self._layers, len(self._head.class_table)) if self._layers else ()
        further = () if self._finishing is None else self._finishing.further
        return {name: np.full(shape, NO_CONFIDENCE, "uint8") for name in (*names, *further)}
