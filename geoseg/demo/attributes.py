"""Scenes of coloured and textured patches: what a text-image network learns words from, with truth by construction.

A class is a pair of words, a colour and a texture. Pairs that are held out of the scenes of a training show whether the
network learnt the words, or the pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from geoseg.demo.noise import Floats, fractal

#: Colour words, each with its synonyms, and reflectance in red, green and blue.
COLOURS: dict[tuple[str, ...], tuple[float, float, float]] = {
    ("red", "crimson", "scarlet"): (0.34, 0.08, 0.07),
    ("green", "emerald"): (0.09, 0.28, 0.10),
    ("blue", "azure"): (0.08, 0.13, 0.36),
    ("yellow", "golden"): (0.34, 0.30, 0.07),
    ("purple", "violet"): (0.27, 0.09, 0.32),
    ("white", "pale"): (0.36, 0.36, 0.35),
}
#: Texture words, each with its synonyms.
TEXTURES: tuple[tuple[str, ...], ...] = (
    ("plain", "smooth", "uniform"),
    ("striped", "stripes"),
    ("dotted", "spotted", "dots"),
    ("checked", "chequered"),
    ("speckled", "rough"),
)
#: Truth of what has neither: no word of a training means it.
OTHER = 254
_DARK = 0.4
_SPACING_PX = 34.0


@dataclass(frozen=True, slots=True)
class Attributes:
    """A scene.

    Attributes:
        values: Float32 (3, rows, cols), reflectance in red, green and blue.
        truth: uint8 (rows, cols), ``colour * len(TEXTURES) + texture``, or ``OTHER``.
    """

    values: Floats
    truth: NDArray[np.uint8]


def pair_name(number: int) -> str:
    """A pair in its first words, such as ``red striped``."""
    colour, texture = divmod(number, len(TEXTURES))
    return f"{list(COLOURS)[colour][0]} {TEXTURES[texture][0]}"


def held_out() -> tuple[int, ...]:
    """Pairs of a Latin square's diagonal: of each colour one texture, every texture at least once."""
    return tuple(colour * len(TEXTURES) + colour % len(TEXTURES) for colour in range(len(COLOURS)))


def make_attributes(rng: np.random.Generator, shape: tuple[int, int], pairs: Sequence[int]) -> Attributes:
    """A scene of patches of some pairs, among patches of neither.

    Args:
        rng: Source of randomness.
        shape: Rows and columns.
        pairs: That may occur.
    """
    patch, count = _patches(rng, shape)
    numbers = rng.choice(np.asarray(pairs), count)
    numbers[rng.random(count) < 0.12] = OTHER
    values = np.empty((3, *shape), np.float32)
    y, x = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    for number in range(count):
        here = patch == number
        if not here.any():
            continue
        place = y[here].astype(np.float32), x[here].astype(np.float32)
        values[:, here] = _painted(rng, int(numbers[number]), place)
    values *= 1 + 0.06 * fractal(rng, shape, 40.0)
    values += rng.normal(0, 0.008, values.shape).astype(np.float32)
    return Attributes(np.clip(values, 0.002, 1).astype(np.float32), numbers[patch].astype(np.uint8))


def _patches(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[NDArray[np.int64], int]:
    """Number of each pixel's patch, a jittered Voronoi pattern with crooked borders; and how many there are."""
    rows, cols = (int(np.ceil(side / _SPACING_PX)) + 2 for side in shape)
    corner = np.stack(np.meshgrid(np.arange(rows), np.arange(cols), indexing="ij"), -1).reshape(-1, 2)
    centre = (corner - 0.5 + rng.uniform(-0.4, 0.4, corner.shape)) * _SPACING_PX
    y, x = np.meshgrid(np.arange(shape[0], dtype=np.float32), np.arange(shape[1], dtype=np.float32), indexing="ij")
    y, x = y + 3 * fractal(rng, shape, 24.0), x + 3 * fractal(rng, shape, 24.0)
    _, patch = cKDTree(centre).query(np.stack([y.ravel(), x.ravel()], 1))
    return patch.reshape(shape), len(centre)


def _painted(rng: np.random.Generator, number: int, place: tuple[Floats, Floats]) -> Floats:
    """Reflectance (3, n) of the pixels of a patch."""
    if number == OTHER:
        brown = np.array([0.17, 0.14, 0.11]) * rng.uniform(0.5, 1.5)
        noise = 1 + 0.12 * rng.standard_normal(place[0].size)
        return (brown[:, None] * noise).astype(np.float32)
    colour, texture = divmod(number, len(TEXTURES))
    base = np.array(list(COLOURS.values())[colour]) * rng.uniform(0.85, 1.15) * rng.uniform(0.93, 1.07, 3)
    share = _pattern(rng, texture, place)
    return (base[:, None] * (_DARK + (1 - _DARK) * share)).astype(np.float32)


def _pattern(rng: np.random.Generator, texture: int, place: tuple[Floats, Floats]) -> Floats:
    """Share of the bright colour, 0 to 1, of the pixels of a patch."""
    angle, period = rng.uniform(0, np.pi), rng.uniform(6, 9)
    u = (np.cos(angle) * place[0] + np.sin(angle) * place[1]) / period + rng.random()
    v = (np.cos(angle) * place[1] - np.sin(angle) * place[0]) / period + rng.random()
    if texture == 0:
        share = np.ones(u.shape)
    elif texture == 1:
        share = u % 1 < 0.5
    elif texture == 2:
        share = np.hypot(u % 1 - 0.5, v % 1 - 0.5) > 0.32
    elif texture == 3:
        share = (u % 1 < 0.5) != (v % 1 < 0.5)
    else:
        share = rng.random(u.shape) < 0.5
    return np.asarray(share, dtype=np.float32)
