"""The class map of a generated landscape, and what its spectra need to know about each pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray

from geoseg.demo import classes as c
from geoseg.demo.fields import Fields, make_fields
from geoseg.demo.noise import fractal, hashed
from geoseg.demo.settlements import NONE, Settlements, make_settlements
from geoseg.demo.terrain import Terrain, make_terrain


@dataclass(frozen=True, slots=True)
class Landscape:
    """One landscape at 10 m, without weather and sensor.

    Attributes:
        seed: What it was made from.
        truth: uint8 (rows, cols), indices of ``classes.LANDCOVER``.
        terrain: Relief and river.
        fields: Pattern of fields (over everything; look at ``truth`` for where it holds).
        settlements: Towns and roads.
    """

    seed: int
    truth: NDArray[np.uint8]
    terrain: Terrain
    fields: Fields
    settlements: Settlements

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.truth.shape[0], self.truth.shape[1]


def make_landscape(seed: int, shape: tuple[int, int]) -> Landscape:
    """A landscape of ``shape`` (rows, cols) pixels of 10 m; another seed gives another one of the same kind.

    Raises:
        ValueError: If a side is shorter than 128 pixels.
    """
    if min(shape) < 128:
        raise ValueError(f"a landscape needs at least 128 x 128 pixels, not {shape}")
    rng = np.random.default_rng([seed, 0])
    terrain = make_terrain(rng, shape)
    fields = make_fields(rng, shape)
    settlements = make_settlements(rng, terrain)
    truth = _farmland(rng, terrain, fields)
    truth[_forest(rng, terrain)] = c.FOREST
    truth[scars(rng, terrain, truth)] = c.LANDSLIDE
    built = settlements.fabric != NONE
    # Fields and woods end before the first garden; what lies between is grass.
    truth[ndi.binary_dilation(built, iterations=2) & (truth == c.LANDSLIDE)] = c.GRASSLAND
    shore = terrain.river_px - terrain.river_halfwidth_px
    gravel = (shore < 1.5 + 6.5 * np.clip(terrain.river_bend + 0.25 * fractal(rng, shape, 14, 1.8) - 0.12, 0, 1.4)) & (
        terrain.river_bend > 0.15
    )
    truth[gravel] = c.GRAVEL
    truth[(shore < 0.6 * fractal(rng, shape, 10, 1.6)) | _lakes(rng, terrain, built)] = c.WATER
    truth[built] = c.BUILT_UP
    return Landscape(seed, truth, terrain, fields, settlements)


def _farmland(rng: np.random.Generator, terrain: Terrain, fields: Fields) -> NDArray[np.uint8]:
    """Cropland on flat ground, field by field, grassland elsewhere."""
    fit = 0.10 - terrain.slope + 0.02 * fractal(rng, terrain.slope.shape, 150, 2.0)
    _, field = np.unique(fields.field, return_inverse=True)
    field = field.reshape(fields.field.shape)
    mean = np.bincount(field.ravel(), fit.ravel()) / np.bincount(field.ravel())
    is_crop = (mean[field] > 0) & (hashed(fields.field, 11) > 0.22)
    # A field on the edge of the hills ends where its slope gets steep.
    return np.where(is_crop & (terrain.slope < 0.2), np.uint8(c.CROPLAND), np.uint8(c.GRASSLAND))


def _forest(rng: np.random.Generator, terrain: Terrain) -> NDArray[np.bool_]:
    shape = terrain.slope.shape
    score = fractal(rng, shape, 130, 2.0) + 0.26 * fractal(rng, shape, 16, 1.8)
    score += 2.4 * np.clip(terrain.slope, 0, 0.5)
    riparian = np.abs(terrain.river_px - terrain.river_halfwidth_px - 7) < 6
    score += 0.9 * riparian
    wood = score > np.quantile(score, 0.70)
    wood = ndi.binary_opening(wood, iterations=1)
    return np.asarray(wood)


def scars(rng: np.random.Generator, terrain: Terrain, truth: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Strips of bare ground that run downhill from points on steep slopes, wider at the toe; (rows, cols) bool."""
    rows, cols = truth.shape
    found = np.zeros(truth.shape, bool)
    steep = np.flatnonzero((terrain.slope > max(0.22, float(np.quantile(terrain.slope, 0.86)))) & (truth != c.CROPLAND))
    if not steep.size:
        return found
    for start in rng.choice(steep, max(3, round(rows * cols / 95**2))):
        row, col = (float(v) for v in divmod(int(start), cols))
        length, width = rng.uniform(18, 64), rng.uniform(2.0, 4.6)
        for travelled in np.arange(0, length, 0.8):
            r, q = int(row), int(col)
            if not (0 <= r < rows and 0 <= q < cols) or terrain.slope[r, q] < 0.07:
                break
            _stamp(found, row, col, width * (0.65 + 0.75 * travelled / length + 0.25 * rng.standard_normal()))
            row += 0.8 * float(terrain.downhill[0, r, q]) + 0.12 * rng.standard_normal()
            col += 0.8 * float(terrain.downhill[1, r, q]) + 0.12 * rng.standard_normal()
    return found & (terrain.river_px > terrain.river_halfwidth_px + 4)


def _stamp(mask: NDArray[np.bool_], row: float, col: float, radius: float) -> None:
    reach = int(max(radius, 1)) + 1
    top, left = max(0, int(row) - reach), max(0, int(col) - reach)
    part = mask[top : int(row) + reach + 1, left : int(col) + reach + 1]
    y, x = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    part |= (y - row) ** 2 + (x - col) ** 2 <= max(radius, 1) ** 2


def _lakes(rng: np.random.Generator, terrain: Terrain, built: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Oxbow lakes and ponds on the flood plain."""
    score = fractal(rng, built.shape, 45, 2.4) + 0.06 * fractal(rng, built.shape, 8, 1.5)
    low = (terrain.slope < 0.05) & (terrain.river_px > terrain.river_halfwidth_px + 12) & (terrain.river_px < 150)
    lake = ndi.binary_opening((score > 2.2) & low, iterations=2)
    return np.asarray(lake & ~ndi.binary_dilation(built, iterations=4))
