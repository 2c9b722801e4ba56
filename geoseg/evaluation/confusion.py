"""Counts of pixels by what they are and what they were taken for, and the numbers that are made of them.

A number that would be a division by nothing does not exist: it is NaN in arrays and ``None`` where a person or a file
meets it, and no mean takes it in. Means are taken over the classes that the reference has, which are the same for every
model that is held against it; how many these are stands beside each mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

#: Labels of pixels that say nothing, and classes of pixels of which nothing was observed.
NOTHING = 255
#: Class of a pixel that should have been classified and was not, or as something that the legend does not have.
NO_ANSWER = 254

type Counts = NDArray[np.int64]
type Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """What is known of one class; ``None`` for what cannot be known.

    Attributes:
        reference: Pixels that are of the class.
        found: Pixels that were taken for it.
        precision: Share of what was taken for it that is of it: the user's accuracy.
        recall: Share of what is of it that was taken for it: the producer's accuracy.
        f1: Harmonic mean of the two.
        iou: Intersection over union.
    """

    reference: int
    found: int
    precision: float | None
    recall: float | None
    f1: float | None
    iou: float | None


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over classes.

    Attributes:
        value: The mean; ``None`` where there is no class to take it over.
        classes: So many were taken in.
        left_out: Indices of classes that the reference does not have.
    """

    value: float | None
    classes: int
    left_out: tuple[int, ...]


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix.

    Attributes:
        counts: (class, class + 1) pixels: of the class of the row, taken for the class of the column; in the last column
            those without an answer.
    """

    counts: Counts

    @classmethod
    def nothing(cls, classes: int) -> Self:
        """Of no pixel."""
        return cls(np.zeros((classes, classes + 1), np.int64))

    @classmethod
    def of(cls, reference: NDArray[np.uint8], found: NDArray[np.uint8], classes: int) -> Self:
        """Of two maps of one shape.

        Args:
            reference: What the pixels are; ``NOTHING`` where that is not known.
            found: What they were taken for; ``NOTHING`` where nothing was observed, which counts as little as an unknown
                reference, ``NO_ANSWER`` where an observed pixel got no class of the legend.
            classes: Size of the legend.
        """
        asked = (reference != NOTHING) & (found != NOTHING)
        rows = reference[asked].astype(np.int64)
        columns = np.minimum(found[asked], classes).astype(np.int64)
        counts = np.bincount(rows * (classes + 1) + columns, minlength=classes * (classes + 1))
        return cls(counts.reshape(classes, classes + 1))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.counts + other.counts)

    @property
    def pixels(self) -> int:
        """All that were counted."""
        return int(self.counts.sum())

    @property
    def present(self) -> tuple[int, ...]:
        """Classes that the reference has."""
        return tuple(np.flatnonzero(self.counts.sum(axis=1)).tolist())

    @property
    def accuracy(self) -> float | None:
        """Share of the pixels that were taken for what they are."""
        return known(accuracy(self.counts))

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa: agreement beyond what the shares of the classes alone would give."""
        return known(kappa(self.counts))

    @property
    def classes(self) -> tuple[ClassScore, ...]:
        """One score for each class."""
        rows, columns = self.counts.sum(axis=1), self.counts.sum(axis=0)
        scores = [numbers(self.counts) for numbers in (precision, recall, f1, iou)]
        return tuple(
            ClassScore(int(rows[index]), int(columns[index]), *(known(score[index]) for score in scores))
            for index in range(len(rows))
        )

    def mean(self, numbers: Callable[[Counts], Numbers]) -> Mean:
        """The mean of recall, F1 or IoU over the classes that the reference has."""
        present = self.present
        left_out = tuple(index for index in range(len(self.counts)) if index not in present)
        return Mean(known(mean_over_present(numbers)(self.counts)), len(present), left_out)


def known(value: float | Numbers) -> float | None:
    """A number, or an array of no dimension, or ``None`` for what is none."""
    number = float(value)
    return None if math.isnan(number) else number


def _divided(part: NDArray[np.int64], whole: NDArray[np.int64]) -> Numbers:
    """Shares; NaN of nothing."""
    result = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    np.divide(part, whole, out=result, where=whole != 0)
    return result


def _hits(counts: Counts) -> NDArray[np.int64]:
    return np.diagonal(counts, axis1=-2, axis2=-1)


def precision(counts: Counts) -> Numbers:
    """Per class (…, class), of matrices (…, class, class + 1); NaN where nothing was taken for the class."""
    return _divided(_hits(counts), counts.sum(axis=-2)[..., :-1])


def recall(counts: Counts) -> Numbers:
    """As ``precision``; NaN where nothing is of the class."""
    return _divided(_hits(counts), counts.sum(axis=-1))


def f1(counts: Counts) -> Numbers:
    """As ``precision``; NaN where nothing is of the class or was taken for it."""
    return _divided(2 * _hits(counts), counts.sum(axis=-1) + counts.sum(axis=-2)[..., :-1])


def iou(counts: Counts) -> Numbers:
    """As ``f1``."""
    hits = _hits(counts)
    return _divided(hits, counts.sum(axis=-1) + counts.sum(axis=-2)[..., :-1] - hits)


def accuracy(counts: Counts) -> Numbers:
    """Share of the right pixels, of matrices (…, class, class + 1)."""
    return _divided(_hits(counts).sum(axis=-1), counts.sum(axis=(-2, -1)))


def kappa(counts: Counts) -> Numbers:
    """Cohen's kappa, of matrices (…, class, class + 1); NaN where chance alone is always right."""
    total = counts.sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        by_chance = (counts.sum(axis=-1) / total[..., None] * counts.sum(axis=-2)[..., :-1] / total[..., None]).sum(-1)
        beyond: Numbers = (accuracy(counts) - by_chance) / (1 - by_chance)
    return np.where(np.isfinite(beyond), beyond, np.nan)


def mean_over_present(numbers: Callable[[Counts], Numbers]) -> Callable[[Counts], Numbers]:
    """From a number per class to its mean over the classes that the reference has.

    Recall, F1 and IoU exist for every class that the reference has; precision does not, so it has no mean.
    """

    def mean(counts: Counts) -> Numbers:
        present = counts.sum(axis=-1) > 0
        total = np.where(present, numbers(counts), 0.0).sum(axis=-1)
        return _divided_floats(total, present.sum(axis=-1))

    return mean


def _divided_floats(part: Numbers, whole: NDArray[np.int64]) -> Numbers:
    result = np.full(np.shape(part), np.nan)
    np.divide(part, whole, out=result, where=whole != 0)
    return result


#: Numbers of a whole matrix by the name under which they are shown.
SUMMARIES: Mapping[str, Callable[[Counts], Numbers]] = {
    "accuracy": accuracy,
    "kappa": kappa,
    "mean_iou": mean_over_present(iou),
    "mean_f1": mean_over_present(f1),
    "mean_recall": mean_over_present(recall),
}
