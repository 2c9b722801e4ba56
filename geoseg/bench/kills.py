"""The service under kills at random moments: server, worker, computing process, or server and worker together.

Every job has to end with the files of an undisturbed run, and no tile that was finished may be computed again.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from geoseg.bench.service import Server, ask, server_at, until_final

_FILES = ("classes.tif", "confidence.tif", "polygons.parquet", "polygons.geojson", "areas.csv")
_VICTIMS = (("server",), ("geoseg_api.tied",), ("geoseg_api.child compute",), ("server", "geoseg_api.tied"))
_SEED = 8
_REGION = (175.78, -39.98, 175.86, -39.92)  # some sixteen tiles
_PATIENCE_S = 600.0  # a job that takes longer counts as one that runs for ever


def kill_service(folder: Path, kills: int, tell: Callable[[str], object]) -> bool:
    """Kill and compare.

    Args:
        folder: Scratch.
        kills: How often.
        tell: Takes the text.

    Returns:
        Whether all went well.
    """
    chance = random.Random(_SEED)  # noqa: S311  # moments, no secrets
    variables = {"GEOSEG_CACHE": str(folder / "cache"), "GEOSEG_TILE_SIZE": "256", "GEOSEG_SERVICE_LEASE_S": "5"}
    inputs: dict[str, Any] = {"aoi": list(_REGION)}
    waiting: list[str] = []  # jobs that stand in the queue behind those that are hit
    good = 0
    process, server = server_at(folder / "data", 0, variables)
    try:
        lasted_s, clean = _undisturbed(server, folder, inputs)
        tell(f"an undisturbed run takes {lasted_s:.1f} s\n")
        for number in range(kills):
            shutil.rmtree(folder / "cache" / "tiles")
            victims = _VICTIMS[number % len(_VICTIMS)]
            with server.client() as client:
                job = ask(client, inputs)
                waiting.append(ask(client, {"text": str(number)}, "echo"))
                time.sleep(chance.uniform(0, lasted_s))
            _kill(process, victims)
            finished = _tiles(folder / "cache" / "tiles")
            if "server" in victims:
                process.wait()
                process, server = server_at(folder / "data", int(server.url.rpartition(":")[2]), variables)
            with server.client() as client:
                ended = until_final(client, job, _PATIENCE_S)
                until_final(client, waiting[-1], _PATIENCE_S)
            same = ended == "successful" and _digests(server.data / "results" / job) == clean
            kept = finished.items() <= _tiles(folder / "cache" / "tiles").items()
            good += same and kept
            words = f"{ended}, {'same files' if same else 'OTHER FILES'}, {len(finished)} finished tiles "
            tell(f"{number + 1:3} {' and '.join(victims)}: {words}{'kept' if kept else 'COMPUTED AGAIN'}\n")
        with server.client() as client:
            listed = client.get("/jobs?limit=1000").raise_for_status().json()["jobs"]
        ends = Counter(one["status"] for one in listed)
        tell(f"jobs accepted: {2 + 2 * kills}; in the list at the end: {dict(ends)}\n")
    finally:
        process.terminate()
        process.wait(60)
    tell(f"{good} of {kills} kills without a trace\n")
    return good == kills and ends == {"successful": 2 + 2 * kills}


def _undisturbed(server: Server, folder: Path, inputs: dict[str, Any]) -> tuple[float, dict[str, str]]:
    """Seconds of a job that nobody disturbs, and its files; the first of two, which converts the network, does not count."""
    with server.client() as client:
        until_final(client, ask(client, inputs))
        shutil.rmtree(folder / "cache" / "tiles")
        began = time.perf_counter()
        job = ask(client, inputs)
        until_final(client, job)
        return time.perf_counter() - began, _digests(server.data / "results" / job)


def _kill(process: subprocess.Popen[str], victims: tuple[str, ...]) -> None:
    """SIGKILL, to all of them at once."""
    below = psutil.Process(process.pid).children(recursive=True)
    for victim in victims:
        if victim == "server":
            process.kill()
        for one in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                if victim in " ".join(one.cmdline()):
                    one.kill()


def _digests(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in _FILES}


def _tiles(folder: Path) -> dict[str, int]:
    """Finished records, with the moment at which each was written."""
    found = {}
    for path in folder.rglob("*.zip"):
        with contextlib.suppress(FileNotFoundError):
            found[path.name] = path.stat().st_mtime_ns
    return found
