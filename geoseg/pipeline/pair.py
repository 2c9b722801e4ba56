"""Two dates on one grid: a change map is prepared like two maps of one date, which share grid and region."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import shapely

from geoseg.errors import ModelMismatchError, NothingToDoError, RequestError
from geoseg.load import Rasters
from geoseg.models import ModelFolder
from geoseg.models.backends import Choice
from geoseg.pipeline.asked import check_pixel_grid
from geoseg.pipeline.earlier import prepare_looking_back
from geoseg.pipeline.other_dates import Later, asked_as
from geoseg.pipeline.prepare import bounds_of, prepare, remote_of, resolve_model
from geoseg.pipeline.prepared import Prepared
from geoseg.pipeline.subject import detector_folder, quantity_of
from geoseg.plan import Region, check_area, plan_tiles
from geoseg.plan.checks import check_offline
from geoseg.plan.region import box_of, pixels_around
from geoseg.scenes import Found, Item, changes, find_scenes, shared_bands, with_bands
from geoseg.settings import Settings
from geoseg.spec import POST_CLASSIFICATION, JobSpec, When

type Documents = Sequence[Mapping[str, Any]]

# Tiles of detectors, which have no halo, are no wider unless the user says so.
_WIDEST_TILE_PX = 2048
_FINE_M, _DEGREE_M = 10.0, 111_320.0
_DATES: tuple[When, When] = ("before", "after")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of a job before it is prepared; see ``geoseg.pipeline.prepare.prepare``.

    Attributes:
        settings: Where it runs.
        documents: Frozen items; of two dates those of the earlier one.
        later: Frozen items of the later date.
        forgotten: Items that were frozen and are searched anew, of all dates.
        notes: What is known already, to be said with the rest.
        say: Told what takes a while.
        begun_with: What an earlier run of the job computed with.
        should_stop: Asked while a network is converted or timed.
        asks_files: See ``prepare``.
    """

    settings: Settings
    documents: Documents = ()
    later: Documents = ()
    forgotten: Documents = ()
    notes: Sequence[str] = ()
    say: Callable[[str], object] = lambda _: None
    begun_with: Choice | None = None
    should_stop: Callable[[], bool] = lambda: False
    asks_files: bool = True

    def prepared(self, spec: JobSpec, documents: Documents, folder: ModelFolder | None, **more: Any) -> Prepared:
        """The job of one date."""
        return prepare(
            spec,
            self.settings,
            documents,
            folder=folder,
            say=self.say,
            begun_with=self.begun_with,
            should_stop=self.should_stop,
            asks_files=self.asks_files,
            **more,
        )


def prepare_job(spec: JobSpec, asked: Asked, folder: ModelFolder | None = None) -> Prepared:
    """Whatever a job can be refused for before the first pixel is read, of one date or two.

    Args:
        spec: The job.
        asked: What is known of it.
        folder: Its model, where it was resolved before.

    Raises:
        GeosegError: See ``geoseg.pipeline.prepare.prepare``.
    """
    if spec.detector is not None:
        return _of_two(spec, asked, folder or model_of(spec, asked.settings))
    if spec.looks_back:
        return prepare_looking_back(spec, asked, folder)
    return asked.prepared(spec, asked.documents, folder, forgotten=asked.forgotten, notes=asked.notes)


def model_of(spec: JobSpec, settings: Settings) -> ModelFolder | None:
    """The model of a job; ``None`` for a change map without one.

    Raises:
        GeosegError: See ``resolve_model``.
        ModelMismatchError: If it looks at another number of dates than the job has.
    """
    if not spec.model:
        return None
    folder = resolve_model(spec, settings)
    if folder.spec.dates == 2 and spec.detector is None:
        raise ModelMismatchError(
            f"the model {folder.spec.name}, which compares two dates, in a job of one",
            "a change map",
            "add --workflow change with --before and --after, or choose another --model",
        )
    if folder.spec.dates == 2 and spec.detector == POST_CLASSIFICATION:
        raise ModelMismatchError(
            f"--detector {POST_CLASSIFICATION} with {folder.spec.name}, which compares two dates by itself",
            "a land cover model",
            "drop --detector, or choose another --model",
        )
    return folder


def _of_two(spec: JobSpec, asked: Asked, model: ModelFolder | None) -> Prepared:
    check_pixel_grid(spec)
    needs_no_detector = model is not None and (model.spec.dates == 2 or spec.detector == POST_CLASSIFICATION)
    with ExitStack() as undo:  # what is refused leaves no connection open
        first, second = _both(spec, asked, model if needs_no_detector else None, undo)
        lead = _joined(spec, asked, first, second)
        dates: tuple[Prepared, ...] = ()
        if model is not None and model.spec.dates == 1:
            dates = (first, second) if needs_no_detector else _land_cover(spec, asked, model, first, second, undo)
            dates = tuple(_within(lead, one, dates[0].pixel_m) for one in dates)
        undo.pop_all()
    for remote in {id(one.remote): one.remote for one in (second, *dates) if one.remote is not first.remote}.values():
        remote.close()
    said = dict.fromkeys((*lead.warnings, *(text for one in dates for text in one.warnings)))
    made = tuple(replace(one, remote=first.remote) for one in dates)
    return replace(lead, of_dates=made, warnings=tuple(said))


