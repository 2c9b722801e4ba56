"""The whole road, for one job: the only place that calls two rooms."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from geoseg.budget import Share, share_of_worker
from geoseg.errors import InterruptedRunError, OutputError, RequestError
from geoseg.job import JobFolder, default_out, open_job
from geoseg.machine import MemoryWatch, release_memory
from geoseg.models.backends import is_exported
from geoseg.pipeline.dates import PER_DATE, make_dates
from geoseg.pipeline.evidence import with_evidence
from geoseg.pipeline.examples import with_examples
from geoseg.pipeline.finish import finish
from geoseg.pipeline.fitting import with_fitted
from geoseg.pipeline.foretell import forecast_of, remember, remember_tiles
from geoseg.pipeline.making import loader_of, recipe_of
from geoseg.pipeline.other_dates import Earlier
from geoseg.pipeline.pair import Asked, model_of, prepare_job
from geoseg.pipeline.prepare import prepare, resolve_model
from geoseg.pipeline.prepared import Prepared
from geoseg.progress import Progress, Silent
from geoseg.result import Result
from geoseg.scenes import Scene
from geoseg.settings import Settings
from geoseg.spec import JobSpec, When
from geoseg.store import Store, open_store
from geoseg.tally import Tally
from geoseg.work import Recipe, TileWorkers

if TYPE_CHECKING:
    from geoseg.cluster import ClusterWorkers, ModelLoader, Team
    from geoseg.forecast import Forecast
    from geoseg.models import ModelFolder
    from geoseg.predict import Predictor

__all__ = ["Asked", "Prepared", "prepare", "prepare_job", "resolve_model", "run"]


@dataclass(slots=True)
class Clock:
    """When a run started, and how long its stages took."""

    started: dt.datetime = field(default_factory=lambda: dt.datetime.now(tz=dt.UTC))
    seconds: dict[str, float] = field(default_factory=dict)
    forecast: Forecast | None = None
    _first: float = field(default_factory=time.perf_counter)
    _last: float = field(default_factory=time.perf_counter)

    @property
    def total_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._first

    def lap(self, stage: str) -> float:
        """Seconds since the last lap, kept under the name of the stage that ends."""
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now
        return self.seconds[stage]


def run(
    spec: JobSpec,
    settings: Settings | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    before: Callable[[Prepared], None] | None = None,
) -> Result:
    """Make a map.

    Args:
        spec: What to make.
        settings: Where it runs; from the environment where it is not given.
        progress: Told what happens.
        should_stop: Asked between chips, and while a network is converted; what is finished by then stays finished.
        before: Called once with what will be done, before the first pixel is read.

    Returns:
        The finished map; with ``per-date`` the maps of ``result.dates``. ``result.report["pixels"]["failed"]`` tells of
        holes; deciding whether they are too many is the caller's.

    Raises:
        GeosegError: See ``geoseg.errors`` for what belongs to which exit status.
    """
    settings, progress, clock = settings or Settings(), progress or Silent(), Clock()
    _check_writable(settings.cache)
    store = _opened_store(settings)
    model = model_of(spec, settings)
    out = settings.out or default_out(spec)
    job = open_job(out, spec, fresh=settings.fresh, update=settings.update)
    spec = job.spec
    if model is not None:
        _require_weights(model, job, settings, progress)  # refused before the output folder is touched
    with MemoryWatch() as memory:
        progress.stage("planning")
        ready = prepare_job(spec, _asked(job, settings, progress, should_stop), model)
        with ready.remote:
            judged = with_examples(with_evidence(_with_inputs_checked(ready)), progress.stage)
            prepared = with_fitted(judged, job.fitted, progress.stage)
            with _taken(job, prepared):
                if before is not None:
                    before(prepared)
                clock.forecast = forecast_of(prepared)
                clock.lap("plan")
                with _Road(store, progress, should_stop, memory) as road:
                    if spec.composite == PER_DATE:
                        return Result(out, make_dates(prepared, out, partial(road.make, again=True)))
                    return Result(out, road.make(prepared, out, clock=clock))


def _asked(job: JobFolder, settings: Settings, progress: Progress, should_stop: Callable[[], bool]) -> Asked:
    """What is known of a job by its folder."""
    return Asked(
        settings,
        job.documents,
        job.later,
        job.forgotten,
        job.notes,
        progress.stage,
        begun_with=job.backend,
        should_stop=should_stop,
    )


def _taken(job: JobFolder, prepared: Prepared) -> AbstractContextManager[None]:
    """The job's folder, with what a run that goes on must find as it was."""
    documents, later, fitted = prepared.found.documents, prepared.later, prepared.fitted
    afterwards = None if later is None else later.found.documents
    if prepared.earlier is not None:
        documents, afterwards = prepared.earlier.found.documents, documents
    backend = prepared.lists[0].backend.choice  # that of the network, where there is one
    return job.taken(documents, backend, afterwards, None if fitted is None else fitted.facts())


