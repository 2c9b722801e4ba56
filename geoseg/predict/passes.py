"""Forward passes: several chips side by side, in order, each tried once more where the memory ran out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.composite import Composite
from geoseg.errors import GeosegError, ModelMismatchError
from geoseg.grid import Window
from geoseg.heads import Chips, Head
from geoseg.pixels import Reason
from geoseg.predict.arrays import Arrays
from geoseg.tiles import Chip


class StoppedError(Exception):
    """The run was asked to stop: the way out of a pass."""


class Passes:
    """Runs a head on chips.

    Args:
        head: From chips to scores.
        arrays: What the head takes and gives.
        channels: Maps of scores that the head gives; 0 where it does not say.
        resolution_m: Pixel size handed to the head.
        threads: Threads of one forward pass.
        at_once: Forward passes at the same time.
    """

    def __init__(
        self, head: Head, arrays: Arrays, channels: int, resolution_m: float, *, threads: int, at_once: int
    ) -> None:
        self._head, self._arrays, self._channels, self._resolution_m = head, arrays, channels, resolution_m
        self._at_once = at_once
        self._turn = threading.Lock()  # of the tile whose chips are handed to the passes
        self._fits = False  # whether the network ever gave scores of the right shape
        self._pool = ThreadPoolExecutor(at_once, "pass", initializer=arrays.start_thread, initargs=(threads,))
        get_ready = getattr(head, "get_ready", None)
        if get_ready is not None:  # while the first tile is read; what fails here fails again in a pass, and is told
            self._pool.submit(get_ready)

    def close(self) -> None:
        """Wait for the passes under way, and begin no other."""
        self._pool.shutdown(cancel_futures=True)

    def in_order[T](
        self, compute: Callable[[Chip], T], chips: Sequence[Chip], should_stop: Callable[[], bool]
    ) -> Iterator[T]:
        """Results of chips, in their order; computed side by side, one more than there are passes held at most.

        Of several tiles the one that came first is served first: it is finished sooner, and its memory free for the next.

        Raises:
            StoppedError: If asked to stop.
        """

        def unless_stopped(chip: Chip) -> T:
            if should_stop():
                raise StoppedError
            return compute(chip)

        waiting: deque[Future[T]] = deque()
        try:
            with self._turn:
                for chip in chips:
                    waiting.append(self._pool.submit(unless_stopped, chip))
                    if len(waiting) > self._at_once:
                        yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def scores(self, chip: Window, image: Composite, window: Window) -> Any:
        """Scores (class, y, x) of a chip; ``None`` if their shape is wrong, while that of other chips is right.

        Raises:
            ModelMismatchError: If the network gives no chip scores of the right shape.
        """
        rows, cols = chip.within(window)
        values = np.ascontiguousarray(image.values[:, rows, cols]).reshape(image.dates, -1, *chip.shape)
        valid = np.ascontiguousarray(image.reason[rows, cols] == Reason.OBSERVED)
        try:
            scores = self._passed(values, valid)
        except ModelMismatchError:
            if not self._fits:  # is it this chip, or the network?
                self._passed(np.zeros_like(values), np.ones_like(valid))
            return None
        self._fits = True
        return scores

    def _passed(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> Any:
        """One forward pass, tried once more where the memory ran out.

        Raises:
            ModelMismatchError: If the scores do not fit the chip.
        """
        put = self._arrays.put
        try:
            return self._forward(put(values), put(valid))
        except self._arrays.memory_errors:
            self._arrays.free()
        try:
            return self._forward(put(values), put(valid))
        except self._arrays.memory_errors as err:
            rows, cols = valid.shape
            raise GeosegError(
                f"a batch of 1 chip of {rows} x {cols} px, too large for the memory of the device, also after it was emptied",
                "room for one forward pass",
                "lower --tile-size, take --profile bf16 or a smaller model, or --device cpu; finished tiles are kept",
            ) from err

    def _forward(self, values: Any, valid: Any) -> Any:
        scores = self._head(Chips({"image": values[None]}, valid[None], gsd_m=self._resolution_m)).scores
        classes, shape = self._channels or scores.shape[1], valid.shape
        if tuple(scores.shape) != (1, classes, *shape):
            raise ModelMismatchError(
                f"scores of the shape {tuple(scores.shape)}",
                f"(1, {classes}, {shape[0]}, {shape[1]}): one per class and pixel",
                "choose another model",
            )
        return scores[0]
