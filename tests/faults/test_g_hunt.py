"""Runs that end at random moments, by a kill, a signal or a full disk: the same command ends in the same map.

Three here, two hundred with `make hunt`.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import rasterio

import geoseg

FILES = ("classes.tif", "confidence.tif", "polygons.parquet", "areas.csv")
WAYS = ("full", "term", "kill")


class Quarry:
    """A run into a folder with a cache and a place for scratch of its own.

    Args:
        world: With a raster and a model.
        folder: Of all that it writes.
    """

    def __init__(self, world: Path, folder: Path) -> None:
        self.out, self.cache, self.scratch = folder / "map", folder / "cache", folder / "scratch"
        self.scratch.mkdir(parents=True)
        words = ["--scenes", str(world / "scene.tif"), "--model", str(world / "model"), "--tile-size", "1", "--quiet"]
        self._command = [sys.executable, "-m", "geoseg", "run", *words, "--device", "cpu", "--out", str(self.out)]
        around = {"GEOSEG_CACHE": str(self.cache), "TMPDIR": str(self.scratch)}
        self._environment = {**os.environ, **around, "PYTHONPATH": str(Path(geoseg.__file__).parent.parent)}

    def start(self) -> subprocess.Popen[bytes]:
        """In a session of its own, so that nobody of it can be missed."""
        return subprocess.Popen(
            self._command, env=self._environment, start_new_session=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )

    @property
    def records(self) -> dict[str, tuple[int, int]]:
        """Finished tiles: when they were written, and where."""
        found = {}
        for path in self.cache.rglob("*.zip"):
            status = path.stat()
            found[path.name] = status.st_mtime_ns, status.st_ino
        return found


def strike(process: subprocess.Popen[bytes], way: str) -> None:
    """End a run, or its room on the disk."""
    if process.poll() is not None:
        return
    if way == "full":
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1_500, 1_500))
    else:
        os.kill(process.pid, signal.SIGKILL if way == "kill" else signal.SIGTERM)


def survivors(session: int) -> Iterator[int]:
    """Processes of a session."""
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                yield process.pid
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue


@pytest.fixture(scope="module")
def clean(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The map of a calm run, and how long that takes."""
    quarry, begun = Quarry(world, tmp_path_factory.mktemp("calm")), time.monotonic()
    process = quarry.start()
    assert process.communicate()[1] is not None
    assert process.returncode == 0
    return quarry.out, time.monotonic() - begun


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.fault(62)
@pytest.mark.fault(66)
@pytest.mark.fault(70)
def test_hunted_runs_end_in_the_same_map(world, tmp_path, clean, pytestconfig):
    right, length_s = clean
    hunts, rng = pytestconfig.getoption("--hunts"), random.Random(20220101)
    quarry = Quarry(world, tmp_path / "0")
    for number in range(hunts):
        way, known = WAYS[number % len(WAYS)], quarry.records
        process = quarry.start()
        try:
            process.wait(rng.uniform(0.4, 1.0) * length_s)
        except subprocess.TimeoutExpired:
            strike(process, way)
        _, err = process.communicate(timeout=120)
        where = f"hunt {number}, {way}: {err.decode()[-600:]}"
        expected = {"full": (0, 1), "term": (0, 143, -15), "kill": (0, -9)}[way]
        assert process.returncode in expected, where
        if process.returncode == 1:
            assert err.decode().count("expected:") == 1, where
        assert list(survivors(process.pid)) == [], where
        assert known.items() <= quarry.records.items(), f"a finished tile was written again; {where}"
        for name in ("classes.tif", "confidence.tif"):
            if (quarry.out / name).exists():
                with rasterio.open(quarry.out / name) as file:
                    file.read()
        if process.returncode == 0:
            assert [name for name in FILES if (quarry.out / name).read_bytes() != (right / name).read_bytes()] == []
            quarry = Quarry(world, tmp_path / str(number + 1))
    process = quarry.start()
    err = process.communicate()[1]
    assert process.returncode == 0, err.decode()
    assert [name for name in FILES if (quarry.out / name).read_bytes() != (right / name).read_bytes()] == []
    assert list(quarry.scratch.iterdir()) == [], "scratch grows"
    assert not list(quarry.out.rglob("*.part*"))
