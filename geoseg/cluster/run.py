"""The tile list, handed out: few tiles at a time, in their order, again where a worker was lost.

A tile with which several workers ended is put aside. When all others are done it is tried once more with nothing beside
it; if workers end then too, its pixels are failed and the job goes on: one poisonous tile costs itself, not the map.
"""

from __future__ import annotations

import concurrent.futures
import queue
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pkgutil import resolve_name
from typing import Any

import numpy as np
from distributed import Future
from distributed.scheduler import KilledWorker

from geoseg.budget import Share
from geoseg.cluster.loading import ModelLoader
from geoseg.cluster.losing import lose
from geoseg.cluster.room import VERSIONS, RoomPlan, TileRoom, check_on, compute_tile, skewed
from geoseg.cluster.team import GONE, GPU, Team
from geoseg.errors import GeosegError
from geoseg.heads.from_to import DATE_LAYERS
from geoseg.pixels import layer_names
from geoseg.plan import TileTask
from geoseg.progress import Progress
from geoseg.store import Store
from geoseg.tally import Done, Tally
from geoseg.work import Recipe, TileJob

# Tiles that wait at a worker beside those it computes, so that it never waits for the next one.
_WAITING = 2
# Tiles that cost nearly nothing are sent many at a time: as many as are done in this time.
_MOMENT_S, _MOST_WAITING = 0.25, 256
_COUNT_S = 1.0
_DESERTED_S = 300.0  # that a scheduler of others may be without any worker
_LOOK_S = 0.25  # between two looks at what has happened meanwhile
_EVENTS = "all"  # topic under which a scheduler says who came and went
_MOST_LOST = 3  # times that a tile is handed out again where the scheduler forgot it


