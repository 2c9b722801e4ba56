"""Everything that is decided before the first pixel is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odc.geo.geobox import GeoBox

from geoseg.aoi import AOI
from geoseg.budget import Appetite, Budget, Share, appetite_of, plan_budget, share_budget
from geoseg.cluster import require_cluster
from geoseg.errors import ModelMismatchError, RequestError
from geoseg.grid import Lattice
from geoseg.heads import plugin_of_head
from geoseg.inputs import with_true_grids
from geoseg.keys import KEPT, KeyParts, asset_facts
from geoseg.load import Rasters
from geoseg.machine import has_gpu_driver, usable_cores
from geoseg.models import ModelFolder, ModelSpec, resolve
from geoseg.models.backends import Backend, choose_backend, has_torch
from geoseg.models.exports.openvino_network import MOST_SHAPES
from geoseg.models.licences import licence_warning
from geoseg.models.weights import guard_pickle, weights_at_hand
from geoseg.pixels import LAYERS, layer_names
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
from geoseg.tiles import finite_halo

if TYPE_CHECKING:
    from geoseg.pipeline.evidence import EvidencePlan

# Chips above this side gain nothing: eager torch on a processor slows down as its temporaries outgrow the caches, and the
# halo of a small network is already a small share. See docs/decisions/004-chips-and-memory.md.
_BEST_CHIP_PX = {"torch-cpu": 1024, "torch-cuda": 2048, "openvino-cpu": 2048}
# Of the cache for blocks as they are on disk and decoded; those on disk are the smaller ones.
_REMOTE_SHARE = 4
# A lattice may lie askew to the meridians.
_SPARE, _NOT_LARGER = 1.1, 1.001
# Items whose headers a plan reads, spread over all where there are more.
_HEADERS_PLANNED = 64
# Proportional set size of a process that has loaded the pipeline and what runs the network, in bytes, and room for the
# join of polygons and the report.
_STANDING_BYTES = {"torch": 800 * 10**6, "openvino": 450 * 10**6}
# What converting and timing a network takes beside this process; below it, what is there is taken as it is.
_TRIAL_BYTES = 2 * 10**9
# What the large libraries of networks add to torch.
_LIBRARY_BYTES = {"smp": 250 * 10**6, "torchgeo": 350 * 10**6}


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
        return f"{self.model.spec.digest[:16]} {self.key_parts.backend} {self.spec.profile} {hands}"

    @property
    def appetite(self) -> Appetite:
        """What the model costs in memory."""
        return appetite(self.model.spec, self.backend, self.spec.layers)


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
    documents: Sequence[dict[str, Any]] = (),
    forgotten: Sequence[dict[str, Any]] = (),
    notes: Sequence[str] = (),
    folder: ModelFolder | None = None,
    say: Callable[[str], object] = lambda _: None,
    *,
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
    aoi, like = spec.region, _like(spec)
    backend = _backend(spec, settings, folder, say, is_run=asks_files)
    budget, share, fewer = _sizes(settings, backend, appetite(model, backend, spec.layers))
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
        hrefs = {source.href for item in found.items for source in item.sources}
        check_offline(sorted(hrefs), offline=settings.offline)
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
            hrefs = {source.href for item in found.items for source in item.sources}
        if forgotten and (words := changes(forgotten, found.documents)):
            found = replace(found, notes=(*found.notes, words))
        found = replace(found, notes=(*notes, *found.notes))
        warnings = [*fewer, *_warnings(spec, aoi, found, model, pixel_m)]
        if spec.pixel_grid:
            origin = "rows and columns of the rasters (--pixel-grid)"
        if any(map(is_remote, hrefs)):  # a share of the cache that is planned for GDAL
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
            key_parts=_key_parts(spec, model, lattice, budget, backend),
            asset_facts=asset_facts(hrefs, remote) if asks_files else {},
            remote=remote,
            backend=backend,
            pixel_m=pixel_m,
            warnings=tuple(warnings),
        )
        undo.pop_all()
    return prepared


def _warnings(spec: JobSpec, aoi: AOI | None, found: Found, model: ModelSpec, pixel_m: float) -> list[str]:
    """What is to be said of region, scenes and model, where none of it is refused."""
    warnings = [*(aoi.warnings if aoi else ()), *found.warnings, *_check_quantity(found, model)]
    warnings += filter(None, (licence_warning(model.name, model.licence),))
    if spec.pixel_grid:
        warnings.append("rasters without a place: the size of their pixels is not checked, areas are numbers of pixels")
    else:
        check_resolution(pixel_m, model.resolution_range_m, model.name)
    return warnings


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


def appetite(model: ModelSpec, backend: Backend, layers: Sequence[str] = ()) -> Appetite:
    """What a model costs in memory, with the further layers that are asked for."""
    weights = model.weights.size_bytes or 0
    if backend.name == "torch":  # weights are in memory twice while they are loaded
        standing = _STANDING_BYTES["torch"] + 2 * weights + _LIBRARY_BYTES.get(model.architecture.partition(":")[0], 0)
    else:  # and once for each shape that each pass keeps
        standing = _STANDING_BYTES["openvino"] + (1 + MOST_SHAPES * usable_cores()) * weights
    return appetite_of(
        len(model.bands),
        len(model.classes),
        model.cell_px,
        model.radius_px,
        model.stride_px,
        backend.workspace_bytes_per_px(model),
        model.chip_px,
        standing,
        len(layer_names(layers, len(model.classes))),
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


def _sizes(settings: Settings, backend: Backend, needs: Appetite) -> tuple[Budget, Share | None, list[str]]:
    """Sizes that fit the memory, the share of each worker process where there are several, and if these are fewer, why.

    Raises:
        MemoryTooSmallError: If not even one tile fits.
        RequestError: If workers of this machine and of a cluster are asked for, or the library for either is missing.
    """
    cores = usable_cores() if backend.device == "cpu" else 1
    budget = plan_budget(settings.max_memory, cores, settings.tile_size, _BEST_CHIP_PX[backend.key], needs)
    asked = settings.workers or 1
    if asked == 1:
        return budget, None, []
    if settings.scheduler is not None:
        raise RequestError(
            f"--workers {asked} with --scheduler {settings.scheduler}",
            "worker processes of this machine, or those of the scheduler",
            "leave one of them away; a scheduler has the workers that are started for it",
        )
    require_cluster(f"--workers {asked}")
    most = min(asked, _gpus()) if backend.device == "cuda" else asked
    share = share_budget(budget, settings.max_memory, cores if backend.device == "cpu" else most, most, needs)
    now = 1 if share is None else share.processes
    why = f"this machine has {most} GPUs" if now == most else "--max-memory is not enough for more"
    return budget, share, [f"{now} of {asked} worker processes: {why}"] * (now < asked)


def _gpus() -> int:
    from geoseg.predict.tensors import count_gpus  # noqa: PLC0415  # torch is asked only where there is a GPU

    return count_gpus()


def _backend(
    spec: JobSpec, settings: Settings, folder: ModelFolder, say: Callable[[str], object], *, is_run: bool
) -> Backend:
    """What runs the network; measured only by runs, and where its weights are at hand."""
    device = _device(settings)
    return choose_backend(
        folder,
        settings.backend,
        device,
        spec.profile,
        usable_cores(),
        say=say,
        may_measure=is_run and settings.max_memory >= _TRIAL_BYTES and weights_at_hand(folder) is not None,
        allow_pickle=settings.allow_pickle,
    )


def _device(settings: Settings) -> str:
    """``cpu`` or ``cuda``; torch is asked only where the answer depends on it."""
    if settings.scheduler is not None:
        require_cluster(f"--scheduler {settings.scheduler}")
        from geoseg.cluster.team import offers_gpu  # noqa: PLC0415  # an extra

        offers = offers_gpu(settings.scheduler)  # asked in any case: a scheduler that is not there is said at once
        if settings.device != "auto":
            return settings.device
        return "cuda" if offers and settings.backend != "openvino" else "cpu"
    if settings.device == "auto" and settings.backend == "openvino":
        return "cpu"
    if settings.device == "cpu" or (settings.device == "auto" and not (has_gpu_driver() and has_torch())):
        return "cpu"
    from geoseg.predict.tensors import pick_device  # noqa: PLC0415  # seconds that `--device cpu` plans need not wait

    return pick_device(settings.device)


def _key_parts(spec: JobSpec, model: ModelSpec, lattice: Lattice, budget: Budget, backend: Backend) -> KeyParts:
    head = plugin_of_head(model)
    chip = (budget.chip_cells, 1) if model.chip_px is None else (model.chip_px, model.chip_step_px or 0, 1)
    return KeyParts(
        model=model.digest,
        composite=spec.composite,
        quantity=model.quantity,
        bands=tuple(model.bands),
        lattice=lattice,
        backend=backend.key,
        precision=backend.precision,
        threads=budget.threads_per_pass,
        chip=chip,
        layers=(*KEPT, *(name for name in LAYERS if name in spec.layers)),
        head="" if head is None else head.fingerprint,
    )
