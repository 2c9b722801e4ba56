"""What training says about agreement while it goes on: a confusion matrix, and means that leave out what is not there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.labels import IGNORE


@dataclass(frozen=True)
class Confusion:
    """Pixels by label (rows) and by prediction (columns).

    Attributes:
        counts: int64 (class, class).
    """

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, labels: NDArray[np.uint8], predicted: NDArray[np.uint8], classes: int) -> Confusion:
        """Counted where there is a label."""
        seen = labels != IGNORE
        codes = labels[seen].astype(np.int64) * classes + predicted[seen]
        return cls(np.bincount(codes, minlength=classes**2).reshape(classes, classes))

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(self.counts + other.counts)

    @property
    def ious(self) -> tuple[float | None, ...]:
        """Intersection over union of each class, ``None`` for a class that neither labels nor predictions have."""
        hits = np.diag(self.counts)
        unions = self.counts.sum(axis=0) + self.counts.sum(axis=1) - hits
        return tuple(float(hit / union) if union else None for hit, union in zip(hits, unions, strict=True))

    @property
    def mean_iou(self) -> float | None:
        """Mean over the classes that the labels have; ``None`` where nothing is labelled."""
        present = [
            iou for iou, count in zip(self.ious, self.counts.sum(axis=1), strict=True) if count and iou is not None
        ]
        return float(np.mean(present)) if present else None

    @property
    def present(self) -> int:
        """Number of classes that the labels have."""
        return int((self.counts.sum(axis=1) > 0).sum())

    @property
    def accuracy(self) -> float | None:
        """Share of labelled pixels that are predicted as labelled."""
        total = self.counts.sum()
        return float(np.trace(self.counts) / total) if total else None


@dataclass(frozen=True)
class Look:
    """What the held-out groups said at a step.

    Attributes:
        step: Steps done by then.
        confusion: Of all windows of the look.
    """

    step: int
    confusion: Confusion
