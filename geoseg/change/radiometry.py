"""Brightness of two dates: what differs between all pixels alike, and so is no change.

IR-MAD is that of Nielsen (2007), "The regularized iteratively reweighted MAD method for change detection in multi- and
hyperspectral data", IEEE Transactions on Image Processing 16(2). It is invariant to an affine map of the bands of
either date, and so to gain, haze and most of the season.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc

from geoseg.errors import NothingToDoError

_ROUNDS, _TOLERANCE = 30, 1e-3
# Directions with a smaller share of the variance than this are combinations of other bands.
_RANK = 1e-10
# Two dates of which one follows from the other have no variance left; what rounding leaves is no change.
_LEAST_VARIANCE = 1e-8
# Reweighting that believes in fewer pixels than this has lost its way: the round before it stands.
_LEAST_SHARE = 0.01
_PIXELS_PER_BAND = 10
_BLOCK = 8192  # of twenty bands a megabyte: what is read again is still in the cache

type _Rows = tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Mad:
    """Canonical variates of two dates: differences in which changed pixels stand out.

    Attributes:
        before: Rows that take the bands of the earlier date to variates, ``(variate, band)``.
        after: The same for the later date.
        centre_before: Mean of each band of the earlier date, of unchanged pixels.
        centre_after: The same for the later date.
        variances: Of the difference of each pair of variates, where nothing changed.
        correlations: Of each pair of variates, highest first.
        rounds: Rounds of reweighting.
    """

    before: _Rows
    after: _Rows
    centre_before: tuple[float, ...]
    centre_after: tuple[float, ...]
    variances: tuple[float, ...]
    correlations: tuple[float, ...]
    rounds: int

    @property
    def swapped(self) -> Mad:
        """The same for the dates in the other order."""
        return Mad(
            self.after,
            self.before,
            self.centre_after,
            self.centre_before,
            self.variances,
            self.correlations,
            self.rounds,
        )

    def statistic(self, before: NDArray[np.floating], after: NDArray[np.floating]) -> NDArray[np.float64]:
        """Squared distance from no change, chi-square distributed where nothing changed.

        Each pixel is computed by itself with a fixed order of additions; with the dates swapped it is the same to the bit.

        Args:
            before: Earlier date ``(band, ...)``.
            after: Later date ``(band, ...)``.

        Returns:
            ``(...)``, at least 0; NaN where a band is NaN.
        """
        total = np.zeros(np.shape(before)[1:])
        for row_b, row_a, variance in zip(self.before, self.after, self.variances, strict=True):
            earlier = _combined(before, row_b, self.centre_before)
            later = _combined(after, row_a, self.centre_after)
            total += (earlier - later) ** 2 / variance
        return total

    def no_change(self, statistic: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of a statistic at least as large where nothing changed."""
        share: NDArray[np.float64] = gammaincc(max(1, len(self.variances)) / 2, statistic / 2)
        return share

    def facts(self) -> dict[str, Any]:
        """All that pixels depend on, for keys and records."""
        return {
            "before": self.before,
            "after": self.after,
            "centre_before": self.centre_before,
            "centre_after": self.centre_after,
            "variances": self.variances,
            "correlations": self.correlations,
            "rounds": self.rounds,
        }


def _combined(image: NDArray[np.floating], row: Sequence[float], centre: Sequence[float]) -> NDArray[np.float64]:
    """One variate; band by band, because a matrix product may add in another order on another machine."""
    total = np.zeros(np.shape(image)[1:])
    for band, factor, mean in zip(image, row, centre, strict=True):
        total += (band.astype("float64") - mean) * factor
    return total


def fit_mad(before: NDArray[np.floating], after: NDArray[np.floating]) -> Mad:
    """Fit IR-MAD to pixels of two dates.

    Bands are standardised first, means are taken off before products are summed, and sums are made in blocks of a fixed
    size without BLAS: the answer depends on neither brightness nor threads. With the dates swapped it is exactly
    the swapped answer.

    Args:
        before: Earlier date ``(band, n)``, finite.
        after: Later date ``(band, n)``, finite.

    Raises:
        NothingToDoError: If there are too few pixels to tell anything.
    """
    first, second = np.asarray(before, dtype="float64"), np.asarray(after, dtype="float64")
    least = _PIXELS_PER_BAND * (len(first) + len(second))
    if first.shape[1] < least:
        raise NothingToDoError(
            f"{first.shape[1]} pixels that are valid on both dates",
            f"at least {least} in the sample, to tell change from brightness",
            "choose dates or a region with more in common and less cloud",
        )
    if first.tobytes() > second.tobytes():
        return _fitted(second, first).swapped
    return _fitted(first, second)


