"""What is known of a run: the one value that ``report.json``, ``report.html`` and ``item.json`` are made from.

Names carry units. Shares are 0 to 1. Addresses lose query and user part when they enter: no token reaches a file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime, model_validator

from geoseg.outputs.files import whole_file
from geoseg.outputs.record_parts import (
    ChangeFacts,
    ClassFacts,
    Count,
    Json,
    ModelFacts,
    Part,
    SceneFacts,
    SkippedScene,
    Text,
)


class JobFacts(Part):
    """What was asked for."""

    key: str
    """Name of the job: hash of all that its pixels depend on."""
    workflow: str
    """The named settings it started from."""
    spec: Json
    """The whole `JobSpec`."""
    title: Text = ""
    """A line for people, such as the name of the AOI."""


class Software(Part):
    """What it ran on."""

    geoseg: str
    """Version of geoseg."""
    python: str
    """Version of Python."""
    libraries: dict[str, str]
    """Version of each library that pixels or files depend on, by name."""
    platform: str = ""
    """Operating system and processor."""


class ForecastFacts(Part):
    """What was foretold before the first tile, and what it came to; both of a run that finds no finished tile."""

    wall_s: float | None = None
    """Seconds from start to end as foretold; none where this machine had measured nothing of the model."""
    wall_s_fact: float
    """What they came to."""
    peak_memory_bytes: int
    """Memory as foretold."""
    peak_memory_bytes_fact: int
    """What it came to."""
    read_bytes: int
    """Of imagery, as foretold."""
    disk_bytes: int
    """Of the tile store and the output folder, as foretold."""


class Timing(Part):
    """When, and how long."""

    started: AwareDatetime
    """UTC."""
    finished: AwareDatetime
    """UTC."""
    total_s: float
    """Wall time."""
    stage_seconds: dict[str, float]
    """Wall time per stage, by name, in order. Stages overlap, so they may add up to more than the whole."""
    computed_megapixels: float = 0.0
    """Pixels of the map that this run computed (not those it reused), in millions."""
    megapixels_per_s: float = 0.0
    """Computed pixels per second of wall time, in millions."""

    @classmethod
    def measured(
        cls,
        started: dt.datetime,
        total_s: float,
        stage_seconds: Mapping[str, float],
        computed_px: int,
    ) -> Self:
        """Timing from a monotonic clock.

        Args:
            started: When the run began, aware.
            total_s: Wall time, positive.
            stage_seconds: Wall time per stage.
            computed_px: Pixels of the map that this run computed.
        """
        return cls(
            started=started,
            finished=started + dt.timedelta(seconds=total_s),
            total_s=total_s,
            stage_seconds=dict(stage_seconds),
            computed_megapixels=computed_px / 1e6,
            megapixels_per_s=computed_px / 1e6 / total_s if total_s > 0 else 0.0,
        )


class GridFacts(Part):
    """The pixel lattice, and the part of it that the map covers."""

    crs: str | None
    """``EPSG:…`` where there is a code, else WKT2; ``None`` for a plain pixel grid."""
    transform: tuple[float, float, float, float, float, float]
    """Affine a, b, c, d, e, f: x = a col + b row + c, y = d col + e row + f."""
    shape: tuple[int, int]
    """Rows and columns of the map."""
    pixel_size: tuple[float, float]
    """Height and width of a pixel in ``unit``."""
    unit: str
    """Unit of the CRS: ``metre``, ``degree`` …, or ``pixel``."""
    anchor: tuple[int, int]
    """Row and column of the map's first pixel, counted from the lattice's anchor."""
    cell_px: int
    """Side of a cell."""
    tile_px: int
    """Side of a tile."""
    stride_px: int
    """Stride of the network."""
    halo_px: int
    """Context that chips read on each side."""
    corners_lonlat: tuple[tuple[float, float], ...] = ()
    """Longitude and latitude of the corners: upper left, upper right, lower right, lower left. Empty without a CRS."""


class TileCounts(Part):
    """Tiles of the job."""

    total: Count
    """All."""
    computed: Count
    """Computed by this run."""
    reused: Count
    """Found in the tile store."""
    incomplete: Count = 0
    """Stored with failed pixels in reach; the next run computes them again."""


class PixelCounts(Part):
    """Pixels of the map. Those of the AOI are classified, nodata or failed, and nothing else."""

    total: Count
    """Of the raster."""
    outside_aoi: Count
    """Nodata because they lie outside the AOI."""
    aoi: Count
    """In the AOI."""
    classified: Count
    """With a class."""
    per_class: dict[int, Count]
    """Class index to pixels."""
    nodata_unobserved: Count
    """In the AOI, and no scene covers them."""
    nodata_masked: Count
    """In the AOI, covered, and masked in every scene: cloud, shadow, nodata of the scene."""
    failed: dict[str, Count]
    """Cause to pixels that should have been read and were not."""
    near_failed: Count = 0
    """Classified, with failed pixels within reach of the network."""

    @property
    def failed_total(self) -> int:
        """Failed pixels of all causes."""
        return sum(self.failed.values())

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.aoi + self.outside_aoi != self.total:
            raise ValueError(f"{self.total} pixels, but {self.aoi} in the AOI and {self.outside_aoi} outside")
        known = self.classified + self.nodata_unobserved + self.nodata_masked + self.failed_total
        if known != self.aoi:
            raise ValueError(f"{self.aoi} pixels in the AOI, but {known} with a class or a reason for none")
        if sum(self.per_class.values()) != self.classified:
            raise ValueError(
                f"{self.classified} classified pixels, but the classes have {sum(self.per_class.values())}"
            )
        return self


class AreaFacts(Part):
    """The area of one class, in all or in one feature of the AOI."""

    feature: Text
    """Id of the feature, or ``all``."""
    index: int
    """Class index."""
    pixels: Count
    """Number of pixels."""
    area_m2: float | None
    """On the ellipsoid."""
    area_m2_planar: float | None
    """Pixels times the pixel's area in the grid's CRS."""
    share: float
    """Of the classified pixels of the feature."""


class PolygonCounts(Part):
    """Polygons of the map."""

    count: Count
    """All."""
    split: Count = 0
    """Those that are parts of one with too many vertices."""
    min_area_m2: float = 0.0
    """Smaller ones took the class of a neighbour."""
    simplify_m: float = 0.0
    """Tolerance of simplified outlines; 0 means pixel edges."""
    dropped: Count = 0
    """Of a change map: left out because they are thinner than the dates lie apart, or beside clouds, where it was asked
    for. They stay in the rasters."""


class OutputFile(Part):
    """A file of the run."""

    name: str
    """Short name: ``classes``, ``confidence``, ``polygons`` …"""
    path: str
    """Relative to the output folder."""
    media_type: str
    """As STAC writes it."""
    size_bytes: Count
    """Its length."""
    sha256: str
    """Checksum of its bytes."""


class RunSettings(Part):
    """Where it ran. Device to threads are part of the job's key."""

    device: str
    """``cpu``, ``cuda`` …"""
    backend: str
    """``torch``, ``openvino``, ``onnx``."""
    precision: str
    """``exact``, ``bf16``, ``int8``."""
    threads_per_pass: int
    """Threads of one forward pass."""
    workers: int
    """Processes that compute tiles; 0 for those of a scheduler, which may come and go."""
    passes_at_once: int = 1
    """Forward passes at the same time in each of them, at most."""
    max_memory_bytes: int
    """The limit that was given; with a scheduler, of each of its workers."""
    peak_memory_bytes: int | None = None
    """Measured, proportional set size of the process tree on this machine."""
    allow_pickle: bool = False
    """Whether weights that are pickles were allowed."""


