"""Many dates to one image, pixel by pixel, by a written rule, in strips of rows.

Rules (a pixel is *usable* on a date when every band was observed and the sensor's mask agrees):

- ``first``: the newest scene in which the pixel is usable.
- ``least-cloudy``: the same, items ordered by the cloud cover that each states of itself.
- ``median``: per band, the median of all scenes in which the pixel is usable (the mean of the two middle ones).

With ``mean-scores`` the images stay apart: each scene is an image of its own, whose scores are combined by
``geoseg.predict``.

A pixel that a scene should have given and whose read failed is *failed*: it never falls through to another scene,
because then a network fault would change the map in silence. The number of dates costs no memory: strips of rows are
finished one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoseg.load import LazyItem, Pixels, Rasters, Resampling, lazy_item, pixels_of
from geoseg.pixels import Reason
from geoseg.scenes import Scene

MEAN_SCORES = "mean-scores"


@dataclass(frozen=True, slots=True)
class Composite:
    """One image made of many dates.

    Attributes:
        values: (band, y, x) float32 in the unit that was asked for; NaN where ``reason`` is not ``OBSERVED``.
        reason: (y, x) uint8, see ``geoseg.pixels.Reason``.
        used_px: Item key to the number of counted pixels it gave (for ``median``: had a say in).
        failures: What could not be read: file to the cause.
        dates: Images that lie one behind the other in ``values``, each with all bands: (date x band, y, x).
    """

    values: NDArray[np.float32]
    reason: NDArray[np.uint8]
    used_px: Mapping[str, int]
    failures: Mapping[str, str]
    dates: int = 1


def join(before: Composite, after: Composite) -> Composite:
    """Two dates as one image of twice the bands.

    A pixel is observed where both dates observed it. Else it has failed where either date failed, so that no fault
    passes for a gap; else it was masked where either date masked it; else nothing covers it on one of them.

    Args:
        before: Earlier date.
        after: Later date, same bands and window.
    """
    gaps = (Reason.FAILED, Reason.MODEL, Reason.MASKED, Reason.UNOBSERVED)
    either = [(before.reason == gap) | (after.reason == gap) for gap in gaps]
    reason = np.select(either, gaps, Reason.OBSERVED).astype("uint8")
    values = np.concatenate([before.values, after.values])
    np.copyto(values, np.nan, where=reason != Reason.OBSERVED)
    used = dict(before.used_px)
    for key, count in after.used_px.items():  # an item may serve both dates
        used[key] = used.get(key, 0) + count
    return Composite(values, reason, used, {**before.failures, **after.failures}, before.dates + after.dates)


@dataclass(slots=True)
class _Strip:
    """A strip while it is filled."""

    values: NDArray[np.float32]
    settled: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    seen: NDArray[np.bool_]

    @classmethod
    def on(cls, values: NDArray[np.float32]) -> _Strip:
        """A strip that is filled in place, ``values`` (band, y, x); what nothing settles is left as it is."""
        return cls(values, *(np.zeros(values.shape[1:], dtype=bool) for _ in range(3)))

    def feed(self, pixels: Pixels) -> NDArray[np.bool_]:
        """Take what an item gives to pixels that nothing has settled; returns which pixels it gave."""
        free = ~self.settled
        take = pixels.usable & free
        where = True if take.all() else take  # whole copies are quicker
        for out, band, scale in zip(self.values, pixels.bands, pixels.scales, strict=True):
            np.multiply(band, scale, out=out, where=where)
        lost = pixels.failed & free
        self.failed |= lost
        self.seen |= pixels.masked
        self.settled |= take | lost
        return take

    @property
    def reason(self) -> NDArray[np.uint8]:
        out = np.full(self.settled.shape, Reason.UNOBSERVED, dtype="uint8")
        out[self.seen] = Reason.MASKED
        out[self.settled] = Reason.OBSERVED
        out[self.failed] = Reason.FAILED
        return out


def make_composite(
    scenes: Sequence[Scene],
    geobox: GeoBox,
    bands: int,
    rule: str,
    quantity: str,
    *,
    counted: NDArray[np.bool_],
    strip_bytes: int,
    threads: int,
    rasters: Rasters | None = None,
    previews: bool = False,
    resampling: Resampling = "bilinear",
) -> Composite:
    """Read and merge scenes.

    Args:
        scenes: In the order of the rule (``geoseg.scenes.order_scenes``).
        geobox: Pixel grid of the result.
        bands: Number of bands.
        rule: ``first``, ``least-cloudy`` or ``median``.
        quantity: Unit of the values, see ``geoseg.load.lazy_item``.
        counted: (y, x), pixels that count in ``used_px``.
        strip_bytes: Memory for one strip of all dates that must be held together.
        threads: Reads at the same time.
        rasters: Opens the files.
        previews: Whether overviews are good enough.
        resampling: Of bands that do not lie on the grid.
    """
    dates = len(scenes) if rule == "median" else 1  # that are held together; the median of one date is that date
    rows = _strip_rows(geobox, bands, dates, strip_bytes)
    lazy = [
        [
            lazy_item(item, geobox, rows, quantity, rasters, previews=previews, resampling=resampling)
            for item in scene.items
        ]
        for scene in scenes
    ]
    values = np.empty((bands, *geobox.shape), dtype="float32")
    reason = np.full(geobox.shape, Reason.UNOBSERVED, dtype="uint8")
    used: dict[str, int] = {}
    failures: dict[str, str] = {}
    merge = _merge_median if dates > 1 else _merge_first
    for strip in _strips(geobox.shape[0], rows):
        reason[strip] = merge(lazy, strip, counted[strip], threads, used, failures, values[:, strip])
    gaps = reason != Reason.OBSERVED
    if gaps.any():
        np.copyto(values, np.nan, where=gaps)
    return Composite(values, reason, used, failures)


def _strip_rows(geobox: GeoBox, bands: int, dates: int, strip_bytes: int) -> int:
    """Rows that fit: each date's values and flags; and of one date what reading its bands holds beside them."""
    per_row: int = geobox.shape[1] * (4 * bands * (dates + 4) + 4 * dates + 16)
    fitting: int = strip_bytes // max(1, per_row) // 16 * 16
    height: int = geobox.shape[0]
    return max(16, min(height, fitting))


