"""Random fields that the generated scenes are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def fractal(rng: np.random.Generator, shape: tuple[int, int], scale_px: float, roughness: float = 2.0) -> Floats:
    """A random field whose features are up to ``scale_px`` wide.

    Args:
        rng: Source of randomness.
        shape: Rows and columns.
        scale_px: Size of the largest features in pixels.
        roughness: Exponent of the amplitude's fall with frequency: 1 is rugged, 3 is smooth.

    Returns:
        Float32 of zero mean and unit standard deviation.
    """
    # One feature size of spare room, because a field made in the frequency domain repeats at its edges.
    spare = int(min(scale_px, max(shape)))
    rows, cols = (int(scipy.fft.next_fast_len(side + spare, real=True)) for side in shape)
    white = rng.standard_normal((rows, cols), dtype=np.float32)
    spectrum = scipy.fft.rfft2(white)
    fy = np.fft.fftfreq(rows).astype(np.float32)[:, None]
    fx = np.fft.rfftfreq(cols).astype(np.float32)[None, :]
    # The power is flat below the frequency of the largest features, and falls above it.
    spectrum *= (fy**2 + fx**2 + np.float32(1.0 / scale_px) ** 2) ** np.float32(-roughness / 2)
    field = scipy.fft.irfft2(spectrum, s=(rows, cols))[: shape[0], : shape[1]]
    field -= field.mean()
    field /= field.std()
    return np.ascontiguousarray(field, dtype=np.float32)


def hashed(ids: NDArray[Any], salt: int) -> Floats:
    """A number in [0, 1) that depends on nothing but the id and the salt (the mixing steps of splitmix64).

    References:
        Steele, Lea, Flood: Fast splittable pseudorandom number generators, doi:10.1145/2660193.2660195.
    """
    with np.errstate(over="ignore"):
        x = ids.astype(np.uint64) + np.uint64(salt) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    return ((x >> np.uint64(40)).astype(np.float32) / np.float32(2**24)).astype(np.float32)


def smoothstep(values: Floats, low: float, high: float) -> Floats:
    """0 below ``low``, 1 above ``high``, and a smooth step between."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)
