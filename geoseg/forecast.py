"""What a run will take, from its sizes and from what this machine measured before.

The rule (docs/decisions/021-forecast.md):

1. Wall time = start + tiles + finishing. Tiles take as long as the slower of reading and forward passes, because these
   overlap. An earlier run of the model on this machine gives the pace of each; before the first one, forward passes take
   the pace at which the backend was timed, and the rest stated defaults.
2. Peak memory = what the budget lets stand at the same time, at most the limit, times the ratio of fact and forecast of
   the last run of the model.
3. Disk = a record and the files of the map, by bytes per pixel. Cost = hours times price.

All of it only ever grows with the work.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

#: Before anything was measured here. Reading: samples (pixels times bands times dates) of a deflated uint16 COG.
DEFAULT_READ_MSAMPLES_S = 60.0
DEFAULT_FINISH_MPX_S = 12.0
DEFAULT_START_S = 4.0
#: Peaks of reading, forward passes and finished tiles do not come together.
DEFAULT_MEMORY_RATIO = 0.6
# Deflated samples of imagery; a tile's record and its share of the map's files, classes with confidence.
_BYTES_PER_SAMPLE, _BYTES_PER_PX = 1.3, 0.9
_LAYER_BYTES_PER_PX = 0.8


@dataclass(frozen=True, slots=True)
class Work:
    """What is to be done.

    Attributes:
        tiles: Tiles.
        pixels: Pixels of the wanted cells.
        forward_px: Pixels that forward passes see, halo included.
        samples: Pixels times bands times dates that are read.
        layers: Further layers.
        planned_bytes: What the budget lets stand at the same time.
        max_bytes: The limit.
    """

    tiles: int
    pixels: int
    forward_px: int
    samples: int
    layers: int
    planned_bytes: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Pace:
    """What this machine measured; ``None`` where it did not.

    Attributes:
        forward_mpx_s: Megapixels a second of forward passes, halo included, all cores together.
        tiles_mpx_s: Megapixels a second of the last run's tiles, everything included.
        finish_mpx_s: Megapixels a second of rasters, polygons and report.
        start_s: Seconds before the first tile.
        memory_ratio: Peak of the last run over what was planned for it.
    """

    forward_mpx_s: float | None = None
    tiles_mpx_s: float | None = None
    finish_mpx_s: float | None = None
    start_s: float | None = None
    memory_ratio: float | None = None

    @property
    def is_known(self) -> bool:
        """Whether anything tells how fast the network is here."""
        return bool(self.tiles_mpx_s or self.forward_mpx_s)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run will take.

    Attributes:
        tiles: Tiles.
        read_bytes: Of imagery.
        forward_s: Seconds of forward passes; ``None`` where nothing of it was measured.
        wall_s: Seconds from start to end; see ``forward_s``.
        peak_bytes: Memory of all processes.
        disk_bytes: Tile store and output folder.
        cost: In the currency of the price; ``None`` without one.
    """

    tiles: int
    read_bytes: int
    forward_s: float | None
    wall_s: float | None
    peak_bytes: int
    disk_bytes: int
    cost: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)


def forecast(work: Work, pace: Pace, price_per_hour: float | None = None) -> Forecast:
    """What a run will take.

    Args:
        work: Its sizes.
        pace: What is known of this machine.
        price_per_hour: Of this machine.
    """
    forward_s = wall_s = cost = None
    if pace.is_known:
        forward_s = work.forward_px / 1e6 / (pace.forward_mpx_s or pace.tiles_mpx_s or 1.0)
        tiles_s = max(forward_s, work.samples / 1e6 / DEFAULT_READ_MSAMPLES_S)
        if pace.tiles_mpx_s:
            tiles_s = work.pixels / 1e6 / pace.tiles_mpx_s
        finish_s = work.pixels / 1e6 / (pace.finish_mpx_s or DEFAULT_FINISH_MPX_S)
        wall_s = (DEFAULT_START_S if pace.start_s is None else pace.start_s) + tiles_s + finish_s
        cost = None if price_per_hour is None else round(price_per_hour * wall_s / 3600, 4)
    peak = min(work.planned_bytes * (pace.memory_ratio or DEFAULT_MEMORY_RATIO), work.max_bytes)
    return Forecast(
        tiles=work.tiles,
        read_bytes=round(work.samples * _BYTES_PER_SAMPLE),
        forward_s=forward_s,
        wall_s=wall_s,
        peak_bytes=round(peak),
        disk_bytes=round(work.pixels * (_BYTES_PER_PX + _LAYER_BYTES_PER_PX * work.layers)),
        cost=cost,
    )
