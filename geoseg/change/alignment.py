"""How far two dates lie apart on one grid, and moving one onto the other.

Phase correlation (Kuglin and Hines 1975) of many windows, each with a peak refined below a pixel by evaluating the
Fourier sum itself on a finer grid (Guizar-Sicairos and others 2008). Windows vote; a window that changed, or shows
water, has a blurred peak and no vote.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

#: A larger shift is no misregistration that moving one date would mend.
MOST_SHIFT_PX = 3.0
#: A smaller one is left alone: moving resamples.
LEAST_SHIFT_PX = 0.2
#: Windows that lie farther from their median than this, in the median, say that no single shift fits.
MOST_SCATTER_PX = 1.0

_LEAST_VALID = 0.8
_LEAST_WINDOWS, _LEAST_SHARE = 3, 0.1
# A shift is moved back where it is so many times as long as the median of the windows is uncertain: half of normal
# distances lie within 1.18 deviations, and a median scatters 1.25 times as much as a mean.
_SURE = 2 * 1.25 / 1.18
# The peak is looked for so far around no shift, and has to be so much higher than any other place of the window. Of 250
# pairs of noise in windows of 128 px at most one had a peak 1.4 times as high there, in windows of 64 px twelve.
_REACH_PX, _AROUND_PX, _LEAST_PEAK = 8, 3, 1.5
# Frequencies in cycles per pixel: beyond the highest, resampling and aliasing have the say, below the lowest the light.
_HIGHEST, _FALL, _LOWEST = 0.45, 0.3, 0.02
_STEPS_PX = (0.1, 0.01)
# Masked pixels fade out over so many pixels: an edge that stays where it is would say that nothing moved.
_FADE_PX = 8

Verdict = Literal["consistent", "refused", "unmeasured", "left"]


@dataclass(frozen=True, slots=True)
class WindowShift:
    """Shift of one window.

    Attributes:
        dy_px: Rows by which the later date lies farther down than the earlier one.
        dx_px: Columns by which it lies farther right.
        peak: How many times as high the peak is as the highest other place.
    """

    dy_px: float
    dx_px: float
    peak: float

    @property
    def is_good(self) -> bool:
        """Whether the window has a vote."""
        return self.peak >= _LEAST_PEAK


@dataclass(frozen=True, slots=True)
class Alignment:
    """How two dates lie on one grid.

    Attributes:
        dy_px: Rows by which the later date lies farther down: the median of the good windows.
        dx_px: Columns by which it lies farther right.
        scatter_px: Median distance of good windows from that median.
        good: Windows with a vote.
        windows: Windows that were looked at.
        verdict: ``consistent`` where one shift fits, small enough to be mended; ``refused`` where none does;
            ``unmeasured`` where too few windows show the same ground on both dates; ``left`` where the job asks for
            dates as they lie.
    """

    dy_px: float
    dx_px: float
    scatter_px: float
    good: int
    windows: int
    verdict: Verdict

    @property
    def shift_px(self) -> float:
        """Length of the shift."""
        return math.hypot(self.dy_px, self.dx_px)

    @property
    def good_share(self) -> float:
        """Share of windows with a vote."""
        return self.good / self.windows if self.windows else 0.0

    @property
    def correction(self) -> tuple[float, float]:
        """Rows and columns by which the later date is to be moved back; zeros where it lies well enough.

        Or where the windows do not agree well enough to say that it does not.
        """
        unsure = _SURE * self.scatter_px / math.sqrt(max(1, self.good))
        is_moved = self.verdict == "consistent" and self.shift_px > max(LEAST_SHIFT_PX, unsure)
        return (self.dy_px, self.dx_px) if is_moved else (0.0, 0.0)

    @property
    def left_px(self) -> float:
        """Misregistration that is left after the correction: what an edge may be off by."""
        return self.scatter_px if any(self.correction) else math.hypot(self.shift_px, self.scatter_px)

    def facts(self) -> dict[str, Any]:
        """JSON, from which ``Alignment(**facts)`` makes it again."""
        return asdict(self)


def align(shifts: Iterable[WindowShift | None]) -> Alignment:
    """What windows say together.

    Args:
        shifts: From ``measure_window``.
    """
    found = list(shifts)
    good = [shift for shift in found if shift is not None and shift.is_good]
    if len(good) < max(_LEAST_WINDOWS, _LEAST_SHARE * len(found)):
        return Alignment(0.0, 0.0, 0.0, len(good), len(found), "unmeasured")
    places = np.array([(shift.dy_px, shift.dx_px) for shift in good])
    middle = np.median(places, axis=0)
    scatter = float(np.median(np.hypot(*(places - middle).T)))
    # Hundredths: what is measured no better needs no more digits in a key.
    dy, dx = (round(float(value), 2) + 0.0 for value in middle)
    fits = scatter <= MOST_SCATTER_PX and math.hypot(dy, dx) <= MOST_SHIFT_PX
    return Alignment(dy, dx, round(scatter, 2), len(good), len(found), "consistent" if fits else "refused")


def measure_window(
    before: NDArray[np.floating], after: NDArray[np.floating], valid: NDArray[np.bool_]
) -> WindowShift | None:
    """Shift between two dates of one window.

    Args:
        before: One band of the earlier date, or the mean of several, ``(row, col)``.
        after: The same of the later date.
        valid: ``(row, col)``, pixels that are to be believed on both dates.

    Returns:
        The shift; ``None`` where too little is valid, or a date shows nothing but one value.
    """
    if valid.size == 0 or valid.mean() < _LEAST_VALID:
        return None
    fade = _fade(valid)
    earlier, later = _spectrum(before, valid, fade), _spectrum(after, valid, fade)
    if earlier is None or later is None:
        return None
    cross: NDArray[np.complex128] = later * np.conj(earlier)
    size = np.abs(cross)
    cross *= np.where(size > 0, _passed(*valid.shape) / np.where(size > 0, size, 1.0), 0.0)
    heights = np.fft.ifft2(cross).real
    row, col, peak = _peak(heights)
    dy, dx = float(row), float(col)
    for step in _STEPS_PX:
        dy, dx = _refined(cross, dy, dx, step)
    return WindowShift(dy, dx, peak)


def _peak(heights: NDArray[np.float64]) -> tuple[int, int, float]:
    """The highest place near no shift, and how many times as high it is as the highest one away from it."""
    rows, cols = heights.shape
    reach_y, reach_x = min(_REACH_PX, (rows - 1) // 2), min(_REACH_PX, (cols - 1) // 2)
    near = heights[np.ix_(np.arange(-reach_y, reach_y + 1), np.arange(-reach_x, reach_x + 1))]
    row, col = (int(place) for place in np.unravel_index(int(np.argmax(near)), near.shape))
    row, col = row - reach_y, col - reach_x
    others = heights.copy()
    around = np.arange(-_AROUND_PX, _AROUND_PX + 1)
    others[np.ix_((row + around) % rows, (col + around) % cols)] = 0.0
    highest = max(float(others.max()), np.finfo("float64").tiny)
    return row, col, float(heights[row, col]) / highest


def _fade(valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weight of each pixel: less towards the window's edges, and towards masked pixels."""
    rows, cols = (np.hanning(side + 2)[1:-1] for side in valid.shape)
    fade: NDArray[np.float64] = rows[:, None] * cols[None, :]
    if not valid.all():
        fade = fade * np.clip(ndi.distance_transform_edt(valid) / _FADE_PX, 0.0, 1.0)
    return fade


