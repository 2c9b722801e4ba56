"""A scheduler that dies or loses its workers during a job: the job ends and says so, and what was finished is kept."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from distributed import Client

from geoseg.errors import GeosegError
from tests.cluster.test_workers import FILES, make, records

# Loaded by the worker: with the fifth tile that is computed it says so, and waits for what never comes.
PRELOAD = """
import itertools, os
from pathlib import Path
from geoseg.cluster.room import TileRoom

folder, count = Path(os.environ["TEST_FOLDER"]), itertools.count(1)
compute = getattr(TileRoom.compute, "plain", TileRoom.compute)

def waiting(room, row, col, cells):
    done = compute(room, row, col, cells)
    if next(count) == 5:
        (folder / "begun").write_text("")
        (folder / "never").read_text()
    return done

waiting.plain = compute  # a preload may be run twice
TileRoom.compute = waiting
"""


@pytest.fixture
def waiting(tmp_path, monkeypatch):
    """Workers that start from now on wait at a tile."""
    for name in ("begun", "never"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "preload.py").write_text(PRELOAD)
    monkeypatch.setenv("TEST_FOLDER", str(tmp_path))
    return tmp_path


@pytest.mark.slow
@pytest.mark.fault(61)
@pytest.mark.timeout(120)
def test_fault_61_a_scheduler_that_dies_ends_the_job_and_finished_tiles_stay(waiting, mortal, scene, model, tmp_path):
    address, process = mortal

    def kill() -> None:
        (waiting / "begun").read_text()  # returns when the worker has written
        process.kill()
        process.wait()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with pytest.raises(GeosegError) as ended:
        make(tmp_path / "map", scene, model, scheduler=address)
    given, _, todo = str(ended.value).splitlines()
    assert process.poll() is not None, ended.value
    assert ended.value.exit_code == 1
    assert address in given
    assert "finished tiles are kept" in todo
    assert not (tmp_path / "map" / "classes.tif").exists()
    kept = records(tmp_path / "map-cache")
    assert len(kept) >= 4
    again = make(tmp_path / "map", scene, model, cache=tmp_path / "map-cache")
    assert again.report["tiles"]["reused"] >= len(kept)
    assert kept.items() <= records(tmp_path / "map-cache").items()
    clean = make(tmp_path / "clean", scene, model)
    assert [name for name in FILES if (again.out / name).read_bytes() != (clean.out / name).read_bytes()] == []


@pytest.mark.slow
@pytest.mark.fault(61)
@pytest.mark.timeout(120)
def test_fault_61_a_scheduler_that_no_worker_comes_back_to_is_not_waited_for_for_ever(
    waiting, mortal, scene, model, tmp_path, monkeypatch
):
    from geoseg.cluster import run as cluster_run

    monkeypatch.setattr(cluster_run, "_DESERTED_S", 2.0)
    address, _ = mortal
    with Client(address, set_as_default=False) as client:
        (worker,) = client.run(os.getpid).values()

    def kill() -> None:
        (waiting / "begun").read_text()  # returns when the worker has written
        os.kill(worker, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with pytest.raises(GeosegError) as ended:
        make(tmp_path / "map", scene, model, scheduler=address)
    given, _, todo = str(ended.value).splitlines()
    assert ended.value.exit_code == 1
    assert f"{address}, whose last worker left" in given
    assert f"dask worker {address}" in todo
    assert "finished tiles are kept" in todo
    kept = records(tmp_path / "map-cache")
    assert len(kept) >= 4
    again = make(tmp_path / "map", scene, model, cache=tmp_path / "map-cache")
    assert again.report["tiles"]["reused"] >= len(kept)
