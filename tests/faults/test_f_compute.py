"""Faults of computing and memory (group F) that need neither a cluster nor a GPU: what a device says is said for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import worlds

import geoseg
from geoseg.cli import main
from geoseg.heads.semantic import SemanticHead
from geoseg.machine import MemoryWatch
from geoseg.pipeline import sizes

FILES = ("classes.tif", "confidence.tif", "polygons.parquet", "areas.csv")
Asks = Callable[..., tuple[int, str, dict[str, Any]]]


@pytest.fixture
def asks(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Asks:
    """`geoseg run` into one folder with a cache of its own; exit status, what was said, and the report."""
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path / "cache"))

    def call(*words: str) -> tuple[int, str, dict[str, Any]]:
        capsys.readouterr()
        request = ["--scenes", str(world / "scene.tif"), "--model", str(world / "model"), "--tile-size", "1"]
        with pytest.raises(SystemExit) as ended:
            main(["run", *request, "--out", str(tmp_path / "map"), "--quiet", "--json", *words])
        said = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, said.err, json.loads(said.out) if said.out else {}

    return call


@pytest.fixture(scope="module")
def clean(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clean")
    options = {"scenes": (str(world / "scene.tif"),), "model": str(world / "model"), "tile_size": 1}
    return geoseg.run(**options, out=folder / "map", cache=folder / "cache", device="cpu").out


def lines_of(err: str) -> list[str]:
    lines = err.strip().splitlines()[-3:]
    assert [line[:10].rstrip() for line in lines] == ["given:", "expected:", "to do:"]
    return lines


def short_of_memory(monkeypatch: pytest.MonkeyPatch, wants: Callable[[int], bool]) -> None:
    """Passes whose number, counted from 1, is wanted find no memory."""
    passed, count = SemanticHead.__call__, [0]

    def call(head: SemanticHead, chips: Any) -> Any:
        count[0] += 1
        if wants(count[0]):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return passed(head, chips)

    monkeypatch.setattr(SemanticHead, "__call__", call)


@pytest.mark.fault(56)
def test_fault_56_memory_that_ran_out_once_changes_no_byte(asks, clean, tmp_path, monkeypatch):
    short_of_memory(monkeypatch, lambda number: number % 5 == 2)
    assert asks()[0] == 0
    assert [name for name in FILES if (tmp_path / "map" / name).read_bytes() != (clean / name).read_bytes()] == []


@pytest.mark.fault(56)
def test_fault_56_memory_that_is_not_enough_ends_with_1_and_keeps_what_is_done(asks, clean, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        short_of_memory(patch, lambda number: number > 9)
        status, err, _ = asks()
    given, _, todo = lines_of(err)
    assert status == 1
    assert "a batch of 1 chip of " in given
    assert all(way in todo for way in ("--tile-size", "bf16", "--device cpu", "finished tiles are kept"))
    assert not (tmp_path / "map" / "classes.tif").exists()
    kept = len(list((tmp_path / "cache").rglob("*.zip")))
    assert kept > 0
    status, _, report = asks()
    assert status == 0
    assert report["tiles"]["reused"] == kept
    assert [name for name in FILES if (tmp_path / "map" / name).read_bytes() != (clean / name).read_bytes()] == []


@pytest.mark.fault(57)
def test_fault_57_a_gpu_that_is_not_there_is_refused_or_replaced_with_one_warning(asks, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    status, err, _ = asks("--device", "cuda")
    assert status == 2
    assert "--device cuda" in lines_of(err)[0]
    assert not (tmp_path / "map").exists()
    monkeypatch.setattr(sizes, "has_gpu_driver", lambda: True)
    status, _, report = asks("--device", "auto")
    assert (status, report["settings"]["device"]) == (0, "cpu")
    (warning,) = [text for text in report["warnings"] if "GPU" in text]
    assert "the forecast is for that" in warning
    assert report["forecast"] is not None
    monkeypatch.setattr(sizes, "has_gpu_driver", lambda: False)
    assert not [text for text in asks("--device", "auto")[2]["warnings"] if "GPU" in text]


@pytest.mark.fault(58)
def test_fault_58_too_little_memory_names_what_is_enough(asks, tmp_path):
    status, err, _ = asks("--max-memory", "20MB")
    assert status == 2
    given, expected, todo = lines_of(err)
    assert "--max-memory 0.02 GB" in given
    assert "raise --max-memory" in todo
    assert not (tmp_path / "map").exists()
    least = re.search(r"at least ([0-9.]+) GB", expected)
    assert least is not None
    assert asks("--max-memory", f"{least[1]}GB")[0] == 0


@pytest.mark.slow
@pytest.mark.fault(58)
def test_fault_58_the_peak_stays_under_the_limit(world, tmp_path):
    """Of the whole tree of processes, as the system counts it, a tenth above the least that is said to be enough."""
    image = worlds.landscape((512, 512), 3).astype("uint8")
    scene = worlds.write_raster(tmp_path / "scene.tif", image, names=worlds.BANDS)
    words = [sys.executable, "-m", "geoseg", "run", "--scenes", str(scene), "--model", str(world / "model"), "--quiet"]
    words += ["--min-area", "100000", "--out", str(tmp_path / "map"), "--max-memory"]
    environment = {**os.environ, "GEOSEG_CACHE": str(tmp_path / "cache")}
    refused = subprocess.run([*words, "20MB"], env=environment, capture_output=True, text=True, check=False)
    least = re.search(r"at least ([0-9.]+) GB", refused.stderr)
    assert least is not None
    limit = 1.1 * float(least[1])
    process = subprocess.Popen([*words, f"{limit}GB"], env=environment)
    with MemoryWatch(process.pid) as memory:
        process.wait()
    assert process.returncode == 0
    assert 0 < memory.peak_bytes <= limit * 1e9