def _strips(height: int, rows: int) -> Iterator[slice]:
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))


def _feed(
    strip: _Strip,
    planned: LazyItem,
    rows: slice,
    counted: NDArray[np.bool_],
    threads: int,
    used: dict[str, int],
    failures: dict[str, str],
) -> None:
    """Read an item's part of a strip; keeps account of what it gave and what could not be read."""
    pixels, found = pixels_of(planned, rows, threads)
    for failure in found:
        failures.setdefault(failure.href, failure.cause)
    share = int(np.count_nonzero(strip.feed(pixels) & counted))
    if share:
        used[planned.item.key] = used.get(planned.item.key, 0) + share


def _merge_first(
    lazy: Sequence[Sequence[LazyItem]],
    rows: slice,
    counted: NDArray[np.bool_],
    threads: int,
    used: dict[str, int],
    failures: dict[str, str],
    values: NDArray[np.float32],
) -> NDArray[np.uint8]:
    strip = _Strip.on(values)
    for scene in lazy:
        for planned in scene:
            if strip.settled.all():
                return strip.reason
            _feed(strip, planned, rows, counted, threads, used, failures)
    return strip.reason


def _merge_median(
    lazy: Sequence[Sequence[LazyItem]],
    rows: slice,
    counted: NDArray[np.bool_],
    threads: int,
    used: dict[str, int],
    failures: dict[str, str],
    values: NDArray[np.float32],
) -> NDArray[np.uint8]:
    total = _Strip.on(values)
    stack = np.full((len(lazy), *values.shape), np.nan, dtype="float32")
    for number, scene in enumerate(lazy):
        strip = _Strip.on(stack[number])
        for planned in scene:
            _feed(strip, planned, rows, counted, threads, used, failures)
        total.failed |= strip.failed
        total.seen |= strip.seen
        total.settled |= strip.settled
    _median_of_observed(stack, total.values)
    return total.reason


def _median_of_observed(stack: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Median over the first axis without NaN; sorts ``stack`` in place, one band at a time."""
    for band in range(stack.shape[1]):
        dates = stack[:, band]
        dates.sort(axis=0)  # NaN goes last
        observed = np.count_nonzero(~np.isnan(dates), axis=0)
        low = np.take_along_axis(dates, np.maximum(observed - 1, 0)[None] // 2, axis=0)[0]
        high = np.take_along_axis(dates, (observed // 2)[None].clip(max=len(dates) - 1), axis=0)[0]
        out[band] = np.where(observed % 2, low, (low + high) / 2)
