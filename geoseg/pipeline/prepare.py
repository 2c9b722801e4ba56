"""Everything that is decided before the first pixel is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odc.geo.geobox import GeoBox

from geoseg.aoi import AOI
from geoseg.budget import Appetite, Budget, Share
from geoseg.composite import MEAN_SCORES
from geoseg.errors import ModelMismatchError, RequestError
from geoseg.grid import Lattice
from geoseg.heads import plugin_of_head
from geoseg.inputs import with_true_grids
from geoseg.keys import KeyParts, asset_facts
from geoseg.load import Rasters
from geoseg.models import ClassInfo, ModelFolder, ModelSpec, resolve
from geoseg.models.backends import Backend, Choice
from geoseg.models.legends import Legend, legend_of
from geoseg.models.licences import licence_warning
from geoseg.models.weights import guard_pickle
from geoseg.pipeline.sizes import appetite, backend_of, kept_layers, key_parts_of, sizes_of
from geoseg.pipeline.words import example_names, words_of
from geoseg.plan import (
    Coverage,
    Region,
    TileTasks,
    check_area,
    check_area_of_use,
    check_pixels,
    check_region,
    check_resolution,
    choose_lattice,
    cover,
    crs_of,
    place_region,
    plan_tiles,
    resolution_m,
    search_bounds,
)
from geoseg.plan.checks import check_corners, check_offline
from geoseg.plugins import Plugin
from geoseg.remote import PLANETARY_COMPUTER, RemoteFiles, is_remote
from geoseg.scenes import Found, changes, find_scenes
from geoseg.settings import Settings
from geoseg.spec import JobSpec
from geoseg.tiles import ChipPlan, finite_halo
from geoseg.words import WordsPlan

if TYPE_CHECKING:
    from geoseg.pipeline.evidence import EvidencePlan

# Of the cache for blocks as they are on disk and decoded; those on disk are the smaller ones.
_REMOTE_SHARE = 4
# A lattice may lie askew to the meridians.
_SPARE, _NOT_LARGER = 1.1, 1.001
# Items whose headers a plan reads, spread over all where there are more.
_HEADERS_PLANNED = 64


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

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The class table of the map."""
        if self.words is not None:
            return self.words.classes
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
        used = {plugin_of_head(self.model.spec), *(item.sensor.plugin for item in self.found.items)}
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


def resolve_model(spec: JobSpec, settings: Settings) -> ModelFolder:
    """The job's model; says so at once when there is none.

    Raises:
        UnknownModelError: If there is no such model.
        RequestError: If its weights are a pickle that is not allowed, or there is no head as it names one.
    """
    folder = resolve(spec.model, models_dirs=settings.models, cache=settings.cache, offline=settings.offline)
    guard_pickle(folder.spec.weights, allow_pickle=settings.allow_pickle)
    plugin_of_head(folder.spec)
    return folder


