"""Numbers that make confidences hold, and sets of classes that hold the true one as often as promised.

Temperature scaling (Guo et al. 2017): logits are divided by the T that makes the held-out labels most likely, by one T
for all pixels, or by one for each class, of which a pixel's own is the mean by its probabilities. Neither moves a first
choice, and both keep equal what is nearly equal: a temperature that jumped where the first choice changes would make
rounding visible. Held out are whole scenes: pixels of a scene
that was trained on are known too well.

Class sets (split conformal, per class): a class is in the set of a pixel if its probability is at least 1 - q, where q is
the quantile of 1 - p of the true class over the calibration scenes. Scenes are the exchangeable units, each weighs as
much as any other, and one more scene that could have any score stands for the next one (hierarchical conformal
prediction, Lee, Barber and Willett 2023). What is promised holds for a pixel drawn from a new scene of the same kind,
and not for another region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar

from geoseg.models.spec import TEMPERATURES

#: Probabilities below count as this: the smallest normal float32.
LEAST_SCORE = 2.0**-126
_NEAR_BOUND = 1.01
#: Ranks and sums of shares that are whole up to rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Sample:
    """Some labelled pixels of one image, with what a network says of them.

    Attributes:
        name: Image that they are from.
        group: Its group.
        truth: (pixel,), class of the legend.
        scores: (pixel, class of the network), probabilities of the network without any temperature.
    """

    name: str
    group: str
    truth: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fit:
    """A temperature, or several.

    Attributes:
        temperature: T; 1 where there are several.
        nll_before: Mean negative log likelihood at T = 1, in nats.
        nll_after: The same at T.
        at_bound: Whether a best T lies outside of what is allowed.
        temperatures: One for each class, in place of the one for all; empty where there is one.
    """

    temperature: float
    nll_before: float
    nll_after: float
    at_bound: bool
    temperatures: tuple[float, ...] = ()


def fit_temperature(samples: Sequence[Sample], legend: NDArray[np.float64], least: float = LEAST_SCORE) -> Fit:
    """The temperature that makes the labels of some pixels most likely.

    Args:
        samples: Pixels of scenes that were held out; at least one.
        legend: (class of the network, class of the legend), 1 where the one is the other.
        least: Smallest score that is told from nothing.
    """
    logits = np.log(np.maximum(np.concatenate([s.scores for s in samples]).astype(np.float64), least))
    is_true = np.concatenate([legend[:, sample.truth] for sample in samples], axis=1).T > 0

    def nll(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        weights = np.exp(scaled)
        likely = np.where(is_true, weights, 0).sum(axis=1) / weights.sum(axis=1)
        return float(-np.log(np.maximum(likely, least)).mean())

    low, high = TEMPERATURES
    best = float(np.exp(minimize_scalar(nll, bounds=(np.log(low), np.log(high)), method="bounded").x))
    at_bound = best < low * _NEAR_BOUND or best > high / _NEAR_BOUND
    # Four digits tell no pixel from another, and are what a person reads.
    temperature = float(np.clip(round(best, 4), low, high))
    return Fit(temperature, nll(0.0), nll(np.log(temperature)), at_bound)


def fit_temperatures(samples: Sequence[Sample], legend: NDArray[np.float64], least: float = LEAST_SCORE) -> Fit:
    """A temperature for each class of the network, of which a pixel's own is the mean by its probabilities.

    Args:
        samples: Pixels of scenes that were held out; at least one.
        legend: (class of the network, class of the legend), 1 where the one is the other.
        least: Smallest score that is told from nothing.
    """
    whole = fit_temperature(samples, legend, least)
    shown = np.concatenate([sample.scores for sample in samples]).astype(np.float64)
    is_true = np.concatenate([legend[:, sample.truth] for sample in samples], axis=1).T > 0

    def nll(temperatures: NDArray[np.float64]) -> float:
        likely = np.where(is_true, at_temperature(shown, tuple(np.exp(temperatures)), least), 0).sum(axis=1)
        return float(-np.log(np.maximum(likely, least)).mean())

    low, high = TEMPERATURES
    start = np.full(len(legend), np.log(np.clip(whole.temperature, low * _NEAR_BOUND, high / _NEAR_BOUND)))
    best = np.exp(minimize(nll, start, bounds=[(np.log(low), np.log(high))] * len(legend), method="L-BFGS-B").x)
    at_bound = bool((best < low * _NEAR_BOUND).any() or (best > high / _NEAR_BOUND).any())
    found = tuple(float(number) for number in np.clip(best.round(4), low, high))
    return Fit(1.0, whole.nll_before, nll(np.log(found)), at_bound, found)


def at_temperature(
    scores: NDArray[np.floating], temperature: float | tuple[float, ...], least: float = LEAST_SCORE
) -> NDArray[np.float64]:
    """Probabilities (pixel, class) as they are at a temperature: softmax(log p / T); of several, T is their mean by p."""
    shares = scores.astype(np.float64)
    own = (shares @ np.array(temperature))[:, None] if isinstance(temperature, tuple) else temperature
    logits = np.log(np.maximum(shares, least)) / own
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class ClassSets:
    """Thresholds of class sets.

    Attributes:
        miss: Share of pixels of a class whose sets may lack it.
        quantiles: Per class, q; a class is in the set of a pixel where its probability is at least 1 - q. Infinite where
            there were too few scenes with the class to promise anything: it is in every set.
        scenes: Per class, calibration scenes that have it.
    """

    miss: float
    quantiles: NDArray[np.float64]
    scenes: NDArray[np.int64]

    def sets(self, scores: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Sets (…, class) of probabilities (…, class)."""
        inside: NDArray[np.bool_] = 1 - scores.astype(np.float64) <= self.quantiles
        return inside


def fit_class_sets(
    units: Sequence[str], truths: Sequence[NDArray[np.int64]], scores: Sequence[NDArray[np.floating]], miss: float
) -> ClassSets:
    """Thresholds from calibration scenes.

    Args:
        units: Scene of each of the samples; those of one scene are put together.
        truths: Classes (pixel,) of each sample.
        scores: Probabilities (pixel, class) of each sample.
        miss: See ``ClassSets``, between 0 and 1.
    """
    classes = scores[0].shape[1]
    quantiles, scenes = np.full(classes, np.inf), np.zeros(classes, np.int64)
    for index in range(classes):
        by_unit: dict[str, list[NDArray[np.float64]]] = {}
        for unit, truth, share in zip(units, truths, scores, strict=True):
            if (own := 1 - share[truth == index, index].astype(np.float64)).size:
                by_unit.setdefault(unit, []).append(own)
        scenes[index] = len(by_unit)
        quantiles[index] = _quantile([np.concatenate(parts) for parts in by_unit.values()], 1 - miss)
    return ClassSets(miss, quantiles, scenes)


def _quantile(units: Sequence[NDArray[np.float64]], level: float) -> float:
    """Of scores in which each unit weighs 1 / (units + 1), and the rest lies at infinity."""
    if not units:
        return np.inf
    values = np.concatenate(units)
    weights = np.concatenate([np.full(len(own), 1 / len(own)) for own in units]) / (len(units) + 1)
    order = np.argsort(values, kind="stable")
    reached = np.flatnonzero(np.cumsum(weights[order]) >= level - _ROUNDING)
    return float(values[order][reached[0]]) if reached.size else np.inf