def _check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written, before any work.

    Raises:
        RequestError: If it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder)
        os.close(handle)
        Path(name).unlink()
    except OSError as err:
        raise RequestError(f"the folder {folder}: {err}", "a folder that can be written", "choose another one") from err


def _opened_store(settings: Settings) -> Store:
    """Where tiles are kept; refuses a place that somebody named and that cannot be written, before any work.

    Raises:
        RequestError: If it cannot.
    """
    store = open_store(settings.store or settings.cache / "tiles")
    if settings.store is not None:
        probe = f".probe-{uuid.uuid4().hex}"
        try:
            store.leave(probe, b"")
            store.forget(probe)
        except OutputError as err:
            raise RequestError(f"--store {settings.store}: {err.given}", err.expected, "correct --store") from err
    return store


def _require_weights(folder: ModelFolder, job: JobFolder, settings: Settings, progress: Progress) -> None:
    """See that a model's weights are on this machine and are the right ones; or that it was exported, and needs none.

    Raises:
        WeightsError: If they are not, and cannot be had.
    """
    from geoseg.models.weights import find_weights, require_weights  # noqa: PLC0415  # HTTP, where it is needed

    begun_with = job.backend if settings.backend == "auto" else None
    if is_exported(folder, begun_with.name if begun_with else settings.backend, job.spec.profile):
        return
    if not require_weights(folder):
        model = folder.spec
        host = urlsplit(model.weights.href).hostname
        progress.stage(f"fetching the weights of {model.name} ({model.licence}) from {host}")
        find_weights(folder)


def _with_inputs_checked(prepared: Prepared) -> Prepared:
    """The job with what a look at its files has to say; rasters of catalogues have a sensor's rules and checksums.

    Raises:
        InputsContradictError: If pixels contradict what is stated of them.
    """
    from geoseg.inputs import (  # noqa: PLC0415  # scipy, for a look
        check_inputs,
        checksum_warnings,
        filler_warnings,
        with_verified_files,
    )

    if prepared.later is not None:
        return _with_dates_checked(prepared)
    if prepared.earlier is not None:
        return _looking_back_checked(prepared, prepared.earlier)
    spec = prepared.spec
    near = [item for scene in prepared.coverage.touching(prepared.region.window) for item in scene.items]
    is_stated = spec.scale is not None or spec.offset is not None
    warnings = [*prepared.warnings, *check_inputs(near, prepared.rasters, is_stated=is_stated)]
    unruled = [item for item in near if spec.scenes or (item.sensor.mask is None and item.sensor.nodata is None)]
    warnings += filler_warnings(unruled, prepared.rasters)
    if spec.scenes:
        return replace(prepared, warnings=tuple(warnings))
    warnings += checksum_warnings(near)
    judged = {item.key: item for item in with_verified_files(near, prepared.settings.cache)}
    scenes = (Scene(tuple(judged.get(item.key, item) for item in s.items)) for s in prepared.coverage.scenes)
    return replace(prepared, coverage=replace(prepared.coverage, scenes=tuple(scenes)), warnings=tuple(warnings))


def _with_dates_checked(prepared: Prepared) -> Prepared:
    """``_with_inputs_checked`` for two dates, and for the land cover of both."""
    assert prepared.later is not None  # noqa: S101  # its caller asked
    later = prepared.later
    specs = (prepared.spec.of_date("before"), prepared.spec.of_date("after"))
    dates = [
        _with_inputs_checked(replace(prepared, spec=spec, later=None, coverage=coverage))
        for spec, coverage in zip(specs, prepared.coverages, strict=True)
    ]
    of_dates = tuple(map(_with_inputs_checked, prepared.of_dates))
    return replace(
        prepared,
        coverage=dates[0].coverage,
        later=replace(later, coverage=dates[1].coverage),
        of_dates=of_dates,
        warnings=tuple(dict.fromkeys(text for one in (*dates, *of_dates) for text in one.warnings)),
    )


