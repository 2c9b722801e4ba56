"""The numbers of a head: NumPy arrays in memory here, tensors on a device in ``geoseg.predict.tensors``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.compiled import compiled
from geoseg.pixels import NO_CONFIDENCE


@dataclass(frozen=True, slots=True)
class Decision:
    """What scores say of each pixel.

    Attributes:
        classes: (y, x) uint8, the class with the highest score; the first of several.
        percent: (y, x) uint8, that score in percent; ``NO_CONFIDENCE`` where some score is no finite number.
    """

    classes: NDArray[np.uint8]
    percent: NDArray[np.uint8]

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Decision:
        """What no scores say."""
        return cls(np.zeros(shape, "uint8"), np.full(shape, NO_CONFIDENCE, "uint8"))


class Arrays(Protocol):
    """Where a head's numbers live, and the little arithmetic that is done on them there.

    An array is anything with NumPy's indexing and arithmetic.
    """

    @property
    def memory_errors(self) -> tuple[type[Exception], ...]:
        """What is raised when there is no room."""
        ...

    def start_thread(self, threads: int) -> None:
        """Called once in every thread that runs passes, with the number of threads that a pass has."""
        ...

    def put(self, array: NDArray[Any]) -> Any:
        """An array as the head takes it."""
        ...

    def get(self, array: Any) -> NDArray[Any]:
        """And back."""
        ...

    def are_finite(self, scores: Any) -> Any:
        """(y, x) boolean: whether all scores (class, y, x) of a pixel are finite."""
        ...

    def decide(self, scores: Any) -> Decision:
        """The class of each pixel, from scores (class, y, x) between 0 and 1."""
        ...

    def free(self) -> None:
        """Give back memory that is kept for later."""
        ...


class NumpyArrays:
    """Plain arrays: for networks that run outside torch."""

    memory_errors: tuple[type[Exception], ...] = (MemoryError,)

    def start_thread(self, threads: int) -> None:
        """Nothing: such networks have threads of their own."""

    def put(self, array: NDArray[Any]) -> NDArray[Any]:
        """The array itself."""
        return array

    def get(self, array: NDArray[Any]) -> NDArray[Any]:
        """The array itself."""
        return array

    def are_finite(self, scores: NDArray[np.float32]) -> NDArray[np.bool_]:
        """See ``Arrays``."""
        finite: NDArray[np.bool_] = np.isfinite(scores).all(axis=0)
        return finite

    def decide(self, scores: NDArray[np.float32]) -> Decision:
        """See ``Arrays``."""
        made = Decision.none(scores.shape[1:])
        _decide(scores, made.classes, made.percent)
        return made

    def free(self) -> None:
        """Nothing is kept."""


@compiled("void(float32[:, :, :], uint8[:, :], uint8[:, :])")
def _decide(scores: NDArray[np.float32], classes: NDArray[np.uint8], percent: NDArray[np.uint8]) -> None:
    """One look at each score; outside the interpreter's lock."""
    count, rows, cols = scores.shape
    for row in range(rows):
        for col in range(cols):
            best, index = scores[0, row, col], 0
            unsure = best - best  # 0, or NaN for what is no finite number
            for number in range(1, count):
                score = scores[number, row, col]
                unsure += score - score
                if score > best:
                    best, index = score, number
            if unsure == 0:
                classes[row, col] = index
                percent[row, col] = np.uint8(np.rint(best * np.float32(100)))
