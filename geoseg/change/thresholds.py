"""A threshold that comes from the numbers themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

_HALF = np.float32(0.5)
_ABOVE_HALF = np.nextafter(_HALF, np.float32(1))


@dataclass(frozen=True, slots=True)
class Split:
    """Numbers in two groups, low and high.

    Attributes:
        threshold: Numbers above it are high.
        low: Mean of the low ones.
        high: Mean of the high ones.
        spread: Standard deviation within the groups, pooled.
    """

    threshold: float
    low: float
    high: float
    spread: float

    def raised_to(self, floor: float) -> Self:
        """The same groups, with a threshold of at least ``floor``."""
        return replace(self, threshold=max(self.threshold, floor))

    def above(self, values: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Whether numbers are high; NaN never is."""
        high: NDArray[np.bool_] = values > self.threshold
        return high

    def probability(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """How probably a number is a high one.

        Both groups are taken as normal with one spread, which is the model under which Otsu's threshold is the best one;
        their odds are even at the threshold. Above one half exactly where ``above`` says so; NaN where a number is NaN.
        """
        values = np.asarray(values, dtype="float64")
        gap, variance = self.high - self.low, self.spread**2
        if gap > 0 and variance > 0:
            share = expit((values - self.threshold) * (gap / variance)).astype("float32")
        else:
            share = np.where(np.isnan(values), np.nan, self.above(values)).astype("float32")
        # In single precision a number just above the threshold would be even.
        sure: NDArray[np.float32] = np.where(
            self.above(values), np.maximum(share, _ABOVE_HALF), np.minimum(share, _HALF)
        ).astype("float32")
        return sure


def otsu(values: NDArray[np.floating]) -> Split:
    """The threshold that leaves the least variance within two groups (Otsu 1979), over all numbers and without a histogram.

    The numbers are sorted first, so that their order changes not a bit of the answer. Of equally good thresholds the
    lowest is taken; it lies midway between two numbers.

    Args:
        values: Numbers of any shape; those that are not finite are left out.

    Returns:
        The groups. Where all numbers are equal, none is above the threshold; where there are none, it is infinite.
    """
    ordered = np.sort(np.asarray(values, dtype="float64"), axis=None)
    ordered = ordered[np.isfinite(ordered)]
    count = ordered.size
    if not count:
        return Split(np.inf, 0.0, 0.0, 0.0)
    if ordered[0] == ordered[-1]:
        only = float(ordered[0])
        return Split(only, only, only, 0.0)
    middle = float(ordered.sum() / count)
    below = np.arange(1, count)
    sums = np.cumsum(ordered - middle)
    between = sums[:-1] ** 2 / (below * (count - below))
    between[ordered[1:] == ordered[:-1]] = -1.0  # equal numbers are never parted
    cut = int(np.argmax(between)) + 1
    low, high = middle + float(sums[cut - 1]) / cut, middle - float(sums[cut - 1]) / (count - cut)
    within = float(((ordered[:cut] - low) ** 2).sum() + ((ordered[cut:] - high) ** 2).sum())
    # As a sum of a half each: the middle of two large numbers is finite, and of two neighbours not below both.
    threshold = max(float(ordered[cut - 1]), float(ordered[cut - 1]) / 2 + float(ordered[cut]) / 2)
    return Split(min(threshold, float(np.nextafter(ordered[cut], -np.inf))), low, high, float(np.sqrt(within / count)))
