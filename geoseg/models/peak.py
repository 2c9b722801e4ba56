"""Peak memory of something that happens in this process."""

from __future__ import annotations

import ctypes
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import psutil


def growth_bytes(act: Callable[[], object]) -> int:
    """By how much the peak of this process passes what is resident before."""
    _return_freed_memory()
    resident = int(psutil.Process().memory_info().rss)
    _reset_peak()
    act()
    return max(_peak_bytes() - resident, 0)


def _return_freed_memory() -> None:
    """Give back what the allocator keeps: it would be used again, and not be counted."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc
        trim(0)


def _reset_peak() -> None:
    """Ask Linux to count the peak from now on; elsewhere the peak since the start stands in for it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
