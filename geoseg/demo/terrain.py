"""Relief of a generated landscape: a meandering river in its valley, and hills around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi

from geoseg.demo.noise import Floats, fractal, smoothstep

PIXEL_M = 10.0
_RELIEF_M = 420.0


@dataclass(frozen=True, slots=True)
class Terrain:
    """Relief and river, all (rows, cols) at 10 m.

    Attributes:
        elevation_m: Height above the sea in metres.
        slope: Rise over run of the slightly smoothed relief.
        downhill: (2, rows, cols), the unit vector (row, col) of steepest descent.
        river_px: Distance to the river's centre line in pixels.
        river_halfwidth_px: Half the river's width at its nearest point.
        river_bend: Signed bend of the river at its nearest point times the side of the pixel; positive on the inner
            side of bends, where gravel gathers.
    """

    elevation_m: Floats
    slope: Floats
    downhill: Floats
    river_px: Floats
    river_halfwidth_px: Floats
    river_bend: Floats


@dataclass(frozen=True, slots=True)
class _River:
    rows: Floats
    cols: Floats
    halfwidth: Floats
    bend: Floats
    along: Floats


def make_terrain(rng: np.random.Generator, shape: tuple[int, int]) -> Terrain:
    """The relief of a landscape of ``shape`` (rows, cols) pixels of 10 m."""
    river = _trace_river(rng, shape)
    line = np.ones(shape, bool)
    which = np.zeros(shape, np.int32)
    inside = (river.rows >= 0) & (river.rows < shape[0]) & (river.cols >= 0) & (river.cols < shape[1])
    rows, cols = river.rows[inside].astype(int), river.cols[inside].astype(int)
    line[rows, cols] = False
    which[rows, cols] = np.flatnonzero(inside)
    distance, nearest = ndi.distance_transform_edt(line, return_indices=True)
    point = which[nearest[0], nearest[1]]
    distance = distance.astype(np.float32)
    # The side: sign of the cross product of the river's direction and the way to the pixel.
    heading_row, heading_col = np.gradient(river.rows), np.gradient(river.cols)
    row, col = np.ogrid[: shape[0], : shape[1]]
    side = heading_col[point] * (row - river.rows[point]) - heading_row[point] * (col - river.cols[point])
    bend = ndi.gaussian_filter(np.sign(side).astype(np.float32) * river.bend[point], 2.0)

    fall = river.along[point] * np.float32(0.0015 * PIXEL_M)
    elevation = _hills(rng, shape, distance) + np.float32(160.0) - ndi.gaussian_filter(fall, 12.0)
    halfwidth = ndi.gaussian_filter(river.halfwidth[point], 3.0)
    elevation -= 6.0 * (1 - smoothstep(distance - halfwidth, -4, 3))
    smooth = ndi.gaussian_filter(elevation, 2.0)
    d_row, d_col = (g.astype(np.float32) / np.float32(PIXEL_M) for g in np.gradient(smooth))
    slope = np.hypot(d_row, d_col)
    downhill = -np.stack([d_row, d_col]) / np.maximum(slope, 1e-6)
    return Terrain(elevation.astype(np.float32), slope, downhill, distance, halfwidth, bend)


def _trace_river(rng: np.random.Generator, shape: tuple[int, int]) -> _River:
    """A sine-generated curve (Langbein and Leopold 1966) with varying wavelength, from the left to the right edge."""
    step = 0.5
    count = int(shape[1] * 2.6 / step) + 2000
    s = np.arange(count) * step
    phase = np.cumsum(step * 2 * np.pi / (330 + 90 * np.sin(s / 510 + rng.uniform(0, 6)) + 60 * np.sin(s / 173)))
    swing = 1.05 + 0.25 * np.sin(s / 430 + rng.uniform(0, 6))
    angle = swing * np.sin(phase + rng.uniform(0, 6)) + 0.22 * np.sin(s / 790 + rng.uniform(0, 6))
    cols = np.cumsum(np.cos(angle)) * step - 60
    rows = np.cumsum(np.sin(angle)) * step
    kept = cols <= shape[1] + 60
    rows, cols, s, angle = rows[kept], cols[kept], s[kept], angle[kept]
    trend = np.polyval(np.polyfit(cols, rows, 1), cols) - rows.mean()
    rows = rows - rows.mean() - 0.7 * trend + shape[0] * rng.uniform(0.42, 0.58)
    wander = ndi.gaussian_filter1d(rng.standard_normal(rows.size), 120 / step)
    halfwidth = 6.0 + 2.2 * wander / wander.std()
    bend = ndi.gaussian_filter1d(np.gradient(angle, step), 30) * 60
    arrays = (rows, cols, np.clip(halfwidth, 3.0, 11.0), bend, s)
    return _River(*(a.astype(np.float32) for a in arrays))


def _hills(rng: np.random.Generator, shape: tuple[int, int], river_px: Floats) -> Floats:
    """Hills that rise from the flood plain; ridged noise, so that side valleys look drained."""
    broad = np.tanh(fractal(rng, shape, 420, 3.0))
    ridged = 1 - 1.5 * np.tanh(0.9 * np.abs(fractal(rng, shape, 200, 2.9)))
    rough = fractal(rng, shape, 70, 2.6)
    plain = 200 + 80 * broad
    rise = smoothstep((river_px - plain) / np.float32(380), 0.0, 1.0)
    hills = rise * (0.75 + 0.3 * broad + 0.5 * ridged + 0.05 * rough) * _RELIEF_M
    return np.asarray(hills + 3.0 * broad + 0.8 * rough, dtype=np.float32)
