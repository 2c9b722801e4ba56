"""Runs, servers and workers that end at random moments, by a kill, a signal or a full disk: the same map in the end.

A dozen here, two hundred with `make hunt`, shared out among the three.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import httpx
import psutil
import pytest
import rasterio

from geoseg_api.store import Job, JobStore
from tests.faults.hunting import Quarry, Service, digests, make_room, strike, until

WAYS = ("kill", "term", "full")
TILES = 25
FINAL = ("successful", "failed", "dismissed")


@pytest.fixture
def hunts(pytestconfig: pytest.Config) -> Callable[[int], tuple[int, random.Random]]:
    """How many of all hunts are for the kind of this number, and what chooses their moments."""
    total, seed = (pytestconfig.getoption(name) for name in ("--hunts", "--hunt-seed"))
    return lambda kind: ((total + 2 - kind) // 3, random.Random(f"{seed} {kind}"))


def start_run(quarry: Quarry, out: Path) -> BaseProcess:
    words = ["--scenes", str(quarry.world / "scene.tif"), "--model", str(quarry.world / "model"), "--quiet"]
    return quarry.start("run", *words, "--device", "cpu", "--out", str(out))


@pytest.fixture(scope="module")
def clean(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], float]:
    """The map of a calm run, and how long that takes."""
    quarry = Quarry(world, tmp_path_factory.mktemp("calm"))
    for _ in range(2):  # the first one waits for the process that all are forked from
        begun = time.monotonic()
        process = start_run(quarry, quarry.folder / "map")
        process.join()
        assert process.exitcode == 0, quarry.said.read_text()
    return digests(quarry.folder / "map"), time.monotonic() - begun


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.fault(62)
@pytest.mark.fault(66)
@pytest.mark.fault(70)
def test_hunted_runs_end_in_the_same_map(world, tmp_path, clean, hunts):
    right, length_s = clean
    count, rng = hunts(0)
    quarry, out = Quarry(world, tmp_path / "0"), tmp_path / "map0"
    for number in range(count):
        way, known = WAYS[number % len(WAYS)], quarry.records
        process = start_run(quarry, out)
        process.join(rng.uniform(0.0, 1.5) * length_s)
        strike([psutil.Process(process.pid)] if process.is_alive() else [], way)
        process.join(120)
        said = quarry.said.read_text() if quarry.said.exists() else ""
        where = f"hunt {number}, {way}: {said[-600:]}"
        assert process.exitcode in {"full": (0, 1), "term": (0, 143, -15), "kill": (0, -9)}[way], where
        if process.exitcode == 1:
            assert said.count("expected:") == 1, where
        assert quarry.wait_for_none() == [], where
        assert known.items() <= quarry.records.items(), f"a finished tile was written again; {where}"
        for name in ("classes.tif", "confidence.tif"):
            if (out / name).exists():
                with rasterio.open(out / name) as file:
                    file.read()
        if process.exitcode == 0:
            assert digests(out) == right, where
            quarry, out = Quarry(world, tmp_path / str(number + 1)), tmp_path / f"map{number + 1}"
    process = start_run(quarry, out)
    process.join()
    assert process.exitcode == 0, quarry.said.read_text()
    assert digests(out) == right
    assert list(quarry.scratch.iterdir()) == [], "scratch grows"
    assert not list(out.rglob("*.part*"))


class Worked:
    """A service whose worker or server is hunted.

    Args:
        service: Its folder and processes.
        words: Command of the process that all others hang on.
        right: The files of every job.
    """

    def __init__(self, service: Service, words: tuple[str, ...], right: dict[str, str]) -> None:
        self.service, self.right, self._words = service, right, words
        self.process: BaseProcess | None = None
        self.address = ""
        self.jobs: JobStore

    def up(self) -> None:
        """Start it where it is not running; returns when it is ready."""
        if self.process is not None and self.process.is_alive():
            return
        self.process = self.service.start(*self._words)
        until(lambda: self._says() is not None)
        self.address = self._says() or ""

    def _says(self) -> str | None:
        """Where it serves, "" for a worker; None before it is ready."""
        said = self.service.said.read_text() if self.service.said.exists() else ""
        found = re.search(r"serving on (http://[0-9.:]+)" if "serve" in self._words else r"worker ready()", said)
        return None if found is None else found[1]

    def ended(self, job: str, *, is_tight: bool = False) -> Job:
        """A job once it is final; where the disk was full, whoever was started then is given room too."""

        def is_final() -> bool:
            if is_tight:
                make_room(self.service.processes())
            found = self.jobs.get(job)
            return found is not None and found.status in FINAL

        until(is_final)
        found = self.jobs.get(job)
        assert found is not None
        return found

    def victims(self, names: tuple[str, ...]) -> list[psutil.Process]:
        """The processes of some names."""
        assert self.process is not None
        found = [psutil.Process(self.process.pid)] if "main" in names and self.process.is_alive() else []
        for name in names:
            found += self.service.processes(name) if name != "main" else []
        return found

    def check_finals(self) -> None:
        """What has its final name is whole."""
        for folder in self.service.finals:
            assert digests(folder) == self.right, folder

    def wait_for(self, tiles: int, job: str) -> None:
        """Until so many tiles are finished, or the job is."""

        def is_time() -> bool:
            found = self.jobs.get(job)
            return len(self.service.records) >= tiles or (found is not None and found.status in FINAL)

        until(is_time)

    def hunted(self, way: str, names: tuple[str, ...], rng: random.Random) -> str:
        """One hunt: a job, a strike at any number of finished tiles, and the job's end; what it was like."""
        begun = time.monotonic()
        job, waiting = self.service.add(self.jobs), self.service.add(self.jobs, "echo")
        self.wait_for(rng.randint(-2, TILES), job)
        time.sleep(rng.uniform(0, 0.5))
        moment = time.monotonic() - begun
        strike(self.victims(names), way)
        if way == "full":
            time.sleep(rng.uniform(0, 2))
        elif "main" in names:
            assert self.process is not None
            self.process.join(30)
            assert self.process.exitcode == (-9 if way == "kill" else 0)
        self.check_finals()
        finished = self.service.records
        make_room(self.service.processes())
        self.up()
        end = self.ended(job, is_tight=way == "full")
        if way == "full" and end.status == "failed":  # it was told; nothing that was finished is lost
            assert end.problem is not None
            assert "disk" in json.dumps(end.problem) or "space" in json.dumps(end.problem), end.problem
            end = self.ended(self.service.add(self.jobs))
        assert end.status == "successful", end.problem
        assert self.ended(waiting).status == "successful", "what was accepted is not forgotten"
        if end.attempt > 1:
            assert any("again" in event["message"] for event in self.jobs.events(end.id)), "whoever waits is told"
        self.check_finals()
        assert finished.items() <= self.service.records.items(), "a finished tile was written again"
        seconds, kept = time.monotonic() - begun, f"{len(finished)} of {TILES} tiles were finished"
        return f"{way} of {' and '.join(names)}: struck after {moment:.1f} s, {kept}, done after {seconds:.1f} s"