def _spectrum(
    image: NDArray[np.floating], valid: NDArray[np.bool_], fade: NDArray[np.float64]
) -> NDArray[np.complex128] | None:
    """Fourier transform of what is valid, less its mean; ``None`` where that is nothing."""
    values = image.astype("float64")
    mean = float(values[valid].mean())
    off = np.where(valid, values - mean, 0.0)
    if not np.abs(off).max() > np.finfo("float32").eps * max(1.0, abs(mean)):
        return None
    spectrum: NDArray[np.complex128] = np.fft.fft2(off * fade)
    return spectrum


@lru_cache(maxsize=8)
def _passed(rows: int, cols: int) -> NDArray[np.float64]:
    """Weight of each frequency."""
    radius = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(cols)[None, :])
    weights: NDArray[np.float64] = np.exp(-((radius / _FALL) ** 2))
    weights[(radius > _HIGHEST) | (radius < _LOWEST)] = 0.0
    return weights


def _refined(phases: NDArray[np.complex128], dy: float, dx: float, step: float) -> tuple[float, float]:
    """The highest place on a grid of ``step`` around a peak, ten steps to each side."""
    ten = np.arange(-10, 11) * step
    rows, cols = phases.shape
    down = np.exp(2j * np.pi * np.outer(dy + ten, np.fft.fftfreq(rows)))
    across = np.exp(2j * np.pi * np.outer(np.fft.fftfreq(cols), dx + ten))
    heights = (down @ phases @ across).real
    row, col = np.unravel_index(int(np.argmax(heights)), heights.shape)
    return dy + float(ten[row]), dx + float(ten[col])


#: Pixels around a place that ``moved`` looks at, beside the whole pixels of the shift.
KERNEL_PX = 2


def moved(image: NDArray[np.floating], dy_px: float, dx_px: float) -> NDArray[np.float32]:
    """What lies ``dy_px`` rows down and ``dx_px`` columns right of each pixel: an image moved up and left.

    Cubic convolution (Keys 1981) over four rows and four columns: a finite kernel, so that a tile with enough around it
    gives what the whole image gives.

    Args:
        image: ``(..., row, col)``; NaN for what is masked.
        dy_px: Rows, such as ``Alignment.correction`` says.
        dx_px: Columns.

    Returns:
        Same shape; NaN where the kernel meets NaN or the edge.
    """
    return _along(_along(image.astype("float64"), dy_px, -2), dx_px, -1).astype("float32")


def _along(image: NDArray[np.float64], shift: float, axis: int) -> NDArray[np.float64]:
    whole = math.floor(shift)
    part = shift - whole
    taps = [(whole, 1.0)] if part == 0 else list(zip(range(whole - 1, whole + 3), _keys(part), strict=True))
    out = np.zeros_like(image)
    for offset, weight in taps:
        out += _shifted(image, offset, axis) * weight
    return out


def _keys(part: float) -> tuple[float, float, float, float]:
    """Weights of the pixels at -1, 0, 1 and 2 for a place between 0 and 1."""
    t, t2, t3 = part, part**2, part**3
    return (-t3 + 2 * t2 - t) / 2, (3 * t3 - 5 * t2 + 2) / 2, (-3 * t3 + 4 * t2 + t) / 2, (t3 - t2) / 2


def _shifted(image: NDArray[np.float64], offset: int, axis: int) -> NDArray[np.float64]:
    """Pixels ``offset`` farther along an axis; NaN beyond the edge."""
    out = np.full_like(image, np.nan)
    length = image.shape[axis]
    if abs(offset) >= length:
        return out
    into, source = [slice(None)] * image.ndim, [slice(None)] * image.ndim
    into[axis] = slice(max(0, -offset), length - max(0, offset))
    source[axis] = slice(max(0, offset), length - max(0, -offset))
    out[tuple(into)] = image[tuple(source)]
    return out