class Record(Part):
    """All that is known of a run."""

    record_version: int = 1
    """Raised when the meaning of a field changes."""
    job: JobFacts
    """What was asked for."""
    software: Software
    """What it ran on."""
    settings: RunSettings
    """Where it ran."""
    timing: Timing
    """When, and how long."""
    forecast: ForecastFacts | None = None
    """What was foretold, against what it came to."""
    grid: GridFacts
    """The pixel lattice."""
    model: ModelFacts
    """The model; of a change map what finds the change."""
    land_cover: ModelFacts | None = None
    """Of a change map: the model that tells the classes of both dates, where it is another one."""
    classes: tuple[ClassFacts, ...]
    """The class table."""
    scenes: tuple[SceneFacts, ...]
    """Scenes that pixels came from, in the order of the composite's rule."""
    scenes_skipped: tuple[SkippedScene, ...] = ()
    """Scenes that were found and not used."""
    tiles: TileCounts
    """Tiles."""
    tiles_repeated: tuple[tuple[int, int], ...] = ()
    """Row and column (on the lattice of tiles, as a scheduler's dashboard names them) of tiles that were with a worker
    when it was lost, and were given to another."""
    pixels: PixelCounts
    """Pixels."""
    areas: tuple[AreaFacts, ...] = ()
    """Areas per feature and class."""
    polygons: PolygonCounts
    """Polygons."""
    change: ChangeFacts | None = None
    """What was fitted to two dates, of a change map."""
    evidence: Json | None = None
    """What is known of each candidate, where the job asks for evidence; its schema is that of `geoseg.evidence`."""
    outputs: tuple[OutputFile, ...] = ()
    """Files, but for the record itself and what is made from it (``report.json``, ``report.html``, ``item.json``)."""
    warnings: tuple[Text, ...] = ()
    """What may be wrong with this map, in plain words."""
    notes: tuple[Text, ...] = ()
    """What to know when using it, in plain words."""
    model_failures: tuple[Text, ...] = ()
    """Chips for which the network gave no answer: their window on the map, on the globe, and the reason."""

    @property
    def interval(self) -> tuple[dt.datetime, dt.datetime] | None:
        """First and last acquisition, or ``None`` where no scene has a date."""
        times = [scene.datetime for scene in self.scenes if scene.datetime is not None]
        return (min(times), max(times)) if times else None


def write_record(path: Path, record: Record) -> Path:
    """Writes ``report.json``.

    Raises:
        OutputError: If the file could not be written whole.
    """
    with whole_file(path) as temporary:
        temporary.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return path
