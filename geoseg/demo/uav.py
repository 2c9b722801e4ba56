"""A generated flight over the edge of a village: RGB at 0.1 m with truth, in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray

from geoseg.demo import classes as c
from geoseg.demo.noise import Floats, fractal, hashed, smoothstep

UAV_PIXEL_M = 0.1

# Roofs: dark slate, grey sheet, weathered brown, brick red, pale.
_ROOFS = np.array([[88, 88, 92], [128, 130, 132], [132, 108, 84], [158, 84, 62], [196, 190, 180]], np.float32)
_SHADOW_ROW, _SHADOW_COL = 0.75, -0.66  # away from a sun in the north-east, pixels per pixel of height


@dataclass(frozen=True, slots=True)
class UavScene:
    """One orthomosaic.

    Attributes:
        rgb: uint8 (3, rows, cols); 0 outside the flown area.
        truth: uint8 (rows, cols), indices of ``classes.UAV``; 255 outside the flown area.
        flown: Where the mosaic has data; its border is irregular.
    """

    rgb: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    flown: NDArray[np.bool_]


@dataclass(slots=True)
class _Canvas:
    """What is painted upon while a scene grows."""

    truth: NDArray[np.uint8]
    colour: Floats
    height_px: Floats
    fine: Floats
    soft: Floats
    broad: Floats


def make_uav(seed: int, shape: tuple[int, int] = (1800, 1500)) -> UavScene:
    """An orthomosaic of ``shape`` (rows, cols) pixels of 0.1 m.

    Raises:
        ValueError: If a side is shorter than 256 pixels.
    """
    if min(shape) < 256:
        raise ValueError(f"an orthomosaic needs at least 256 x 256 pixels, not {shape}")
    rng = np.random.default_rng([seed, 100])
    canvas = _Canvas(
        truth=np.full(shape, c.UAV_GRASS, np.uint8),
        colour=np.zeros((3, *shape), np.float32),
        height_px=np.zeros(shape, np.float32),
        fine=fractal(rng, shape, 3, 1.2),
        soft=fractal(rng, shape, 25, 1.9),
        broad=fractal(rng, shape, 260, 2.2),
    )
    _ground(rng, canvas)
    road = _road(rng, canvas)
    _houses(rng, canvas, road)
    _trees(rng, canvas)
    _cast_shadows(canvas)
    flown = _flown(rng, shape)
    noisy = canvas.colour * (1 + 0.05 * canvas.broad) + 5.0 * rng.standard_normal((3, *shape), dtype=np.float32)
    rgb = np.clip(np.rint(noisy), 1, 255).astype(np.uint8)
    rgb[:, ~flown] = 0
    canvas.truth[~flown] = c.NODATA
    return UavScene(rgb, canvas.truth, flown)


def _paint(
    canvas: _Canvas, where: NDArray[np.bool_], index: int, base: tuple[float, float, float], light: Floats
) -> None:
    """Give a class and a colour to pixels; ``light`` (of those pixels) scales the colour."""
    canvas.truth[where] = index
    canvas.colour[:, where] = np.array(base, np.float32)[:, None] * light


def _ground(rng: np.random.Generator, canvas: _Canvas) -> None:
    """Meadow with dry patches, bare soil, and a pond."""
    shape = canvas.truth.shape
    everywhere = np.ones(shape, bool)
    light = 1 + 0.10 * canvas.fine + 0.07 * canvas.soft
    _paint(canvas, everywhere, c.UAV_GRASS, (104, 126, 66), light.ravel())
    dry = smoothstep(canvas.broad + 0.5 * canvas.soft, 0.2, 1.8) * 0.75
    straw = np.array([150, 134, 88], np.float32)[:, None, None] * light
    canvas.colour += dry * (straw - canvas.colour)
    worn = fractal(rng, shape, 150, 2.1)
    bare = worn > np.quantile(worn, 0.84)
    pebbles = 1 + 0.06 * canvas.soft + 0.05 * ndi.gaussian_filter(canvas.fine, 1.2) * 3
    _paint(canvas, bare, c.UAV_BARE, (146, 122, 92), pebbles[bare])
    pool = fractal(rng, shape, 240, 3.0)
    pond = pool > np.quantile(pool, 0.97)
    ripples = 1 + 0.05 * canvas.soft + 0.03 * canvas.fine
    _paint(canvas, pond, c.UAV_WATER, (58, 78, 68), ripples[pond])


def _road(rng: np.random.Generator, canvas: _Canvas) -> Floats:
    """A winding road with a dashed middle line; returns the distance to its centre in pixels, signed."""
    rows, cols = canvas.truth.shape
    y = np.arange(rows, dtype=np.float32)
    lean = rng.uniform(-0.25, 0.25)
    bend = 90 * np.sin(y / rng.uniform(260, 420) + rng.uniform(0, 6))
    centre = cols * rng.uniform(0.35, 0.65) + bend + lean * (y - rows / 2)
    cosine = 1 / np.hypot(1, np.gradient(centre))
    across = ((np.arange(cols, dtype=np.float32)[None, :] - centre[:, None]) * cosine[:, None]).astype(np.float32)
    verge = np.abs(across) < 36 + 2 * canvas.soft
    _paint(canvas, verge, c.UAV_BARE, (150, 132, 108), (1 + 0.07 * canvas.soft)[verge])
    road = np.abs(across) < 30
    worn = 1 + 0.03 * canvas.soft + 0.035 * canvas.fine - 0.05 * (np.abs(np.abs(across) - 14) < 4)
    _paint(canvas, road, c.UAV_ROAD, (112, 111, 112), worn[road])
    dash = (np.abs(across) < 1.2) & (np.mod(y, 60) < 30)[:, None]
    canvas.colour[:, dash] = np.array([205, 205, 200], np.float32)[:, None]
    return np.asarray(across, dtype=np.float32)


def _houses(rng: np.random.Generator, canvas: _Canvas, road: Floats) -> None:
    """Gabled houses along the road and a few barns behind, each with a yard."""
    rows, cols = canvas.truth.shape
    free = (np.abs(road) > 78) & (canvas.truth != c.UAV_WATER)
    free &= ndi.distance_transform_edt(canvas.truth != c.UAV_WATER) > 90
    for _ in range(max(3, round(rows * cols / 330**2))):
        # Most houses stand near the road, barns anywhere.
        fits = free & (np.abs(road) < 190) if rng.random() < 0.6 else free
        spots = np.flatnonzero(fits[::8, ::8])
        if not spots.size:
            continue
        row, col = (int(v) * 8 for v in divmod(int(rng.choice(spots)), fits[::8, ::8].shape[1]))
        half_u, half_v = rng.uniform(42, 68), rng.uniform(30, 44)
        angle = (
            float(np.arctan(np.gradient(road[row])[0] * 0)) + rng.normal(0, 0.35) + (np.pi / 2) * (rng.random() < 0.5)
        )
        _house(rng, canvas, (row, col), (half_u, half_v), angle)
        reach = 150
        free[max(0, row - reach) : row + reach, max(0, col - reach) : col + reach] = False


def _house(
    rng: np.random.Generator, canvas: _Canvas, at: tuple[int, int], half: tuple[float, float], angle: float
) -> None:
    reach = int(half[0] + half[1]) + 12
    window = np.s_[max(0, at[0] - reach) : at[0] + reach, max(0, at[1] - reach) : at[1] + reach]
    shape = canvas.truth[window].shape
    y, x = np.ogrid[window[0].start : window[0].start + shape[0], window[1].start : window[1].start + shape[1]]
    dy, dx = y - at[0], x - at[1]
    u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
    part = _Canvas(
        canvas.truth[window],
        canvas.colour[(slice(None), *window)],
        canvas.height_px[window],
        canvas.fine[window],
        canvas.soft[window],
        canvas.broad[window],
    )
    ground = (part.truth != c.UAV_WATER) & (part.truth != c.UAV_ROAD)
    yard = (np.maximum(np.abs(u) - half[0], np.abs(v) - half[1]) < 9 + 4 * part.soft) & ground
    _paint(part, yard, c.UAV_BARE, (140, 122, 98), (1 + 0.06 * part.soft + 0.05 * part.fine)[yard])
    roof = (np.abs(u) < half[0]) & (np.abs(v) < half[1])
    # The two faces of the gable are lit differently; courses of tiles run along the ridge.
    facing = np.sign(v) * (np.cos(angle) * -0.6 - np.sin(angle) * 0.75)
    courses = 0.085 * np.sin(2 * np.pi * v / rng.uniform(4.2, 6.5))
    ridge = 0.12 * (np.abs(v) < 1.5)
    light = 1 + 0.13 * facing + courses + ridge + 0.03 * part.fine + 0.03 * part.soft
    base = _ROOFS[rng.integers(len(_ROOFS))] * rng.uniform(0.85, 1.12) + rng.normal(0, 4, 3)
    _paint(part, roof, c.UAV_ROOF, (float(base[0]), float(base[1]), float(base[2])), light[roof])
    part.height_px[roof] = 38 + 16 * (1 - np.abs(v[roof]) / half[1])


def _trees(rng: np.random.Generator, canvas: _Canvas) -> None:
    """Groups of round crowns with clumps of leaves, off roads, roofs and water."""
    rows, cols = canvas.truth.shape
    grove = fractal(rng, (rows // 4 + 1, cols // 4 + 1), 70, 2.0)
    blocked = np.isin(canvas.truth, (c.UAV_ROAD, c.UAV_ROOF, c.UAV_WATER))
    room = ndi.distance_transform_edt(~blocked[::4, ::4]) * 4
    grove = grove[: room.shape[0], : room.shape[1]]
    dense, loose = np.flatnonzero((grove > 0.75) & (room > 12)), np.flatnonzero(room > 20)
    for number in range(round(rows * cols / 92**2)):
        spots = dense if number % 4 and dense.size else loose
        row, col = (int(v) * 4 for v in divmod(int(rng.choice(spots)), room.shape[1]))
        radius = min(float(rng.uniform(14, 40)), float(room[row // 4, col // 4]) + 6)
        _tree(rng, canvas, row, col, radius)


def _tree(rng: np.random.Generator, canvas: _Canvas, row: int, col: int, radius: float) -> None:
    reach = int(radius * 1.4) + 2
    window = np.s_[max(0, row - reach) : row + reach, max(0, col - reach) : col + reach]
    fine, soft = canvas.fine[window], canvas.soft[window]
    y = np.arange(window[0].start, window[0].start + fine.shape[0], dtype=np.float32)[:, None] - row
    x = np.arange(window[1].start, window[1].start + fine.shape[1], dtype=np.float32)[None, :] - col
    distance = np.hypot(y, x) / radius + 0.14 * soft + 0.05 * fine
    crown = distance < 1
    dome = np.sqrt(np.clip(1 - distance**2, 0, 1))
    # Leaves in clumps of a few decimetres, brighter towards the sun.
    clump = ndi.gaussian_filter(fine, 1.6) * 2.6
    light = 0.78 + 0.20 * (x - y) / radius * 0.7 + 0.22 * dome + 0.24 * clump + 0.06 * fine
    tone = np.array([80, 108, 54], np.float32) * rng.uniform(0.78, 1.2) + rng.normal(0, 4, 3)
    part = canvas.colour[(slice(None), *window)]
    part[:, crown] = np.clip(tone, 5, 255).astype(np.float32)[:, None] * np.clip(light, 0.25, 2)[crown]
    canvas.truth[window][crown] = c.UAV_TREES
    height = canvas.height_px[window]
    height[crown] = np.maximum(height, 20 + radius * (0.8 + 0.6 * dome))[crown]


def _cast_shadows(canvas: _Canvas) -> None:
    """Darken what a roof or a crown further towards the sun stands above."""
    shadow = np.zeros(canvas.truth.shape, np.float32)
    for step in range(3, 66, 3):
        shift = (round(step * _SHADOW_ROW), round(step * _SHADOW_COL))
        blocker = ndi.shift(canvas.height_px, shift, order=0)
        np.maximum(shadow, (blocker - canvas.height_px > step + 2).astype(np.float32), out=shadow)
    canvas.colour *= 1 - 0.52 * ndi.gaussian_filter(shadow, 1.2)


def _flown(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The flown area: stepped flight lines at two sides, a ragged border all round."""
    rows, cols = shape
    y, x = np.ogrid[:rows, :cols]
    ragged = 7 * fractal(rng, shape, 50, 1.8) + min(shape) * 0.018
    line = (np.arange(cols) // max(40, cols // 9)).astype(np.int64)
    top = hashed(line, int(rng.integers(1000))) * rows * 0.05
    bottom = hashed(line, int(rng.integers(1000))) * rows * 0.05
    inside = (y > top[None, :] + ragged) & (y < rows - bottom[None, :] - ragged)
    inside &= (x > ragged) & (x < cols - ragged)
    return np.asarray(inside)
