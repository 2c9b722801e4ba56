"""What is hunted: runs, servers and workers in processes that are ended at random moments.

Each is forked from a process that has imported what all of them import, so that a hunt costs its work and not four seconds of
imports. What they start in turn (workers of a server, processes that compute) is started as ever.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import resource
import signal
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

import geoseg
from geoseg.spec import JobSpec
from geoseg_api.store import JobStore, NewJob, open_database

FILES = ("classes.tif", "confidence.tif", "polygons.parquet", "areas.csv")
ROOM = 1_500  # bytes that a file may have on a disk that is full
_MARK = "GEOSEG_TEST_HUNT"
_PATIENCE_S = 120
_GRACE_S = 30

_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload(["torch", "geoseg.cli", "geoseg.pipeline", "geoseg_api.serving", "geoseg_api.worker"])


def command(words: Sequence[str], environment: dict[str, str], said: Path) -> None:
    """`geoseg WORDS` in this process, which is a session of its own."""
    from geoseg.cli import main

    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    with said.open("ab") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    main(list(words))


@dataclass
class Quarry:
    """What one kind of process works on, in a folder of its own.

    Attributes:
        world: With a raster and a model.
        folder: Of all that it writes.
        mark: In the environment of what its processes start.
        sessions: Of the processes that were started for it, each its own.
    """

    world: Path
    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    sessions: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.scratch.mkdir(parents=True)

    @property
    def cache(self) -> Path:
        """With the tile store."""
        return self.folder / "cache"

    @property
    def scratch(self) -> Path:
        """Where temporary files go."""
        return self.folder / "scratch"

    @property
    def said(self) -> Path:
        """What the last process said."""
        return self.folder / "said"

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes; by the mark each of them is found, whoever started it."""
        around = {"GEOSEG_CACHE": self.cache, "TMPDIR": self.scratch, "GEOSEG_MODELS": self.world, _MARK: self.mark}
        roots = [str(Path(geoseg.__file__).parent.parent), *(path for path in sys.path if path)]
        around |= {"PYTHONPATH": os.pathsep.join(roots), "GEOSEG_TILE_SIZE": "1", "GEOSEG_BACKEND": "torch"}
        return {**os.environ, **{name: str(value) for name, value in around.items()}}

    def start(self, *words: str) -> BaseProcess:
        """`geoseg WORDS`; what it says goes to `said`."""
        self.said.unlink(missing_ok=True)
        process = _forking.Process(target=command, args=(words, self.environment, self.said))
        process.start()
        assert process.pid is not None
        self.sessions.add(process.pid)
        return process

    @property
    def records(self) -> dict[str, tuple[int, int]]:
        """Finished tiles: when they were written, and where."""
        found = {}
        for path in self.cache.rglob("*.zip"):
            with suppress(FileNotFoundError):
                status = path.stat()
                found[path.name] = status.st_mtime_ns, status.st_ino
        return found

    def processes(self, words: str = "") -> list[psutil.Process]:
        """Those that live and were started by a process of this quarry; with these words in their command."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                mine = process.environ().get(_MARK) == self.mark or os.getsid(process.pid) in self.sessions
                if mine and process.status() != psutil.STATUS_ZOMBIE and words in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def wait_for_none(self) -> list[psutil.Process]:
        """Who is still there when all had time to end."""
        return psutil.wait_procs(self.processes(), timeout=_GRACE_S)[1]


def fill(processes: Sequence[psutil.Process]) -> None:
    """Their disk is full; what they start finds it full too."""
    for process in processes:
        with suppress(psutil.Error, OSError):
            _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (ROOM, most))


def make_room(processes: Sequence[psutil.Process]) -> None:
    """Their disk has room again."""
    for process in processes:
        with suppress(psutil.Error, OSError):
            _, most = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, most))


def strike(processes: Sequence[psutil.Process], way: str) -> None:
    """End processes, or their room on the disk."""
    if way == "full":
        fill(processes)
    for process in processes if way != "full" else ():
        with suppress(psutil.Error):
            process.send_signal(signal.SIGKILL if way == "kill" else signal.SIGTERM)


def digests(folder: Path) -> dict[str, str]:
    """What the files of a map are."""
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}


def until(is_so: Callable[[], bool], within_s: float = _PATIENCE_S) -> None:
    """Wait for something, looking often.

    Raises:
        AssertionError: If it does not come.
    """
    end = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


class Service(Quarry):
    """A server with its worker, or a worker alone, and the jobs that they have."""

    @property
    def data(self) -> Path:
        """Folder of the service."""
        return self.folder / "data"

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes."""
        paths = {"GEOSEG_SERVICE_ALLOW_PATHS": str(self.world), "GEOSEG_SERVICE_LEASE_S": "3"}
        return {**super().environment, **paths}

    @property
    def finals(self) -> list[Path]:
        """Folders of maps under their final names."""
        found = (path for path in (self.data / "results").glob("*") if not path.name.startswith("."))
        return [path for path in found if not (path / "echo.json").exists()]

    @property
    def leavings(self) -> list[str]:
        """What should be gone when every job has ended."""
        left = [*self.scratch.rglob("*"), *(self.data / "work").glob("*"), *(self.data / "results").glob(".*")]
        return [str(path.relative_to(self.folder)) for path in left]

    def open(self) -> JobStore:
        """Its jobs, as another process sees them."""
        return JobStore(open_database(self.data), lease_s=3.0)

    def add(self, jobs: JobStore, process: str = "landcover") -> str:
        """A job, by default a map of the world; gives its id."""
        fields = {"scenes": [str(self.world / "scene.tif")], "model": "model"}
        spec = JobSpec.build(workflow="landcover", **fields)
        content = json.loads(spec.model_dump_json()) if process == "landcover" else {"text": "x"}
        asked: dict[str, Any] = {"outputs": None, "response": None}
        new = NewJob(uuid.uuid4().hex, process, spec.key, "", asked, content)
        assert jobs.add(new, most_queued=10**6, in_flight=10**6, km2_per_day=1e12).is_new
        return new.id
