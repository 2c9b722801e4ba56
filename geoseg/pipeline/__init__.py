"""The whole road, for one job: the only place that calls two rooms."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from geoseg.errors import InterruptedRunError
from geoseg.job import default_out, open_job
from geoseg.machine import MemoryWatch, Speeds, release_memory, usable_cores
from geoseg.pipeline.finish import finish
from geoseg.pipeline.prepare import Prepared, prepare, resolve_model, scratch_check
from geoseg.progress import Progress, Silent
from geoseg.result import Result
from geoseg.settings import Settings
from geoseg.spec import JobSpec
from geoseg.store import TileStore
from geoseg.tiles import ChipPlan
from geoseg.work import Recipe, Tally, TileWorkers

if TYPE_CHECKING:
    from geoseg.predict import Predictor

__all__ = ["Prepared", "prepare", "resolve_model", "run"]


@dataclass(slots=True)
class Clock:
    """When a run started, and how long its stages took."""

    started: dt.datetime = field(default_factory=lambda: dt.datetime.now(tz=dt.UTC))
    seconds: dict[str, float] = field(default_factory=dict)
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
        should_stop: Asked between chips; what is finished by then stays finished.
        before: Called once with what will be done, before the first pixel is read.

    Returns:
        The finished map. ``result.report["pixels"]["failed"]`` tells of holes; deciding whether they are too many is
        the caller's.

    Raises:
        GeosegError: See ``geoseg.errors`` for what belongs to which exit status.
    """
    settings, progress, clock = settings or Settings(), progress or Silent(), Clock()
    resolve_model(spec, settings)  # an unknown model is refused before the output folder is touched
    out = settings.out or default_out(spec)
    job = open_job(out, spec, fresh=settings.fresh, update=settings.update)
    scratch_check(settings.cache)
    with MemoryWatch() as memory:
        progress.stage("planning")
        prepared = prepare(spec, settings, job.documents)
        with job.taken(prepared.found.documents), prepared.remote:
            if before is not None:
                before(prepared)
            clock.lap("plan")
            store = TileStore(settings.cache / "tiles")
            tally = _compute(prepared, store, progress, should_stop)
            _remember_speed(prepared, tally, clock.lap("tiles"))
            if should_stop():
                raise _interrupted(prepared, tally)
            release_memory()  # what forward passes left behind would add to what finishing needs
            return Result(out, finish(prepared, tally, store, out, progress, clock, memory))


def _compute(prepared: Prepared, store: TileStore, progress: Progress, should_stop: Callable[[], bool]) -> Tally:
    """Tiles to records."""
    model, budget, parts = prepared.model.spec, prepared.budget, prepared.key_parts
    chips = ChipPlan(model.radius_px, model.stride_px, model.chip_px, model.chip_step_px, budget.chip_cells)

    def predictor() -> Predictor:
        from geoseg.heads import SemanticHead  # noqa: PLC0415  # torch is loaded when pixels are about to be computed
        from geoseg.models.network import load_network  # noqa: PLC0415
        from geoseg.predict import Predictor  # noqa: PLC0415

        progress.stage("loading the model")
        head = SemanticHead(load_network(prepared.model, prepared.device))
        progress.stage("computing tiles")
        return Predictor(
            head, chips, prepared.device, prepared.pixel_m, threads=parts.threads, passes=budget.passes_at_once
        )

    recipe = Recipe(
        coverage=prepared.coverage,
        chips=chips,
        key_parts=parts,
        facts=prepared.asset_facts,
        strip_bytes=budget.strip_bytes,
        read_threads=usable_cores(),
        gdal_cache_bytes=budget.gdal_cache_bytes - prepared.remote.cache_bytes,
        rasters=prepared.rasters,
    )
    progress.stage("looking for finished tiles")
    workers = TileWorkers(recipe, predictor, store, budget.tiles_in_flight, should_stop)
    return workers.run(prepared.tasks, progress)


def _remember_speed(prepared: Prepared, tally: Tally, seconds: float) -> None:
    if tally.computed_px and seconds > 0:
        Speeds(prepared.settings.cache).put(prepared.speed_key, tally.computed_px / 1e6 / seconds)


def _interrupted(prepared: Prepared, tally: Tally) -> InterruptedRunError:
    done = tally.computed + tally.reused
    return InterruptedRunError(
        "a request to stop",
        f"{done} of {len(prepared.tasks)} tiles are finished and kept",
        "run the same command again: it goes on from there",
    )
