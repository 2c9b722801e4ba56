"""More hands for the same tile list: the same bytes, whoever computes them and whoever is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import dask
import psutil
import pytest

import geoseg
from geoseg.errors import GeosegError, InterruptedRunError, RequestError, WeightsError
from geoseg.models import ModelFolder
from geoseg.pipeline import prepare, run

FILES = ("classes.tif", "confidence.tif", "polygons.parquet", "areas.csv")


def make(out: Path, scene: Path, model: ModelFolder, **options: object) -> geoseg.Result:
    around = {"out": out, "cache": out.parent / f"{out.name}-cache", "device": "cpu", "backend": "torch"}
    around["tile_size"] = 1
    return geoseg.run(scenes=(str(scene),), model=str(model.path), **{**around, **options})


def records(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (cache / "tiles").rglob("*.zip")}


@pytest.fixture(scope="module")
def alone(tmp_path_factory, scene, model) -> geoseg.Result:
    """The map as one process makes it."""
    return make(tmp_path_factory.mktemp("alone") / "map", scene, model)


def same_files(one: Path, other: Path) -> list[str]:
    return [name for name in FILES if (one / name).read_bytes() != (other / name).read_bytes()]


# Loaded by each worker: who begins the fifth tile first says so, and waits for what never comes.
PRELOAD = """
import os
from pathlib import Path
from geoseg.cluster.room import TileRoom

folder, compute = Path(os.environ["TEST_FOLDER"]), getattr(TileRoom.compute, "plain", TileRoom.compute)
place = int(os.environ["TEST_ROW"]), int(os.environ["TEST_COL"])

def waiting(room, row, col, cells):
    if (row, col) == place:
        try:
            (folder / "first").touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            (folder / "begun").write_text(str(os.getpid()))
            (folder / "never").read_text()
    return compute(room, row, col, cells)

waiting.plain = compute  # a preload may be run twice
TileRoom.compute = waiting
"""


@pytest.mark.fault(59)
@pytest.mark.fault(60)
@pytest.mark.fault(61)
@pytest.mark.fault(97)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_is_killed_or_hangs_costs_only_its_tile_and_changes_nothing(
    alone, tmp_path, scene, model, monkeypatch, number
):
    """One that is stopped is still there, and holds its tile until it has been silent for too long."""
    (tmp_path / "waiting.py").write_text(PRELOAD)
    for name in ("begun", "never"):
        os.mkfifo(tmp_path / name)
    row, col = (-(-corner // 32) + 1 for corner in alone.report["grid"]["anchor"])
    for name, value in (("FOLDER", tmp_path), ("ROW", row), ("COL", col)):
        monkeypatch.setenv(f"TEST_{name}", str(value))
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__PRELOAD", str([str(tmp_path / "waiting.py")]))
    killed, listening = [], set()

    def kill() -> None:
        killed.append(int((tmp_path / "begun").read_text()))  # returns when a worker has written
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                doors = process.net_connections("inet")
                listening.update(door.laddr.ip for door in doors if door.status == psutil.CONN_LISTEN)
        os.kill(killed[0], number)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with dask.config.set({"distributed.scheduler.worker-ttl": "20s"}):
        result = make(tmp_path / "map", scene, model, workers=2)
    killer.join()
    report = result.report
    assert report["settings"]["workers"] == 2
    # A tile that it had put into the store when it was lost, and had not yet told of, is found there.
    assert report["tiles"]["computed"] + report["tiles"]["reused"] == alone.report["tiles"]["computed"] == 25
    assert report["tiles"]["reused"] <= report["settings"]["passes_at_once"] + 1
    assert listening == {"127.0.0.1"}, "scheduler and workers of this machine are for it alone"
    assert [row, col] in report["tiles_repeated"]
    assert len(report["tiles_repeated"]) <= 2 * (report["settings"]["passes_at_once"] + 1 + 2), (
        "those in flight, no more"
    )
    assert "because a worker was lost" in (result.out / "report.html").read_text()
    assert same_files(result.out, alone.out) == []
    assert records(tmp_path / "map-cache") == records(alone.out.parent / "map-cache")


# Loaded by each worker: whoever begins a certain tile is ended by the system.
POISON = """
import os, signal
from geoseg.cluster.room import TileRoom

compute = getattr(TileRoom.compute, "plain", TileRoom.compute)
place = int(os.environ["TEST_ROW"]), int(os.environ["TEST_COL"])

def poisoned(room, row, col, cells):
    if (row, col) == place:
        os.kill(os.getpid(), signal.SIGKILL)
    return compute(room, row, col, cells)