def _looking_back_checked(prepared: Prepared, earlier: Earlier) -> Prepared:
    """``_with_inputs_checked`` for a map, and for the bands of both dates that its evidence reads."""
    alone = replace(prepared, spec=prepared.spec.of_date("after"), earlier=None)
    own = _with_inputs_checked(alone)
    whens: tuple[When, ...] = ("before", "after")
    dates = [
        _with_inputs_checked(replace(alone, spec=prepared.spec.of_date(when), coverage=coverage))
        for when, coverage in zip(whens, earlier.coverages, strict=False)
    ]
    return replace(
        own,
        spec=prepared.spec,
        earlier=replace(earlier, coverages=tuple(one.coverage for one in dates)),
        warnings=tuple(dict.fromkeys(text for one in (own, *dates) for text in one.warnings)),
    )


class _Road:
    """From a prepared job to its files; loads the network once, however many maps are made.

    Args:
        store: Where tiles are kept.
        progress: Told what happens.
        should_stop: Asked between chips.
        memory: Peak of the process tree.
    """

    def __init__(
        self,
        store: Store,
        progress: Progress,
        should_stop: Callable[[], bool],
        memory: MemoryWatch,
    ) -> None:
        self._store = store
        self._progress = progress
        self._should_stop = should_stop
        self._memory = memory
        self._predictors: list[tuple[ModelLoader, Predictor]] = []
        self._team: Team | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def make(self, prepared: Prepared, out: Path, *, clock: Clock | None = None, again: bool = False) -> dict[str, Any]:
        """One map; returns the content of its report.

        Args:
            prepared: The job.
            out: Where its files go.
            clock: Its times; a new one where there is none.
            again: Whether more maps may follow, for which the network is kept.

        Raises:
            GeosegError: As `run`.
        """
        clock = clock or Clock()
        tallies = []
        for one in prepared.lists:
            tallies.append(self._compute(one))
            if self._should_stop():
                break
        tally = Tally.of_lists(tallies)
        remember_tiles(prepared, clock.lap("tiles"), tally.computed_px)
        if self._should_stop():
            raise _interrupted(prepared, tally)
        if not again:
            self._open.close()
            self._predictors, self._team = [], None
        release_memory()  # what forward passes left behind would add to what finishing needs
        report = finish(prepared, tallies, self._store, out, self._progress, clock, self._memory)
        if not again:
            remember(prepared, clock.seconds, tally.computed_px, self._memory.peak_bytes)
        return report

    def _compute(self, prepared: Prepared) -> Tally:
        """Tiles to records."""
        budget, recipe = prepared.budget, recipe_of(prepared)
        loader = loader_of(prepared, recipe)
        # Networks are compiled for shapes of chips.
        tasks = prepared.tasks.alike_together(prepared.region.window)
        self._progress.stage("looking for finished tiles")
        if prepared.share is not None or prepared.settings.scheduler is not None:
            return self._on_team(prepared, recipe, loader).run(tasks, self._progress)
        workers = TileWorkers(
            recipe,
            lambda: nullcontext(self._loaded(loader, budget.passes_at_once)),
            self._store,
            budget.tiles_in_flight,
            self._should_stop,
        )
        return workers.run(tasks, self._progress)

    def _loaded(self, loader: ModelLoader, passes: int) -> Predictor:
        """What runs the network, which is the same for all maps of a job, and of a change map for both dates."""
        known = [predictor for one, predictor in self._predictors if one == loader]
        if not known:
            self._progress.stage("loading the model")
            known = [self._open.enter_context(loader.load(passes))]
            self._predictors.append((loader, known[0]))
        self._progress.stage("computing tiles")
        return known[0]

    def _on_team(self, prepared: Prepared, recipe: Recipe, loader: ModelLoader) -> ClusterWorkers:
        """The same tiles by worker processes, which are the same for all maps of a job."""
        from geoseg.cluster.run import ClusterWorkers  # noqa: PLC0415  # an extra
        from geoseg.cluster.team import own_team, scheduler_at  # noqa: PLC0415

        settings, share, device = prepared.settings, prepared.share, prepared.backend.device

        def team() -> Team:
            if self._team is None:
                address = settings.scheduler
                team = own_team(share, device) if share else scheduler_at(str(address), device)
                self._team = self._open.enter_context(team)
            return self._team

        def shared(threads: int) -> Share:
            needs = prepared.appetite
            return share or share_of_worker(prepared.budget, settings.max_memory, threads, needs)

        return ClusterWorkers(
            recipe,
            loader,
            self._store,
            team,
            shared,
            settings.connections,
            prepared.remote.sign,
            self._should_stop,
        )


def _interrupted(prepared: Prepared, tally: Tally) -> InterruptedRunError:
    done = tally.computed + tally.reused
    return InterruptedRunError(
        "a request to stop",
        f"{done} of {sum(len(one.tasks) for one in prepared.lists)} tiles are finished and kept",
        "run the same command again: it goes on from there",
    )
