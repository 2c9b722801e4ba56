"""A job to the forecast of its run, and a run to what the next forecast knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import shapely

from geoseg.budget import planned_bytes
from geoseg.composite import MEAN_SCORES
from geoseg.forecast import Forecast, Pace, Work, forecast
from geoseg.machine import Speeds
from geoseg.pixels import layer_names
from geoseg.tiles import Tile

if TYPE_CHECKING:
    from geoseg.pipeline.prepared import Prepared

# Runs that compute less say little of a machine's pace.
_LEAST_MPX = 1.0


def forecast_of(prepared: Prepared, price_per_hour: float | None = None) -> Forecast:
    """What a run of a job takes that finds no finished tile.

    Args:
        prepared: The job.
        price_per_hour: Of this machine.
    """
    works = [work_of(one) for one in prepared.lists]
    work = Work(
        **{field.name: sum(getattr(one, field.name) for one in works) for field in fields(Work)}
        | {"planned_bytes": max(one.planned_bytes for one in works), "max_bytes": works[0].max_bytes}
    )
    return forecast(work, _pace(prepared), price_per_hour)


def work_of(prepared: Prepared) -> Work:
    """The sizes of a job."""
    model, budget = prepared.model.spec, prepared.budget
    side = budget.tile_cells
    tile = Tile(0, 0, side, model.cell_px)
    every = np.ones((side, side), dtype=bool)
    streams, chips = prepared.chips.column_px > 0, prepared.chips
    taken = chips.chips_over(tile.window, model.cell_px) if streams else chips.chips(tile, every)
    seen = sum(chip.window.size_px for chip in taken)
    window = prepared.region.window
    share = prepared.pixels / max(1, window.size_px)
    depth_px = sum(
        shapely.area(shapely.clip_by_rect(outline, window.col0, window.row0, window.col1, window.row1)) * count
        for outline, count in _outlines(prepared)
    )
    # Where scores are combined every date has a forward pass of its own.
    passes = max(1.0, depth_px / max(1, window.size_px)) if prepared.spec.composite == MEAN_SCORES else 1.0
    return Work(
        tiles=len(prepared.tasks),
        pixels=prepared.pixels,
        forward_px=round(prepared.pixels * passes * seen / tile.side_px**2),
        samples=round(depth_px * share * len(model.bands)),
        layers=len(layer_names(prepared.spec.layers, len(prepared.classes))),
        planned_bytes=planned_bytes(budget, prepared.appetite, len(prepared.tasks)),
        max_bytes=prepared.settings.max_memory,
    )


def _outlines(prepared: Prepared) -> list[tuple[shapely.Geometry, int]]:
    """Each outline with the number of items that have it."""
    every = [outline for coverage in prepared.coverages for outline in coverage.outlines.values()]
    outlines = {id(outline): outline for outline in every}
    counts = Counter(map(id, every))
    return [(outline, counts[number]) for number, outline in outlines.items()]


def _pace(prepared: Prepared) -> Pace:
    known, key = Speeds(prepared.settings.cache), prepared.speed_key
    return Pace(
        forward_mpx_s=prepared.backend.mpx_per_s,
        tiles_mpx_s=known.get(key),
        finish_mpx_s=known.get(f"{key} finish"),
        start_s=known.get(f"{key} start"),
        memory_ratio=known.get(f"{key} memory"),
    )


def remember_tiles(prepared: Prepared, seconds: float, computed_px: int) -> None:
    """Keep how fast tiles were computed, those of a run that was stopped too.

    Args:
        prepared: The job.
        seconds: For the tiles.
        computed_px: Pixels of computed cells.
    """
    if computed_px and seconds > 0:
        Speeds(prepared.settings.cache).put(prepared.speed_key, computed_px / 1e6 / seconds)


def remember(prepared: Prepared, seconds: Mapping[str, float], computed_px: int, peak_bytes: int) -> None:
    """Keep the pace of a run that computed all of its map.

    Args:
        prepared: The job.
        seconds: Of its stages.
        computed_px: Pixels of computed cells.
        peak_bytes: Memory.
    """
    mpx = computed_px / 1e6
    if computed_px < prepared.pixels or mpx < _LEAST_MPX:
        return
    known, key = Speeds(prepared.settings.cache), prepared.speed_key
    finish_s = sum(spent for stage, spent in seconds.items() if stage not in {"plan", "tiles"})
    planned = min(work_of(prepared).planned_bytes, prepared.settings.max_memory)
    known.put(f"{key} start", seconds.get("plan", 0.0))
    if finish_s > 0:
        known.put(f"{key} finish", mpx / finish_s)
    if planned and peak_bytes:
        known.put(f"{key} memory", peak_bytes / planned)