def _fitted(before: NDArray[np.float64], after: NDArray[np.float64]) -> Mad:
    both = np.concatenate([before, after])
    middle, size = _standard(both)
    both = (both - middle[:, None]) / size[:, None]
    bands, weights = len(before), np.ones(both.shape[1])
    made: Mad | None = None
    for number in range(_ROUNDS):
        inner = _round(both, weights, bands, number + 1)
        if made is not None and _is_settled(made, inner):
            made = inner
            break
        made = inner
        weights = inner.no_change(_statistic(inner, both, bands))
        if float(weights.sum()) < _LEAST_SHARE * both.shape[1]:
            break
    assert made is not None  # noqa: S101  # there is a first round
    return _of_bands(made, middle, size, bands)


def _statistic(mad: Mad, both: NDArray[np.float64], bands: int) -> NDArray[np.float64]:
    """``Mad.statistic`` of a sample, many times as quick: only a fit asks, which needs no fixed order of additions."""
    rows = np.concatenate([np.array(mad.before).reshape(-1, bands), -np.array(mad.after).reshape(-1, bands)], axis=1)
    rows /= np.sqrt(np.array(mad.variances))[:, None]
    centre = np.array([*mad.centre_before, *mad.centre_after])[:, None]
    found = np.empty(both.shape[1])
    for start in range(0, both.shape[1], _BLOCK):
        part = slice(start, start + _BLOCK)
        found[part] = (np.einsum("vb,bn->vn", rows, both[:, part] - centre, optimize=False) ** 2).sum(axis=0)
    return found


def _is_settled(old: Mad, new: Mad) -> bool:
    pairs = zip(old.correlations, new.correlations, strict=False)
    return len(old.correlations) == len(new.correlations) and all(abs(a - b) < _TOLERANCE for a, b in pairs)


