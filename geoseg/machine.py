"""What the machine has: cores, memory in use, and the speeds that earlier runs measured on it."""

from __future__ import annotations

import ctypes
import gc
import itertools
import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import psutil

_SAMPLE_S = 0.25
_CHILDREN_EVERY = 8  # samples
_GROWTH = 1.01
_GPU_DRIVERS = ("libcuda.so.1", "nvcuda.dll", "libamdhip64.so")
# mallopt(3): M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX.
_ARENAS = -8
_ALLOCATOR = ((-3, 2**30), (-1, 2**31 - 1), (_ARENAS, 1))
_COLLECT_AFTER = (50_000, 20, 50)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def tune_allocator() -> bool:
    """Let glibc keep and reuse large buffers instead of mapping fresh pages for each.

    A network's temporaries are large and short-lived; with the default settings every one of them is mapped, touched
    page by page and unmapped again. One arena, because the heaps of other arenas are too small for such buffers.
    Meant for a process that is geoseg's own (the command line), before its first thread.

    Returns:
        Whether the C library is glibc and took the settings.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(option, value) == 1 for option, value in _ALLOCATOR)


def limit_arenas(most: int) -> bool:
    """Let glibc keep at most so many heaps for threads: each keeps what was once freed in it.

    Meant for a server, whose many threads each hold a large answer now and then; before its first thread.

    Returns:
        Whether the C library is glibc and took the setting.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(_ARENAS, most) == 1)
    except (OSError, AttributeError):
        return False


def tune_collector() -> None:
    """Look for cycles of objects less often: a hundred thousand items are many objects that stay.

    Meant for a process that is geoseg's own (the command line).
    """
    gc.set_threshold(*_COLLECT_AFTER)


def release_memory() -> None:
    """Give memory that is free but kept by the allocator back to the system, where the C library can."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def process_tree(pid: int | None = None) -> tuple[psutil.Process, ...]:
    """A process, by default this one, and its children; none where it has ended.

    Costs milliseconds where many processes run: the system tells children only by their parents.
    """
    try:
        process = psutil.Process(pid)
        return (process, *process.children(recursive=True))
    except psutil.Error:
        return ()


def memory_bytes(processes: Iterable[psutil.Process], *, proportional: bool = True) -> int:
    """Memory of processes together.

    Args:
        processes: Those that have ended count nothing.
        proportional: Proportional set size where the system tells (shared pages count once), which costs tens of
            milliseconds; else resident size.
    """
    total = 0
    for process in processes:
        try:
            facts = process.memory_full_info() if proportional and psutil.LINUX else process.memory_info()
            total += getattr(facts, "pss", facts.rss)
        except psutil.Error:
            continue  # it has ended meanwhile
    return total


class MemoryWatch:
    """Samples the process tree's memory while a run is under way.

    Resident size is cheap and looked at often, new children less often; the proportional size is asked for only when the
    resident size has grown beyond what was seen.

    Args:
        pid: The process; by default this one.
    """

    def __init__(self, pid: int | None = None) -> None:
        self.peak_bytes = 0
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory-watch", daemon=True)

    def _watch(self) -> None:
        largest = 0.0
        for turn in itertools.count():
            if turn % _CHILDREN_EVERY == 0:
                processes = process_tree(self._pid)
            resident = memory_bytes(processes, proportional=False)
            if resident > largest * _GROWTH:
                largest = resident
                self.peak_bytes = max(self.peak_bytes, memory_bytes(processes))
            if self._ended.wait(_SAMPLE_S):
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


class Speeds:
    """Mpx/s of earlier runs on this machine, by model and backend; the ground of time estimates.

    Args:
        folder: Cache folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "speeds.json"

    def _read(self) -> dict[str, float]:
        try:
            known = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def get(self, key: str) -> float | None:
        """Mpx/s of the last run, or ``None``."""
        return self._read().get(key)

    def put(self, key: str, mpx_per_s: float) -> None:
        """Remember a run's speed; a cache that cannot be written is no reason to fail."""
        known = {**self._read(), key: round(mpx_per_s, 4)}
        temporary = self._path.with_name(f".speeds.{os.getpid()}.part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(known, indent=1, sort_keys=True))
            temporary.replace(self._path)
        except OSError:
            with suppress(OSError):  # what stopped the write may stop this too
                temporary.unlink()


def has_gpu_driver() -> bool:
    """Whether a driver that torch's ``cuda`` stands for can be loaded: NVIDIA's, or AMD's runtime.

    Where there is none, torch, which takes seconds to import, need not be asked.
    """
    for name in _GPU_DRIVERS:
        with suppress(OSError):
            ctypes.CDLL(name)
            return True
    return False


@contextmanager
def unswept() -> Iterator[None]:
    """Import libraries without the garbage collector, which from then on leaves alone what is there.

    Half a million objects of libraries live as long as the process; each full collection would go through all of them.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
