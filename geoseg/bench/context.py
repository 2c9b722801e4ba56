"""What a figure was measured on; a time without it cannot be compared."""

from __future__ import annotations

import datetime as dt
import platform
from importlib.metadata import version
from pathlib import Path

from geoseg.machine import usable_cores

_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16")


def describe_machine() -> str:
    """One line: date, processor, cores, versions."""
    names = ("torch", "rasterio", "numpy")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {_processor()}, {usable_cores()} cores, "
        f"Python {platform.python_version()}, {versions}"
    )


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return platform.processor() or platform.machine()
    facts: dict[str, str] = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        facts[name.strip()] = value.strip()
    flags = [flag for flag in _FLAGS if flag in facts.get("flags", "").split()]
    return f"{facts.get('model name', platform.machine())} ({' '.join(flags)})"