def prepare(
    spec: JobSpec,
    settings: Settings,
    documents: Sequence[Mapping[str, Any]] = (),
    forgotten: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
    folder: ModelFolder | None = None,
    say: Callable[[str], object] = lambda _: None,
    *,
    begun_with: Choice | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    asks_files: bool = True,
) -> Prepared:
    """Resolve model, scenes, grid, tiles and memory.

    Args:
        spec: The job.
        settings: Where it runs.
        documents: Items frozen by an earlier run of the job.
        forgotten: Items that were frozen and are searched anew; what is different is said in the notes.
        notes: What is known about the job already, to be said with the rest.
        folder: The job's model, where it was resolved before.
        say: Told what takes a while.
        begun_with: What an earlier run of the job computed with.
        should_stop: Asked while a network is converted or timed.
        asks_files: Whether every file is asked for its version, and its header for its grid; a plan of many items
            looks at the headers of some.

    Raises:
        GeosegError: Whatever can be refused before the first pixel is read.
    """
    _check_pixel_grid(spec)
    asked = spec.scenes or (() if documents else (spec.catalog or "",))
    check_offline(asked, offline=settings.offline)
    folder = folder or resolve_model(spec, settings)
    model = folder.spec
    words = words_of(spec, model)
    legend = None if spec.legend is None else legend_of(model, spec.legend)
    aoi, like = spec.region, _like(spec)
    backend = backend_of(spec, settings, folder, say, begun_with, is_run=asks_files, should_stop=should_stop)
    budget, share, fewer = sizes_of(
        settings, backend, appetite(model, backend, kept_layers(spec), spec.composite, words)
    )
    tile_px = budget.tile_cells * model.cell_px
    reach_px = tile_px + max(*finite_halo(model.radius_px, model.stride_px), model.chip_px or 0)
    if aoi is not None:
        check_area(aoi, tile_px * (model.resolution_m or 10.0), settings.max_area_km2)
        if spec.crs is not None:
            crs = crs_of(spec.crs)
            check_area_of_use(aoi, crs, goes_on=crs.geographic)  # what scenes in degrees decide, see check_region
    allow_lacking = settings.max_failed > 0
    bounds = _bounds(aoi, reach_px, model.resolution_m or 10.0)
    with ExitStack() as undo:
        remote = undo.enter_context(_remote(spec, settings))  # what is refused leaves no connection open
        opener = Rasters(remote).opened
        found = find_scenes(spec, bounds, model.bands, documents, allow_lacking=allow_lacking, opener=opener)
        if settings.offline:
            check_offline(sorted(_hrefs(found)), offline=True)
        found = _believing_files(found, spec, Rasters(remote), whole=asks_files)
        lattice, origin = choose_lattice(spec, found.items, aoi, like)
        if aoi is not None:
            check_region(aoi, found.items, lattice)
        region = place_region(aoi, found.items, lattice)
        check_pixels(region.window, tile_px, settings.max_pixels, 0 if aoi is not None else len(found.items))
        if not spec.pixel_grid:
            check_corners(lattice.geobox(region.window))
        pixel_m = (model.resolution_m or 1.0) if spec.pixel_grid else resolution_m(lattice, region)
        # Larger pixels reach farther than was searched.
        if not documents and pixel_m > _NOT_LARGER * (model.resolution_m or 10.0):
            found = find_scenes(
                spec, _bounds(aoi, reach_px, pixel_m), model.bands, allow_lacking=allow_lacking, opener=opener
            )
            found = _believing_files(found, spec, Rasters(remote), whole=asks_files)
        if forgotten and (moved := changes(forgotten, found.documents)):
            found = replace(found, notes=(*found.notes, moved))
        found = replace(found, notes=(*notes, *_of_another_backend(begun_with, backend), *found.notes))
        warnings = [
            *fewer,
            *_warnings(spec, aoi, found, model, pixel_m),
            *_sums_of(legend),
            *_unknown(words, model, spec),
        ]
        if spec.pixel_grid:
            origin = "rows and columns of the rasters (--pixel-grid)"
        if any(map(is_remote, _hrefs(found))):  # a share of the cache that is planned for GDAL
            remote.keep(budget.gdal_cache_bytes // _REMOTE_SHARE)
        coverage = cover(found, spec.composite, lattice)
        tasks = plan_tiles(region, coverage, budget.tile_cells, model.cell_px, aoi)
        prepared = Prepared(
            spec=spec,
            settings=settings,
            model=folder,
            found=found,
            lattice=lattice,
            lattice_origin=origin,
            region=region,
            coverage=coverage,
            tasks=tasks,
            budget=budget,
            share=share,
            key_parts=key_parts_of(spec, model, lattice, budget, backend, legend, words),
            asset_facts=asset_facts(_hrefs(found), remote) if asks_files else {},
            remote=remote,
            backend=backend,
            pixel_m=pixel_m,
            warnings=tuple(warnings),
            legend=legend,
            words=words,
        )
        undo.pop_all()
    return prepared


def _hrefs(found: Found) -> Iterator[str]:
    """Every file that the job reads, some of them more than once."""
    return (source.href for item in found.items for source in item.sources)


def _warnings(spec: JobSpec, aoi: AOI | None, found: Found, model: ModelSpec, pixel_m: float) -> list[str]:
    """What is to be said of region, scenes and model, where none of it is refused."""
    warnings = [*(aoi.warnings if aoi else ()), *found.warnings, *_check_quantity(found, model)]
    warnings += filter(None, (licence_warning(model.name, model.licence),))
    if spec.pixel_grid:
        warnings.append("rasters without a place: the size of their pixels is not checked, areas are numbers of pixels")
    else:
        check_resolution(pixel_m, model.resolution_range_m, model.name)
    return warnings


def _sums_of(legend: Legend | None) -> list[str]:
    """Which classes are several of the model's."""
    said = legend is not None and legend.words
    return [f"classes of {legend.title} whose probabilities are sums: {said}"] if legend is not None and said else []


def _unknown(words: WordsPlan | None, model: ModelSpec, spec: JobSpec) -> list[str]:
    """Which prompts hold words that the model does not know."""
    return [] if words is None else words.warnings(model.name, example_names(spec))


def _of_another_backend(begun_with: Choice | None, backend: Backend) -> list[str]:
    """What is to be said where a job goes on with another backend than it was begun with: somebody asked for it."""
    if begun_with is None or begun_with == backend.choice:
        return []
    return [f"this job was begun with {begun_with.describe()}; its tiles are computed again"]


def _believing_files(found: Found, spec: JobSpec, rasters: Rasters, *, whole: bool) -> Found:
    """Items of a catalogue with the pixel grids that their files have."""
    if spec.scenes:
        return found
    items, warnings = with_true_grids(found.items, rasters, most=None if whole else _HEADERS_PLANNED)
    return replace(found, items=items, warnings=(*found.warnings, *warnings))


def _remote(spec: JobSpec, settings: Settings) -> RemoteFiles:
    """What reads from servers."""
    own = (PLANETARY_COMPUTER,) if "planetarycomputer.microsoft.com" in (spec.catalog or "") else ()
    return RemoteFiles(0, settings.connections, (*settings.sign, *own))


def _check_pixel_grid(spec: JobSpec) -> None:
    """Refuse what has no meaning for rasters without a place."""
    if not spec.pixel_grid:
        return
    if not spec.scenes:
        raise RequestError("--pixel-grid without --scenes", "rasters to map as they are", "add --scenes")
    named = {"--aoi": spec.aoi, "--crs": spec.crs, "--resolution": spec.resolution, "--like": spec.like}
    given = " and ".join(option for option, value in named.items() if value is not None)
    if given:
        raise RequestError(
            f"--pixel-grid with {given}",
            "a map in rows and columns, which has no place on Earth",
            f"drop {given}, or --pixel-grid",
        )


def _bounds(aoi: AOI | None, reach_px: int, pixel_m: float) -> tuple[float, float, float, float] | None:
    """What the search must cover: every item that touches a tile of the AOI, halo included, and a little to spare.

    A tile's key names all of them, so that a larger AOI finds the tile under the same key.
    """
    return None if aoi is None else search_bounds(aoi, _SPARE * reach_px * pixel_m)


def _check_quantity(found: Found, model: ModelSpec) -> list[str]:
    """Refuse numbers of the wrong kind; say in words where model and imagery differ in level."""
    warnings = []
    for item in found.items:
        if model.quantity == "reflectance" and item.sensor.quantity != "reflectance":
            raise ModelMismatchError(
                f"{item.id} as {item.sensor.title}, whose numbers are not reflectance",
                f"reflectance, which the model {model.name} wants",
                "say what the image is with --sensor, or choose another model",
            )
    if any(item.sensor.quantity == "reflectance" and item.mask is None for item in found.items):
        warnings.append("these scenes come without a cloud mask: clouds are classified as if they were ground")
    sensors = sorted({item.sensor.name for item in found.items})
    if model.expects and any(sensor != model.expects for sensor in sensors):
        warnings.append(f"{model.name} was trained on {model.expects}; this run reads {', '.join(sensors)}")
    return warnings


def _like(spec: JobSpec) -> GeoBox | None:
    """Pixel grid of an earlier result: a folder, or a raster.

    Raises:
        RequestError: If there is none.
    """
    if spec.like is None:
        return None
    from geoseg.scenes.rasters import geobox_of_file  # noqa: PLC0415  # rasterio only where a file is opened

    path = Path(spec.like)
    path = path / "classes.tif" if path.is_dir() else path
    geobox = geobox_of_file(str(path))
    if geobox is None:
        raise RequestError(f"--like {spec.like}", "an earlier result, or a georeferenced raster", "check the path")
    return geobox
