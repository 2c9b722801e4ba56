"""Tiles to records on one machine: reading, forward passes and finishing overlap, memory is bounded.

Each tile is handled alone, in any order. Three small pools hand tiles on; a semaphore bounds how many hold pixels.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geoseg.composite import MEAN_SCORES, Composite, join, make_composite
from geoseg.grid import Window
from geoseg.keys import KeyParts, Keys, is_known
from geoseg.load import Rasters, reading
from geoseg.pixels import NEAR_FAILED_BIT, Reason
from geoseg.plan import Coverage, TileTask
from geoseg.progress import Progress
from geoseg.remote import redacted, unsigned
from geoseg.scenes import Item, Scene
from geoseg.store import Store, TileRecord
from geoseg.tally import Done, Tally
from geoseg.tiles import ChipPlan, around

if TYPE_CHECKING:
    from geoseg.predict import Predictor, TileResult


# Pixels beside those of the shift that a moved image is interpolated from.
_KERNEL_PX = 2


@dataclass(frozen=True, slots=True)
class TileJob:
    """A tile with everything that one worker needs.

    Attributes:
        task: The tile and its wanted cells.
        window: Pixels to read.
        scenes: Scenes that touch ``window``.
        key: Where its record goes.
        later: Scenes of the later date, of a job of two.
    """

    task: TileTask
    window: Window
    scenes: tuple[Scene, ...]
    key: str
    later: tuple[Scene, ...] = ()

    @property
    def items(self) -> tuple[Item, ...]:
        """Items of all dates."""
        return (*_items(self.scenes), *_items(self.later))


def _place(task: TileTask) -> tuple[int, int]:
    return task.tile.row, task.tile.col


def _items(scenes: Sequence[Scene]) -> list[Item]:
    return [item for scene in scenes for item in scene.items]


@dataclass(frozen=True)
class Recipe:
    """What all tiles of a job share.

    Attributes:
        coverage: Scenes on the lattice.
        chips: Chip shapes.
        key_parts: Shared parts of the keys.
        facts: Versions of the files.
        strip_bytes: Memory for one strip of a composite.
        read_threads: Reads at the same time, for one tile.
        gdal_cache_bytes: GDAL's block cache.
        rasters: Opens the files.
        later: Scenes of the later date, where tiles are made of two.
        moved: Rows and columns by which the later date (of two; else the only one) is read farther down and right.
    """

    coverage: Coverage
    chips: ChipPlan
    key_parts: KeyParts
    facts: Mapping[str, str]
    strip_bytes: int
    read_threads: int
    gdal_cache_bytes: int
    rasters: Rasters | None = None
    later: Coverage | None = None
    moved: tuple[float, float] = (0.0, 0.0)

    def job(self, task: TileTask) -> TileJob:
        """The tile's window, scenes and key. They depend on the whole tile, never on which cells are wanted."""
        every_cell = np.ones_like(task.cells)
        reach = around(chip.window for chip in self.chips.chips(task.tile, every_cell))
        spare = math.ceil(max(map(abs, self.moved))) + _KERNEL_PX if any(self.moved) else 0
        moved = reach.padded(spare, spare, spare, spare)
        scenes = self.coverage.touching(moved if self.later is None else reach)
        wanted = around(chip.window for chip in self.chips.chips(task.tile, task.cells))
        later = () if self.later is None else self.later.touching(moved)
        key = self._keys.of(task.tile, _items(scenes), None if self.later is None else _items(later))
        return TileJob(task, wanted, scenes, key, later)

    @cached_property
    def _keys(self) -> Keys:
        return Keys(self.key_parts, self.facts)

    def narrowed(self, job: TileJob, cells: NDArray[np.bool_]) -> TileJob:
        """The same tile, for some of its cells only."""
        window = around(chip.window for chip in self.chips.chips(job.task.tile, cells))
        return replace(job, task=TileTask(job.task.tile, cells), window=window)

    def left_of(self, job: TileJob, older: TileRecord | None) -> TileJob | None:
        """What is to be computed of a tile whose record is there already; ``None`` when all is."""
        if older is None or older.incomplete:
            return job
        cells = job.task.cells & ~older.cells
        return self.narrowed(job, cells) if cells.any() else None

    def knows(self, job: TileJob) -> bool:
        """Whether the versions of all files of a tile are known."""
        sources = (source for item in job.items for source in item.sources)
        return all(is_known(self.facts.get(source.href, "")) for source in sources)

    @property
    def is_mean(self) -> bool:
        """Whether every scene is mapped by itself and scores are combined."""
        return self.key_parts.composite == MEAN_SCORES

    def image(self, job: TileJob, scene: Scene | None = None) -> Composite:
        """Read what the tile's chips see: of all scenes by the job's rule, or of one; of both dates, where there are two."""
        if self.later is None:
            return self._image(job, job.scenes if scene is None else (scene,), self.moved, one=scene is not None)
        return join(self._image(job, job.scenes, (0.0, 0.0)), self._image(job, job.later, self.moved))

    def _image(
        self, job: TileJob, scenes: Sequence[Scene], moved: tuple[float, float], *, one: bool = False
    ) -> Composite:
        geobox = self.key_parts.lattice.geobox(job.window)
        counted = np.zeros(job.window.shape, dtype=bool)
        shared = job.window & job.task.tile.window
        counted[shared.within(job.window)] = job.task.tile.expand(job.task.cells)[shared.within(job.task.tile.window)]
        return make_composite(
            scenes,
            geobox.translate_pix(moved[1], moved[0]) if any(moved) else geobox,
            len(self.key_parts.bands),
            "first" if one else self.key_parts.composite,
            self.key_parts.quantity,
            counted=counted,
            strip_bytes=self.strip_bytes,
            threads=self.read_threads,
            rasters=self.rasters,
            resampling="cubic" if any(moved) else "bilinear",  # bilinear blurs most where a shift is half a pixel
        )


