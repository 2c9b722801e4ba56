"""Everything that is decided before the first pixel is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from geoseg.aoi import AOI
from geoseg.grid import Lattice
from geoseg.heads import plugin_of_head
from geoseg.inputs import with_true_grids
from geoseg.keys import asset_facts
from geoseg.load import Rasters
from geoseg.models import ModelFolder, ModelSpec, resolve
from geoseg.models.backends import Choice
from geoseg.models.legends import legend_of
from geoseg.models.licences import licence_warning
from geoseg.models.weights import guard_pickle
from geoseg.pipeline.asked import check_pixel_grid, check_quantity, like_of, of_another_backend, sums_of
from geoseg.pipeline.class_sets import sets_of
from geoseg.pipeline.prepared import Prepared
from geoseg.pipeline.sizes import appetite, backend_of, kept_layers, key_parts_of, sizes_of
from geoseg.pipeline.words import example_names, words_of
from geoseg.plan import (
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
from geoseg.remote import PLANETARY_COMPUTER, RemoteFiles, is_remote
from geoseg.scenes import Found, changes, find_scenes
from geoseg.settings import Settings
from geoseg.spec import JobSpec
from geoseg.tiles import finite_halo
from geoseg.words import WordsPlan

# Of the cache for blocks as they are on disk and decoded; those on disk are the smaller ones.
_REMOTE_SHARE = 4
# A lattice may lie askew to the meridians.
_SPARE, _NOT_LARGER = 1.1, 1.001
# Items whose headers a plan reads, spread over all where there are more.
_HEADERS_PLANNED = 64


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
    known: Found | None = None,
    lattice: Lattice | None = None,
) -> Prepared:
    """Resolve model, scenes, grid, tiles and memory, of a map of one date; ``geoseg.pipeline.pair`` has those of two.

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
        known: Items that were found already.
        lattice: Pixel grid, where another date of the job has it.

    Raises:
        GeosegError: Whatever can be refused before the first pixel is read.
    """
    check_pixel_grid(spec)
    asked = spec.scenes or (() if documents or known else (spec.catalog or "",))
    check_offline(asked, offline=settings.offline)
    folder = folder or resolve_model(spec, settings)
    model = folder.spec
    legend = None if spec.legend is None else legend_of(model, spec.legend)
    aoi, like, words = spec.region, like_of(spec), words_of(spec, model)
    sets = sets_of(spec, folder, model.classes if legend is None else legend.classes)
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
    bounds = bounds_of(aoi, reach_px, model.resolution_m or 10.0)
    with ExitStack() as undo:
        remote = undo.enter_context(remote_of(spec, settings))  # what is refused leaves no connection open
        opener = Rasters(remote).opened
        found = known or find_scenes(spec, bounds, model.bands, documents, allow_lacking=allow_lacking, opener=opener)
        if settings.offline:
            check_offline(sorted(_hrefs(found)), offline=True)
        found = _believing_files(found, spec, Rasters(remote), whole=asks_files)
        lattice, origin = (
            choose_lattice(spec, found.items, aoi, like) if lattice is None else (lattice, "that of the other date")
        )
        if aoi is not None:
            check_region(aoi, found.items, lattice)
        region = place_region(aoi, found.items, lattice)
        check_pixels(region.window, tile_px, settings.max_pixels, 0 if aoi is not None else len(found.items))
        if not spec.pixel_grid:
            check_corners(lattice.geobox(region.window))
        pixel_m = (model.resolution_m or 1.0) if spec.pixel_grid else resolution_m(lattice, region)
        # Larger pixels reach farther than was searched.
        if not (documents or known) and pixel_m > _NOT_LARGER * (model.resolution_m or 10.0):
            found = find_scenes(
                spec, bounds_of(aoi, reach_px, pixel_m), model.bands, allow_lacking=allow_lacking, opener=opener
            )
            found = _believing_files(found, spec, Rasters(remote), whole=asks_files)
        if forgotten and (moved := changes(forgotten, found.documents)):
            found = replace(found, notes=(*found.notes, moved))
        found = replace(
            found,
            notes=(
                *notes,
                *([] if sets is None else [sets.words]),
                *of_another_backend(begun_with, backend),
                *found.notes,
            ),
        )
        warnings = [
            *fewer,
            *_warnings(spec, aoi, found, model, pixel_m),
            *sums_of(legend),
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
            key_parts=key_parts_of(spec, model, lattice, budget, backend, legend, words, sets),
            asset_facts=asset_facts(_hrefs(found), remote) if asks_files else {},
            remote=remote,
            backend=backend,
            pixel_m=pixel_m,
            warnings=tuple(warnings),
            legend=legend,
            words=words,
            sets=sets,
        )
        undo.pop_all()
    return prepared


def _hrefs(found: Found) -> Iterator[str]:
    """Every file that the job reads, some of them more than once."""
    return (source.href for item in found.items for source in item.sources)


def _warnings(spec: JobSpec, aoi: AOI | None, found: Found, model: ModelSpec, pixel_m: float) -> list[str]:
    """What is to be said of region, scenes and model, where none of it is refused."""
    warnings = [*(aoi.warnings if aoi else ()), *found.warnings, *check_quantity(found, model)]
    warnings += filter(None, (licence_warning(model.name, model.licence),))
    if spec.pixel_grid:
        warnings.append("rasters without a place: the size of their pixels is not checked, areas are numbers of pixels")
    else:
        check_resolution(pixel_m, model.resolution_range_m, model.name)
    return warnings


def _unknown(words: WordsPlan | None, model: ModelSpec, spec: JobSpec) -> list[str]:
    """Which prompts hold words that the model does not know."""
    return [] if words is None else words.warnings(model.name, example_names(spec))


def _believing_files(found: Found, spec: JobSpec, rasters: Rasters, *, whole: bool) -> Found:
    """Items of a catalogue with the pixel grids that their files have."""
    if spec.scenes:
        return found
    items, warnings = with_true_grids(found.items, rasters, most=None if whole else _HEADERS_PLANNED)
    return replace(found, items=items, warnings=(*found.warnings, *warnings))


def remote_of(spec: JobSpec, settings: Settings) -> RemoteFiles:
    """What reads from servers."""
    own = (PLANETARY_COMPUTER,) if "planetarycomputer.microsoft.com" in (spec.catalog or "") else ()
    return RemoteFiles(0, settings.connections, (*settings.sign, *own))


def bounds_of(aoi: AOI | None, reach_px: int, pixel_m: float) -> tuple[float, float, float, float] | None:
    """What the search must cover: every item that touches a tile of the AOI, halo included, and a little to spare.

    A tile's key names all of them, so that a larger AOI finds the tile under the same key.
    """
    return None if aoi is None else search_bounds(aoi, _SPARE * reach_px * pixel_m)
