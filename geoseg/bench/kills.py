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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from geoseg.bench.service import ask, server_at, until_final

_FILES = ("classes.tif", "confidence.tif", "polygons.parquet", "polygons.geojson", "areas.csv")
_VICTIMS = (("server",), ("geoseg_api.tied",), ("geoseg_api.child compute",), ("server", "geoseg_api.tied"))
_SEED = 8


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
    inputs: dict[str, Any] = {}
    good = 0
    process, server = server_at(folder / "data", 0, variables)
    try:
        with server.client() as client:
            until_final(client, ask(client, inputs))  # converts the network
            shutil.rmtree(folder / "cache" / "tiles")
            began = time.perf_counter()
            first = ask(client, inputs)
            until_final(client, first)
            lasted_s = time.perf_counter() - began
        clean = _digests(server.data / "results" / first)
        tell(f"an undisturbed run takes {lasted_s:.1f} s\n")
        for number in range(kills):
            shutil.rmtree(folder / "cache" / "tiles")
            victims = _VICTIMS[number % len(_VICTIMS)]
            with server.client() as client:
                job = ask(client, inputs)
                time.sleep(chance.uniform(0, lasted_s))
            _kill(process, victims)
            finished = _tiles(folder / "cache" / "tiles")
            if "server" in victims:
                process.wait()
                process, server = server_at(folder / "data", int(server.url.rpartition(":")[2]), variables)
            with server.client() as client:
                ended = until_final(client, job)
            same = ended == "successful" and _digests(server.data / "results" / job) == clean
            kept = finished.items() <= _tiles(folder / "cache" / "tiles").items()
            good += same and kept
            words = f"{ended}, {'same files' if same else 'OTHER FILES'}, {len(finished)} finished tiles "
            tell(f"{number + 1:3} {' and '.join(victims)}: {words}{'kept' if kept else 'COMPUTED AGAIN'}\n")
    finally:
        process.terminate()
        process.wait(60)
    tell(f"{good} of {kills} kills without a trace\n")
    return good == kills


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
