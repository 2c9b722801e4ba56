"""A job that is ready to be computed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odc.geo.geobox import GeoBox

from geoseg.budget import Appetite, Budget, Share
from geoseg.change.detectors import Detector
from geoseg.change.fitting import Fitted
from geoseg.composite import MEAN_SCORES
from geoseg.grid import Lattice
from geoseg.heads import plugin_of_head
from geoseg.keys import KeyParts
from geoseg.load import Rasters
from geoseg.models import ClassInfo, ModelFolder
from geoseg.models.backends import Backend
from geoseg.models.legends import Legend
from geoseg.pipeline.class_sets import SetsPlan
from geoseg.pipeline.other_dates import Earlier, Later
from geoseg.pipeline.sizes import appetite, kept_layers
from geoseg.plan import Coverage, Region, TileTasks
from geoseg.plugins import Plugin
from geoseg.remote import RemoteFiles
from geoseg.scenes import Found
from geoseg.settings import Settings
from geoseg.spec import POST_CLASSIFICATION, JobSpec
from geoseg.tiles import ChipPlan
from geoseg.words import WordsPlan

if TYPE_CHECKING:
    from geoseg.pipeline.evidence import EvidencePlan


@dataclass(frozen=True)
class Prepared:
    """A job, ready to be computed.

    Attributes:
        spec: What to make.
        settings: Where.
        model: The model's folder.
        found: Items, with what was skipped and guessed.
        lattice: Pixel grid.
        lattice_origin: Where the grid comes from, in words.
        region: The AOI on the grid.
        coverage: Scenes on the grid, in the order of the rule.
        tasks: Tiles with their wanted cells.
        budget: Sizes that fit the memory.
        share: What each worker process of this machine may hold; ``None`` where this process computes, or a cluster.
        key_parts: What all tile keys share.
        asset_facts: Versions of the files.
        remote: Files on servers.
        backend: What runs the network.
        pixel_m: Side of a pixel on the ground.
        warnings: In plain words.
        evidence: What the polygons are held against; ``None`` where the job asks for nothing, or before a run.
        legend: Of the map, where it is not the model's own.
        words: What is asked of a text-image model; ``None`` for models that have classes of their own.
        sets: Thresholds of class sets, where they are asked for.
        later: What the second of two dates adds; ``None`` for maps of one.
        earlier: The date before that of the map, for its evidence; ``None`` where the job does not look back.
        of_dates: The land cover of both dates, each a job of its own, where a change map tells classes.
        fitted: What a job of two dates fitted before its tiles; ``None`` before a run.
        moved: Rows and columns by which images are read farther down and right, see ``geoseg.work.Recipe``.
        from_to: Classes of a change map; known when the last tile is done.
    """

    spec: JobSpec
    settings: Settings
    model: ModelFolder
    found: Found
    lattice: Lattice
    lattice_origin: str
    region: Region
    coverage: Coverage
    tasks: TileTasks
    budget: Budget
    share: Share | None
    key_parts: KeyParts
    asset_facts: dict[str, str]
    remote: RemoteFiles
    backend: Backend
    pixel_m: float
    warnings: tuple[str, ...]
    evidence: EvidencePlan | None = None
    legend: Legend | None = None
    words: WordsPlan | None = None
    sets: SetsPlan | None = None
    later: Later | None = None
    earlier: Earlier | None = None
    of_dates: tuple[Prepared, ...] = ()
    fitted: Fitted | None = None
    moved: tuple[float, float] = (0.0, 0.0)
    from_to: tuple[ClassInfo, ...] | None = None

    @property
    def lists(self) -> tuple[Prepared, ...]:
        """The tile lists of the job, in the order in which they are made: of two dates up to three."""
        return self.of_dates if self.spec.detector == POST_CLASSIFICATION else (*self.of_dates, self)

    @property
    def land_cover(self) -> ModelFolder | None:
        """What tells the classes of both dates, where that is another model than what finds the change."""
        return self.of_dates[0].model if self.of_dates and self.spec.detector != POST_CLASSIFICATION else None

    @property
    def coverages(self) -> tuple[Coverage, ...]:
        """The scenes of each date."""
        return (self.coverage,) if self.later is None else (self.coverage, self.later.coverage)

    @property
    def founds(self) -> tuple[Found, ...]:
        """What the search of each date gave."""
        others = [one.found for one in (self.earlier, self.later) if one is not None]
        return (self.found, *others)

    @property
    def detector(self) -> Detector | None:
        """What finds the change without a network; ``None`` where one does, and before it is fitted."""
        return None if self.fitted is None else self.fitted.detector

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The class table of the map."""
        if self.words is not None:
            return self.words.classes
        if self.from_to is not None:
            return self.from_to
        return self.model.spec.classes if self.legend is None else self.legend.classes

    @property
    def geobox(self) -> GeoBox:
        """Pixel grid of the map; without a CRS where rows and columns are the place."""
        geobox = self.lattice.geobox(self.region.window)
        return GeoBox(geobox.shape, geobox.transform, None) if self.spec.pixel_grid else geobox

    @property
    def rasters(self) -> Rasters:
        """Opens the files, in the versions that the keys name."""
        return Rasters(self.remote, self.asset_facts)

    @property
    def planar_pixel_m(self) -> float:
        """Side of a pixel in the plane of the map, in metres; on degree grids that on the ground mid-region.

        Without a place, where an area is a number of pixels: 1.
        """
        crs = self.lattice.crs
        if self.spec.pixel_grid:
            return 1.0
        if crs.geographic:
            return self.pixel_m
        return math.sqrt(self.lattice.pixel_area) * float(crs.proj.axis_info[0].unit_conversion_factor)

    @property
    def pixels(self) -> int:
        """Pixels of the wanted cells."""
        return self.tasks.pixels

    @property
    def plugins(self) -> tuple[Plugin, ...]:
        """What of the map comes from other distributions."""
        used = {
            *(plugin_of_head(one.model.spec) for one in (self, *self.of_dates)),
            *(item.sensor.plugin for found in self.founds for item in found.items),
        }
        return tuple(sorted(filter(None, used), key=str))

    @property
    def workers(self) -> int:
        """Processes that compute tiles; 0 for those of a scheduler."""
        return 0 if self.settings.scheduler is not None else self.share.processes if self.share else 1

    @property
    def speed_key(self) -> str:
        """Under which this machine remembers the model's speed."""
        passes = self.share.processes * self.share.passes if self.share else self.budget.passes_at_once
        cores = passes * self.key_parts.threads
        hands = f"{cores} cores" if self.settings.scheduler is None else self.settings.scheduler
        rule = " mean" if self.spec.composite == MEAN_SCORES else ""  # a pass for each date
        return f"{self.model.spec.digest[:16]} {self.key_parts.backend} {self.spec.profile} {hands}{rule}"

    @property
    def chips(self) -> ChipPlan:
        """Shapes that the network is given."""
        model, budget = self.model.spec, self.budget
        own = model.radius_px, model.stride_px, model.chip_px, model.chip_step_px
        return ChipPlan(*own, budget.chip_cells, budget.column_px)

    @property
    def appetite(self) -> Appetite:
        """What the model costs in memory."""
        return appetite(self.model.spec, self.backend, kept_layers(self.spec), self.spec.composite, self.words)
