"""Shares, accuracies and areas from a stratified sample, with standard errors and intervals. Arrays only.

What is estimated is always a share of the area, or the ratio of two: each stratum's mean of an indicator, weighted with
the stratum's share of the area. Where strata are the classes of the map these are the estimators of Olofsson et al.
(2014); where they are not, those of Stehman (2014), which hold for both.

References:
    Olofsson et al. (2014), Good practices for estimating area and assessing accuracy of land change,
    doi:10.1016/j.rse.2014.02.015.
    Stehman (2014), Estimating area and map accuracy for stratified random sampling when the strata are different from
    the map classes, doi:10.1080/01431161.2014.930207.
    Miettinen and Nurminen (1985), Comparative analysis of two rates, doi:10.1002/sim.4780040211, for restricted
    estimates and the score interval; Yan and Su (2010), Stratified Wilson and Newcombe confidence intervals,
    doi:10.1198/sbr.2009.0049.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

type Floats = NDArray[np.float64]

# The quantile of 95 % as the literature rounds it, so that printed margins are met to the last digit.
Z = 1.96
# Cochran's rule: that pixels are drawn without replacement is counted where more than a twentieth of a stratum is drawn.
_LARGE_SHARE = 0.05
_STEPS = 60
# Bounds of the multiplier's inverse hyperbolic sine: at sinh(40) = 1e17 every stratum's share is 0 or 1.
_MOST = 40.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate; arrays of one shape. NaN where nothing was drawn that tells.

    Attributes:
        value: 0 to 1.
        standard_error: Of the estimate; the margin of Olofsson et al. is 1.96 of it.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    value: Floats
    standard_error: Floats
    low: Floats
    high: Floats

    @property
    def margin(self) -> Floats:
        """1.96 standard errors."""
        return Z * self.standard_error


@dataclass(frozen=True, slots=True)
class Strata:
    """What was drawn from what.

    Attributes:
        weights: Share of the area, one for each stratum, together 1.
        drawn: Samples with a label, at least two in each.
        pixels: Pixels of each; together with ``drawn`` they tell where most of a stratum was looked at.
    """

    weights: Floats
    drawn: NDArray[np.int64]
    pixels: NDArray[np.int64]

    @property
    def left(self) -> Floats:
        """Factor of each stratum's variance for what was not drawn of it; 1 where little was drawn."""
        share = self.drawn / np.maximum(self.pixels, 1)
        return np.where(share > _LARGE_SHARE, np.maximum(1 - share, 0.0), 1.0)


def share(hits: NDArray[np.int64], strata: Strata) -> Estimate:
    """The share of the area in which something holds.

    Args:
        hits: (…, stratum), samples in which it holds.
        strata: What was drawn.

    Returns:
        Of shape (…); the interval is the score interval, see `score_interval`.
    """
    means = hits / strata.drawn
    value = means @ strata.weights
    spread = means * (1 - means) / np.maximum(strata.drawn - 1, 1)
    error = np.sqrt((spread * strata.left) @ strata.weights**2)
    low, high = score_interval(hits, strata)
    return Estimate(value, error, low, high)


def ratio(both: NDArray[np.int64], base: NDArray[np.int64], strata: Strata) -> Estimate:
    """Where one thing holds, the share of the area in which another holds too.

    Args:
        both: (…, stratum), samples in which both hold.
        base: (…, stratum), samples in which the first holds.
        strata: What was drawn.

    Returns:
        Of shape (…), NaN where the first holds in no sample. The interval is Wilson's, for as many independent samples as
        would have the same standard error.
    """
    over, under = both / strata.drawn, base / strata.drawn
    total = under @ strata.weights
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(total > 0, (over @ strata.weights) / total, np.nan)
        at = value[..., None]
        # Variances and covariance of two indicators of which the first implies the second.
        spread = over * (1 - over) + at**2 * under * (1 - under) - 2 * at * over * (1 - under)
        spread = np.maximum(spread, 0.0) / np.maximum(strata.drawn - 1, 1) * strata.left
        error = np.sqrt(spread @ strata.weights**2) / total
        # Without an error among them the samples tell as much as there are.
        counted = np.where(error > 0, value * (1 - value) / error**2, base.sum(axis=-1))
    low, high = _wilson(value, np.maximum(counted, 1.0))
    return Estimate(value, error, low, high)


