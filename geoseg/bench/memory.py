"""Peak memory of whole runs, as seen from outside: proportional set size of the process tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from geoseg.bench.context import describe_machine
from geoseg.bench.sources import write_repeated
from geoseg.demo.land import write_scene
from geoseg.machine import MemoryWatch
from geoseg.models import resolve
from geoseg.settings import Settings, parse_size

_TILE_PX = 1024


def measure_memory(
    folder: Path, model: str, sides: Sequence[int], dates: int, max_memory: str, say: Callable[[str], object]
) -> None:
    """Run a model over repeated scenes of several sizes, and a median of many dates, and print the peaks."""
    settings = Settings()
    bands = resolve(model, models_dirs=settings.models, cache=settings.cache).spec.bands
    tile = write_scene(folder / "tile.tif", bands, _TILE_PX)
    say(f"{model}, --max-memory {max_memory}; {describe_machine()}\n")
    peaks = []
    for side in sides:
        scene = write_repeated(folder / f"repeated-{side}.vrt", tile, side)
        peaks.append(_say_run(folder, f"{side} x {side}", model, [scene], side, max_memory, say))
    if len(peaks) > 1:
        say(f"growth from the first to the last: {peaks[-1] / peaks[0] - 1:+.1%}\n")
    if dates:
        side = 2 * _TILE_PX
        series = [
            write_repeated(folder / f"dated_{2000 + n // 12}{n % 12 + 1:02d}01.vrt", tile, side) for n in range(dates)
        ]
        _say_run(folder, f"median of {dates} dates", model, series, side, max_memory, say, "--composite", "median")


def _say_run(
    folder: Path,
    title: str,
    model: str,
    scenes: Sequence[Path],
    side_px: int,
    max_memory: str,
    say: Callable[[str], object],
    *options: str,
) -> int:
    start = time.monotonic()
    peak = _peak_of_run(folder, model, scenes, max_memory, options)
    seconds = time.monotonic() - start
    verdict = "below" if peak < parse_size(max_memory) else "ABOVE"
    say(f"{title:<22} peak {peak / 1e9:5.2f} GB, {verdict} the limit; {seconds:7.1f} s, {side_px**2 / 1e6:.0f} Mpx\n")
    sys.stdout.flush()
    return peak


def _peak_of_run(folder: Path, model: str, scenes: Sequence[Path], max_memory: str, options: Sequence[str]) -> int:
    """Run the command line in a process of its own and watch its tree."""
    command = [sys.executable, "-m", "geoseg", "run", "--model", model, "--max-memory", max_memory, "--quiet"]
    command += ["--sensor", "sentinel-2-l2a", "--out", str(folder / "map"), "--fresh", *options]
    for scene in scenes:
        command += ["--scenes", str(scene)]
    cache = folder / "memory-cache"
    process = subprocess.Popen(command, env={**os.environ, "GEOSEG_CACHE": str(cache)})  # noqa: S603  # our own words
    with MemoryWatch(process.pid) as memory:
        process.wait()
    shutil.rmtree(cache, ignore_errors=True)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return memory.peak_bytes
