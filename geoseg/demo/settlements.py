"""Towns of streets and houses, and the roads between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from geoseg.demo.noise import fractal, hashed
from geoseg.demo.terrain import Terrain

NONE, GARDEN, STREET, GREY_ROOF, RED_ROOF, PALE_ROOF = range(6)
_COARSE_PX = 12


@dataclass(frozen=True, slots=True)
class Settlements:
    """What people built, (rows, cols).

    Attributes:
        fabric: uint8, one of ``NONE``, ``GARDEN``, ``STREET``, ``GREY_ROOF``, ``RED_ROOF``, ``PALE_ROOF``.
        places: (n, 2) row and column of the towns' centres.
    """

    fabric: NDArray[np.uint8]
    places: NDArray[np.int64]


def make_settlements(rng: np.random.Generator, terrain: Terrain) -> Settlements:
    """Place towns on flat ground and connect them by roads that avoid slopes."""
    shape = terrain.slope.shape
    places = _choose_places(rng, terrain)
    fabric = np.zeros(shape, np.uint8)
    ragged = fractal(rng, shape, 40, 1.6)
    for number, place in enumerate(places):
        radius = rng.uniform(24, 46) if number else rng.uniform(64, 80)
        _build_town(rng, fabric, place, radius, ragged)
    fabric[_roads(rng, terrain, places)] = STREET
    return Settlements(fabric, places)


def _choose_places(rng: np.random.Generator, terrain: Terrain) -> NDArray[np.int64]:
    rows, cols = terrain.slope.shape
    count = max(2, round(rows * cols / 430**2))
    cost = ndi.uniform_filter(terrain.slope, 61) + 0.03 * rng.random(terrain.slope.shape, dtype=np.float32)
    cost[terrain.river_px < terrain.river_halfwidth_px + 34] = np.inf
    margin = min(50, rows // 6, cols // 6)
    cost[:margin] = cost[-margin:] = np.inf
    cost[:, :margin] = cost[:, -margin:] = np.inf
    places = []
    for _ in range(count):
        row, col = np.unravel_index(int(np.argmin(cost)), cost.shape)
        if not np.isfinite(cost[row, col]):
            break
        places.append((int(row), int(col)))
        keep = 240
        cost[max(0, row - keep) : row + keep, max(0, col - keep) : col + keep] = np.inf
    return np.array(places, np.int64).reshape(-1, 2)


def _build_town(
    rng: np.random.Generator,
    fabric: NDArray[np.uint8],
    place: NDArray[np.int64],
    radius: float,
    ragged: NDArray[np.float32],
) -> None:
    """Blocks of houses and gardens between streets, denser towards the middle."""
    reach = int(radius * 1.7)
    top, left = max(0, int(place[0]) - reach), max(0, int(place[1]) - reach)
    window = np.s_[top : int(place[0]) + reach, left : int(place[1]) + reach]
    part = fabric[window]
    y, x = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
    dy, dx = y - place[0], x - place[1]
    angle = rng.uniform(0, np.pi / 2)
    u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
    distance = np.hypot(u, v) / radius + 0.16 * ragged[window]
    block_u, block_v = rng.uniform(7.5, 10.5), rng.uniform(10.5, 15)
    street = (np.mod(u, block_u) < 1.15) | (np.mod(v, block_v) < 1.15)
    lot = (np.floor(u / 2.3).astype(np.int64) + 500) * 1009 + np.floor(v / 2.1).astype(np.int64) + 500
    draw = hashed(lot, int(place[0] * 7 + place[1]))
    kind = hashed(lot, 3)
    built = draw < np.clip(0.86 - 0.42 * distance, 0.25, 1)
    roof = np.select([kind < 0.45, kind < 0.75], [np.uint8(GREY_ROOF), np.uint8(RED_ROOF)], np.uint8(PALE_ROOF))
    town = np.where(street, np.uint8(STREET), np.where(built, roof, np.uint8(GARDEN)))
    inside = distance < 1
    part[inside] = town[inside]


def _roads(rng: np.random.Generator, terrain: Terrain, places: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Cheapest ways between towns and to the edges, drawn two to three pixels wide."""
    shape = terrain.slope.shape
    coarse = terrain.slope[::_COARSE_PX, ::_COARSE_PX]
    river = (terrain.river_px < 14)[::_COARSE_PX, ::_COARSE_PX]
    price = (1 + 60 * coarse**2 + 4 * river + 0.35 * rng.random(coarse.shape)).astype(np.float64)
    graph, index = _neighbours(price)
    rows, cols = price.shape
    ends = [int(index[min(r // _COARSE_PX, rows - 1), min(c // _COARSE_PX, cols - 1)]) for r, c in places]
    ends += [int(index[rng.integers(rows), 0]), int(index[rng.integers(rows), cols - 1])]
    ends += [int(index[0, rng.integers(cols)]), int(index[rows - 1, rng.integers(cols)])]
    far, before = dijkstra(graph, directed=False, indices=ends, return_predecessors=True)
    line = np.ones(shape, bool)
    for start in range(1, len(ends)):
        # Each place joins the two places, already joined, that are nearest by road.
        for goal in np.argsort(far[start, ends[:start]])[: 2 if start < len(places) else 1]:
            _draw(line, _walk(before[start], ends[start], ends[int(goal)], cols))
    return np.asarray(ndi.distance_transform_edt(line) < 1.3)


def _neighbours(price: NDArray[np.float64]) -> tuple[coo_array, NDArray[np.int64]]:
    index = np.arange(price.size).reshape(price.shape)
    pairs: list[tuple[Any, Any, float]] = [  # numpy has no name for what s_ gives
        (np.s_[:, :-1], np.s_[:, 1:], 1.0),
        (np.s_[:-1], np.s_[1:], 1.0),
        (np.s_[:-1, :-1], np.s_[1:, 1:], np.sqrt(2)),
        (np.s_[1:, :-1], np.s_[:-1, 1:], np.sqrt(2)),
    ]
    a = np.concatenate([index[p].ravel() for p, _, _ in pairs])
    b = np.concatenate([index[q].ravel() for _, q, _ in pairs])
    cost = np.concatenate([((price[p] + price[q]) / 2 * length).ravel() for p, q, length in pairs])
    return coo_array((cost, (a, b)), shape=(price.size, price.size)), index


def _walk(before: NDArray[np.int32], start: int, goal: int, cols: int) -> NDArray[np.float64]:
    nodes = [goal]
    while nodes[-1] != start:
        nodes.append(int(before[nodes[-1]]))
    return np.array([divmod(node, cols) for node in nodes], np.float64)


def _draw(line: NDArray[np.bool_], way: NDArray[np.float64]) -> None:
    if len(way) < 2:
        return
    fine = np.linspace(0, len(way) - 1, len(way) * _COARSE_PX * 3)
    smooth = ndi.gaussian_filter1d(way, 1.2, axis=0, mode="nearest")
    smooth[0], smooth[-1] = way[0], way[-1]
    for_each = [np.interp(fine, np.arange(len(way)), ndi.gaussian_filter1d(smooth[:, k], 0.6)) for k in (0, 1)]
    path = ndi.gaussian_filter1d(np.stack(for_each), _COARSE_PX * 1.5, axis=1, mode="nearest") * _COARSE_PX
    path = np.clip(np.rint(path).astype(int), 0, np.array(line.shape)[:, None] - 1)
    line[path[0], path[1]] = False
