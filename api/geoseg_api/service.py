"""What all routes share: the jobs, the keys, what plans, and when it ends."""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastapi.concurrency import run_in_threadpool

from geoseg.spec import JobSpec
from geoseg_api.children import Child
from geoseg_api.problems import Problem, place_of
from geoseg_api.settings import ServiceSettings
from geoseg_api.store import Database, JobStore, KeyStore, open_database

_LOG = logging.getLogger(__name__)
_PLANS_KEPT = 256
_PLANNED_AT_ONCE = 4  # only one of them asks the process; others may find their plan known
_MOST_WAITING = 100


class Service:
    """The state of a server process.

    Args:
        settings: Of the service.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.database: Database = open_database(settings.data, settings.database)
        self.jobs = JobStore(self.database, settings.lease_s, settings.attempts)
        self.keys = KeyStore(self.database)
        self.planner = Planner(settings)
        self.demo = Demo(settings)
        self.rates = Rates(settings.requests_per_minute)
        self.stopping = threading.Event()

    def interrupt(self) -> None:
        """Let nobody wait for what takes long: the server is to end."""
        self.stopping.set()
        self.demo.stop()

    def close(self) -> None:
        """End what it started."""
        self.interrupt()
        self.planner.close()
        self.database.close()


def too_busy() -> Problem:
    """Others are asking for plans, too many of them."""
    words = ("one more plan", f"at most {_MOST_WAITING} requests that wait for one", "try again in some seconds")
    return Problem(503, *words, headers={"Retry-After": "10"})


class Planner:
    """What jobs take, worked out by a process that reads what requests name.

    Requests that wait for it wait in a line of their own (`in_turn`), so that they never take the threads by which the
    server answers everything else.

    Args:
        settings: Of the service.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._child = Child("plan", settings)
        self._lock = threading.Lock()
        self._known: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._line = asyncio.Semaphore(_PLANNED_AT_ONCE)
        self._in_line = 0

    def get_ready(self) -> None:
        """Start the process that plans, so that the first request does not wait for it."""
        with self._lock:
            self._child.start()

    async def in_turn[T](self, work: Callable[[], T]) -> T:
        """Do what needs a plan, in a thread, once it is its turn.

        Raises:
            Problem: If too many wait already.
        """
        if self._in_line >= _MOST_WAITING:
            raise too_busy()
        self._in_line += 1
        try:
            async with self._line:
                return await run_in_threadpool(work)
        finally:
            self._in_line -= 1

    def plan(self, spec: JobSpec) -> dict[str, Any]:
        """The plan of a job, as ``geoseg plan --json`` prints it.

        Raises:
            Problem: If the job cannot be done, the plan takes too long, or other plans do.
        """
        key = spec.key
        if (known := self._known.get(key)) is not None:
            return known
        if not self._lock.acquire(timeout=self._settings.plan_seconds):
            raise too_busy()
        try:
            if (known := self._known.get(key)) is not None:  # of whoever was here before
                return known
            plan: dict[str, Any] = self._answered(spec)["plan"]
            plan["notes"] = [note.replace(str(self._settings.data), "…") for note in plan["notes"]]
            self._known[key] = plan
            while len(self._known) > _PLANS_KEPT:
                self._known.popitem(last=False)
        finally:
            self._lock.release()
        return plan

    def _answered(self, spec: JobSpec) -> dict[str, Any]:
        order = {
            "type": "plan",
            "spec": spec.model_dump(mode="json"),
            "max_area_km2": self._settings.max_area_km2,
            "max_pixels": round(self._settings.max_megapixels * 1e6),
            "price": self._settings.price_per_hour,
        }
        try:
            answer = self._child.ask(order, self._settings.plan_seconds)
        except TimeoutError as err:
            words = (f"a plan that takes longer than {self._settings.plan_seconds:g} s", "a shorter one")
            raise Problem(503, *words, "try again, or ask for less", headers={"Retry-After": "30"}) from err
        except ChildProcessError as err:
            raise Problem(400, "inputs that ended the planning process", "rasters that can be read") from err
        if answer["type"] == "problem":
            raise self._refused(answer)
        return answer

    def _refused(self, answer: dict[str, Any]) -> Problem:
        status = {"request": 400, "nothing": 400, "fault": 500}.get(str(answer["kind"]), 502)
        data = str(self._settings.data)
        words = [str(answer[part]).replace(data, "…") for part in ("given", "expected", "todo")]
        if answer["kind"] == "fault":
            return Problem(
                500, "a fault of the service while it planned", "", "tell the operator the time of the request"
            )
        return Problem(
            status, words[0], words[1], words[2], f"urn:geoseg:{answer['name']}", place_of(f"{words[0]} {words[2]}")
        )

    def close(self) -> None:
        """End the process that plans."""
        self._child.kill()


class Demo:
    """The embedded catalogue, written when it is first needed.

    Args:
        settings: Of the service.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def stop(self) -> None:
        """Give it up where it is being written: who waits for it is told."""
        self._stopped = True
        if self._process is not None:
            self._process.kill()

    def make(self) -> None:
        """Write it where it is not there yet; others wait.

        Raises:
            Problem: If it cannot be written, or the server ends.
        """
        folder = self._settings.demo
        if (folder / "catalog.json").is_file():
            return
        with self._lock:
            if (folder / "catalog.json").is_file():
                return
            part = folder.with_name(f".demo.{time.time_ns()}.part")
            command = [sys.executable, "-m", "geoseg", "demo", str(part)]
            self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603  # our own
            if self._stopped:
                self._process.kill()
            if self._process.wait():
                shutil.rmtree(part, ignore_errors=True)
                words = ("the scenes of the process demo, which could not be written", "a server that goes on")
                raise Problem(503, *words, "try again in a minute", headers={"Retry-After": "60"})
            try:
                part.rename(folder)
            except OSError:  # another server of the same folder was quicker
                shutil.rmtree(part, ignore_errors=True)


@dataclass
class Rates:
    """How many requests each caller may make: a bucket that fills evenly.

    Attributes:
        per_minute: Requests.
    """

    per_minute: int
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, owner: str) -> float:
        """Take one; gives the seconds to wait, 0 where there was one."""
        now, rate = time.monotonic(), self.per_minute / 60
        with self._lock:
            left, at = self._left.get(owner, (float(self.per_minute), now))
            left = min(float(self.per_minute), left + (now - at) * rate)
            good = left >= 1
            self._left[owner] = (left - 1 if good else left, now)
            if len(self._left) > 10_000:  # of callers long gone
                self._left = {owner: self._left[owner]}
        return 0.0 if good else (1 - left) / rate
