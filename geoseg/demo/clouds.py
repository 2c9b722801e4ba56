"""Clouds, their shadows, and the scene classification that marks both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray

from geoseg.demo import classes as c
from geoseg.demo.noise import Floats, fractal, smoothstep
from geoseg.demo.spectra import Sun
from geoseg.demo.terrain import PIXEL_M

# Codes of Sentinel-2's scene classification.
SCL_NODATA, SCL_SHADOW, SCL_VEGETATION, SCL_BARE, SCL_WATER = 0, 3, 4, 5, 6
SCL_CLOUD_MEDIUM, SCL_CLOUD_HIGH, SCL_CIRRUS = 8, 9, 10
SCL_OBSCURED = (SCL_SHADOW, SCL_CLOUD_MEDIUM, SCL_CLOUD_HIGH, SCL_CIRRUS)

_HEIGHT_M = 850.0
# Thinner than this a cloud is haze, which neither the classification nor the eye marks.
_MARKED = 0.04


@dataclass(frozen=True, slots=True)
class Sky:
    """Clouds of one date at 10 m.

    Attributes:
        opacity: Float32 (rows, cols), 0 clear to 1 opaque.
        shade: Float32 (rows, cols), light taken away by the shadow of clouds, 0 to 1.
        is_cirrus: Where the cloud is a high thin one.
    """

    opacity: Floats
    shade: Floats
    is_cirrus: NDArray[np.bool_]

    @property
    def obscured(self) -> NDArray[np.bool_]:
        """Where a cloud or a shadow is marked."""
        return (self.opacity > _MARKED) | (self.shade > _MARKED)


def make_sky(
    rng: np.random.Generator, shape: tuple[int, int], sun: Sun, share: float, taken: NDArray[np.bool_] | None = None
) -> Sky:
    """Clouds that cover about ``share`` of a scene, and their shadows.

    Args:
        rng: Source of randomness.
        shape: Rows and columns at 10 m.
        sun: Decides where the shadows fall.
        share: Part of the scene under marked clouds, 0 to 0.5.
        taken: Pixels that another date cannot see; neither cloud nor shadow falls on them, so that at least one date
            sees each pixel.
    """
    heap = fractal(rng, shape, 150, 2.3) + 0.25 * fractal(rng, shape, 24, 2.0)
    veil = fractal(rng, shape, 260, 2.6)
    shift = _shadow_shift(sun)
    if taken is not None:
        # A cloud keeps off what is taken, and off the place whose shadow would fall there.
        keep_off = taken | ndi.shift(taken, (-shift[0], -shift[1]), order=0)
        away = ndi.gaussian_filter(keep_off.astype(np.float32), 5.0)
        heap = np.where(keep_off, -9, heap - 4 * away)
        veil = np.where(keep_off, -9, veil - 4 * away)
    level = float(np.quantile(heap, 1 - share))
    dense = smoothstep(heap, level, level + 0.5)
    thin = 0.45 * smoothstep(veil, float(np.quantile(veil, 0.975)), 3.5)
    opacity = np.maximum(dense, thin)
    shade = ndi.gaussian_filter(ndi.shift(dense, shift, order=0), 1.0) * (1 - opacity)
    if taken is not None:
        shade[taken] = 0
    shade[shade < 0.02] = 0
    return Sky(opacity, 0.62 * shade, (thin > dense) & (thin > _MARKED))


def veil_reflectance(values: Floats, sky: Sky, brightness: Floats) -> Floats:
    """Reflectance as seen through a sky.

    Args:
        values: Reflectance of the ground (band, rows, cols).
        sky: Clouds and shadows.
        brightness: Reflectance of an opaque cloud per band.
    """
    cloud = brightness[:, None, None] * (0.7 + 0.3 * sky.opacity)
    lit = values * (1 - sky.shade)
    return np.asarray(lit * (1 - sky.opacity) + cloud * sky.opacity, dtype=np.float32)


def classify_scene(
    sky: Sky, truth: NDArray[np.uint8], green: NDArray[np.bool_], valid: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The scene classification at 20 m; whatever a cloud or shadow touches is marked, with one pixel of margin.

    Args:
        sky: Clouds at 10 m.
        truth: Land cover at 10 m.
        green: Where vegetation covers the ground, at 10 m.
        valid: Where the sensor saw anything, at 10 m.

    Returns:
        uint8 (rows / 2, cols / 2), codes of the sensor's classification.
    """
    scl = np.where(green, np.uint8(SCL_VEGETATION), np.uint8(SCL_BARE))
    scl[truth == c.WATER] = SCL_WATER
    scl = scl[::2, ::2].copy()
    cross = np.ones((3, 3), bool)
    for code, mask in (
        (SCL_SHADOW, sky.shade > _MARKED),
        (SCL_CIRRUS, sky.is_cirrus),
        (SCL_CLOUD_MEDIUM, (sky.opacity > _MARKED) & ~sky.is_cirrus),
        (SCL_CLOUD_HIGH, sky.opacity > 0.6),
    ):
        marked = ndi.binary_dilation(_any2(mask), cross) if code != SCL_CLOUD_HIGH else _any2(mask)
        scl[marked] = code
    scl[_any2(~valid)] = SCL_NODATA
    return scl


def _any2(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(mask[::2, ::2] | mask[1::2, ::2] | mask[::2, 1::2] | mask[1::2, 1::2])


def _shadow_shift(sun: Sun) -> tuple[int, int]:
    """Rows and columns from a cloud to its shadow, which falls away from the sun."""
    length = _HEIGHT_M / np.tan(np.deg2rad(sun.elevation_deg)) / PIXEL_M
    azimuth = np.deg2rad(sun.azimuth_deg)
    return round(length * np.cos(azimuth)), round(-length * np.sin(azimuth))
