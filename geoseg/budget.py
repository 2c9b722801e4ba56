"""Memory as a number: how ``--max-memory`` becomes tile size, chip size, strips and caches.

The rule, in this order:

1. What the process needs before it computes (libraries, network, report) is set aside: ``_BASE_BYTES``.
2. Of the rest, 5 % (16 MiB at least) goes to GDAL's block cache; what is left is shared by forward passes and tiles in
   flight as 60 to 35.
3. The chip is the largest square of cells (up to the device's best) whose forward passes fit, one per worker.
4. The tile is the largest square of cells, up to 2,048 px, of which ``workers + 1`` fit (one is read while others are
   predicted and finished). A side that the user asks for is taken, or refused where it does not fit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from geoseg.errors import MemoryTooSmallError
from geoseg.tiles import finite_halo, round_up

# Proportional set size of a run before its first tile: interpreter, torch, GDAL, GEOS, pandas; measured by
# `make bench-memory` (0.55 GB) plus the join of polygons and the report.
_BASE_BYTES = 800 * 10**6
_MOST_TILE_PX = 2048
_CACHE_SHARE, _FORWARD_SHARE, _TILE_SHARE = 0.05, 0.60 / 0.95, 0.35 / 0.95
_LEAST_CACHE_BYTES = 16 * 2**20
# Bytes of a tile per padded pixel beside its bands: masks, reasons, classes, confidence, compressed copy.
_TILE_OVERHEAD_BYTES = 16
# A band's float32, the copy of the item that is being merged into it, and its raw pixels.
_BAND_BYTES = 4 + 4 + 4


@dataclass(frozen=True, slots=True)
class Budget:
    """Sizes that a job is run with.

    Attributes:
        tile_cells: Cells on a side of a tile.
        chip_cells: Most cells on a side of a chip of a finite network.
        gdal_cache_bytes: GDAL's block cache.
        strip_bytes: For one strip of all dates of a composite.
        finish_bytes: For polygons and COGs after the last tile.
        tiles_in_flight: Tiles that may hold pixels at the same time.
    """

    tile_cells: int
    chip_cells: int
    gdal_cache_bytes: int
    strip_bytes: int
    finish_bytes: int
    tiles_in_flight: int


@dataclass(frozen=True, slots=True)
class Appetite:
    """What a model costs.

    Attributes:
        bands: Input bands.
        classes: Output classes.
        cell_px: Side of a cell.
        margin_px: Pixels read around a tile on one side, at most.
        workspace_bytes_per_px: Peak of one forward pass per chip pixel, without the input.
        chip_px: Side of a chip of a global network, ``None`` for a finite one.
    """

    bands: int
    classes: int
    cell_px: int
    margin_px: int
    workspace_bytes_per_px: float
    chip_px: int | None


def appetite_of(
    bands: int,
    classes: int,
    cell_px: int,
    radius_px: tuple[int, int, int, int],
    stride_px: int,
    workspace_bytes_per_px: float,
    chip_px: int | None,
) -> Appetite:
    """The costs of a model from the facts in its spec."""
    margin = chip_px if chip_px is not None else max(finite_halo(radius_px, stride_px))
    return Appetite(bands, classes, cell_px, margin, max(workspace_bytes_per_px, 64.0), chip_px)


def plan_budget(max_memory: int, workers: int, tile_px: int | None, best_chip_px: int, appetite: Appetite) -> Budget:
    """Divide the memory.

    Args:
        max_memory: Bytes for the whole process tree.
        workers: Tiles predicted at the same time.
        tile_px: Side of a tile that the user asked for.
        best_chip_px: Side above which the device gains nothing from larger chips.
        appetite: Costs of the model.

    Raises:
        MemoryTooSmallError: If one cell, or the tile that was asked for, does not fit; names the least possible memory.
    """
    cell = appetite.cell_px
    side_px = round_up(tile_px, cell) if tile_px else cell
    least = _least_bytes(appetite, side_px, workers)
    if max_memory < least:
        asked = f" and --tile-size {tile_px}" if tile_px else ""
        raise MemoryTooSmallError(
            f"--max-memory {max_memory / 1e9:.2f} GB with {workers} worker(s){asked}",
            f"at least {least / 1e9:.2f} GB for this model",
            "raise --max-memory"
            + (" or lower --tile-size" if side_px > cell else " or lower --workers" * (workers > 1)),
        )
    free = max_memory - _BASE_BYTES
    cache = max(free * _CACHE_SHARE, _LEAST_CACHE_BYTES)
    forward, tiles = (free - cache) * _FORWARD_SHARE, (free - cache) * _TILE_SHARE
    chip_px = _largest(cell, best_chip_px, lambda side: _forward_bytes(appetite, side) <= forward / workers)
    if tile_px is None:
        side_px = _largest(cell, _MOST_TILE_PX, lambda side: _tile_bytes(appetite, side) <= tiles / (workers + 1))
    return Budget(
        tile_cells=side_px // cell,
        chip_cells=min(chip_px, side_px) // cell,
        gdal_cache_bytes=int(cache),
        strip_bytes=int(tiles / (workers + 1)),
        finish_bytes=int(forward + tiles),
        tiles_in_flight=workers + 1,
    )


def _least_bytes(appetite: Appetite, side_px: int, workers: int) -> int:
    """The least memory in which tiles of a side fit with chips of one cell, rounded up to what two decimals show."""
    shared = max(
        _forward_bytes(appetite, appetite.cell_px) * workers / _FORWARD_SHARE,
        _tile_bytes(appetite, side_px) * (workers + 1) / _TILE_SHARE,
    )
    free = max(shared / (1 - _CACHE_SHARE), shared + _LEAST_CACHE_BYTES)
    return round_up(math.ceil(_BASE_BYTES + free), 10**7)


def _largest(cell: int, most: int, fits: Callable[[int], bool]) -> int:
    side = cell
    while side * 2 <= max(most, cell) and fits(side * 2):
        side *= 2
    return side


def _forward_bytes(appetite: Appetite, side_px: int) -> float:
    side = appetite.chip_px or side_px + 2 * appetite.margin_px
    return side**2 * (appetite.workspace_bytes_per_px + 4 * (appetite.bands + appetite.classes))


def _tile_bytes(appetite: Appetite, side_px: int) -> float:
    padded = (side_px + 2 * appetite.margin_px) ** 2
    scores = 4 * (appetite.classes + 1) if appetite.chip_px else 0
    return padded * (appetite.bands * _BAND_BYTES + _TILE_OVERHEAD_BYTES) + side_px**2 * scores
