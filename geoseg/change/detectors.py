"""Detectors of change that need no weights: two images in, a number per pixel out, and the threshold that was fitted.

A detector is fitted once per job to a sample (``geoseg.change.sample``) and then looks at single pixels, so that tiles
do not depend on each other. All of them give the same for both orders of the dates, to the bit, and nothing for two
equal images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammainccinv, gammaincinv

from geoseg.change.radiometry import LinearFit, Mad, fit_lines, fit_mad
from geoseg.change.thresholds import Split, otsu
from geoseg.errors import RequestError, unknown_name

# Otsu parts any numbers in two, those of an unchanged region too. What chance makes of one unchanged pixel in ten thousand
# is no change, whatever Otsu says. Reweighting makes the statistic larger than chi-square is; by how much, its lower
# quarter says, which is unchanged in all but the worst of pairs.
_CHANCE, _UNCHANGED = 1e-4, 0.25
# A few clouds that no mask knows would have Otsu part clouds from everything else; beyond so many medians, changed is changed.
_MOST_MEDIANS = 5.0
# Deviations that rounding leaves between variates of equal images.
_ROUNDING = 1e-6

#: The detector of the workflow ``change``, chosen by ``python -m geoseg.bench change``.
DEFAULT = "ir-mad"


class Measure(Protocol):
    """How far a pixel is from no change."""

    def __call__(self, before: NDArray[np.floating], after: NDArray[np.floating]) -> NDArray[np.float64]:
        """Images ``(band, ...)`` to numbers ``(...)`` of at least 0; NaN where a band is NaN."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """All that its numbers depend on, for keys and records."""
        ...


@dataclass(frozen=True, slots=True)
class Brightness:
    """Difference of the mean of all bands."""

    def __call__(self, before: NDArray[np.floating], after: NDArray[np.floating]) -> NDArray[np.float64]:
        """See ``Measure``."""
        return np.abs(_summed(before) - _summed(after)) / len(before)

    def facts(self) -> Mapping[str, Any]:
        """See ``Measure``."""
        return {}


@dataclass(frozen=True, slots=True)
class Vectors:
    """Length of the difference of two spectra, each band less a zero and over a unit of its own date.

    Attributes:
        before: Zero and unit of each band of the earlier date, such as mean and deviation; ``None`` for bands as they are.
        after: The same of the later date.
    """

    before: tuple[tuple[float, float], ...] | None = None
    after: tuple[tuple[float, float], ...] | None = None

    def __call__(self, before: NDArray[np.floating], after: NDArray[np.floating]) -> NDArray[np.float64]:
        """See ``Measure``."""
        total = np.zeros(np.shape(before)[1:])
        for number, (earlier, later) in enumerate(zip(before, after, strict=True)):
            total += (_scaled(earlier, self.before, number) - _scaled(later, self.after, number)) ** 2
        return np.sqrt(total)

    def facts(self) -> Mapping[str, Any]:
        """See ``Measure``."""
        return {"before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class Greenness:
    """Difference of the normalised difference of two bands, which is the NDVI for near infrared and red.

    Attributes:
        nir: Index of the near infrared band.
        red: Index of the red band.
    """

    nir: int
    red: int

    def __call__(self, before: NDArray[np.floating], after: NDArray[np.floating]) -> NDArray[np.float64]:
        """See ``Measure``."""
        return np.abs(self._index(before) - self._index(after))

    def _index(self, image: NDArray[np.floating]) -> NDArray[np.float64]:
        nir, red = image[self.nir].astype("float64"), image[self.red].astype("float64")
        total = nir + red
        return np.where(total == 0, 0.0, (nir - red) / np.where(total == 0, 1.0, total))

    def facts(self) -> Mapping[str, Any]:
        """See ``Measure``."""
        return {"nir": self.nir, "red": self.red}


@dataclass(frozen=True, slots=True)
class Variates:
    """Square root of the statistic of IR-MAD.

    Attributes:
        mad: The fit.
    """

    mad: Mad

    def __call__(self, before: NDArray[np.floating], after: NDArray[np.floating]) -> NDArray[np.float64]:
        """See ``Measure``."""
        return np.sqrt(self.mad.statistic(before, after))

    def facts(self) -> Mapping[str, Any]:
        """See ``Measure``."""
        return self.mad.facts()


def _summed(image: NDArray[np.floating]) -> NDArray[np.float64]:
    total = np.zeros(np.shape(image)[1:])
    for band in image:
        total += band
    return total


def _scaled(
    band: NDArray[np.floating], stated: tuple[tuple[float, float], ...] | None, number: int
) -> NDArray[np.float64]:
    values = band.astype("float64")
    if stated is None:
        return values
    mean, deviation = stated[number]
    return (values - mean) / deviation


@dataclass(frozen=True, slots=True)
class Detector:
    """A measure and where change begins.

    Attributes:
        name: One of ``DETECTORS``.
        measure: A number per pixel.
        split: What the numbers of the sample said of unchanged and changed ones.
    """

    name: str
    measure: Measure
    split: Split

    def changed(
        self, before: NDArray[np.floating], after: NDArray[np.floating], valid: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Where the land changed; never where a date is masked.

        Args:
            before: Earlier date ``(band, ...)``.
            after: Later date ``(band, ...)``, on the same grid.
            valid: ``(...)``, pixels that are to be believed on both dates.
        """
        return valid & self.split.above(self.measure(before, after))

    def scores(
        self, before: NDArray[np.floating], after: NDArray[np.floating], valid: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Probabilities of no change and change, ``(2, ...)``; NaN where a date is masked. See ``changed``."""
        share = np.where(valid, self.split.probability(self.measure(before, after)), np.float32(np.nan))
        return np.stack([1 - share, share])

    def facts(self) -> dict[str, Any]:
        """All that its answers depend on: JSON for the record, and for the keys of tiles."""
        return {"name": self.name, "split": asdict(self.split), "measure": self.measure.facts()}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """The detector that gave these facts, also where they were JSON meanwhile."""
        build: Callable[..., Measure] = _BUILD[facts["name"]]
        values = {name: _frozen(value) for name, value in facts["measure"].items()}
        return cls(facts["name"], build(**values), Split(**facts["split"]))


def _frozen(value: Any) -> Any:  # a value of a JSON document
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def fit_detector(
    name: str, before: NDArray[np.floating], after: NDArray[np.floating], bands: tuple[str, ...] = ()
) -> Detector:
    """Fit a detector to pixels of two dates.

    Args:
        name: One of ``DETECTORS``.
        before: Earlier date ``(band, n)``, finite.
        after: Later date ``(band, n)``, finite.
        bands: Names of the bands, for detectors that want certain ones.

    Raises:
        RequestError: If there is no such detector, or it lacks a band.
        NothingToDoError: If there are too few pixels.
    """
    if name not in _FITS:
        raise unknown_name("the detector", name, _FITS, "choose one of them")
    plan = _FITS[name](before, after, bands)
    numbers = plan.measure(before, after)
    middle = float(np.median(numbers)) if numbers.size else 0.0
    if plan.most_medians is not None and middle > 0:
        numbers = np.minimum(numbers, plan.most_medians * middle)
    return Detector(name, plan.measure, otsu(numbers).raised_to(plan.floor))


class _Plan(NamedTuple):
    """A measure, the least threshold, and how many medians a number counts for at most."""

    measure: Measure
    floor: float = 0.0
    most_medians: float | None = None


def _fit_brightness(*_: object) -> _Plan:
    return _Plan(Brightness())


def _fit_vectors(*_: object) -> _Plan:
    return _Plan(Vectors())


def _fit_standardised(before: NDArray[np.floating], after: NDArray[np.floating], _: tuple[str, ...]) -> _Plan:
    return _Plan(Vectors(_standards(before), _standards(after)))


def _standards(image: NDArray[np.floating]) -> tuple[tuple[float, float], ...]:
    values = image.astype("float64")
    return tuple((float(band.mean()), float(band.std()) or 1.0) for band in values)


def _fit_lines(before: NDArray[np.floating], after: NDArray[np.floating], _: tuple[str, ...]) -> _Plan:
    mad = fit_mad(before, after)
    no_change = mad.no_change(mad.statistic(before, after))
    if before.tobytes() > after.tobytes():  # rounding may part the two orders of the dates
        later, earlier = _in_one_light(fit_lines(after, before, no_change))
    else:
        earlier, later = _in_one_light(fit_lines(before, after, no_change))
    return _Plan(Vectors(earlier, later))


def _in_one_light(lines: LinearFit) -> tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]:
    """Zero and unit of each band on either date, halfway between the brightness of both."""
    pairs = [(sqrt(slope), intercept / slope) for slope, intercept in zip(lines.slopes, lines.intercepts, strict=True)]
    return tuple((-off, 1 / root) for root, off in pairs), tuple((0.0, root) for root, _ in pairs)


def _fit_greenness(_: object, __: object, bands: tuple[str, ...]) -> _Plan:
    places = [next((bands.index(name) for name in names if name in bands), None) for names in _NIR_AND_RED]
    nir, red = places
    if nir is None or red is None:
        raise RequestError(
            f"the detector ndvi-difference for the bands {', '.join(bands) or 'without names'}",
            "a near infrared and a red band",
            "choose another detector, or name the bands",
        )
    return _Plan(Greenness(nir, red))


def _fit_plain(before: NDArray[np.floating], after: NDArray[np.floating], _: tuple[str, ...]) -> _Plan:
    return _Plan(Variates(fit_mad(before, after)), _ROUNDING)


def _fit_variates(before: NDArray[np.floating], after: NDArray[np.floating], _: tuple[str, ...]) -> _Plan:
    mad = fit_mad(before, after)
    half = max(1, len(mad.variances)) / 2  # quantiles of chi-square are twice those of the gamma function
    quarter = float(np.quantile(mad.statistic(before, after), _UNCHANGED))
    larger = max(1.0, quarter / float(2 * gammaincinv(half, _UNCHANGED)))
    return _Plan(Variates(mad), float(np.sqrt(2 * gammainccinv(half, _CHANCE) * larger)), _MOST_MEDIANS)


_NIR_AND_RED = (("nir", "B08", "nir08"), ("red", "B04"))
_FITS: Mapping[str, Callable[..., _Plan]] = {
    "difference": _fit_brightness,
    "change-vectors": _fit_vectors,
    "change-vectors-fitted": _fit_lines,
    "change-vectors-standardised": _fit_standardised,
    "ndvi-difference": _fit_greenness,
    "ir-mad-otsu": _fit_plain,
    "ir-mad": _fit_variates,
}

_BUILD: Mapping[str, Callable[..., Measure]] = {
    "difference": Brightness,
    "change-vectors": Vectors,
    "change-vectors-fitted": Vectors,
    "change-vectors-standardised": Vectors,
    "ndvi-difference": Greenness,
    "ir-mad-otsu": lambda **values: Variates(Mad(**values)),
    "ir-mad": lambda **values: Variates(Mad(**values)),
}

#: Names of all detectors.
DETECTORS = tuple(_FITS)


def compare_classes(
    before: NDArray[np.float32], after: NDArray[np.float32], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Post-classification: change is where the most probable class is another one.

    Args:
        before: Scores of the earlier date ``(class, ...)``.
        after: Scores of the later date ``(class, ...)``, in the same classes.
        valid: ``(...)``, pixels that are to be believed on both dates.

    Returns:
        Where the land changed, and how probably both classes are right, as if errors of the dates had nothing to do
        with each other; NaN where a date is masked.
    """
    changed = valid & (before.argmax(axis=0) != after.argmax(axis=0))
    sure = np.where(valid, before.max(axis=0) * after.max(axis=0), np.float32(np.nan))
    return changed, sure.astype("float32")
