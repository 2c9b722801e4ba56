"""A worker: holds the lease of one job at a time and gives signs of life, while a child process computes.

The process that holds the lease reads no file of others and loads no network, so that nothing keeps it from its clock. A
job's files are made in a folder of the lease's epoch and get their final name by one rename, after a fresh look at the lease:
a worker that lost its job can waste time, and nothing else.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from geoseg.errors import GeosegError, NothingToDoError, RequestError
from geoseg.spec import JobSpec
from geoseg_api.children import Child, Message
from geoseg_api.problems import problem_of
from geoseg_api.settings import ServiceSettings
from geoseg_api.store import JobStore, Lease, StoreUnavailableError, open_database

_LOG = logging.getLogger(__name__)

_BEAT_S = 1.0
_IDLE_S = 0.2
_LOOK_S = 2.0  # between looks for lost workers, and for results whose time is over
_FROZEN = (
    "items.json",
    "items-later.json",
    "fitted.json",
    "backend.json",
)  # of a job's folder: what the next epoch goes on with
_JOBS_OF_A_CHILD = 50  # a process that computes is replaced after so many


class Worker:
    """Takes jobs until it is told to stop.

    Args:
        settings: Of the service.
        store: The jobs.
    """

    def __init__(self, settings: ServiceSettings, store: JobStore) -> None:
        self._settings = settings
        self._store = store
        self._child = Child("compute", settings)
        self._computed = 0
        self._looked = 0.0
        self.name = worker_name()
        self.stopping = threading.Event()

    def get_ready(self) -> None:
        """Start the process that computes, so that the first job does not wait for it."""
        self._child.start()

    def run(self) -> None:
        """Work until `stopping` is set."""
        _LOG.info("worker ready", extra={"worker": self.name})
        for pattern in (
            "results/.*.gone",
            "work/.*.gone",
            "work/*/.*.gone",
        ):  # of a worker that was lost while it removed
            for half_gone in self._settings.data.glob(pattern):
                shutil.rmtree(half_gone, ignore_errors=True)
        try:
            while not self.stopping.is_set():
                try:
                    self._look_around()
                    lease = self._store.claim(self.name, self._settings.kept_s)
                    if lease is None:
                        self.stopping.wait(_IDLE_S)
                    else:
                        self._do(lease)
                except StoreUnavailableError as err:
                    _LOG.warning("the job store does not answer: %s", err.given)
                    self.stopping.wait(_LOOK_S)
        finally:
            self._child.stop()

    def _look_around(self) -> None:
        """Free what lost workers of this machine had, and remove what is no longer kept."""
        if time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        self._store.free_lost(is_lost)
        for job in self._store.expired():
            remove_folder(self._settings.results / job.id)
            remove_folder(self._settings.work / job.id)
            self._store.forget(job.id)
            _LOG.info("results removed, their time is over", extra={"job": job.id})

    def _do(self, lease: Lease) -> None:
        """One job, to whatever end it comes."""
        extra = {"job": lease.job.id, "epoch": lease.epoch, "workflow": lease.job.process, "worker": self.name}
        _LOG.info("job begins", extra=extra)
        began = time.monotonic()
        work = self._settings.work / lease.job.id / str(lease.epoch)
        try:
            outcome = _Attempt(self._settings, self._store, lease, self._child, self.stopping, work).run()
        except StoreUnavailableError as err:  # without a lease that can be renewed nothing is committed
            self._child.kill()
            _LOG.warning("the job store does not answer, the job is left: %s", err.given, extra=extra)
            return
        except Exception:  # noqa: BLE001  # the job boundary: a fault ends the job, not the worker
            _LOG.exception("a fault", extra=extra)
            self._child.kill()
            problem = _told(500, "a fault of the service; the operator's log has it under the job's id")
            outcome = "failed" if self._store.finish(lease, "failed", problem, self._settings.kept_s) else "lost"
        self._computed += 1
        if outcome in {"dismissed", "lost"}:
            self._child.kill()
        elif self._computed % _JOBS_OF_A_CHILD == 0:
            self._child.stop()
        if outcome in {"dismissed", "successful", "failed"}:
            remove_folder(self._settings.work / lease.job.id)
        if outcome == "dismissed":
            remove_folder(self._settings.results / lease.job.id)
        _LOG.info("job ends", extra={**extra, "status": outcome, "seconds": round(time.monotonic() - began, 3)})


class _Attempt:
    """One lease of one job.

    Args:
        settings: Of the service.
        store: The jobs.
        lease: The lease.
        child: What computes.
        stopping: Set when the worker is to stop.
        work: Folder of this epoch.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        store: JobStore,
        lease: Lease,
        child: Child,
        stopping: threading.Event,
        work: Path,
    ) -> None:
        self._settings, self._store, self._lease = settings, store, lease
        self._child, self._stopping, self._work = child, stopping, work
        self._tiles = self._done = 0
        self._message: str | None = None
        self._beaten = time.monotonic()
        self._end = time.monotonic() + settings.job_hours * 3600

    def run(self) -> str:
        """Do it; says how it ended: ``successful``, ``failed``, ``dismissed``, ``lost`` or ``stopped``."""
        final = self._settings.results / self._lease.job.id
        if not final.is_dir():  # if it is there, a worker was lost between the rename and telling of it
            ended = self._made()
            if ended != "made":
                return ended
            if not self._beat():
                return self._why_not()
            self._settings.results.mkdir(parents=True, exist_ok=True)
            self._work.rename(final)
        if self._store.finish(self._lease, "successful", None, self._settings.kept_s):
            return "successful"
        return self._why_not()

    def _why_not(self) -> str:
        job = self._store.get(self._lease.job.id)
        return "dismissed" if job is None or job.status == "dismissed" else "lost"

    def _beat(self) -> bool:
        """A sign of life; whether the lease is still good."""
        self._beaten = time.monotonic()
        progress = round(95 * self._done / self._tiles) if self._tiles else None
        return self._store.beat(self._lease, progress, self._message).holds

    def _made(self) -> str:
        """Make the files in the folder of this epoch; ``made``, or how it ended otherwise."""
        self._work.mkdir(parents=True, exist_ok=True)
        if self._lease.job.process == "echo":
            return self._echo()
        _take_over(self._work, self._lease.job.spec)
        try:
            self._child.order(self._order())
            while True:
                message = self._child.answer(max(0.01, _BEAT_S - (time.monotonic() - self._beaten)))
                ended = self._heard(message)
                if ended:
                    return ended
                if time.monotonic() - self._beaten >= _BEAT_S and not self._beat():
                    return self._why_not()
                if self._stopping.is_set():
                    return self._given_back()
                if time.monotonic() > self._end:
                    self._child.kill()
                    return self._failed(_told(504, f"no end after {self._settings.job_hours:g} hours"))
        except ChildProcessError as err:
            return self._lost_child(str(err))

    def _order(self) -> Message:
        limits = {"max_area_km2": self._settings.max_area_km2, "max_pixels": round(self._settings.max_megapixels * 1e6)}
        return {"type": "run", "spec": self._lease.job.spec, "out": str(self._work), **limits}

    def _heard(self, message: Message | None) -> str:
        """Take note of a message of the child; how the job ended, or ""."""
        if message is None:
            return ""
        match message:
            case {"type": "stage", "name": name}:
                self._message = str(name)
                _LOG.info("stage: %s", name, extra={"job": self._lease.job.id})
            case {"type": "tiles", "total": total}:
                self._tiles, self._done = max(1, int(total)), 0
            case {"type": "tile", "reused": reused, "place": [row, column]}:
                self._done += 1
                how = "found finished" if reused else "computed"
                _LOG.info("tile %s", how, extra={"job": self._lease.job.id, "tile": f"{row}/{column}"})
            case {"type": "done", "failed_share": share, "allowed": allowed}:
                return "made" if share <= allowed else self._holes(float(share))
            case {"type": "problem", "kind": "stopped"}:
                return self._given_back()
            case {"type": "problem", "kind": kind}:
                return self._refused(str(kind), message)
        return ""

    def _refused(self, kind: str, message: Mapping[str, Any]) -> str:
        if kind == "fault":
            return self._failed(_told(500, "a fault of the service; the operator's log has it under the job's id"))
        words = (str(message["given"]), str(message["expected"]), str(message["todo"]))
        types: dict[str, type[GeosegError]] = {"request": RequestError, "nothing": NothingToDoError}
        err = types.get(kind, GeosegError)(*words)
        hidden = (str(self._work), str(self._settings.data), str(Path.home()))
        return self._failed({**problem_of(err, hidden), "type": f"urn:geoseg:{message['name']}"})

    def _holes(self, share: float) -> str:
        words = (
            f"{share:.3%} of the region could not be read",
            "a map without holes",
            "ask again: finished tiles are kept",
        )
        return self._failed(problem_of(GeosegError(*words)))

    def _failed(self, problem: dict[str, Any]) -> str:
        return (
            "failed" if self._store.finish(self._lease, "failed", problem, self._settings.kept_s) else self._why_not()
        )

    def _lost_child(self, words: str) -> str:
        """The child died: the job is begun again, until that was tried often enough."""
        _LOG.error("%s", words, extra={"job": self._lease.job.id})
        self._message = words
        if self._beat():
            self._store.free_lost(lambda worker: worker == self._lease.worker)
        return "lost"

    def _given_back(self) -> str:
        self._child.stop()
        self._store.give_back(self._lease)
        return "stopped"

    def _echo(self) -> str:
        """The process that gives back what it gets, after a pause."""
        inputs = self._lease.job.spec
        until = time.monotonic() + float(inputs.get("pause", 0.0))
        while (left := until - time.monotonic()) > 0:
            if self._stopping.wait(min(left, _BEAT_S / 2)):
                self._store.give_back(self._lease)
                return "stopped"
            if not self._beat():
                return self._why_not()
        (self._work / "echo.json").write_text(json.dumps(inputs), encoding="utf-8")
        return "made"


