"""Hands for the tile list: a scheduler and its workers, of this machine or of a cluster."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import uuid
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, cast

from distributed import Client, LocalCluster
from distributed.client import ClosedClientError

from geoseg.budget import Share
from geoseg.cluster.loading import ModelLoader
from geoseg.cluster.room import ModelRoom
from geoseg.errors import GeosegError, RequestError

GPU = "GPU"  # resource of workers that have one

#: What is raised of a connection that is no more: by the client itself, by what it no longer has, and by its loop.
GONE = (OSError, AttributeError, RuntimeError, ClosedClientError, CancelledError)
_LOOPBACK = "127.0.0.1"
_ANSWER_S, _START_S = 10.0, 60.0
# A tile with which so many workers end beyond the first is put aside.
_MORE_DEATHS = 1
# Processes of ours that end are replaced, but not for ever: so many before another tile is settled.
_MOST_REPLACED = 8
# What `geoseg.machine.tune_allocator` sets, in glibc's words: a worker has threads before any code of ours runs.
_ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1)}


@dataclass
class Team:
    """A scheduler, seen by the process that hands out tiles.

    Attributes:
        client: Connected to the scheduler.
        device: ``cpu`` or ``cuda``: workers that count are those with the resource ``GPU`` for the latter.
        crew: Worker processes of this machine; ``None`` where they are others'.
        address: Of a scheduler that somebody named; "" for our own.
    """

    client: Client
    device: str
    crew: _Crew | None = None
    address: str = ""
    _models: list[tuple[ModelLoader, str]] = field(default_factory=list)

    def model(self, loader: ModelLoader, share: Share) -> str:
        """Name of the plugin that has a model, in all workers for as long as the team is there."""
        for known, kept in self._models:
            if known == loader:
                return kept
        name = f"geoseg-model-{uuid.uuid4().hex[:12]}"
        self.client.register_plugin(ModelRoom(name, loader, share))
        self._models.append((loader, name))
        return name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for _loader, name in self._models:
            self.tidy(self.client.unregister_worker_plugin, name)

    @property
    def is_there(self) -> bool:
        """Whether the scheduler answers."""
        return bool(self.client.status == "running")

    def tidy(self, call: Callable[..., object], *words: object) -> None:
        """Let the scheduler forget something; one that is gone has forgotten it."""
        if self.is_there:
            with suppress(*GONE):
                call(*words)

    def gone(self) -> GeosegError:
        """What to say of a scheduler that is no longer there."""
        return GeosegError(
            f"--scheduler {self.address}, which ended in the middle of the job",
            "a scheduler that runs for as long as the job does",
            "start it and its workers, then run the same command again: finished tiles are kept",
        )

    def deserted(self, seconds: float) -> GeosegError:
        """What to say of a scheduler that has had no worker for so long."""
        return GeosegError(
            f"--scheduler {self.address}, whose last worker left {seconds:.0f} s ago",
            "a worker for the tiles that are left",
            f"start one (dask worker {self.address}), then run the same command again: finished tiles are kept",
        )

    @property
    def workers(self) -> dict[str, int]:
        """Address of each worker that counts, to its threads."""
        known = self.client.scheduler_info(n_workers=-1).get("workers")
        if known is None:
            raise self.gone()
        wanted = {name: facts for name, facts in known.items() if self.device == "cpu" or facts["resources"].get(GPU)}
        return {name: int(facts["nthreads"]) for name, facts in wanted.items()}

    @property
    def skew(self) -> str:
        """Versions of Dask and Python in which a named scheduler or its workers differ from this process; "" for none."""
        if not self.address:
            return ""
        found = cast(dict[str, Any], self.client.get_versions())  # awaited by asynchronous clients only
        here = _libraries(found["client"])
        others = [_libraries(facts) for facts in (found["scheduler"], *found["workers"].values())]
        pairs = sorted({(name, str(other.get(name, "none"))) for other in others for name in here})
        differing = [f"{name} {version} (here {here[name]})" for name, version in pairs if version != here[name]]
        if not differing:
            return ""
        return (
            f"--scheduler {self.address} and its workers have {', '.join(differing)}: Dask promises nothing between "
            "versions; install the same ones there if workers are lost or do not answer"
        )

    def is_well(self) -> None:
        """A tile is settled: processes that ended before count no longer."""
        if self.crew is not None:
            self.crew.strikes = 0

    def look_after(self) -> None:
        """Replace processes of ours that have ended.

        Raises:
            GeosegError: If they end again and again, or the scheduler is gone for good.
        """
        if self.client.status == "closed":
            raise self.gone()
        if self.crew is not None:
            self.crew.replace_ended()


def _libraries(facts: Mapping[str, Any] | None) -> dict[str, str]:
    """Versions that a process names, of what its words to others depend on; of Python major and minor."""
    packages = (facts or {}).get("packages", {})
    found = {name: str(packages[name]) for name in ("cloudpickle", "dask", "distributed") if name in packages}
    if "python" in packages:
        found["Python"] = ".".join(packages["python"].split(".")[:2])
    return found


@contextmanager
def scheduler_at(address: str, device: str) -> Iterator[Team]:
    """The team of a running scheduler.

    Args:
        address: Such as ``tcp://head:8786``.
        device: See ``Team``.

    Raises:
        RequestError: If it does not answer, or has no worker.
    """
    with _connected(address) as client:
        team = Team(client, device, address=address)
        if not team.workers:
            lacking = "no worker" if device == "cpu" else "no worker with the resource GPU"
            start = f"dask worker {address}" + " --resources GPU=1" * (device != "cpu")
            raise RequestError(f"--scheduler {address}, which has {lacking}", "at least one", f"start one: {start}")
        with team:
            yield team


def offers_gpu(address: str) -> bool:
    """Whether a scheduler has workers with the resource ``GPU``.

    Raises:
        RequestError: If it does not answer.
    """
    with _connected(address) as client:
        return bool(Team(client, "cuda").workers)


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    try:
        client = Client(address, timeout=_ANSWER_S, set_as_default=False, name="geoseg")
    except (OSError, ValueError, TypeError) as err:
        raise RequestError(
            f"--scheduler {address}: {err}",
            "the address of a running scheduler, such as tcp://127.0.0.1:8786",
            "start one with: dask scheduler, and workers with: dask worker ADDRESS",
        ) from err
    try:
        yield client
    finally:
        client.close(timeout=_ANSWER_S)


@contextmanager
def own_team(share: Share, device: str) -> Iterator[Team]:
    """A scheduler in this process, and worker processes on this machine.

    Args:
        share: How many processes, and what each may hold.
        device: ``cpu``, or ``cuda``: a GPU for each process, by position.

    Raises:
        GeosegError: If they do not start.
    """
    with ExitStack() as stack:
        cluster = stack.enter_context(
            LocalCluster(
                n_workers=0,
                host=_LOOPBACK,
                dashboard_address=f"{_LOOPBACK}:0",
                silence_logs=logging.CRITICAL,
                scheduler_kwargs={"allowed_failures": _MORE_DEATHS},
            )
        )
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="geoseg-workers-", ignore_cleanup_errors=True))
        crew = stack.enter_context(
            _Crew(cluster.scheduler_address, share.processes, device, share.tiles_in_flight, Path(folder))
        )
        client = stack.enter_context(
            Client(cluster.scheduler_address, timeout=_ANSWER_S, set_as_default=False, name="geoseg")
        )
        try:
            client.wait_for_workers(share.processes, timeout=_START_S)
        except TimeoutError as err:
            raise GeosegError(
                f"{share.processes} worker processes, which did not start within {_START_S:g} s: {crew.last_words}",
                "processes that start",
                "leave --workers away, or see what the machine is busy with",
            ) from err
        with Team(client, device, crew) as team:
            yield team


@dataclass
class _Crew:
    """Worker processes of this machine.

    They are sessions of their own: a Ctrl-C is for the process that hands out tiles, which ends them. When that one is
    gone, they lose their scheduler and end by themselves.
    """

    address: str
    count: int
    device: str
    threads: int
    folder: Path
    processes: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    replaced: int = 0
    strikes: int = 0

    def __enter__(self) -> Self:
        for number in range(self.count):
            self._start(number)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()

    def _start(self, number: int) -> None:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", self.address, "--no-nanny", "--nworkers", "1"]
        command += ["--nthreads", str(self.threads), "--memory-limit", "0", "--no-dashboard"]
        command += ["--host", _LOOPBACK, "--dashboard-address", f"{_LOOPBACK}:0"]
        command += ["--name", f"geoseg-{number}-{self.replaced}", "--local-directory", str(self.folder)]
        command += ["--death-timeout", f"{_START_S:g}"]
        environment = {**_ALLOCATOR, **os.environ}
        if self.device == "cuda":
            command += ["--resources", f"{GPU}=1"]
            seen = [gpu for gpu in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if gpu]
            environment["CUDA_VISIBLE_DEVICES"] = seen[number] if number < len(seen) else str(number)
        with (self.folder / "worker.log").open("ab") as log:
            self.processes[number] = subprocess.Popen(  # noqa: S603  # our own words
                command, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

    @property
    def last_words(self) -> str:
        """The end of what they said."""
        with suppress(OSError):
            lines = (self.folder / "worker.log").read_text(errors="replace").strip().splitlines()
            return lines[-1] if lines else "they said nothing"
        return "they said nothing"

    def replace_ended(self) -> None:
        for number, process in list(self.processes.items()):
            if process.poll() is None:
                continue
            self.replaced += 1
            self.strikes += 1
            if self.strikes > _MOST_REPLACED:
                raise GeosegError(
                    f"worker processes that end again and again, the last one with {process.returncode}: {self.last_words}",
                    "processes that stay",
                    "lower --workers or raise --max-memory: the system may have ended them for want of memory",
                )
            self._start(number)
