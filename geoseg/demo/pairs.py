"""Generated pairs of dates: land that changed, and all that differs between two images where it did not.

Both dates are made from the same materials wherever the land is the same, so the truth is exact. What else differs has
a strength of its own each: 0 is none, 1 is nominal, and what 1 means stands beside each of :class:`Nuisances`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray

from geoseg.demo.change import make_later
from geoseg.demo.landscape import Landscape, make_landscape
from geoseg.demo.noise import Floats, fractal, smoothstep
from geoseg.demo.spectra import BANDS, Cover, Sun, illumination, make_cover, reflectance

_SUN = Sun(60, 56)


@dataclass(frozen=True, slots=True)
class Nuisances:
    """What differs between two dates beside the land, each with a strength: 0 is none, 1 is nominal.

    Attributes:
        gain: Calibration of the later date; nominal: every band by a factor of its own, 5 % in the mean square.
        haze: Thin air over the later date; nominal: 0.012 of reflectance in the blue, less in longer waves, in patches.
        season: Crops and grass ripen; nominal: as much as from the first to the last date of the other generated scenes.
        shadow: Cloud shadows that no mask knows, on a twentieth of either date, and a lower sun on the later one; nominal: a third
            of the light is gone there, and the sun stands 6 degrees lower and 12 degrees farther round.
        view: The later date lies beside the earlier one; nominal: by half a pixel, in any direction.
    """

    gain: float = 1.0
    haze: float = 1.0
    season: float = 1.0
    shadow: float = 1.0
    view: float = 1.0

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """All of them."""
        return tuple(field.name for field in fields(cls))

    @classmethod
    def all(cls, strength: float) -> Self:
        """Each with the same strength."""
        return cls(**dict.fromkeys(cls.names(), strength))

    @classmethod
    def only(cls, name: str, strength: float) -> Self:
        """One of them alone."""
        return replace(cls.all(0.0), **{name: strength})

    @classmethod
    def drawn(cls, rng: np.random.Generator, most: float) -> Self:
        """Strengths from 0 to ``most``, each by itself."""
        return cls(*(float(value) for value in rng.uniform(0, most, len(cls.names()))))


@dataclass(frozen=True, slots=True)
class PairLand:
    """One landscape at two dates, without weather and sensor.

    Attributes:
        before: Land cover of the earlier date.
        after: Land cover of the later one.
        changed: (rows, cols), where it is another one.
        covers: Materials of both.
    """

    before: Landscape
    after: Landscape
    changed: NDArray[np.bool_]
    covers: tuple[Cover, Cover]

    def images(
        self, bands: tuple[str, ...], nuisances: Nuisances, seed: int, *, same: bool = False
    ) -> tuple[Floats, Floats]:
        """Reflectance at both dates, (band, rows, cols) each.

        Args:
            bands: Names of ``spectra.BANDS``.
            nuisances: How strongly the dates differ where the land is the same.
            seed: Of weather and noise.
            same: The later date shows the land of the earlier one: nothing changed.
        """
        rng = np.random.default_rng([self.before.seed, 6, seed])
        land, cover = (self.before, self.covers[0]) if same else (self.after, self.covers[1])
        before = reflectance(self.covers[0], bands, 0.0) * illumination(self.before, _SUN)
        lower = Sun(_SUN.azimuth_deg + 12 * nuisances.shadow, _SUN.elevation_deg - 6 * nuisances.shadow)
        after = reflectance(cover, bands, nuisances.season) * illumination(land, lower)
        before, after = (_shadowed(rng, values, nuisances.shadow) for values in (before, after))
        after = _moved(rng, _veiled(rng, _scaled(rng, after, nuisances.gain), bands, nuisances.haze), nuisances.view)
        return _noisy(rng, before), _noisy(rng, after)


def make_pair_land(seed: int, shape: tuple[int, int]) -> PairLand:
    """A landscape of ``shape`` (rows, cols) pixels of 10 m, before and after slides, clearings and new houses.

    Raises:
        ValueError: If a side is shorter than 128 pixels.
    """
    before = make_landscape(seed, shape)
    later = make_later(before)
    return PairLand(before, later.landscape, later.change > 0, (make_cover(before), make_cover(later.landscape)))


def _shadowed(rng: np.random.Generator, values: Floats, strength: float) -> Floats:
    field = fractal(rng, (values.shape[1], values.shape[2]), 60, 2.8)
    low, high = (float(np.quantile(field, share)) for share in (0.93, 0.97))
    depth = np.float32(min(0.9, strength / 3))
    return np.asarray(values * (1 - depth * smoothstep(field, low, high)), np.float32)


def _scaled(rng: np.random.Generator, values: Floats, strength: float) -> Floats:
    factor = np.exp(0.05 * strength * rng.standard_normal(len(values)))
    return np.asarray(values * factor.astype(np.float32)[:, None, None], np.float32)


def _veiled(rng: np.random.Generator, values: Floats, bands: tuple[str, ...], strength: float) -> Floats:
    fall = np.array([0.86 ** BANDS.index(band) for band in bands], np.float32)[:, None, None]
    patchy = 1 + 0.5 * fractal(rng, (values.shape[1], values.shape[2]), 150, 2.6)
    return np.asarray(values + np.float32(0.012 * strength) * fall * patchy, np.float32)


def _moved(rng: np.random.Generator, values: Floats, strength: float) -> Floats:
    angle = rng.uniform(0, 2 * np.pi)
    if strength == 0:
        return values
    down, right = 0.5 * strength * np.sin(angle), 0.5 * strength * np.cos(angle)
    return np.stack([ndi.shift(band, (down, right), order=3, mode="nearest") for band in values]).astype(np.float32)


def _noisy(rng: np.random.Generator, values: Floats) -> Floats:
    spread = 0.0035 + 0.02 * np.maximum(values, 0)
    return np.asarray(values + spread * rng.standard_normal(values.shape, dtype=np.float32), np.float32)
