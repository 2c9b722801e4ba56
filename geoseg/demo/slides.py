"""Generated hillsides with landslides and with what looks like them: for judging what evidence is worth.

The landslides are those of `landscape`; decoys are bare ground of the very same spectra, so that only terrain, shape and
surroundings tell them apart. Quarries and road cuts change the relief as they do outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray

from geoseg.demo import classes as c
from geoseg.demo.landscape import Landscape, make_landscape
from geoseg.demo.noise import Floats, smoothstep
from geoseg.demo.spectra import Sun, illumination, make_cover, reflectance
from geoseg.demo.terrain import PIXEL_M, Terrain

Decoy = Literal["bare field", "river bar", "quarry", "road cut"]
DECOYS: tuple[Decoy, ...] = ("bare field", "river bar", "quarry", "road cut")
SLIDE = 1
"""Value of landslides in the truth; decoys follow in the order of `DECOYS`, and 0 is all else."""

_APART_PX = 5
_TRIES = 40
_LEAST_PX = 30

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SlideScene:
    """One landscape with landslides and decoys at 10 m.

    Attributes:
        landscape: As a sensor sees it: decoys are landslides in its truth.
        truth: uint8 (rows, cols): 0, `SLIDE`, and 2 onwards for decoys.
    """

    landscape: Landscape
    truth: NDArray[np.uint8]

    def before(self) -> SlideScene:
        """The same ground some years earlier: every second landslide is grass as yet, and all decoys are there."""
        gone = ndi.label(self.truth == SLIDE)[0] % 2 == 1
        truth = np.where(gone, np.uint8(c.GRASSLAND), self.landscape.truth)
        return SlideScene(replace(self.landscape, truth=truth), np.where(gone, np.uint8(0), self.truth))

    def image(self, bands: tuple[str, ...], visit: int = 9) -> Floats:
        """Reflectance on a clear day, (band, rows, cols); another visit has other noise."""
        values = reflectance(make_cover(self.landscape), bands, 0.3)
        values *= illumination(self.landscape, Sun(60, 56))
        rng = np.random.default_rng([self.landscape.seed, visit])
        noise = rng.standard_normal(values.shape, dtype=np.float32)
        return np.asarray(np.clip(values + (0.0035 + 0.02 * values) * noise, 0, 1), np.float32)


def make_slides(seed: int, shape: tuple[int, int], decoys: Sequence[Decoy]) -> SlideScene:
    """A landscape with its landslides, and about as many decoys of some kinds.

    Args:
        seed: Which landscape.
        shape: Rows and columns at 10 m, at least 128 each.
        decoys: Kinds to place, in turn.
    """
    base = make_landscape(seed, shape)
    rng = np.random.default_rng([seed, 8])
    truth = np.where(base.truth == c.LANDSLIDE, np.uint8(SLIDE), np.uint8(0))
    wanted = int(ndi.label(truth)[1])
    terrain, taken = base.terrain, _grown(truth > 0)
    elevation = terrain.elevation_m.copy()
    for number in range(wanted):
        kind = decoys[number % len(decoys)]
        for _ in range(_TRIES):
            mask, heights = _PLACES[kind](rng, base, elevation)
            if np.count_nonzero(mask) >= _LEAST_PX and not (mask & taken).any():
                truth[mask] = 2 + DECOYS.index(kind)
                taken |= _grown(mask)
                elevation = heights
                break
    painted = np.where(truth > 0, np.uint8(c.LANDSLIDE), base.truth)
    return SlideScene(replace(base, truth=painted, terrain=_with_heights(terrain, elevation)), truth)


def _bare_field(rng: np.random.Generator, base: Landscape, elevation_m: Floats) -> tuple[Mask, Floats]:
    """One whole field, ploughed."""
    row, col = _somewhere(rng, base.truth == c.CROPLAND)
    same = (base.fields.field == base.fields.field[row, col]) & (base.truth == c.CROPLAND)
    return _connected(same, row, col), elevation_m


def _river_bar(rng: np.random.Generator, base: Landscape, elevation_m: Floats) -> tuple[Mask, Floats]:
    """A strip along the bank."""
    shore = base.terrain.river_px - base.terrain.river_halfwidth_px
    bank = (shore > 0.5) & (shore < rng.uniform(4, 8)) & (base.truth != c.WATER) & (base.truth != c.BUILT_UP)
    row, col = _somewhere(rng, bank)
    rows, cols = np.ogrid[: base.shape[0], : base.shape[1]]
    near = np.hypot(rows - row, cols - col) < rng.uniform(8, 20)
    return _connected(bank & near, row, col), elevation_m


def _quarry(rng: np.random.Generator, base: Landscape, elevation_m: Floats) -> tuple[Mask, Floats]:
    """A pit cut into a hillside: a level floor, and a wall behind it."""
    row, col = _somewhere(rng, (base.terrain.slope > 0.18) & _is_wild(base))
    rows, cols = np.ogrid[: base.shape[0], : base.shape[1]]
    angle, long, short = rng.uniform(0, np.pi), rng.uniform(8, 14), rng.uniform(6, 10)
    x, y = (
        (cols - col) * np.cos(angle) + (rows - row) * np.sin(angle),
        (rows - row) * np.cos(angle) - (cols - col) * np.sin(angle),
    )
    radius = np.hypot(x / long, y / short) + 0.06 * np.sin(3 * np.arctan2(y, x) + angle)
    mask = (radius < 1) & _is_wild(base)
    if not mask.any():
        return mask, elevation_m
    floor = float(np.quantile(elevation_m[mask], 0.2))
    pit = np.minimum(elevation_m, np.float32(floor) + 0.4 * smoothstep(radius.astype(np.float32), 0, 1))
    inner = smoothstep(radius.astype(np.float32), 1.0, 0.82)  # the wall takes the rest
    return mask, np.asarray(np.where(mask, elevation_m + (pit - elevation_m) * inner, elevation_m), np.float32)


def _road_cut(rng: np.random.Generator, base: Landscape, elevation_m: Floats) -> tuple[Mask, Floats]:
    """A bench along a hillside that climbs slowly."""
    row, col = (float(v) for v in _somewhere(rng, (base.terrain.slope > 0.2) & _is_wild(base)))
    side, climb, width = rng.choice([-1, 1]), rng.uniform(-0.15, 0.15), rng.uniform(1.6, 2.6)
    mask = np.zeros(base.shape, bool)
    rows, cols = np.ogrid[: base.shape[0], : base.shape[1]]
    for _ in range(int(rng.uniform(30, 80))):
        r, q = int(row), int(col)
        if not (0 <= r < base.shape[0] and 0 <= q < base.shape[1]) or base.terrain.slope[r, q] < 0.12:
            break
        top, left = max(0, r - 4), max(0, q - 4)
        part = np.s_[top : r + 5, left : q + 5]
        mask[part] |= np.hypot(rows[top : r + 5] - row, cols[:, left : q + 5] - col) <= width
        down = base.terrain.downhill[:, r, q]
        row += float(side * down[1] - climb * down[0])
        col += float(-side * down[0] - climb * down[1])
    mask &= _is_wild(base)
    level = ndi.gaussian_filter(elevation_m, 2.0)
    return mask, np.asarray(np.where(mask, level, elevation_m), np.float32)


_PLACES: dict[Decoy, Callable[[np.random.Generator, Landscape, Floats], tuple[Mask, Floats]]] = {
    "bare field": _bare_field,
    "river bar": _river_bar,
    "quarry": _quarry,
    "road cut": _road_cut,
}


def _is_wild(base: Landscape) -> Mask:
    return np.asarray((base.truth == c.FOREST) | (base.truth == c.GRASSLAND))


def _somewhere(rng: np.random.Generator, allowed: Mask) -> tuple[int, int]:
    """A random pixel of those allowed; any pixel where none is."""
    found = np.flatnonzero(allowed)
    place = int(found[rng.integers(len(found))]) if len(found) else 0
    row, col = divmod(place, allowed.shape[1])
    return row, col


def _connected(mask: Mask, row: int, col: int) -> Mask:
    labels, _ = ndi.label(mask)
    return np.asarray((labels == labels[row, col]) & mask)


def _grown(mask: Mask) -> Mask:
    return np.asarray(ndi.binary_dilation(mask, iterations=_APART_PX))


def _with_heights(terrain: Terrain, elevation_m: Floats) -> Terrain:
    """The same relief with other heights, and the slopes that belong to them."""
    smooth = ndi.gaussian_filter(elevation_m, 2.0)
    d_row, d_col = (g.astype(np.float32) / np.float32(PIXEL_M) for g in np.gradient(smooth))
    slope = np.hypot(d_row, d_col)
    downhill = -np.stack([d_row, d_col]) / np.maximum(slope, 1e-6)
    return replace(terrain, elevation_m=elevation_m, slope=slope, downhill=downhill)
