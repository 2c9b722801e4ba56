"""What a worker process has of a job, and what it does with a tile."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from distributed import Worker, WorkerPlugin, get_worker

from geoseg import __version__
from geoseg.budget import Share
from geoseg.cluster.sending import sendable
from geoseg.composite import Composite
from geoseg.errors import GeosegError, RequestError, WeightsError
from geoseg.load import KeptBlocks, Rasters, local_fact, reading
from geoseg.plan import TileTask
from geoseg.remote import RemoteFiles, is_remote
from geoseg.scenes import Scene
from geoseg.store import RESULTS_VERSION, Store
from geoseg.tally import Done
from geoseg.tiles import Tile
from geoseg.work import Recipe, TileJob, done_of, keep

if TYPE_CHECKING:
    from geoseg.cluster.loading import ModelLoader
    from geoseg.predict import Predictor

VERSIONS = (__version__, RESULTS_VERSION)


@dataclass(frozen=True)
class RoomPlan:
    """A job as it is sent to each worker, once.

    Attributes:
        name: Of the job's plugin.
        recipe: What tiles share, without the opener of files.
        model: Of the plugin that has the model.
        loader: How to make the predictor.
        store: Where records go; all workers reach it.
        share: What one worker process may hold at a time.
        side_cells: Cells on a side of a tile.
        cell_px: Pixels on a side of a cell.
        connections: Requests at the same time to one server, of one worker.
        sign: Rules for signatures.
        probe: Name of what the client left in the store.
        versions: geoseg's, and that of its results.
    """

    name: str
    recipe: Recipe
    model: str
    loader: ModelLoader
    store: Store
    share: Share
    side_cells: int
    cell_px: int
    connections: int
    sign: tuple[str, ...]
    probe: str
    versions: tuple[str, int] = VERSIONS

    @property
    def local_files(self) -> Mapping[str, str]:
        """Files that every worker has to have, in their versions."""
        facts = self.recipe.facts.items()
        return {path: fact for path, fact in facts if not is_remote(path) and fact not in {"remote", "missing"}}


class _Stopped(Exception):  # noqa: N818  # not an error: the way out of a tile that nobody waits for
    """The job is over."""


class ModelRoom(WorkerPlugin):
    """The model of a job in a worker process: loaded once, when the first tile is there, for all maps of the job.

    Args:
        name: Of the plugin.
        loader: How to make the predictor.
        share: What the process may hold at a time.
    """

    def __init__(self, name: str, loader: ModelLoader, share: Share) -> None:
        self.name = name
        self._loader = loader
        self._share = share

    def __reduce__(self) -> tuple[type[ModelRoom], tuple[str, ModelLoader, Share]]:
        return ModelRoom, (self.name, self._loader, self._share)

    def setup(self, worker: Worker) -> None:
        """Take note of the worker's threads."""
        self._threads = worker.state.nthreads
        self._lock = threading.Lock()
        self._kept: Predictor | None = None

    async def teardown(self, worker: Worker) -> None:
        """Let go of the network."""
        if self._kept is not None:
            await worker.loop.run_in_executor(None, self._kept.__exit__, None, None, None)

    def predictor(self) -> Predictor:
        """What runs the network.

        Raises:
            GeosegError: If it cannot be loaded.
        """
        with self._lock:
            if self._kept is None:
                loader = self._loader.here()
                # Others gave their workers so many threads; ours have more, so that one reads while another computes.
                most = self._share.passes if self._share.processes else self._threads // loader.threads
                self._kept = loader.load(max(1, min(self._share.passes, most))).__enter__()
            return self._kept