def _told(status: int, detail: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": "Job failed", "status": status, "detail": detail}


def _take_over(work: Path, spec: Mapping[str, Any]) -> None:
    """Give this epoch the items that an earlier one froze, so that it makes the same map.

    The spec is written as this version writes it: the earlier epoch may have been that of an older one.
    """
    others = [path for path in work.parent.iterdir() if path != work and path.name.isdigit()]
    earlier = sorted(others, key=lambda path: int(path.name), reverse=True)
    for folder in earlier:
        if (folder / "job" / "spec.json").is_file() and not (work / "job").is_dir():
            (work / "job").mkdir()
            text = json.dumps(JobSpec.model_validate(spec).model_dump(mode="json"), indent=1, sort_keys=True)
            (work / "job" / "spec.json").write_text(text, encoding="utf-8")
            for name in _FROZEN:
                if (folder / "job" / name).is_file():
                    shutil.copyfile(folder / "job" / name, work / "job" / name)
        remove_folder(folder)


def remove_folder(path: Path) -> None:
    """Remove a folder, so that it is whole or gone for everybody else; does nothing where there is none."""
    gone = path.with_name(f".{path.name}.{os.getpid()}.gone")
    try:
        path.rename(gone)
    except OSError:
        return
    shutil.rmtree(gone, ignore_errors=True)


def worker_name() -> str:
    """Host, process and its start: a name that no other worker ever has."""
    return f"{socket.gethostname()}|{os.getpid()}|{_start_of(os.getpid())}"


def is_lost(worker: str) -> bool:
    """Whether a worker was on this machine and is no more."""
    host, _, rest = worker.partition("|")
    pid, _, started = rest.partition("|")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    return Path("/proc/self/stat").is_file() and _start_of(int(pid)) != started


def _start_of(pid: int) -> str:
    """When a process started, in ticks since the machine did; "" where there is none, or only its remains."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state == "Z" else rest[18]


def run_worker(settings: ServiceSettings, *, tied: bool = False) -> None:
    """Be a worker until a signal comes.

    Args:
        settings: Of the service.
        tied: End when standard input ends too: with the process that started this one.
    """
    database = open_database(settings.data, settings.database)
    worker = Worker(settings, JobStore(database, settings.lease_s, settings.attempts))

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        worker.stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    if tied:
        threading.Thread(target=_wait_for_end, args=(worker.stopping,), name="tie", daemon=True).start()
    worker.get_ready()
    worker.run()
    database.close()


def _wait_for_end(stopping: threading.Event) -> None:
    sys.stdin.read()
    stopping.set()