class _Stopped(Exception):  # noqa: N818  # not an error: the way out of a pool
    """The run was asked to stop."""


class TileWorkers:
    """Computes tiles.

    Args:
        recipe: What the tiles share.
        predictor: Makes what runs the head. Called once, and only when a tile has to be computed.
        store: Where records go.
        in_flight: Tiles that may hold pixels at the same time.
        should_stop: Asked between chips and tiles.
    """

    def __init__(
        self,
        recipe: Recipe,
        predictor: Callable[[], AbstractContextManager[Predictor]],
        store: Store,
        in_flight: int,
        should_stop: Callable[[], bool],
    ) -> None:
        self._recipe = recipe
        self._predictor = predictor
        self._store = store
        self._in_flight = in_flight
        self._should_stop = should_stop
        self._failed = threading.Event()
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    def run(self, tasks: Sequence[TileTask], progress: Progress) -> Tally:
        """Compute what the store does not have.

        Stops early when ``should_stop`` says so; what is finished stays finished.
        """
        tally = Tally()
        progress.tiles(len(tasks), sum(task.pixels for task in tasks))
        pending: set[Future[TileTask]] = set()
        predictor: Predictor | None = None
        with (
            ExitStack() as stack,
            ThreadPoolExecutor(1, "read") as readers,
            ThreadPoolExecutor(self._in_flight, "predict") as predictors,  # they share the predictor's passes
            ThreadPoolExecutor(1, "finish") as finishers,
        ):
            try:
                for task in tasks:
                    job = self._missing(task, tally)
                    if job is None:
                        progress.tile_done(task.pixels, reused=True, place=_place(task))
                        continue
                    pending = self._settle(pending, self._in_flight - 1, progress)
                    image = None if self._recipe.is_mean else readers.submit(self._read, job, tally)
                    if predictor is None:  # the first tile is read while libraries and weights are loaded
                        predictor = stack.enter_context(self._predictor())
                    result = predictors.submit(self._predict, predictor, job, image, tally)
                    pending.add(finishers.submit(self._finish, job, result, tally))
                self._settle(pending, 0, progress)
            except _Stopped:
                pass
            except BaseException:
                self._failed.set()  # lets the pools run dry instead of computing what nobody waits for
                raise
        return tally

    def _stopping(self) -> bool:
        return self._failed.is_set() or self._should_stop()

    def _settle(self, pending: set[Future[TileTask]], most: int, progress: Progress) -> set[Future[TileTask]]:
        """Wait until at most so many tiles are under way, and report those that finished."""
        while len(pending) > most:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                task = future.result()
                progress.tile_done(task.pixels, reused=False, place=_place(task))
        if self._stopping():
            raise _Stopped
        return pending

    def _missing(self, task: TileTask, tally: Tally) -> TileJob | None:
        """What is to be computed of a tile; ``None`` when all is there."""
        job = self._recipe.job(task)
        tally.keys[(task.tile.row, task.tile.col)] = job.key
        older = self._store.get(job.key)
        left = self._recipe.left_of(job, older)
        if left is None and older is not None:
            with self._lock:
                tally.reuse(older)
        return left

    def _read(self, job: TileJob, tally: Tally) -> Composite:
        if self._stopping():
            raise _Stopped
        with self._timed("read", tally), reading(self._recipe.gdal_cache_bytes):
            return self._recipe.image(job)

    def _read_one(self, job: TileJob, scene: Scene, tally: Tally) -> Composite:
        """One date; strips are planned for one reader."""
        with self._reading:
            if self._stopping():
                raise _Stopped
            with self._timed("read", tally), reading(self._recipe.gdal_cache_bytes):
                return self._recipe.image(job, scene)

    def _predict(
        self, predictor: Predictor, job: TileJob, image: Future[Composite] | None, tally: Tally
    ) -> tuple[TileResult, Composite]:
        tile, cells = job.task.tile, job.task.cells
        if image is None:
            dates = (self._read_one(job, scene, tally) for scene in job.scenes)
            with self._timed("predict", tally):  # its reads are in it
                both = predictor.predict_mean(tile, cells, dates, job.window, self._stopping)
            if both is None:
                raise _Stopped
            return both
        composite = image.result()
        with self._timed("predict", tally):
            result = predictor.predict(tile, cells, composite, job.window, self._stopping)
        if result is None:
            raise _Stopped
        return result, composite

    def _finish(
        self,
        job: TileJob,
        result: Future[tuple[TileResult, Composite]],
        tally: Tally,
    ) -> TileTask:
        made, composite = result.result()
        with self._timed("store", tally):
            done = keep(self._recipe, self._store, job, made, composite)
        with self._lock:
            tally.add(done)
        return job.task

    @contextmanager
    def _timed(self, stage: str, tally: Tally) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                tally.seconds[stage] += time.perf_counter() - start


