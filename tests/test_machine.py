"""What the machine has, as far as it can be checked anywhere."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress

import psutil
import pytest

from geoseg import machine
from geoseg.machine import Speeds, memory_bytes, process_tree, unswept, usable_cores


def test_cores_are_those_that_this_process_may_use():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_memory_is_of_the_order_of_what_the_process_holds():
    assert 0 < memory_bytes(process_tree()) <= 2 * psutil.Process().memory_info().rss + 2**30


def test_a_child_counts_until_it_has_ended():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        (process,) = [one for one in process_tree() if one.pid == child.pid]
        assert memory_bytes([process], proportional=False) > 0
        child.communicate(b"\n")
    assert memory_bytes([process]) == memory_bytes([process], proportional=False) == 0
    assert process_tree(child.pid) == ()


def test_the_peak_is_the_largest_sample_and_sampling_ends_with_the_run(monkeypatch):
    resident, all_taken, now = iter([50, 90, 30]), threading.Event(), [0]

    def sample(processes: tuple[psutil.Process, ...], *, proportional: bool = True) -> int:
        """A tenth of the resident size counts as its own."""
        if proportional:
            return now[0] // 10
        now[0] = next(resident, 0)
        if not now[0]:
            all_taken.set()
        return now[0]

    monkeypatch.setattr(machine, "memory_bytes", sample)
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


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_collector_leaves_alone_what_was_imported_and_is_as_it_was(is_enabled):
    (gc.enable if is_enabled else gc.disable)()
    frozen = gc.get_freeze_count()
    try:
        with suppress(ImportError), unswept():
            assert not gc.isenabled()
            kept = [[] for _ in range(1000)]
            raise ImportError
        assert gc.isenabled() is is_enabled
        assert gc.get_freeze_count() >= frozen + len(kept)
    finally:
        gc.unfreeze()
        gc.enable()
