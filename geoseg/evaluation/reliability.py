"""Whether a confidence of 80 percent is right in 80 of 100 cases.

The expected calibration error is the mean distance between confidence and accuracy over bins of equal mass (Guo et al.
2017 take bins of equal width, of which the confident ones hold nearly everything). Confidences are counted in fine bins
first, so that pixels need not be kept; what is equal in mass is so up to the width of a fine bin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

BINS = 15
_FINE = 4096
_LEAST = 1e-12


@dataclass(frozen=True, slots=True)
class Bin:
    """Pixels of about the same confidence.

    Attributes:
        pixels: How many.
        confidence: Their mean confidence.
        accuracy: Share of them that is right.
    """

    pixels: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Reliability:
    """Confidences against what was right; sums of those of parts are those of the whole.

    Attributes:
        counts: (fine bin, 3): pixels, right ones, sum of confidences.
        brier: Sum over pixels of the squared distances of all probabilities from 0 or 1.
        nll: Sum over pixels of -log of the probability of the true class.
    """

    counts: NDArray[np.float64]
    brier: float
    nll: float

    @classmethod
    def nothing(cls) -> Self:
        """Of no pixel."""
        return cls(np.zeros((_FINE, 3)), 0.0, 0.0)

    @classmethod
    def of(cls, truth: NDArray[np.integer], found: NDArray[np.integer], scores: NDArray[np.floating]) -> Self:
        """Of some pixels.

        Args:
            truth: (pixel,), class of each.
            found: (pixel,), class that was chosen.
            scores: (class, pixel), probabilities.
        """
        everyone = np.arange(len(truth))
        shares = scores.astype(np.float64)
        confidence, true = shares[found, everyone], shares[truth, everyone]
        fine = np.clip((confidence * _FINE).astype(np.int64), 0, _FINE - 1)
        weights = (None, (truth == found).astype(np.float64), confidence)
        counts = np.stack([np.bincount(fine, weight, _FINE) for weight in weights], axis=1).astype(np.float64)
        brier = float((shares**2).sum() - 2 * true.sum() + len(truth))
        return cls(counts, brier, float(-np.log(np.maximum(true, _LEAST)).sum()))

    def __add__(self, other: Self) -> Self:
        return type(self)(self.counts + other.counts, self.brier + other.brier, self.nll + other.nll)

    @property
    def pixels(self) -> int:
        """All that were counted."""
        return round(float(self.counts[:, 0].sum()))

    @property
    def bins(self) -> tuple[Bin, ...]:
        """At most ``BINS`` of about equal mass, in the order of confidence; fewer where many pixels are equally sure."""
        pixels = self.counts[:, 0]
        before = np.cumsum(pixels) - pixels
        which = np.minimum((before + pixels / 2) * BINS // max(1.0, pixels.sum()), BINS - 1).astype(np.int64)
        totals = np.stack([np.bincount(which, self.counts[:, column], BINS) for column in range(3)], axis=1)
        return tuple(
            Bin(round(count), confidence / count, right / count)
            for count, right, confidence in totals.tolist()
            if count
        )

    @property
    def ece(self) -> float | None:
        """Expected calibration error; ``None`` of no pixel."""
        total = self.pixels
        if not total:
            return None
        return sum(one.pixels * abs(one.accuracy - one.confidence) for one in self.bins) / total

    @property
    def mean_brier(self) -> float | None:
        """Brier score, 0 to 2; ``None`` of no pixel."""
        return self.brier / self.pixels if self.pixels else None

    @property
    def mean_nll(self) -> float | None:
        """Mean negative log likelihood in nats; ``None`` of no pixel."""
        return self.nll / self.pixels if self.pixels else None
