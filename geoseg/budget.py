"""Memory as a number: how ``--max-memory`` becomes tile size, chip size, strips and caches.

The rule, in this order:

1. What the process needs before it computes (libraries, network, report) is set aside: ``Appetite.standing_bytes``.
2. Of the rest, 5 % (16 MiB at least) goes to decoded blocks (a quarter to GDAL's cache, the others to those that
   neighbouring tiles share); what is left is shared by forward passes and tiles in
   flight as 60 to 35.
3. The chip is the largest square of cells (up to the device's best) of which a forward pass per core fits, one thread
   each; below 512 px it is rather fewer passes of more threads.
   Where the halo is large, a network that can take an area strip by strip does so, if that is less work (``_column``):
   in columns as wide as fit into what was planned for a chip.
4. The tile is the largest square of cells, up to 2,048 px, of which two fit (one is read while the other is predicted
   and finished). A side that the user asks for is taken, or refused where it does not fit.
5. The number of workers changes no size and no number of threads, because a tile's bytes depend on them. Each worker
   process has its own libraries and network, and the room for at least one pass and one tile: ``share_budget``.
6. After the last tile its memory is free for finishing: polygons, and a share for the mosaic. Below 2 GB of it rasters
   and polygons are written one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from geoseg.errors import MemoryTooSmallError
from geoseg.tiles import finite_halo, round_up

# The process that plans, hands out tiles and counts while worker processes compute.
_LEADER_BYTES = 400 * 10**6
_MOST_TILE_PX = 2048
# Below this the halo costs more than waiting for each other costs the threads of one pass.
_LEAST_SHARED_CHIP_PX = 512
# What is copied between strips, as a share of the work, less what strips gain by fitting into caches.
_COPIES = 1.12
_TILES_PLANNED = 2
_CACHE_SHARE, _FORWARD_SHARE, _TILE_SHARE = 0.05, 0.60 / 0.95, 0.35 / 0.95
_LEAST_CACHE_BYTES = 16 * 2**20
# Bytes of a tile per padded pixel beside its bands: masks, reasons, classes, confidence, compressed copy.
_TILE_OVERHEAD_BYTES = 16
# A further layer: as computed, in a chip, in the record and compressed.
_LAYER_BYTES = 4
# A band's float32, the copy of the item that is being merged into it, and its raw pixels.
_BAND_BYTES = 4 + 4 + 4


@dataclass(frozen=True, slots=True)
class Budget:
    """Sizes that a job is run with.

    Attributes:
        tile_cells: Cells on a side of a tile.
        chip_cells: Most cells on a side of a chip of a finite network.
        gdal_cache_bytes: Decoded blocks: GDAL's cache, and those that neighbouring tiles share.
        strip_bytes: For one strip of all dates of a composite.
        finish_bytes: For polygons and COGs after the last tile.
        tiles_in_flight: Tiles that may hold pixels at the same time.
        passes_at_once: Forward passes at the same time.
        threads_per_pass: Threads of one forward pass.
        column_px: Most columns of an area that is taken strip by strip; 0 where chips are taken whole.
    """

    tile_cells: int
    chip_cells: int
    gdal_cache_bytes: int
    strip_bytes: int
    finish_bytes: int
    tiles_in_flight: int
    passes_at_once: int
    threads_per_pass: int
    column_px: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker process may hold at a time.

    Attributes:
        processes: How many there are on this machine; 0 where they are others'.
        passes: Forward passes at the same time.
        tiles_in_flight: Tiles that may hold pixels at the same time.
        gdal_cache_bytes: Decoded blocks: GDAL's cache, and those that neighbouring tiles share.
        strip_bytes: For one strip of all dates of a composite.
    """

    processes: int
    passes: int
    tiles_in_flight: int
    gdal_cache_bytes: int
    strip_bytes: int


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
        standing_bytes: What the process takes before it computes: libraries, network, the join of polygons, report.
        layers: Further layers that are kept of every pixel.
        sums: Whether scores of several dates are summed over a tile.
        column_bytes: Peak of a pass that takes an area strip by strip, per column; 0 where that cannot be.
    """

    bands: int
    classes: int
    cell_px: int
    margin_px: int
    workspace_bytes_per_px: float
    chip_px: int | None
    standing_bytes: int
    layers: int = 0
    sums: bool = False
    column_bytes: float = 0.0


def appetite_of(
    bands: int,
    classes: int,
    cell_px: int,
    radius_px: tuple[int, int, int, int],
    stride_px: int,
    workspace_bytes_per_px: float,
    chip_px: int | None,
    standing_bytes: int,
    layers: int = 0,
    *,
    sums: bool = False,
    column_bytes: float = 0.0,
) -> Appetite:
    """The costs of a model from the facts in its spec."""
    margin = chip_px if chip_px is not None else max(finite_halo(radius_px, stride_px))
    workspace = max(workspace_bytes_per_px, 64.0)
    return Appetite(bands, classes, cell_px, margin, workspace, chip_px, standing_bytes, layers, sums, column_bytes)


def plan_budget(max_memory: int, cores: int, tile_px: int | None, best_chip_px: int, appetite: Appetite) -> Budget:
    """Divide the memory.

    Args:
        max_memory: Bytes for the whole process tree.
        cores: Cores that compute; 1 where another device does.
        tile_px: Side of a tile that the user asked for.
        best_chip_px: Side above which the device gains nothing from larger chips.
        appetite: Costs of the model.

    Raises:
        MemoryTooSmallError: If one cell, or the tile that was asked for, does not fit; names the least possible memory.
    """
    cell = appetite.cell_px
    side_px = round_up(tile_px, cell) if tile_px else cell
    least = _least_bytes(appetite, side_px)
    if max_memory < least:
        asked = f" and --tile-size {tile_px}" if tile_px else ""
        raise MemoryTooSmallError(
            f"--max-memory {max_memory / 1e9:.2f} GB{asked}",
            f"at least {least / 1e9:.2f} GB for this model",
            "raise --max-memory" + " or lower --tile-size" * (side_px > cell),
        )
    free = max_memory - appetite.standing_bytes
    cache = max(free * _CACHE_SHARE, _LEAST_CACHE_BYTES)
    forward, tiles = (free - cache) * _FORWARD_SHARE, (free - cache) * _TILE_SHARE
    alone_px = _largest(cell, best_chip_px, lambda side: _forward_bytes(appetite, side) <= forward)
    beside_px = _largest(cell, best_chip_px, lambda side: _forward_bytes(appetite, side) * cores <= forward)
    chip_px = max(beside_px, min(alone_px, _LEAST_SHARED_CHIP_PX // cell * cell))
    if tile_px is None:
        side_px = _largest(cell, _MOST_TILE_PX, lambda side: _tile_bytes(appetite, side) <= tiles / _TILES_PLANNED)
    chip_px = min(chip_px, side_px)
    passes = max(1, min(cores, int(forward // _forward_bytes(appetite, chip_px))))
    return Budget(
        tile_cells=side_px // cell,
        chip_cells=chip_px // cell,
        gdal_cache_bytes=int(cache),
        strip_bytes=int(tiles / _TILES_PLANNED),
        finish_bytes=int(forward + tiles),
        tiles_in_flight=max(_TILES_PLANNED, min(passes + 1, int(tiles // _tile_bytes(appetite, side_px)))),
        passes_at_once=passes,
        threads_per_pass=max(1, cores // passes),
        column_px=_column(appetite, chip_px, side_px),
    )


def share_budget(budget: Budget, max_memory: int, cores: int, workers: int, appetite: Appetite) -> Share | None:
    """Divide the memory among worker processes of this machine. Sizes stay those of the budget.

    Args:
        budget: Of the job.
        max_memory: Bytes for the whole process tree.
        cores: Cores that compute, all together.
        workers: Processes that are asked for.
        appetite: Costs of the model.

    Returns:
        The share of each; of fewer processes where the memory is not enough for all, ``None`` where it is for one only.
    """
    for processes in range(workers, 1, -1):
        room = (max_memory - _LEADER_BYTES) / processes - appetite.standing_bytes
        share = _share(budget, room, max(1, cores // processes), processes, appetite)
        if share is not None:
            return share
    return None


def share_of_worker(budget: Budget, max_memory: int, cores: int, appetite: Appetite) -> Share:
    """What a worker process of a cluster may hold, each within the memory that the job was planned for.

    Args:
        budget: Of the job.
        max_memory: Bytes of each worker process.
        cores: Threads that it has, at most.
        appetite: Costs of the model.
    """
    share = _share(budget, max_memory - appetite.standing_bytes, cores, 0, appetite)
    return share or Share(0, 1, 1, budget.gdal_cache_bytes, budget.strip_bytes)


def _share(budget: Budget, room: float, cores: int, processes: int, appetite: Appetite) -> Share | None:
    """The share of a process with so much room beyond its libraries; ``None`` if not even one tile fits."""
    divisor = max(1, processes)
    cache = max(budget.gdal_cache_bytes / divisor, _LEAST_CACHE_BYTES)
    forward = _forward_bytes(appetite, budget.chip_cells * appetite.cell_px)
    tile = _tile_bytes(appetite, budget.tile_cells * appetite.cell_px)
    most = max(1, cores // budget.threads_per_pass)
    for passes in range(most, 0, -1):
        in_flight = int((room - cache - passes * forward) // tile)
        if in_flight >= 1:
            return Share(processes, passes, min(passes + 1, in_flight), int(cache), int(budget.strip_bytes / divisor))
    return None


def _least_bytes(appetite: Appetite, side_px: int) -> int:
    """The least memory in which tiles of a side fit with chips of one cell, rounded up to what two decimals show."""
    shared = max(
        _forward_bytes(appetite, appetite.cell_px) / _FORWARD_SHARE,
        _tile_bytes(appetite, side_px) * _TILES_PLANNED / _TILE_SHARE,
    )
    free = max(shared / (1 - _CACHE_SHARE), shared + _LEAST_CACHE_BYTES)
    return round_up(math.ceil(appetite.standing_bytes + free), 10**7)


def _largest(cell: int, most: int, fits: Callable[[int], bool]) -> int:
    side = cell
    while side * 2 <= max(most, cell) and fits(side * 2):
        side *= 2
    return side


def _column(appetite: Appetite, chip_px: int, tile_px: int) -> int:
    """Columns of a tile that are taken strip by strip; 0 where whole chips are less work.

    A chip computes its halo on all sides. A column does so above and below, and at its sides about half of it, because
    there only those columns are made of each feature map that the next one looks at. Keeping rows costs copies.
    """
    if not appetite.column_bytes:
        return 0
    margin, planned = appetite.margin_px, _forward_bytes(appetite, chip_px)
    column = min(tile_px, int(planned / appetite.column_bytes - 2 * margin) // appetite.cell_px * appetite.cell_px)
    if column <= 0:
        return 0
    streamed = _COPIES * (1 + margin / column) * (1 + 2 * margin / tile_px)
    return column if streamed < (1 + 2 * margin / chip_px) ** 2 else 0


def planned_bytes(budget: Budget, appetite: Appetite, tiles: int) -> int:
    """What stands at the same time when a job of so many tiles is run with these sizes."""
    cell = appetite.cell_px
    forward = budget.passes_at_once * _forward_bytes(appetite, budget.chip_cells * cell)
    held = min(budget.tiles_in_flight, tiles) * _tile_bytes(appetite, budget.tile_cells * cell)
    return round(appetite.standing_bytes + budget.gdal_cache_bytes + forward + held)


def _forward_bytes(appetite: Appetite, side_px: int) -> float:
    side = appetite.chip_px or side_px + 2 * appetite.margin_px
    return side**2 * (appetite.workspace_bytes_per_px + 4 * (appetite.bands + appetite.classes) + appetite.layers)


def _tile_bytes(appetite: Appetite, side_px: int) -> float:
    padded = (side_px + 2 * appetite.margin_px) ** 2
    held = (appetite.chip_px is not None) + appetite.sums  # scores of a whole tile
    scores = held * 4 * (appetite.classes + 1) + _LAYER_BYTES * appetite.layers
    return padded * (appetite.bands * _BAND_BYTES + _TILE_OVERHEAD_BYTES) + side_px**2 * scores
