"""From what to what: a class of change for every pair of classes that was observed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import RequestError
from geoseg.pixels import FAILED_CLASS, NO_CLASS

#: Class of pixels that did not change.
NO_CHANGE = 0
#: Pairs that a raster of bytes can hold: classes 1 to 250.
MOST_PAIRS = 250

_CODES, _WIDE_CODES = 100, 1000


@dataclass(frozen=True, slots=True)
class Transition:
    """A class of change.

    Attributes:
        index: Its class in the raster.
        before: Class on the earlier date.
        after: Class on the later date.
        code: Both in one number, 100 x before + after; 1000 x before + after where a legend has more than 100 classes.
        name: Such as ``trees to bare``.
    """

    index: int
    before: int
    after: int
    code: int
    name: str


@dataclass(frozen=True, slots=True)
class FromTo:
    """The observed pairs, by class before and then by class after.

    Attributes:
        transitions: By index, from 1.
    """

    transitions: tuple[Transition, ...]

    @classmethod
    def of(cls, observed: Iterable[tuple[int, int]], names: Sequence[str]) -> Self:
        """The table of a map.

        Args:
            observed: Classes before and after of changed pixels, each pair any number of times, in any order.
            names: Of the classes of the land-cover model, by index.

        Raises:
            RequestError: If there are more pairs than a raster can hold.
        """
        pairs = sorted(set(observed))
        if len(pairs) > MOST_PAIRS:
            raise RequestError(
                f"{len(pairs)} pairs of classes before and after, of {len(names)} classes",
                f"at most {MOST_PAIRS}, which a raster of bytes can hold",
                "choose a model with fewer classes, or a smaller region",
            )
        base = _CODES if len(names) <= _CODES else _WIDE_CODES
        return cls(
            tuple(
                Transition(index, before, after, base * before + after, f"{names[before]} to {names[after]}")
                for index, (before, after) in enumerate(pairs, start=1)
            )
        )

    def classes(
        self, before: NDArray[np.uint8], after: NDArray[np.uint8], changed: NDArray[np.bool_]
    ) -> NDArray[np.uint8]:
        """The raster of a map, or of a part of it.

        Args:
            before: Classes on the earlier date; ``NO_CLASS`` and ``FAILED_CLASS`` too.
            after: Classes on the later date.
            changed: Where the land changed.

        Returns:
            Failed where either date failed, nodata where either has none, else 0 or the index of the pair.

        Raises:
            ValueError: If a changed pair is not in the table.
        """
        table = np.full((256, 256), NO_CLASS, "uint8")
        for transition in self.transitions:
            table[transition.before, transition.after] = transition.index
        nothing = (before == NO_CLASS) | (after == NO_CLASS)
        failed = (before == FAILED_CLASS) | (after == FAILED_CLASS)
        found = np.where(changed, table[before, after], np.uint8(NO_CHANGE))
        if ((found == NO_CLASS) & ~nothing & ~failed).any():
            raise ValueError("a pair of classes that the table does not have")
        found[nothing] = NO_CLASS
        found[failed] = FAILED_CLASS
        return found


def observed_pairs(
    before: NDArray[np.uint8], after: NDArray[np.uint8], changed: NDArray[np.bool_]
) -> dict[tuple[int, int], int]:
    """Pairs of classes of changed pixels, with their numbers; without nodata and failures."""
    seen = changed & (np.maximum(before, after) < FAILED_CLASS)
    pairs, counts = np.unique(before[seen].astype("uint16") * 256 + after[seen], return_counts=True)
    return {(int(pair) // 256, int(pair) % 256): int(count) for pair, count in zip(pairs, counts, strict=True)}