def _both(spec: JobSpec, asked: Asked, network: ModelFolder | None, undo: ExitStack) -> tuple[Prepared, Prepared]:
    """The jobs of the two dates on the grid of the first, by a network or, without one, by the detector."""
    specs = (spec.of_date("before"), spec.of_date("after"))
    frozen = (asked.documents, asked.later)
    known: list[Found | None] = [None, None]
    folder = network
    if folder is None:
        asked = replace(asked, begun_with=None)
        # Of land cover: a detector has none, nor a legend.
        specs = (specs[0].model_copy(update={"legend": None}), specs[1].model_copy(update={"legend": None}))
        found = []
        for when, one, documents in zip(_DATES, specs, frozen, strict=True):
            with asked_as(when):
                found.append(_found(one, asked, documents))
        items = [item for one in found for item in one.items]
        bands = _compared(items)
        known = [with_bands(one, bands) for one in found]
        folder = detector_folder(str(spec.detector), bands, quantity_of(items))
    with asked_as("before"):
        first = asked.prepared(specs[0], frozen[0], folder, known=known[0], notes=asked.notes)
    undo.enter_context(first.remote)
    with asked_as("after"):
        second = asked.prepared(specs[1], frozen[1], folder, known=known[1], lattice=first.lattice)
    undo.enter_context(second.remote)
    return first, second


def _found(spec: JobSpec, asked: Asked, documents: Documents) -> Found:
    """Items of one date with all bands that they have, of as large an area as any tile of a detector reads."""
    settings, aoi = asked.settings, spec.region
    check_offline(spec.scenes or (() if documents else (spec.catalog or "",)), offline=settings.offline)
    reach_px = max(settings.tile_size or 0, _WIDEST_TILE_PX)
    if aoi is not None:
        check_area(aoi, reach_px * _FINE_M, settings.max_area_km2)
    with remote_of(spec, settings) as remote:

        def found(pixel_m: float) -> Found:
            return find_scenes(
                spec,
                bounds_of(aoi, reach_px, pixel_m),
                () if spec.scenes else spec.bands,
                documents,
                allow_lacking=settings.max_failed > 0,
                opener=Rasters(remote).opened,
            )

        made = found(_FINE_M)
        widest_m = max(map(_pixel_m, made.items))
        return made if documents or aoi is None or widest_m <= _FINE_M else found(widest_m)


def _pixel_m(item: Item) -> float:
    """About how wide a pixel is: searches have some to spare."""
    size = max(map(abs, item.geobox.resolution.xy))
    return float(size) * (_DEGREE_M if item.geobox.crs is not None and item.geobox.crs.geographic else 1.0)


def _compared(items: Sequence[Item]) -> tuple[str, ...]:
    """Bands that the scenes of both dates share.

    Raises:
        ModelMismatchError: If they share none.
    """
    bands = shared_bands(items)
    if not bands:
        first, other = items[0], next(item for item in items if not set(item.bands) & set(items[0].bands))
        raise ModelMismatchError(
            f"two dates with the bands {', '.join(first.bands)} ({first.id}) and {', '.join(other.bands)} ({other.id})",
            "bands that both dates share, by name",
            "name the bands of both with --bands, or choose scenes of one sensor",
        )
    return bands


def _joined(spec: JobSpec, asked: Asked, first: Prepared, second: Prepared) -> Prepared:
    """The job of both dates."""
    if spec.pixel_grid and first.region.window != second.region.window:
        sizes = " and ".join(f"{one.region.window.shape[1]} x {one.region.window.shape[0]}" for one in (first, second))
        raise RequestError(
            f"--pixel-grid with dates of {sizes} px",
            "rasters of one size: without a place, equal rows and columns are the same spot",
            "cut both to the same size",
        )
    region = _shared_region(spec, first, second)
    first.remote.keep(max(first.remote.cache_bytes, second.remote.cache_bytes))
    own = [text for text in second.warnings if text not in first.warnings]
    documents = (*first.found.documents, *second.found.documents)
    notes = (words,) if asked.forgotten and (words := changes(asked.forgotten, documents)) else ()
    return replace(
        first,
        spec=spec,
        found=replace(first.found, notes=(*notes, *first.found.notes)),
        region=region,
        tasks=plan_tiles(region, first.coverage, first.budget.tile_cells, first.model.spec.cell_px, spec.region),
        asset_facts={**first.asset_facts, **second.asset_facts},
        warnings=(*first.warnings, *own),
        later=Later(second.found, second.coverage),
    )


def _shared_region(spec: JobSpec, first: Prepared, second: Prepared) -> Region:
    """The region of both dates; without an AOI what the footprints of both share.

    Raises:
        NothingToDoError: If they share nothing.
    """
    if spec.aoi is not None:
        return first.region
    regions = (first.region, second.region)
    shapes = [one.outline if one.features else box_of(one.window) for one in regions]
    shared = shapely.intersection(*shapes)
    if not shared.area:
        raise NothingToDoError("two dates whose scenes do not overlap", "scenes of one place", "choose other scenes")
    if not any(one.features for one in regions):
        return Region(first.region.window & second.region.window)
    return Region(pixels_around(shared), {"footprint": shared})


def _land_cover(
    spec: JobSpec, asked: Asked, model: ModelFolder, first: Prepared, second: Prepared, undo: ExitStack
) -> tuple[Prepared, ...]:
    """The ordinary maps of both dates, of the items that were found already."""
    made = []
    for when, one in zip(_DATES, (first, second), strict=True):
        with asked_as(when):
            prepared = asked.prepared(spec.of_date(when), one.found.documents, model, lattice=first.lattice)
        undo.enter_context(prepared.remote)
        made.append(prepared)
    return tuple(made)


def _within(lead: Prepared, one: Prepared, pixel_m: float) -> Prepared:
    """The map of one date on the region of both; one pixel size for both dates, which share a loaded network."""
    tasks = plan_tiles(lead.region, one.coverage, one.budget.tile_cells, one.model.spec.cell_px, lead.spec.region)
    return replace(one, region=lead.region, tasks=tasks, pixel_m=pixel_m)