def _wilson(value: Floats, samples: Floats) -> tuple[Floats, Floats]:
    scale = 1 + Z**2 / samples
    middle = (value + Z**2 / (2 * samples)) / scale
    half = Z / scale * np.sqrt(value * (1 - value) / samples + Z**2 / (4 * samples**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def score_interval(hits: NDArray[np.int64], strata: Strata) -> tuple[Floats, Floats]:
    """All shares of the area that a score test at 5 % does not refuse.

    A share p is tested against the shares of the strata that are the likeliest among those that add up to p. Other than
    1.96 standard errors on both sides, the interval holds what it promises for rare classes too: where a large stratum
    has a class in one sample or in none, its own spread says next to nothing of the stratum.

    Args:
        hits: (…, stratum), samples in which something holds.
        strata: What was drawn.

    Returns:
        Lower and upper ends, of shape (…).
    """
    found = hits.astype(np.float64)
    value: Floats = (found / strata.drawn) @ strata.weights
    if not strata.left.any():
        return value, value  # every pixel was looked at
    ends = []
    for sign in (1, -1):  # the likeliest shares add up to less the larger the multiplier is
        inside, outside = np.zeros_like(value), np.full_like(value, _MOST)
        for _ in range(_STEPS):
            middle = (inside + outside) / 2
            likely = _shares(found, strata, sign * np.sinh(middle))
            variance = (likely * (1 - likely) / strata.drawn * strata.left) @ strata.weights**2
            is_refused = (value - likely @ strata.weights) ** 2 > Z**2 * variance
            outside, inside = np.where(is_refused, middle, outside), np.where(is_refused, inside, middle)
        ends.append(_shares(found, strata, sign * np.sinh(inside)) @ strata.weights)
    return ends[0], ends[1]


def _shares(hits: Floats, strata: Strata, multiplier: Floats) -> Floats:
    """(…, stratum), the likeliest shares of the strata among those with one weighted sum, which the multiplier stands for.

    By Lagrange, each stratum's share p solves hits / p - (drawn - hits) / (1 - p) = multiplier x weight.
    """
    slope = multiplier[..., None] * strata.weights
    linear = strata.drawn + slope
    root = np.sqrt(np.maximum(linear**2 - 4 * slope * hits, 0.0))
    # The root between 0 and 1, by whichever of the two formulas subtracts nothing.
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(linear >= 0, 2 * hits / (linear + root), (linear - root) / (2 * slope))
    return np.clip(np.nan_to_num(found), 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What a labelled sample says of a map.

    Attributes:
        matrix: (map class, reference class), shares of the area, together 1.
        counts: (map class, reference class), samples.
        overall: Share of the area that the map has right.
        users: For each class, of what the map calls so, the share that is so.
        producers: For each class, of what is so, the share that the map calls so.
        areas: For each class, its share of the area.
    """

    matrix: Floats
    counts: NDArray[np.int64]
    overall: Estimate
    users: Estimate
    producers: Estimate
    areas: Estimate


def estimate_accuracy(
    stratum: NDArray[np.int64],
    mapped: NDArray[np.int64],
    reference: NDArray[np.int64],
    classes: int,
    weights: Floats,
    pixels: NDArray[np.int64],
) -> Accuracy:
    """Accuracy of a map, and areas of the classes.

    Args:
        stratum: (sample,), 0 and up. Every stratum has two samples or more.
        mapped: (sample,), class in the map, 0 to ``classes`` - 1.
        reference: (sample,), class as it was labelled.
        classes: Number of classes.
        weights: (stratum,), shares of the area.
        pixels: (stratum,), pixels.
    """
    counts = np.zeros((classes, classes, len(weights)), np.int64)
    np.add.at(counts, (mapped, reference, stratum), 1)
    strata = Strata(weights, counts.sum(axis=(0, 1)), pixels)
    right = counts[np.arange(classes), np.arange(classes)]
    return Accuracy(
        matrix=(counts / strata.drawn) @ weights,
        counts=counts.sum(axis=2),
        overall=share(right.sum(axis=0), strata),
        users=ratio(right, counts.sum(axis=1), strata),
        producers=ratio(right, counts.sum(axis=0), strata),
        areas=share(counts.sum(axis=0), strata),
    )
