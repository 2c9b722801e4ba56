"""How far numbers would move if other scenes had been labelled: intervals by the bootstrap over scenes.

Pixels of one scene resemble each other, so that resampling pixels would make every interval far too narrow. What is
drawn again, with replacement, are whole scenes or groups of them; the interval holds the middle 95 % of the outcomes
(the percentile interval of Efron and Tibshirani, An Introduction to the Bootstrap, 1993).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.evaluation.confusion import Confusion, Counts, Numbers

LEVEL = 0.95
RESAMPLES = 2000
#: Below so many groups there is too little to draw from, and members are drawn instead, which flatters.
LEAST_GROUPS = 8
_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval that holds ``LEVEL`` of the resamples.

    Attributes:
        low: Its lower end.
        high: Its upper end.
        resamples: In so many the number exists; the others did not draw the class.
    """

    low: float
    high: float
    resamples: int


class Resampling:
    """The same draws for every number and every model, so that differences between models are paired.

    Args:
        units: How many scenes or groups there are to draw from.
        seed: Of the draws.
        resamples: How often all are drawn.
    """

    def __init__(self, units: int, seed: int = 0, resamples: int = RESAMPLES) -> None:
        self.units = units
        rng = np.random.default_rng(seed)
        shares = np.full(units, 1 / units) if units else np.empty(0)
        self._weights = rng.multinomial(units, shares, size=resamples) if units else np.empty((0, 0), np.int64)

    def interval(
        self,
        matrices: Sequence[Confusion],
        number: Callable[[Counts], Numbers],
        against: Sequence[Confusion] | None = None,
    ) -> Interval | None:
        """The interval of a number, or of the difference of two models in it.

        Args:
            matrices: Of each unit.
            number: From matrices (draw, class, class + 1) to numbers (draw).
            against: Of the same units by another model, whose number is taken away.

        Returns:
            ``None`` where there are fewer than two units, or the number never exists.
        """
        if self.units < 2:
            return None
        drawn = np.concatenate([number(counts) for counts in self._sums(matrices)])
        if against is not None:
            drawn = drawn - np.concatenate([number(counts) for counts in self._sums(against)])
        return _middle(drawn)

    def intervals(
        self, matrices: Sequence[Confusion], numbers: Callable[[Counts], Numbers], count: int
    ) -> tuple[Interval | None, ...]:
        """As ``interval``, of a number of each class: from matrices (draw, class, class + 1) to (draw, class)."""
        if self.units < 2:
            return (None,) * count
        drawn = np.concatenate([numbers(counts) for counts in self._sums(matrices)])
        return tuple(_middle(drawn[:, index]) for index in range(count))

    def _sums(self, matrices: Sequence[Confusion]) -> Iterator[Counts]:
        """Matrices (draw, class, class + 1) of the draws, some at a time."""
        own = np.stack([matrix.counts for matrix in matrices])
        flat = own.reshape(len(own), -1)
        for start in range(0, len(self._weights), _AT_ONCE):
            yield (self._weights[start : start + _AT_ONCE] @ flat).reshape(-1, *own.shape[1:])


def _middle(drawn: NDArray[np.float64]) -> Interval | None:
    there = drawn[~np.isnan(drawn)]
    if not there.size:
        return None
    low, high = np.quantile(there, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), int(there.size))
