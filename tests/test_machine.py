"""What the machine has, as far as it can be checked anywhere."""

from __future__ import annotations

import json
import os
import threading

import psutil

from geoseg import machine
from geoseg.machine import Speeds, tree_memory_bytes, usable_cores


def test_cores_are_those_that_this_process_may_use():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_memory_is_of_the_order_of_what_the_process_holds():
    assert 0 < tree_memory_bytes() <= 2 * psutil.Process().memory_info().rss + 2**30


def test_the_peak_is_the_largest_sample_and_sampling_ends_with_the_run(monkeypatch):
    resident, all_taken, now = iter([50, 90, 30]), threading.Event(), [0]

    def sample(pid: int | None = None, *, proportional: bool = True) -> int:
        """A tenth of the resident size counts as its own."""
        if proportional:
            return now[0] // 10
        now[0] = next(resident, 0)
        if not now[0]:
            all_taken.set()
        return now[0]

    monkeypatch.setattr(machine, "tree_memory_bytes", sample)
    monkeypatch.setattr(machine, "_SAMPLE_S", 0.001)
    with machine.MemoryWatch() as watch:
        assert all_taken.wait(timeout=60)
    assert watch.peak_bytes == 9
    assert "memory-watch" not in {thread.name for thread in threading.enumerate()}


def test_speeds_are_remembered_by_name(tmp_path):
    speeds = Speeds(tmp_path / "cache")
    assert speeds.get("a") is None
    speeds.put("a", 1.5)
    speeds.put("b", 2.5)
    speeds.put("a", 3.5)
    assert (Speeds(tmp_path / "cache").get("a"), speeds.get("b")) == (3.5, 2.5)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["speeds.json"]


def test_torn_speeds_are_none(tmp_path):
    for text in ("{", "[1]", "\x00"):
        (tmp_path / "speeds.json").write_text(text)
        assert Speeds(tmp_path).get("a") is None
    Speeds(tmp_path).put("a", 1.0)
    assert json.loads((tmp_path / "speeds.json").read_text()) == {"a": 1.0}


def test_speeds_that_cannot_be_kept_are_no_reason_to_fail(tmp_path):
    (tmp_path / "file").touch()
    Speeds(tmp_path / "file").put("a", 1.0)
    Speeds(tmp_path / "file" / "deeper").put("a", 1.0)
    assert Speeds(tmp_path / "file").get("a") is None