class TileRoom(WorkerPlugin):
    """A job in a worker process.

    Args:
        plan: The job.
    """

    def __init__(self, plan: RoomPlan) -> None:
        self.plan = plan
        self.name = plan.name

    def __reduce__(self) -> tuple[type[TileRoom], tuple[RoomPlan]]:
        return TileRoom, (self.plan,)

    def setup(self, worker: Worker) -> None:
        """Take the job in; nothing is loaded before the first tile."""
        share = self.plan.share
        self._threads = max(1, worker.state.nthreads)
        self._seats = threading.Semaphore(min(self._threads, share.tiles_in_flight))
        self._reader = threading.Lock()  # strips of dates are planned for one reader
        self._over = threading.Event()
        self._checked = threading.Lock()
        self._recipe: Recipe | None = None
        self._remote: RemoteFiles | None = None

    async def teardown(self, worker: Worker) -> None:
        """Stop what is being computed."""
        del worker
        self._over.set()
        if self._remote is not None:
            self._remote.close()

    def compute(self, row: int, col: int, cells: bytes) -> Done:
        """Compute a tile and write its record.

        Args:
            row: Place of the tile.
            col: See ``row``.
            cells: Bitmap of its cells, packed.
        """
        with self._seats:
            recipe = self._ready()
            side = self.plan.side_cells
            bitmap = np.unpackbits(np.frombuffer(cells, "uint8"), count=side * side).astype(bool).reshape(side, side)
            job = recipe.job(TileTask(Tile(row, col, side, self.plan.cell_px), bitmap))
            older = self.plan.store.get(job.key)
            if (
                older is not None and recipe.left_of(job, older) is None
            ):  # its worker was lost just after it was written
                return done_of(job, older, {})
            begun = time.perf_counter()
            tile, wanted = job.task.tile, job.task.cells
            if recipe.is_mean:
                read = begun  # reads are in what is predicted
                dates = (self._image(recipe, job, scene) for scene in job.scenes)
                both = self._predictor().predict_mean(tile, wanted, dates, job.window, self._over.is_set)
                made, image = both or (None, None)
            else:
                image = self._image(recipe, job)
                read = time.perf_counter()
                made = self._predictor().predict(tile, wanted, image, job.window, self._over.is_set)
            if made is None or image is None:
                raise _Stopped
            predicted = time.perf_counter()
            done = keep(recipe, self.plan.store, job, made, image)
            seconds = {"read": read - begun, "predict": predicted - read, "store": time.perf_counter() - predicted}
            return replace(done, seconds=seconds)

    def _image(self, recipe: Recipe, job: TileJob, scene: Scene | None = None) -> Composite:
        with self._reader, reading(recipe.gdal_cache_bytes):
            self._go_on()
            return recipe.image(job, scene)

    def _go_on(self) -> None:
        if self._over.is_set():
            raise _Stopped

    def _ready(self) -> Recipe:
        """What tiles need; made when the first one is there."""
        with self._checked:
            if self._recipe is None:
                plan = self.plan
                check(plan, get_worker())
                facts, part = plan.recipe.facts, plan.share.gdal_cache_bytes // 4
                self._remote = RemoteFiles(part, plan.connections, plan.sign, facts=facts)
                rasters = Rasters(self._remote, facts, KeptBlocks(2 * part, plan.recipe.chips.overlap_px))
                self._recipe = replace(plan.recipe, rasters=rasters, gdal_cache_bytes=part)
            return self._recipe

    def _predictor(self) -> Predictor:
        room = get_worker().plugins[self.plan.model]
        assert isinstance(room, ModelRoom)  # noqa: S101  # registered under this name before the first tile
        return room.predictor()


def compute_tile(name: str, row: int, col: int, cells: bytes) -> Done:
    """The task: see ``TileRoom.compute``.

    Args:
        name: The job's plugin.
        row: Place of the tile.
        col: See ``row``.
        cells: Bitmap of its cells, packed.

    Raises:
        GeosegError: Whatever happened to the tile, in a form that can be sent.
    """
    worker = get_worker()
    room = worker.plugins[name]
    assert isinstance(room, TileRoom)  # noqa: S101  # registered under this name before the first tile
    try:
        return room.compute(row, col, cells)
    except _Stopped:
        raise
    except Exception as err:  # noqa: BLE001  # the job boundary of a worker: code of others may raise what cannot be sent
        trouble = sendable(err, f"the tile {row}, {col} on the worker {worker.name}")
    raise trouble  # out here, where it has no context that would be sent along


def check(plan: RoomPlan, worker: Worker) -> None:
    """See that a worker can do the job: same geoseg, the files are here, the store is the one that all share.

    Raises:
        GeosegError: If not; a file that only the client has would become a hole in the map.
    """
    who = f"the worker {worker.name}" + f" ({worker.address})" * (worker.name != worker.address)
    if plan.versions != VERSIONS:
        raise skewed(who, VERSIONS, plan.versions)
    for path, fact in plan.local_files.items():
        if (now := local_fact(path)) != fact:
            raise RequestError(
                f"{path} on {who}: {now}",
                f"the file that this machine has ({fact}), on every worker",
                "put scenes on a path that all machines share, or name https addresses",
            )
    if plan.store.found(plan.probe) is None:
        raise RequestError(
            f"the tile store {plan.store} on {who}, which is not that of this machine",
            "one store that all workers share",
            "name it with --store: a shared folder, or an address such as s3://bucket/prefix",
        )
    mine = f"{plan.probe}-{threading.get_ident()}"
    try:
        plan.store.leave(mine, b"")
        plan.store.forget(mine)
    except GeosegError as err:
        raise type(err)(f"{err.given} (on {who})", err.expected, err.todo) from err
    try:
        plan.loader.here().require()
    except WeightsError as err:
        raise WeightsError(f"{err.given} (on {who})", err.expected, err.todo) from err


def skewed(who: str, theirs: tuple[Any, ...], ours: tuple[Any, ...]) -> RequestError:
    """The refusal of a worker with another geoseg."""
    said, wanted = (f"geoseg {version} (results {results})" for version, results in (theirs, ours))
    return RequestError(
        f"{who} with {said}",
        f"{wanted}, as here: other versions may give other pixels",
        "install the same version there",
    )


def check_on(dask_worker: Worker, plan: RoomPlan) -> None:
    """``check``, as ``Client.run`` calls it."""
    check(plan, dask_worker)