@dataclass(frozen=True)
class ClusterWorkers:
    """Computes tiles on a team of workers.

    Attributes:
        recipe: What the tiles share.
        loader: What runs the network.
        store: Where records go; the workers reach it too.
        team: Where the hands are; asked for when the first tile has to be computed.
        share: What a worker may hold at a time, by the threads that workers have at most.
        connections: Requests at the same time to one server, all together.
        sign: Rules for signatures.
        should_stop: Asked while tiles are computed.
    """

    recipe: Recipe
    loader: ModelLoader
    store: Store
    team: Callable[[], Team]
    share: Callable[[int], Share]
    connections: int
    sign: tuple[str, ...]
    should_stop: Callable[[], bool]

    def run(self, tasks: Sequence[TileTask], progress: Progress) -> Tally:
        """Compute what the store does not have.

        Stops early when ``should_stop`` says so; what is finished stays finished.

        Raises:
            GeosegError: If a worker cannot do the job, or is lost again and again.
        """
        tally = Tally()
        progress.tiles(len(tasks), sum(task.pixels for task in tasks))
        with ExitStack() as stack:
            flight: _Flight | None = None
            for task in tasks:
                if self.should_stop():
                    break
                if flight is not None and flight.is_due:
                    flight.take_off()
                job = self._missing(task, tally, progress)
                if job is None:
                    continue
                if flight is None:
                    flight = stack.enter_context(self._flight(tasks[0], tally, progress))
                flight.gate.append(job.task)
                while flight.is_full and not self.should_stop():
                    flight.land(_LOOK_S)
            while flight is not None and flight.is_under_way and not self.should_stop():
                flight.land(_LOOK_S)
        return tally

    def _missing(self, task: TileTask, tally: Tally, progress: Progress) -> TileJob | None:
        job = self.recipe.job(task)
        tally.keys[task.tile.row, task.tile.col] = job.key
        older = self.store.get(job.key)
        left = self.recipe.left_of(job, older)
        if left is None and older is not None:
            tally.reuse(older)
            progress.tile_done(task.pixels, reused=True, place=(task.tile.row, task.tile.col))
        return left

    def _lose(self, task: TileTask, why: str) -> Done:
        """The record of a tile that nobody could compute."""
        loader = self.loader
        classes = loader.model.spec.classes if loader.legend is None else loader.legend.classes
        job = self.recipe.narrowed(self.recipe.job(task), task.cells)
        layers = layer_names(loader.layers, len(classes)) if loader.layers else ()
        layers += DATE_LAYERS if loader.model.spec.land_cover else ()
        return lose(self.store, job, layers, why)

    @contextmanager
    def _flight(self, first: TileTask, tally: Tally, progress: Progress) -> Iterator[_Flight]:
        """The job in all workers, for as long as its tiles are computed."""
        progress.stage("starting workers")
        team = self.team()
        threads = team.workers
        _check_versions(team)
        if skew := team.skew:
            tally.said.add(skew)
            progress.note(skew)
        share = self.share(max(threads.values(), default=1))
        name = uuid.uuid4().hex[:12]
        recipe = replace(
            self.recipe, rasters=None, strip_bytes=share.strip_bytes, gdal_cache_bytes=share.gdal_cache_bytes
        )
        plan = RoomPlan(
            f"geoseg-{name}",
            recipe,
            team.model(self.loader, share),
            self.loader,
            self.store,
            share,
            first.tile.side_cells,
            first.tile.cell_px,
            max(1, self.connections // max(1, len(threads))),
            self.sign,
            f".probe-{name}",
        )
        with ExitStack() as undo:
            asking = ThreadPoolExecutor(1, "ask")
            undo.callback(asking.shutdown, wait=False)
            flight = _Flight(team, name, share, tally, progress, self._lose, self.should_stop, asking)
            self.store.leave(plan.probe, b"")
            undo.callback(self.store.forget, plan.probe)
            team.client.run(check_on, plan=plan, workers=list(threads))
            team.client.subscribe_topic(_EVENTS, flight.heard)
            undo.callback(team.tidy, team.client.unsubscribe_topic, _EVENTS)
            team.client.register_plugin(TileRoom(plan))
            undo.callback(team.tidy, team.client.unregister_worker_plugin, plan.name)
            undo.callback(team.tidy, flight.cancel)
            progress.stage("computing tiles")
            try:
                yield flight
            except (GeosegError, *GONE) as err:
                if team.is_there:
                    raise
                raise team.gone() from err


def _check_versions(team: Team) -> None:
    """Refuse workers with another geoseg, before anything of ours is sent to them.

    Raises:
        RequestError: With the first that differs.
    """
    found: dict[str, list[Any]] = {}
    for name in ("geoseg:__version__", "geoseg.store:RESULTS_VERSION"):
        answers = team.client.run(resolve_name, name, workers=list(team.workers), on_error="return")
        for worker, answer in answers.items():
            found.setdefault(worker, []).append("unknown" if isinstance(answer, BaseException) else answer)
    for worker, versions in found.items():
        if tuple(versions) != VERSIONS:
            raise skewed(f"the worker {worker}", tuple(versions), VERSIONS)


@dataclass
class _Flight:
    """Tiles that workers have.

    Attributes:
        team: The workers.
        name: What tells this job's tiles from those of others.
        share: What a worker may hold.
        tally: What was done.
        progress: Told of it.
        lose: Writes the record of a tile that nobody could compute.
        should_stop: Asked while workers are waited for.
        gate: Tiles that are to be sent.
        tiles: Name to what was sent.
        suspects: Tiles with which workers ended, to be tried alone.
    """

    team: Team
    name: str
    share: Share
    tally: Tally
    progress: Progress
    lose: Callable[[TileTask, str], Done]
    should_stop: Callable[[], bool]
    _asking: ThreadPoolExecutor
    gate: list[TileTask] = field(default_factory=list)
    tiles: dict[str, tuple[Future[Done], TileTask]] = field(default_factory=dict)
    suspects: list[TileTask] = field(default_factory=list)
    _alone: set[tuple[int, int]] = field(default_factory=set)
    _landed: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    _lost: Counter[tuple[int, int]] = field(default_factory=Counter)
    _number: int = 0
    _seats: int = 0
    _begun: float = field(default_factory=time.monotonic)
    _sent: float = 0.0
    _counted: float = 0.0
    _manned: float = field(default_factory=time.monotonic)
    _is_told: bool = False

    @property
    def is_under_way(self) -> bool:
        """Whether any tile is not settled."""
        return bool(self.tiles or self.gate or self.suspects)

    @property
    def is_full(self) -> bool:
        """Whether the workers have enough to do for now."""
        self._count()
        return len(self.tiles) + len(self.gate) >= max(self._seats, self._quick)

    def _count(self) -> None:
        """See now and then who is there; a scheduler of others that has had no worker for long ends the job."""
        now, team = time.monotonic(), self.team
        if now - self._counted <= _COUNT_S:
            return
        at_once = [min(threads, self.share.tiles_in_flight) for threads in team.workers.values()]
        self._seats, self._counted = max(1, sum(at_once) + _WAITING * len(at_once)), now
        if at_once or team.crew is not None:
            self._manned, self._is_told = now, False
        elif now - self._manned > _DESERTED_S:
            raise team.deserted(now - self._manned)
        elif not self._is_told:
            self._is_told = True
            self.progress.note(f"{team.address} has no worker any more: waiting {_DESERTED_S:g} s for one")

    @property
    def _quick(self) -> int:
        """Tiles that are done in a moment, at the pace of this job."""
        seconds = max(time.monotonic() - self._begun, _MOMENT_S)
        return min(_MOST_WAITING, int(self.tally.computed / seconds * _MOMENT_S))

    @property
    def is_due(self) -> bool:
        """Whether a tile has waited long enough for others to be sent along with it."""
        return bool(self.gate) and time.monotonic() - self._sent > _MOMENT_S

    def heard(self, event: tuple[float, Any]) -> None:
        """The scheduler says what has happened: a worker is gone, and which tiles it had."""
        facts = event[1]
        if not isinstance(facts, Mapping) or facts.get("action") != "remove-worker":
            return
        for key in (*facts.get("processing-tasks", ()), *facts.get("lost-computed-tasks", ())):
            match = re.fullmatch(rf"geoseg-tile-(-?\d+)-(-?\d+)-{self.name}(-\d+)?", str(key))
            if match is not None:
                self.tally.repeated.add((int(match[1]), int(match[2])))

    def take_off(self) -> None:
        """Give the tiles at the gate to the workers, after those that were given before; in one message."""
        if not self.gate:
            return
        tasks, self.gate = self.gate, []
        keys = [self._key(task) for task in tasks]
        futures = self.team.client.map(
            compute_tile,
            [f"geoseg-{self.name}"] * len(tasks),
            [task.tile.row for task in tasks],
            [task.tile.col for task in tasks],
            [np.packbits(task.cells).tobytes() for task in tasks],
            key=keys,
            pure=False,
            priority=-self._number,
            resources={GPU: 1 / self.share.tiles_in_flight} if self.team.device == "cuda" else None,
        )
        self._number += 1
        self._sent = time.monotonic()
        self.tiles |= {key: (future, task) for key, future, task in zip(keys, futures, tasks, strict=True)}
        for future in futures:
            future.add_done_callback(lambda done: self._landed.put(done.key))

    def _key(self, task: TileTask) -> str:
        """Name of a tile on the scheduler's dashboard, which groups tasks by what comes before the numbers."""
        row, col = task.tile.row, task.tile.col
        again = self._lost[row, col]
        return f"geoseg-tile-{row}-{col}-{self.name}" + f"-{again}" * bool(again)

    def land(self, patience_s: float) -> None:
        """Wait for tiles to finish, and count them; hand those out again that the scheduler forgot.

        Raises:
            GeosegError: What a worker met, or that workers are lost again and again.
        """
        if self.suspects and not (self.tiles or self.gate):
            suspect = self.suspects.pop(0)
            self._alone.add((suspect.tile.row, suspect.tile.col))
            self.gate.append(suspect)
        self.take_off()
        self.team.look_after()
        self._count()
        keys = self._landed_within(patience_s)
        landed = [self.tiles.pop(key) for key in keys if key in self.tiles]
        for done in self._fetched([future for future, _ in landed if future.status == "finished"]):
            self.team.is_well()
            self.tally.add(done)
            self.progress.tile_done(done.pixels, reused=False, place=done.place)
        for future, task in landed:
            if future.status in {"lost", "cancelled"}:
                self._hand_out_again(task)
            elif future.status == "error":
                self._judge(future, task)

    def _fetched(self, finished: list[Future[Done]]) -> list[Done]:
        """What workers say of finished tiles; nothing where the run is to stop.

        A worker may end before it has said it. Then another computes the tile once more, and where none is left, one has
        to be started meanwhile: whoever only waited for the answer would wait for ever.
        """
        if not finished:
            return []
        answers: concurrent.futures.Future[list[Done]] = self._asking.submit(
            self.team.client.gather, finished, errors="skip"
        )
        while not self.should_stop():
            with suppress(concurrent.futures.TimeoutError):
                return answers.result(timeout=_LOOK_S)
            self.team.look_after()
            self._count()
        return []

    def _landed_within(self, patience_s: float) -> list[str]:
        """Names of tiles that have landed: the first after a while, with those that are there too or soon will be."""
        quick = self._quick
        wanted, last = (quick // 2, _MOMENT_S / 4) if quick > self._seats else (_MOST_WAITING, 0.0)
        keys: list[str] = []
        try:
            keys.append(self._landed.get(timeout=patience_s))
            until = time.monotonic() + last
            while len(keys) < wanted:
                keys.append(self._landed.get(timeout=max(0.0, until - time.monotonic())))
        except queue.Empty:
            pass
        return keys

    def _judge(self, future: Future[Done], task: TileTask) -> None:
        """What becomes of a tile that came to grief.

        Raises:
            BaseException: What its worker met, unless that ended with it.
        """
        error, place = future.exception(), (task.tile.row, task.tile.col)
        if not isinstance(error, KilledWorker):
            assert error is not None  # noqa: S101  # the state says so
            raise error
        self._lost[place] += 1  # another name: the scheduler remembers the old one
        if place not in self._alone:
            self.tally.repeated.add(place)
            self.suspects.append(task)
            return
        why = f"worker processes ended with it {2 * (error.allowed_failures + 1)} times, at last with no other tile beside it"
        self.tally.lost[place] = f"{why}: the system may have ended them for want of memory"
        self.tally.add(self.lose(task, why))
        self.progress.tile_done(task.pixels, reused=False, place=place)
        self.team.is_well()

    def _hand_out_again(self, task: TileTask) -> None:
        place = task.tile.row, task.tile.col
        self._lost[place] += 1
        if self._lost[place] > _MOST_LOST:
            raise GeosegError(
                f"the tile {place}, which the scheduler forgot {_MOST_LOST} times",
                "a scheduler that runs for as long as the job does",
                "see to the scheduler, then run the same command again: finished tiles are kept",
            )
        self.tally.repeated.add(place)
        self.gate.append(task)

    def cancel(self) -> None:
        """Take back what is not finished."""
        if self.tiles:
            self.team.client.cancel([future for future, _ in self.tiles.values()])
            self.tiles.clear()
