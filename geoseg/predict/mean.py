"""The mean of the scores of several dates, gathered date by date."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from geoseg.composite import Composite
from geoseg.grid import Window
from geoseg.pixels import Reason


class MeanScores:
    """Sums of scores over a tile, and what became of the pixels of its window on all dates.

    A pixel that failed on one date has failed: a date that is missing would change its class in silence. Scores that are no
    numbers make the mean one that is none.

    Args:
        side_px: Of the tile.
        classes: Number of classes.
        window: Pixels that were read around the tile.

    Attributes:
        failures: Chip to why the network gave no answer there, on any date.
    """

    def __init__(self, side_px: int, classes: int, window: Window) -> None:
        self._sums = np.zeros((classes, side_px, side_px), "float32")
        self._dates = np.zeros((side_px, side_px), "uint16")
        self._failed, self._observed, self._masked = (np.zeros(window.shape, bool) for _ in range(3))
        self._used_px: dict[str, int] = {}
        self._unread: dict[str, str] = {}
        self.failures: dict[Window, str] = {}

    def begin(self, image: Composite) -> None:
        """Take note of a date: which pixels it has, and what could not be read."""
        self._failed |= image.reason == Reason.FAILED
        self._observed |= image.reason == Reason.OBSERVED
        self._masked |= image.reason == Reason.MASKED
        for key, count in image.used_px.items():
            self._used_px[key] = self._used_px.get(key, 0) + count
        self._unread.update(image.failures)

    def add(
        self,
        at: tuple[slice, slice],
        scores: NDArray[np.float32] | None,
        observed: NDArray[np.bool_],
        failures: Mapping[Window, str],
    ) -> None:
        """Add the scores of a part of the tile.

        Args:
            at: Its rows and columns in the tile.
            scores: (class, y, x); ``None`` where the network gave none.
            observed: (y, x), pixels that the date has.
            failures: Chip to the reason.
        """
        self.failures |= failures
        self._dates[at] += observed
        for number, total in enumerate(self._sums):  # one class at a time: no copy of all scores
            total[at] += np.where(observed, np.nan if scores is None else scores[number], np.float32(0))

    def close(self) -> tuple[NDArray[np.float32], Composite]:
        """The mean scores (class, y, x), 0 where no date has the pixel; and the composite's facts, without values."""
        self._sums /= np.maximum(self._dates, 1)
        reason = np.full(self._failed.shape, Reason.UNOBSERVED, "uint8")
        reason[self._masked] = Reason.MASKED
        reason[self._observed] = Reason.OBSERVED
        reason[self._failed] = Reason.FAILED
        values = np.zeros((0, *reason.shape), "float32")
        return self._sums, Composite(values, reason, self._used_px, self._unread)