def keep(recipe: Recipe, store: Store, job: TileJob, made: TileResult, image: Composite) -> Done:
    """Write the record of a computed tile.

    Raises:
        OutputError: If it cannot be written.
    """
    record = store.add(job.key, _record_of(job, made, image, recipe.knows(job)))
    return done_of(job, record, {href: redacted(cause) for href, cause in image.failures.items()})


def done_of(job: TileJob, record: TileRecord, failures: Mapping[str, str]) -> Done:
    """What there is to say of a tile whose record is written."""
    tile, cells = job.task.tile, int(job.task.cells.sum())
    return Done((tile.row, tile.col), job.task.pixels, cells, record.incomplete, failures, record.facts)


def _record_of(job: TileJob, made: TileResult, image: Composite, is_known: bool) -> TileRecord:
    """What is remembered of a computed tile; one of files in unknown versions is made again."""
    failed = made.reason == Reason.FAILED  # what the network failed on, it fails on again
    near = (made.reason & NEAR_FAILED_BIT) > 0
    facts: dict[str, Any] = {
        "used_px": dict(image.used_px),
        "failures": {unsigned(k): redacted(v) for k, v in image.failures.items()},
    }
    if made.failures:
        facts["model_failures"] = [[w.row0, w.col0, w.row1, w.col1, why] for w, why in made.failures.items()]
    return TileRecord(
        {"classes": made.classes, "confidence": made.confidence, "reason": made.reason, **made.layers},
        job.task.cells,
        incomplete=bool(failed.any() or near.any() or not is_known),
        facts=facts,
    )
