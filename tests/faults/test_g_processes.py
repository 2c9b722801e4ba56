"""Faults of processes that end or meet (group G): one folder, one store, and what a later run believes of them."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import worlds

from geoseg.cli import main

FILES = ("classes.tif", "confidence.tif", "polygons.parquet", "areas.csv")
Asks = Callable[..., tuple[int, str, dict[str, Any]]]


@pytest.fixture
def asks(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asks:
    """`geoseg run`; exit status, what was said, and the report."""

    def call(*words: str, out: str = "map", cache: str = "cache") -> tuple[int, str, dict[str, Any]]:
        monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path / cache))
        capsys.readouterr()
        request = ["--scenes", str(world / "scene.tif"), "--out", str(tmp_path / out), "--quiet", "--json"]
        with pytest.raises(SystemExit) as ended:
            main(["run", *request, "--tile-size", "1", *words])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.err, json.loads(said.out) if said.out else {}

    return call


def differing(one: Path, other: Path) -> list[str]:
    return [name for name in FILES if (one / name).read_bytes() != (other / name).read_bytes()]


@pytest.mark.fault(65)
def test_fault_65_a_second_run_is_refused_with_the_owner_and_a_dead_ones_lock_is_taken(asks, world, tmp_path):
    (tmp_path / "map" / "job").mkdir(parents=True)
    with (tmp_path / "map" / "job" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("process 4711 on another-host")
        lock.flush()
        status, err, _ = asks("--model", str(world / "model"))
        assert status == 2
        assert [line[:10].rstrip() for line in err.splitlines()] == ["given:", "expected:", "to do:"]
        assert "process 4711 on another-host is at work" in err
        assert [path.name for path in (tmp_path / "map").iterdir()] == ["job"]
    assert asks("--model", str(world / "model"))[0] == 0  # the lock went with its owner; the file stayed


@pytest.mark.fault(67)
def test_fault_67_torn_tiles_are_computed_again_and_no_others(asks, world, tmp_path):
    model = ["--model", str(world / "model")]
    assert asks(*model)[2]["tiles"]["computed"] == 25
    empty, torn, flipped, *_ = sorted((tmp_path / "cache").rglob("*.zip"))
    empty.write_bytes(b"")
    torn.write_bytes(torn.read_bytes()[:-9])
    body = bytearray(flipped.read_bytes())
    body[len(body) // 2] ^= 1
    flipped.write_bytes(body)
    again = asks(*model, out="again")
    assert again[0] == 0
    assert (again[2]["tiles"]["computed"], again[2]["tiles"]["reused"]) == (3, 22)
    assert differing(tmp_path / "map", tmp_path / "again") == []


@pytest.mark.fault(68)
def test_fault_68_fresh_uses_no_stale_tile_and_says_why(asks, tmp_path):
    """The weights change under the name of the model, then a setting that pixels do not depend on, then one that they do."""
    model = worlds.finite_model(tmp_path / "model").path
    words = ["--model", str(model), "--fresh"]
    assert asks(*words)[2]["tiles"]["computed"] == 25
    assert asks(*words)[2]["tiles"]["reused"] == 25
    worlds.finite_model(model, seed=2)
    report = asks(*words)[2]
    assert (report["tiles"]["computed"], report["tiles"]["reused"]) == (25, 0)
    assert asks(*words, out="clean", cache="other")[0] == 0
    assert differing(tmp_path / "map", tmp_path / "clean") == []

    def why(report: dict[str, Any]) -> str:
        (note,) = [text for text in report["notes"] if "replaces the results of another job" in text]
        return note

    report = asks(*words, "--min-area", "900")[2]
    assert report["tiles"]["reused"] == 25
    assert "--min-area" in why(report)
    report = asks(*words, "--layers", "margin")[2]
    assert report["tiles"]["reused"] == 0
    assert "--layers none there, margin here" in why(report)