poisoned.plain = compute
TileRoom.compute = poisoned
"""


@pytest.mark.slow
@pytest.mark.fault(59)
def test_fault_59_a_tile_that_ends_every_worker_is_failed_and_the_rest_is_the_map(
    alone, tmp_path, scene, model, monkeypatch
):
    import worlds  # here: workers import this module, and have no folder of tests

    (tmp_path / "poison.py").write_text(POISON)
    row, col = (-(-corner // 32) + 1 for corner in alone.report["grid"]["anchor"])
    monkeypatch.setenv("TEST_ROW", str(row))
    monkeypatch.setenv("TEST_COL", str(col))
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__PRELOAD", str([str(tmp_path / "poison.py")]))
    result = make(tmp_path / "map", scene, model, workers=2)
    right, classes = (worlds.read(path / "classes.tif") for path in (alone.out, result.out))
    lost = classes == 254
    assert result.report["pixels"]["failed"] == {"worker": int(lost.sum())}
    assert 0 < lost.sum() <= 32 * 32
    assert (classes[~lost] == right[~lost]).all()
    (words,) = [text for text in result.report["warnings"] if text.startswith("not computed")]
    assert f"the tile {row}, {col}: worker processes ended with it 4 times" in words
    assert [row, col] in result.report["tiles_repeated"]
    again = make(tmp_path / "map", scene, model, cache=tmp_path / "map-cache")
    assert again.report["tiles"]["computed"] == 1
    assert same_files(again.out, alone.out) == []


def test_workers_of_a_scheduler_make_the_same_map_and_store_it_where_all_reach_it(
    alone, tmp_path, scene, model, scheduler, s3
):
    store = f"{s3}/shared"
    result = make(tmp_path / "map", scene, model, scheduler=scheduler, store=store)
    assert same_files(result.out, alone.out) == []
    assert result.report["tiles"]["computed"] == 25
    assert result.report["tiles_repeated"] == []
    again = make(tmp_path / "again", scene, model, store=store)  # by this process alone
    assert again.report["tiles"] == {**result.report["tiles"], "computed": 0, "reused": 25}
    assert same_files(again.out, alone.out) == []


def test_maps_of_single_dates_share_one_loaded_model(tmp_path, scene, model, scheduler):
    from distributed import Client

    other = tmp_path / "scene_20220301.tif"
    other.write_bytes(scene.read_bytes())
    result = geoseg.run(
        scenes=(str(scene), str(other)),
        model=str(model.path),
        composite="per-date",
        scheduler=scheduler,
        out=tmp_path / "maps",
        cache=tmp_path / "cache",
        max_memory="2GB",
        backend="torch",
    )
    assert result.report["tiles"]["computed"] == 2
    assert result.report["tiles_repeated"] == []
    with Client(scheduler, set_as_default=False) as client:
        left = client.run(lambda dask_worker: [name for name in dask_worker.plugins if name.startswith("geoseg")])
    assert [names for names in left.values() if names] == [], "workers keep nothing of a job that is over"


def test_a_run_that_is_stopped_keeps_what_is_done_and_leaves_the_workers_free(tmp_path, scene, model, scheduler):
    class Told:
        done = 0

        def stage(self, name): ...
        def note(self, text): ...
        def tiles(self, total, pixels): ...

        def tile_done(self, pixels, **more):
            self.done += 1

    told = Told()
    words = {
        "scenes": (str(scene),),
        "model": str(model.path),
        "scheduler": scheduler,
        "tile_size": 1,
        "backend": "torch",
    }
    spec, settings = geoseg._understand(None, None, {**words, "out": tmp_path / "map", "cache": tmp_path / "cache"})
    with pytest.raises(InterruptedRunError) as stopped:
        run(spec, settings, told, lambda: told.done >= 3)
    assert f"{told.done} of 25 tiles" in stopped.value.expected
    kept = len(records(tmp_path / "cache"))
    assert 3 <= told.done <= kept
    result = make(tmp_path / "map", scene, model, cache=tmp_path / "cache", scheduler=scheduler)
    assert result.report["tiles"]["reused"] >= kept


def refused(tmp_path: Path, scene: Path, model: ModelFolder, **options: object) -> GeosegError:
    with pytest.raises(GeosegError) as refusal:
        make(tmp_path / "map", scene, model, **options)
    assert len(str(refusal.value).splitlines()) == 3
    assert not (tmp_path / "map" / "classes.tif").exists()
    return refusal.value


@pytest.mark.fault(61)
def test_a_scheduler_that_is_not_there_is_said_before_any_work(tmp_path, scene, model, monkeypatch):
    from geoseg.cluster import team

    monkeypatch.setattr(team, "_ANSWER_S", 0.3)
    error = refused(tmp_path, scene, model, scheduler="tcp://127.0.0.1:9")
    assert error.exit_code == 2
    assert "tcp://127.0.0.1:9" in error.given
    assert "dask scheduler" in error.todo
    assert not (tmp_path / "map").exists()


def test_workers_of_this_machine_and_of_a_scheduler_are_not_mixed(tmp_path, scene, model, scheduler):
    error = refused(tmp_path, scene, model, scheduler=scheduler, workers=2)
    assert error.exit_code == 2
    assert "leave one of them away" in error.todo


@pytest.mark.fault(61)
def test_workers_with_another_geoseg_are_refused(tmp_path, scene, model, scheduler, monkeypatch):
    from geoseg.cluster import run as cluster_run

    monkeypatch.setattr(cluster_run, "VERSIONS", ("99.0", cluster_run.VERSIONS[1]))
    error = refused(tmp_path, scene, model, scheduler=scheduler)
    assert error.exit_code == 2
    assert geoseg.__version__ in error.given
    assert "99.0" in error.expected


@pytest.mark.fault(61)
def test_workers_with_another_dask_are_told_when_they_are_met(tmp_path, scene, model, scheduler):
    from distributed import Client

    with Client(scheduler, set_as_default=False) as client:
        client.run(grow_old, "2020.1.0")
        try:
            report = make(tmp_path / "map", scene, model, scheduler=scheduler).report
        finally:
            client.run(grow_old, None)
    (words,) = [text for text in report["warnings"] if "between versions" in text]
    assert scheduler in words
    assert f"distributed 2020.1.0 (here {version('distributed')})" in words
    again = make(tmp_path / "map", scene, model, scheduler=scheduler)
    assert not [text for text in again.report["warnings"] if "between versions" in text]


def grow_old(age: str | None) -> None:
    """A worker whose libraries say that they are of another version."""
    from distributed import versions

    if age is None:
        versions._version_cached = versions.true_version
    else:
        versions.true_version, versions._version_cached = versions._version_cached, lambda name: age


def test_a_worker_that_lacks_a_file_or_the_store_is_refused(tmp_path, scene, model, scheduler):
    """What only this machine has would become holes, and records that nobody finds."""
    from distributed import Client

    with Client(scheduler, set_as_default=False) as client:
        client.run(hide, str(scene))
        try:
            error = refused(tmp_path, scene, model, scheduler=scheduler)
            assert error.exit_code == 2
            assert str(scene) in error.given
            assert "missing" in error.given
        finally:
            client.run(show)
    error = refused(tmp_path, scene, model, scheduler=scheduler, store="memory://of-each-process")
    assert error.exit_code == 2
    assert "--store" in error.todo


def hide(path: str) -> None:
    """A worker on a machine without a file."""
    from geoseg.cluster import room

    room.true_fact = room.local_fact
    room.local_fact = lambda asked: "missing" if asked == path else room.true_fact(asked)


def show() -> None:
    from geoseg.cluster import room

    room.local_fact = room.true_fact


@pytest.mark.parametrize("options", [{"workers": 2}, {"scheduler": "tcp://127.0.0.1:9"}])
def test_without_the_library_it_is_named(tmp_path, scene, model, monkeypatch, options):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    error = refused(tmp_path, scene, model, **options)
    assert isinstance(error, RequestError)
    assert "geoseg[cluster]" in error.todo


def test_too_little_memory_for_all_workers_is_said(scene, model):
    spec, settings = geoseg._understand(
        None, None, {"scenes": (str(scene),), "model": str(model.path), "workers": 64, "max_memory": "1.2GB"}
    )
    prepared = prepare(spec, settings)
    prepared.remote.close()
    assert prepared.workers == 1
    assert any("1 of 64 worker processes" in text for text in prepared.warnings)


def spoiling(kind: str) -> Callable[[], None]:
    """What makes the tiles of a worker raise an error of a module that no other process has; sent there by value."""

    def spoil() -> None:
        import sys
        import types

        from geoseg.cluster.room import TileRoom
        from geoseg.errors import WeightsError

        here = sys.modules["only_here"] = types.ModuleType("only_here")
        bases = {"OddError": Exception, "OddWeightsError": WeightsError, "Mute": Exception}
        for name, base in bases.items():
            setattr(here, name, type(name, (base,), {"__module__": "only_here"}))
        here.Mute.__str__ = None
        error = {
            "a class of its own": here.OddError("a disk that\nhums"),
            "an open file": RuntimeError("a disk that hums"),
            "no words": here.Mute(),
            "an error of ours of its own": here.OddWeightsError("a disk that hums", "a quiet one", "listen"),
        }[kind]
        error.kept = sys.stderr if kind == "an open file" else None
        error.__cause__ = here.OddError("the cause")

        def raising(*_: object) -> None:
            raise error

        TileRoom.plain = TileRoom.compute
        TileRoom.compute = raising

    return spoil


def mending() -> Callable[[], None]:
    def mend() -> None:
        from geoseg.cluster.room import TileRoom

        TileRoom.compute = TileRoom.plain

    return mend


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["a class of its own", "an open file", "no words", "an error of ours of its own"])
def test_whatever_a_tile_raises_arrives_as_three_lines(tmp_path, scene, model, scheduler, kind):
    from distributed import Client

    with Client(scheduler, set_as_default=False) as client:
        client.run(spoiling(kind))
        try:
            with pytest.raises(GeosegError) as raised:
                make(tmp_path / "map", scene, model, scheduler=scheduler)
        finally:
            client.run(mending())
    given, expected, todo = str(raised.value).splitlines()
    if kind == "an error of ours of its own":
        assert type(raised.value) is WeightsError
        assert "hums" in given
    else:
        assert "the tile " in given
        assert "on the worker" in given
        assert "no words" in kind or "a disk that hums" in expected
        assert "--debug" in todo
    assert any("raising" in note for note in raised.value.__notes__), "where it was raised is told"
