"""What the service costs: many jobs at once, status reads while a job computes, memory over many requests.

Starts a server of its own on loopback with one worker, in a folder that is removed at the end.
"""

from __future__ import annotations

import os
import re
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

CLIENTS = 20
_ASYNC = {"Prefer": "respond-async"}
_STATUS_READS = 400
_PATIENT = {"GEOSEG_SERVICE_REQUESTS_PER_MINUTE": "10000000"}  # all clients are one caller here
_FINAL = ("successful", "failed", "dismissed")


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        process: It.
        url: Its address.
        data: Its folder.
    """

    process: psutil.Process
    url: str
    data: Path

    @property
    def rss_mb(self) -> float:
        """Resident memory of the API process alone."""
        return float(self.process.memory_info().rss) / 1e6

    @property
    def peak_mb(self) -> float:
        """The most that the API process ever had resident, where the system keeps count; else what it has now."""
        status = Path(f"/proc/{self.process.pid}/status")
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
        return self.rss_mb if found is None else int(found[1]) * 1024 / 1e6

    def client(self) -> httpx.Client:
        """A client without proxies."""
        return httpx.Client(base_url=self.url, timeout=600, trust_env=False)


def server_at(data: Path, port: int, variables: Mapping[str, str]) -> tuple[subprocess.Popen[str], Server]:
    """Start a server with one worker; returns when it answers.

    Args:
        data: Its folder.
        port: Where it listens; 0: anywhere.
        variables: Further settings of the environment.
    """
    command = [sys.executable, "-m", "geoseg", "serve", "--data", str(data), "--port", str(port), "--with-echo"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **variables})  # noqa: S603  # our own
    assert process.stderr is not None  # noqa: S101  # it was opened as a pipe
    for line in process.stderr:
        if found := re.search(r"serving on (http://[0-9.:]+)", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, Server(psutil.Process(process.pid), found[1], data)
    raise RuntimeError("the server ended as it began")


@contextmanager
def serving(data: Path, **variables: str) -> Iterator[Server]:
    """A server with one worker, for a while.

    Args:
        data: Its folder.
        **variables: Further settings of the environment.
    """
    process, server = server_at(data, 0, variables)
    try:
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def measure_service(folder: Path, jobs: int, requests: int, tell: Callable[[str], object]) -> None:
    """Queue jobs from many clients, read statuses while they compute, and ask often; print what it took.

    Args:
        folder: Scratch.
        jobs: Jobs of the process ``demo`` on small parts of its region.
        requests: Requests over which the memory of the API is looked at.
        tell: Takes the text.
    """
    with serving(folder / "data", GEOSEG_CACHE=str(folder / "cache"), **_PATIENT) as server, server.client() as client:
        done = ask(client, {"aoi": _part(0)})
        until_final(client, done)  # the network is converted once
        tell(f"status read while nothing else happens: {_words(_status_reads(server, done))}\n")
        began = time.perf_counter()
        accepted, waits = _queue(server, jobs)
        tell(f"{jobs} jobs at once by {CLIENTS} clients: {len(accepted)} accepted, {waits} told to wait, ")
        tell(f"in {time.perf_counter() - began:.0f} s\n")
        times = _status_reads(server, accepted[-1])
        still = client.get(f"/jobs/{accepted[-1]}").json()["status"]
        tell(f"status read while jobs compute: {_words(times)} ({len(times)} reads; the last job is {still})\n")
        memory = [server.rss_mb, *(_after(server, done, requests // 4) for _ in range(4))]
        words = ", ".join(f"{value:.0f}" for value in memory)
        tell(f"memory of the API at the start and after each quarter of {requests} requests: {words} MB\n")
        began = time.perf_counter()
        ends = [until_final(client, job) for job in accepted]
        tell(f"{ends.count('successful')} of {len(ends)} jobs successful, {time.perf_counter() - began:.0f} s later\n")


def _words(times: list[float]) -> str:
    p95 = statistics.quantiles(times, n=20)[-1]
    return f"p50 {1e3 * statistics.median(times):.1f} ms, p95 {1e3 * p95:.1f} ms, worst {1e3 * max(times):.0f} ms"


def ask(client: httpx.Client, inputs: dict[str, Any], process: str = "demo") -> str:
    """Ask for a job; gives its id."""
    answer = client.post(f"/processes/{process}/execution", json={"inputs": inputs}, headers=_ASYNC)
    return str(answer.raise_for_status().json()["jobID"])


def _part(number: int) -> list[float]:
    """A small box of the embedded region, one of a hundred."""
    row, column = divmod(number % 100, 10)
    west, south = 175.80 + 0.008 * column, -39.97 + 0.004 * row
    return [west, south, west + 0.01, south + 0.006]


def _queue(server: Server, jobs: int) -> tuple[list[str], int]:
    accepted: list[str] = []
    waits: list[int] = []

    def ask_all(numbers: range) -> None:
        with server.client() as client:
            for number in numbers:
                body = {"inputs": {"aoi": _part(number)}}
                answer = client.post("/processes/demo/execution", json=body, headers=_ASYNC)
                if answer.status_code == httpx.codes.CREATED:
                    accepted.append(answer.json()["jobID"])
                elif answer.status_code in {429, 503} and "retry-after" in answer.headers:
                    waits.append(number)
                else:
                    answer.raise_for_status()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask_all, [range(start, jobs, CLIENTS) for start in range(CLIENTS)]))
    return accepted, len(waits)


def _status_reads(server: Server, job: str) -> list[float]:
    times = []
    with server.client() as client:
        for _ in range(_STATUS_READS):
            began = time.perf_counter()
            client.get(f"/jobs/{job}").raise_for_status()
            times.append(time.perf_counter() - began)
            time.sleep(0.02)
    return times


def _after(server: Server, job: str, requests: int) -> float:
    """Memory after so many requests of all kinds that read, some of them with other words each time."""
    fixed = ("/jobs?limit=20", "/processes/demo", "/", "/collections?limit=5", "/stac/search?limit=2", "/metrics")
    own = ("", "/results", "/results/classes", "/results/masks", "/log", "/tiles", "/files")
    paths = (*fixed, *(f"/jobs/{job}{path}" for path in own), f"/collections/{job}/items?limit=5&after=")

    def ask_often(count: int) -> None:
        with server.client() as client:
            for number in range(count):
                path = paths[number % len(paths)]
                client.get(f"{path}{number % 50}" if path.endswith("=") else path).raise_for_status()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask_often, [requests // 4] * 4))
    return server.rss_mb


def until_final(client: httpx.Client, job: str, within_s: float = 3600.0) -> str:
    """Wait for the end of a job; gives its status, which is no final one where that takes too long."""
    end = time.monotonic() + within_s
    while True:
        status = str(client.get(f"/jobs/{job}").raise_for_status().json()["status"])
        if status in _FINAL or time.monotonic() > end:
            return status
        time.sleep(0.25)
