"""Pairs of images whose change is known."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi


def land(seed: int, bands: int = 4, shape: tuple[int, int] = (96, 128)) -> np.ndarray:
    """Smooth fields and some noise, bands that have much in common; float64 (band, row, col)."""
    rng = np.random.default_rng(seed)
    fields = np.stack([ndi.gaussian_filter(rng.normal(size=shape), 2.0) for _ in range(bands)])
    fields /= fields.std()
    mix = np.eye(bands) + 0.3 * rng.normal(size=(bands, bands))
    return np.einsum("ij,jrc->irc", mix, fields) * 20 + 100


def pair(
    seed: int, bands: int = 4, noise: float = 1.0, shape: tuple[int, int] = (96, 128)
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two dates of one land in other light, and where a square of it is another land on the later date."""
    rng = np.random.default_rng(seed + 1000)
    before = land(seed, bands, shape)
    other = land(seed + 500, bands, shape) + 60 * rng.choice([-1, 1], size=(bands, 1, 1))
    changed = np.zeros(before.shape[1:], dtype=bool)
    changed[20:44, 30:70] = True
    after = np.where(changed, other, before)
    gain, offset = rng.uniform(0.6, 1.6, (bands, 1, 1)), rng.uniform(-20, 20, (bands, 1, 1))
    after = after * gain + offset
    return before + rng.normal(0, noise, before.shape), after + rng.normal(0, noise, after.shape), changed


def flat(image: np.ndarray) -> np.ndarray:
    """(band, n)."""
    return image.reshape(len(image), -1)