@contextmanager
def working(service: Service, words: tuple[str, ...], right: dict[str, str]) -> Iterator[Worked]:
    """It, and in the end nobody and nothing of it."""
    (service.data / "demo").mkdir(parents=True)  # nothing to make at the start
    (service.data / "demo" / "catalog.json").write_text("{}")
    worked = Worked(service, (*words, "--data", str(service.data)), right)
    worked.jobs = service.open()
    try:
        worked.up()
        yield worked
        assert worked.process is not None
        strike([psutil.Process(worked.process.pid)], "term")
        worked.process.join(30)
        assert worked.process.exitcode == 0
        assert service.wait_for_none() == [], "nobody stays behind"
    finally:
        for process in (*service.processes(), *([worked.process] if worked.process else [])):
            process.kill()


def hunt(worked: Worked, number: int, rng: random.Random, kinds: list[tuple[str, ...]]) -> None:
    """A number of hunts."""
    jobs = worked.service
    for count in range(number):
        way, names = WAYS[count % len(WAYS)], kinds[count // len(WAYS) % len(kinds)]
        try:
            for tiles in jobs.cache.glob("tiles"):
                shutil.rmtree(tiles)
            print(worked.hunted(way, names, rng))  # noqa: T201  # shown with -rP
        except AssertionError as err:
            err.add_note(f"hunt {count}, {way} of {' and '.join(names)}: {jobs.said.read_text()[-3000:]}")
            raise
    assert {job.status for job in worked.jobs.find(None, limit=10**6)} <= {"successful", "failed"}, "none runs for ever"
    assert jobs.leavings == []


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.fault(63)
@pytest.mark.fault(66)
@pytest.mark.fault(70)
def test_hunted_servers_lose_no_job(world, tmp_path, clean, hunts):
    with working(Service(world, tmp_path), ("serve", "--port", "0"), clean[0]) as worked:
        hunt(worked, *hunts(1), [("main",), ("main", "geoseg_api.tied", "geoseg_api.child")])
        listed = httpx.get(f"{worked.address}/jobs?limit=10000", trust_env=False).json()["jobs"]
        assert {job["jobID"] for job in listed} == {job.id for job in worked.jobs.find(None, limit=10**6)}


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.fault(64)
@pytest.mark.fault(66)
@pytest.mark.fault(70)
def test_hunted_workers_lose_no_job(world, tmp_path, clean, hunts):
    with working(Service(world, tmp_path), ("worker",), clean[0]) as worked:
        hunt(worked, *hunts(2), [("main",), ("geoseg_api.child",), ("main", "geoseg_api.child")])
