"""Surface reflectance of a landscape: each pixel is a mixture of a few materials, lit by the sun.

Every class draws on the same few materials, so that a pixel's spectrum alone leaves doubt: a ripe field and dry grass,
ploughed soil and a scar, a garden and a meadow look alike. What tells them apart is their texture and shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray

from geoseg.demo import classes as c
from geoseg.demo.landscape import Landscape
from geoseg.demo.noise import Floats, fractal, hashed
from geoseg.demo.settlements import GREY_ROOF, PALE_ROOF, RED_ROOF, STREET
from geoseg.demo.terrain import PIXEL_M

BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

# Plausible surface reflectances of pure materials, drawn up for these scenes (not measurements), in order of BANDS.
_MATERIALS: dict[str, tuple[float, ...]] = {
    "leaf": (0.025, 0.065, 0.030, 0.105, 0.32, 0.40, 0.43, 0.45, 0.20, 0.095),
    "canopy": (0.020, 0.046, 0.024, 0.080, 0.26, 0.33, 0.36, 0.38, 0.165, 0.075),
    "straw": (0.070, 0.110, 0.145, 0.190, 0.23, 0.26, 0.29, 0.31, 0.34, 0.23),
    "soil": (0.060, 0.090, 0.130, 0.160, 0.18, 0.20, 0.22, 0.24, 0.32, 0.27),
    "stone": (0.130, 0.160, 0.185, 0.200, 0.21, 0.22, 0.23, 0.24, 0.28, 0.25),
    "asphalt": (0.080, 0.092, 0.102, 0.110, 0.115, 0.12, 0.125, 0.13, 0.15, 0.14),
    "tile": (0.070, 0.092, 0.165, 0.190, 0.21, 0.22, 0.24, 0.25, 0.28, 0.24),
    "sheet": (0.225, 0.235, 0.245, 0.250, 0.255, 0.26, 0.27, 0.275, 0.29, 0.26),
    "water": (0.042, 0.056, 0.034, 0.028, 0.024, 0.020, 0.016, 0.014, 0.006, 0.004),
    "murk": (0.085, 0.120, 0.115, 0.085, 0.040, 0.036, 0.030, 0.024, 0.008, 0.005),
    "shade": (0.008, 0.009, 0.007, 0.010, 0.018, 0.020, 0.022, 0.022, 0.010, 0.006),
}
_LEAF, _CANOPY, _STRAW, _SOIL, _STONE, _ASPHALT, _TILE, _SHEET, _WATER, _MURK, _SHADE = range(len(_MATERIALS))


@dataclass(frozen=True, slots=True)
class Sun:
    """Where the sun stands.

    Attributes:
        azimuth_deg: Clockwise from north.
        elevation_deg: Above the horizon.
    """

    azimuth_deg: float
    elevation_deg: float


@dataclass(frozen=True, slots=True)
class Cover:
    """What lies in each pixel, before season and light.

    Attributes:
        mixture: Float32 (material, rows, cols), shares that add up to 1.
        ripening: Float32 (rows, cols), how much of the green turns to straw from the first date to the last.
    """

    mixture: Floats
    ripening: Floats


def make_cover(landscape: Landscape) -> Cover:
    """Materials in each pixel of a landscape."""
    rng = np.random.default_rng([landscape.seed, 1])
    shape = landscape.shape
    fine, mottle = fractal(rng, shape, 3, 1.4), fractal(rng, shape, 9, 1.8)
    broad = fractal(rng, shape, 110, 2.0)
    mixture = np.zeros((len(_MATERIALS), *shape), np.float32)
    ripening = np.zeros(shape, np.float32)
    _crops(landscape, fine, broad, mixture, ripening)
    _wild(landscape, fine, mottle, broad, mixture, ripening)
    _bare(landscape, fine, mottle, mixture)
    _built(landscape, fine, mottle, mixture)
    np.maximum(mixture, 0, out=mixture)
    mixture /= mixture.sum(axis=0)
    return Cover(mixture, ripening)


def reflectance(cover: Cover, bands: tuple[str, ...], season: float) -> Floats:
    """Reflectance under even light.

    Args:
        cover: Materials of the landscape.
        bands: Names of :data:`BANDS`, in the order wanted.
        season: 0 at the first date, 1 at the last.

    Returns:
        Float32 (band, rows, cols), about 0 to 0.5.
    """
    spectra = np.array(list(_MATERIALS.values()), np.float32)[:, [BANDS.index(band) for band in bands]]
    values = np.tensordot(spectra.T, cover.mixture, axes=1)
    turned = cover.mixture[_LEAF] * cover.ripening * np.float32(season)
    values += (spectra[_STRAW] - spectra[_LEAF])[:, None, None] * turned
    return np.asarray(values, dtype=np.float32)


def illumination(landscape: Landscape, sun: Sun) -> Floats:
    """Light on the slopes relative to flat ground, softened as an imperfect terrain correction leaves it."""
    smooth = ndi.gaussian_filter(landscape.terrain.elevation_m, 1.3)
    d_row, d_col = (g / np.float32(PIXEL_M) for g in np.gradient(smooth))
    azimuth, zenith = np.deg2rad(sun.azimuth_deg), np.deg2rad(90 - sun.elevation_deg)
    # Rows grow southwards, columns eastwards; the normal of the ground is (-d/dx, -d/dy, 1).
    toward = -d_col * np.sin(azimuth) + d_row * np.cos(azimuth)
    cosine = (np.cos(zenith) + np.sin(zenith) * toward) / np.sqrt(1 + d_row**2 + d_col**2)
    relative = np.clip(cosine / np.cos(zenith), 0.1, 2.0)
    return np.asarray(relative**0.75, dtype=np.float32)


def _crops(landscape: Landscape, fine: Floats, broad: Floats, mixture: Floats, ripening: Floats) -> None:
    """Four states of a field, rows in its direction, and a margin of grass."""
    where = landscape.truth == c.CROPLAND
    field = landscape.fields.field[where]
    state, vigour = hashed(field, 21), hashed(field, 22)
    period = 3.4 + 2.6 * hashed(field, 23)
    row = np.sin(2 * np.pi * landscape.fields.across_px[where] / period)
    green = np.select(
        [state < 0.40, state < 0.60, state < 0.80],
        [0.72 + 0.22 * vigour, 0.18 + 0.2 * vigour, 0.4 + 0.25 * vigour],
        0.03 + 0.1 * vigour,
    )
    straw = np.select([state < 0.40, state < 0.60, state < 0.80], [0.08, 0.62, 0.15], 0.08)
    strength = 0.11 + 0.06 * hashed(field, 24)
    green = green + strength * row + 0.05 * fine[where] + 0.05 * broad[where]
    straw = straw + 0.05 * fine[where]
    margin = landscape.fields.edge_px[where] < 0.6
    green, straw = np.where(margin, 0.62, green), np.where(margin, 0.2, straw)
    dark = 0.16 * hashed(field, 25) - 0.10 * row * (green < 0.3) + (0.14 - 0.16 * row) * (state < 0.15)
    # Tall crops (maize, orchards) have the spectrum of a wood; only their rows tell.
    tall = (state < 0.15) & ~margin
    mixture[_LEAF, where] = np.clip(green, 0, 1) * np.where(tall, 0.25, 1)
    mixture[_CANOPY, where] = np.clip(green, 0, 1) * np.where(tall, 0.75, 0)
    mixture[_STRAW, where] = np.clip(straw, 0, 1)
    mixture[_SOIL, where] = np.clip(1 - green - straw, 0.02, 1)
    mixture[_SHADE, where] = np.clip(dark, 0, 1) * 0.8
    ripening[where] = 0.3 * hashed(field, 26)


def _wild(landscape: Landscape, fine: Floats, mottle: Floats, broad: Floats, mixture: Floats, ripening: Floats) -> None:
    """Grass in soft mottles, forest of crowns with shade between, water with silt."""
    where = landscape.truth == c.GRASSLAND
    tone = hashed(landscape.fields.field[where], 31) * (landscape.terrain.slope[where] < 0.15)
    green = 0.60 + 0.11 * mottle[where] + 0.09 * broad[where] + 0.03 * fine[where] + 0.22 * (tone - 0.4)
    mixture[_LEAF, where] = np.clip(green, 0.08, 0.97)
    mixture[_STRAW, where] = np.clip(0.27 - 0.08 * mottle[where] - 0.1 * broad[where], 0.02, 1)
    mixture[_SOIL, where] = np.clip(0.14 - 0.06 * mottle[where], 0.0, 1)
    mixture[_SHADE, where] = np.clip(0.10 + 0.05 * fine[where], 0, 1)
    ripening[where] = 0.12
    where = landscape.truth == c.FOREST
    crown = fine[where]
    mixture[_CANOPY, where] = np.clip(0.62 + 0.20 * crown + 0.05 * broad[where], 0.1, 1)
    mixture[_LEAF, where] = np.clip(0.22 + 0.10 * mottle[where] + 0.10 * broad[where], 0, 1)
    mixture[_SHADE, where] = np.clip(0.20 - 0.24 * crown, 0, 0.75)
    ripening[where] = 0.05
    where = landscape.truth == c.WATER
    silt = np.clip(0.25 + 0.12 * broad[where] + 0.05 * mottle[where], 0.0, 0.8)
    mixture[_MURK, where], mixture[_WATER, where] = silt, 1 - silt


def _bare(landscape: Landscape, fine: Floats, mottle: Floats, mixture: Floats) -> None:
    where = landscape.truth == c.GRAVEL
    mixture[_STONE, where] = np.clip(0.72 + 0.12 * mottle[where] + 0.05 * fine[where], 0, 1)
    mixture[_SOIL, where] = 0.15
    mixture[_WATER, where] = np.clip(0.13 - 0.10 * mottle[where], 0, 1)
    where = landscape.truth == c.LANDSLIDE
    mixture[_SOIL, where] = np.clip(0.74 + 0.10 * mottle[where] + 0.08 * fine[where], 0.2, 1)
    mixture[_STONE, where] = np.clip(0.12 + 0.06 * fine[where], 0, 1)
    mixture[_LEAF, where] = np.clip(0.12 - 0.12 * mottle[where], 0, 0.5)


def _built(landscape: Landscape, fine: Floats, mottle: Floats, mixture: Floats) -> None:
    """Roofs, streets and gardens; at 10 m hardly a pixel is pure."""
    where = landscape.truth == c.BUILT_UP
    fabric: NDArray[np.uint8] = landscape.settlements.fabric
    pure = {
        _SHEET: fabric == PALE_ROOF,
        _TILE: fabric == RED_ROOF,
        _ASPHALT: (fabric == STREET) | (fabric == GREY_ROOF),
    }
    sealed = np.zeros(landscape.shape, np.float32)
    for material, mask in pure.items():
        share = ndi.gaussian_filter((mask & where).astype(np.float32), 0.55)
        sealed += share
        mixture[material, where] = share[where]
    sealed = np.clip(sealed, 0, 1)
    mixture[_LEAF, where] = np.clip((1 - sealed) * (0.62 + 0.12 * mottle), 0, 1)[where]
    mixture[_SOIL, where] = np.clip(0.38 * (1 - sealed), 0, 1)[where]
    mixture[_SHADE, where] = np.clip(0.10 + 0.10 * fine, 0, 0.5)[where]