def _standard(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each band; 1 for bands without any."""
    middle = values.mean(axis=1)
    size = values.std(axis=1)
    return middle, np.where(size > _RANK * np.maximum(1.0, np.abs(middle)), size, 1.0)


def _round(both: NDArray[np.float64], weights: NDArray[np.float64], bands: int, number: int) -> Mad:
    """Canonical correlations of weighted pixels."""
    middle, moments = weighted_moments(both, weights)
    white_b, white_a = _whitening(moments[:bands, :bands]), _whitening(moments[bands:, bands:])
    left, found, right = np.linalg.svd(white_b @ moments[:bands, bands:] @ white_a.T, full_matrices=False)
    rho = np.clip(found, 0.0, 1.0)
    return Mad(
        _rows(left.T @ white_b),
        _rows(right @ white_a),
        tuple(middle[:bands].tolist()),
        tuple(middle[bands:].tolist()),
        tuple(np.maximum(2 * (1 - rho), _LEAST_VARIANCE).tolist()),
        tuple(rho.tolist()),
        number,
    )


def weighted_moments(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted mean and covariance.

    Args:
        values: ``(band, n)``.
        weights: ``(n,)``, not all 0.

    Returns:
        ``(band,)`` and ``(band, band)``. Summed block by block in order; within a block by NumPy, never by BLAS, whose order
        of additions depends on its threads.
    """
    total = float(weights.sum())
    starts = range(0, values.shape[1], _BLOCK)
    mean = np.zeros(len(values))
    for start in starts:
        mean += (values[:, start : start + _BLOCK] * weights[start : start + _BLOCK]).sum(axis=1)
    mean /= total
    moments = np.zeros((len(values), len(values)))
    for start in starts:
        off = values[:, start : start + _BLOCK] - mean[:, None]
        moments += np.einsum("in,jn->ij", off * weights[start : start + _BLOCK], off, optimize=False)
    return mean, (moments + moments.T) / (2 * total)


def _whitening(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows that take values to uncorrelated ones of variance 1, ``(rank, band)``."""
    sizes, axes = np.linalg.eigh(covariance)
    kept = sizes > _RANK * max(float(sizes[-1]), np.finfo("float64").tiny)
    white: NDArray[np.float64] = (axes[:, kept] / np.sqrt(sizes[kept])).T
    return white


def _of_bands(made: Mad, middle: NDArray[np.float64], size: NDArray[np.float64], bands: int) -> Mad:
    """A fit to standardised bands as one to the bands themselves."""
    centre = middle + size * np.array([*made.centre_before, *made.centre_after])
    return Mad(
        _rows(np.array(made.before).reshape(-1, bands) / size[:bands]),
        _rows(np.array(made.after).reshape(-1, len(size) - bands) / size[bands:]),
        tuple(centre[:bands].tolist()),
        tuple(centre[bands:].tolist()),
        made.variances,
        made.correlations,
        made.rounds,
    )


def _rows(matrix: NDArray[np.float64]) -> _Rows:
    return tuple(tuple(row) for row in matrix.tolist())


# From here on: one date in the brightness of the other.

_INVARIANT = 0.95
_LEAST_INVARIANT = 100
_TRIMS, _TRIM = 10, 3 * 1.4826  # three standard deviations, by the median of absolute deviations


@dataclass(frozen=True, slots=True)
class LinearFit:
    """What takes each band of the earlier date to the brightness of the later one.

    Attributes:
        slopes: Per band.
        intercepts: Per band.
        pixels: Unchanged pixels that each band's line was drawn through.
    """

    slopes: tuple[float, ...]
    intercepts: tuple[float, ...]
    pixels: tuple[int, ...]

    def apply(self, before: NDArray[np.floating]) -> NDArray[np.float64]:
        """The earlier date ``(band, ...)`` in the brightness of the later one."""
        lines = zip(before, self.slopes, self.intercepts, strict=True)
        return np.stack([band.astype("float64") * slope + intercept for band, slope, intercept in lines])


def fit_lines(before: NDArray[np.floating], after: NDArray[np.floating], no_change: NDArray[np.float64]) -> LinearFit:
    """A robust line per band through unchanged pixels.

    The line is the standardised major axis: both dates are noisy, and swapping them gives the inverse line. Pixels three
    deviations off are left out and the line is drawn anew, until none leaves. With the dates swapped it is exactly the
    inverse line.

    Args:
        before: Earlier date ``(band, n)``.
        after: Later date ``(band, n)``.
        no_change: ``(n,)``, from ``Mad.no_change``. Pixels above 0.95 count; the most probable 100 where those are fewer.
    """
    least = min(_LEAST_INVARIANT, len(no_change))
    bar = min(_INVARIANT, float(np.sort(no_change)[-least])) if least else 0.0
    steady = no_change >= bar
    lines = [
        _line(x[steady].astype("float64"), y[steady].astype("float64")) for x, y in zip(before, after, strict=True)
    ]
    slopes, intercepts, pixels = zip(*lines, strict=True)
    return LinearFit(slopes, intercepts, pixels)


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float, int]:
    """Slope, intercept and pixels of one band."""
    kept = np.ones(x.shape, dtype=bool)
    slope, intercept = 1.0, 0.0
    for _ in range(_TRIMS):
        slope, intercept = _major_axis(x[kept], y[kept])
        off = np.abs(y - slope * x - intercept)
        inside = off <= _TRIM * max(float(np.median(off[kept])), np.finfo("float64").tiny)
        if (inside == kept).all() or not inside.any():
            break
        kept = inside
    return slope, intercept, int(kept.sum())


def _major_axis(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    mean_x, mean_y = float(x.mean()), float(y.mean())
    size_x, size_y = float(x.std()), float(y.std())
    if not size_x or not size_y:
        return 1.0, mean_y - mean_x
    slope = size_y / size_x  # never falls: no light makes bright land dark and dark land bright
    return slope, mean_y - slope * mean_x
