"""What became of a generated landscape: clearings, landslides and new houses, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray

from geoseg.demo import classes as c
from geoseg.demo.landscape import Landscape, scars
from geoseg.demo.noise import fractal, hashed
from geoseg.demo.settlements import GARDEN, GREY_ROOF, NONE, PALE_ROOF, RED_ROOF, STREET

_CLEARING_PX, _BUILDING_PX = (7.0, 15.0), (6.0, 11.0)
# One clearing and one group of houses for so many pixels of the landscape, two at least.
_ONE_FOR_PX = 90_000
_NEAR_TOWN_PX = 120

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LaterLandscape:
    """A landscape some years on.

    Attributes:
        landscape: As it is then.
        change: uint8 (rows, cols), indices of ``classes.CHANGE``.
    """

    landscape: Landscape
    change: NDArray[np.uint8]


def make_later(landscape: Landscape) -> LaterLandscape:
    """The same landscape some years on; the same seed gives the same change."""
    rng = np.random.default_rng([landscape.seed, 10])
    ragged = fractal(rng, landscape.shape, 12, 1.8)
    truth, fabric = landscape.truth.copy(), landscape.settlements.fabric.copy()
    change = np.zeros(landscape.shape, np.uint8)
    forest, grass = landscape.truth == c.FOREST, landscape.truth == c.GRASSLAND
    slides = scars(rng, landscape.terrain, landscape.truth) & (forest | grass)
    change[slides], truth[slides] = c.NEW_LANDSLIDE, c.LANDSLIDE
    count = max(2, round(landscape.truth.size / _ONE_FOR_PX))
    cleared = _blobs(rng, forest, ragged, count, _CLEARING_PX) & ~slides
    change[cleared], truth[cleared] = c.CLEARING, c.GRASSLAND
    town = ndi.distance_transform_edt(landscape.settlements.fabric == NONE) < _NEAR_TOWN_PX
    flat = (grass | (landscape.truth == c.CROPLAND)) & (landscape.terrain.slope < 0.12)
    built = _blobs(rng, flat & town, ragged, count, _BUILDING_PX) & ~slides
    change[built], truth[built] = c.NEW_BUILT_UP, c.BUILT_UP
    fabric[built] = _houses(landscape.shape, landscape.seed)[built]
    settlements = replace(landscape.settlements, fabric=fabric)
    return LaterLandscape(replace(landscape, truth=truth, settlements=settlements), change)


def _blobs(
    rng: np.random.Generator, allowed: Mask, ragged: NDArray[np.float32], count: int, radii_px: tuple[float, float]
) -> Mask:
    """Round patches with ragged edges, within what is allowed."""
    found = np.zeros(allowed.shape, bool)
    places = np.flatnonzero(ndi.binary_erosion(allowed, iterations=2))
    rows, cols = np.ogrid[: allowed.shape[0], : allowed.shape[1]]
    for place in rng.choice(places, min(count, places.size), replace=False) if places.size else ():
        row, col = divmod(int(place), allowed.shape[1])
        found |= np.hypot(rows - row, cols - col) + 1.5 * ragged < rng.uniform(*radii_px)
    return np.asarray(ndi.binary_opening(found & allowed))


def _houses(shape: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """A pattern of lots between streets, over everything."""
    row, col = np.mgrid[: shape[0], : shape[1]]
    street = (row % 9 == 0) | (col % 12 == 0)
    lot = (row // 2) * 1009 + col // 2
    kind, is_built = hashed(lot, seed + 5), hashed(lot, seed + 6) < 0.7
    roof = np.select([kind < 0.45, kind < 0.75], [np.uint8(GREY_ROOF), np.uint8(RED_ROOF)], np.uint8(PALE_ROOF))
    return np.where(street, np.uint8(STREET), np.where(is_built, roof, np.uint8(GARDEN))).astype(np.uint8)
