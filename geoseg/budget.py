"""Memory as a number: how ``--max-memory`` becomes tile size, chip size, strips and caches.

The rule, in this order:

1. What the process needs before it computes (libraries, network, report) is set aside: ``_BASE_BYTES``.
2. Of the rest, 5 % goes to GDAL's block cache, 60 % to forward passes and 35 % to tiles in flight.
3. The chip is the largest square of cells (up to the device's best) whose forward passes fit, one per worker.
4. The tile is the largest square of cells, up to 2,048 px, of which ``workers + 1`` fit (one is read while others are
   predicted and finished).
"""

from __future__ import annotations

from dataclasses import dataclass

from geoseg.errors import MemoryTooSmallError
from geoseg.tiles import finite_halo, round_up

# Proportional set size of a run before its first tile: interpreter, torch, GDAL, GEOS, pandas; measured by
# `make bench-memory` (0.55 GB) plus the join of polygons and the report.
_BASE_BYTES = 800 * 10**6
_MOST_TILE_PX = 2048
_CACHE_SHARE, _FORWARD_SHARE, _TILE_SHARE = 0.05, 0.60, 0.35
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
        MemoryTooSmallError: If one cell does not fit; names the least possible memory.
    """
    cell = appetite.cell_px
    free = max_memory - _BASE_BYTES
    forward, tiles = free * _FORWARD_SHARE / workers, free * _TILE_SHARE / (workers + 1)
    if _forward_bytes(appetite, cell) > forward or _tile_bytes(appetite, cell) > tiles:
        least = _BASE_BYTES + max(
            _forward_bytes(appetite, cell) * workers / _FORWARD_SHARE,
            _tile_bytes(appetite, cell) * (workers + 1) / _TILE_SHARE,
        )
        raise MemoryTooSmallError(
            f"--max-memory {max_memory / 1e9:.2f} GB with {workers} worker(s)",
            f"at least {round_up(int(least), 10**7) / 1e9:.2f} GB for this model",
            "raise --max-memory or lower --workers",
        )
    chip_px = _largest(cell, best_chip_px, lambda side: _forward_bytes(appetite, side) <= forward)
    fitting = _largest(cell, _MOST_TILE_PX, lambda side: _tile_bytes(appetite, side) <= tiles)
    side_px = round_up(tile_px, cell) if tile_px else fitting
    return Budget(
        tile_cells=side_px // cell,
        chip_cells=min(chip_px, side_px) // cell,
        gdal_cache_bytes=int(max(free * _CACHE_SHARE, 16 * 2**20)),
        strip_bytes=int(tiles),
        finish_bytes=int(free * (_FORWARD_SHARE + _TILE_SHARE)),
        tiles_in_flight=workers + 1,
    )


def _largest(cell: int, most: int, fits: object) -> int:
    side = cell
    while side * 2 <= max(most, cell) and fits(side * 2):  # type: ignore[operator]  # a predicate on the side
        side *= 2
    return side


def _forward_bytes(appetite: Appetite, side_px: int) -> float:
    side = appetite.chip_px or side_px + 2 * appetite.margin_px
    return side**2 * (appetite.workspace_bytes_per_px + 4 * (appetite.bands + appetite.classes))


def _tile_bytes(appetite: Appetite, side_px: int) -> float:
    padded = (side_px + 2 * appetite.margin_px) ** 2
    scores = 4 * (appetite.classes + 1) if appetite.chip_px else 0
    return padded * (appetite.bands * _BAND_BYTES + _TILE_OVERHEAD_BYTES) + side_px**2 * scores
