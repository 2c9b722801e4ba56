"""How much of a run's wall time the network's own work takes.

The reference is the input transform, the forward pass and the argmax of the same pixels, cut into chips without any
overlap, with the same backend and threads: what no pipeline can beat with that backend.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray

from geoseg.bench.context import describe_machine
from geoseg.bench.sources import write_scene
from geoseg.machine import tune_allocator, usable_cores
from geoseg.models import resolve
from geoseg.models.network import Network, load_network
from geoseg.settings import Settings

_REFERENCE_CHIPS_PX = (512, 1024)
_WARM_UP = 2


def measure_efficiency(
    folder: Path, model: str, side_px: int, max_memory: str | None, say: Callable[[str], object]
) -> float:
    """Measure one model and print a table.

    Returns:
        Reference seconds over wall seconds of the run.
    """
    tune_allocator()  # as the command line does
    settings = Settings()
    found = resolve(model, models_dirs=settings.models, cache=settings.cache, offline=settings.offline)
    scene = write_scene(folder / f"scene-{model}-{side_px}.tif", found.spec.bands, side_px)
    reference_s, chip_px = reference_seconds(load_network(found), scene)
    wall_s, report = _run(folder, model, scene, max_memory)
    mpx, limit_gb = side_px**2 / 1e6, report["settings"]["max_memory_bytes"] / 1e9
    say(f"\n{model}: {side_px} x {side_px} px, {len(found.spec.bands)} bands; {describe_machine()}\n")
    say(f"  reference      {reference_s:8.2f} s  {mpx / reference_s:7.3f} Mpx/s  (chips of {chip_px} px, no overlap)\n")
    say(
        f"  run            {wall_s:8.2f} s  {mpx / wall_s:7.3f} Mpx/s  (limit {limit_gb:.1f} GB; a whole process, imports included)\n"
    )
    say(f"  efficiency     {reference_s / wall_s:8.3f}\n")
    for stage, seconds in report["timing"]["stage_seconds"].items():
        speed = f"{mpx / seconds:9.2f} Mpx/s" if seconds > 0 else ""
        say(f"    {stage:<16} {seconds:8.2f} s {speed}\n")
    say(f"  peak memory    {report['settings']['peak_memory_bytes'] / 1e9:8.2f} GB (process tree, proportional)\n")
    return reference_s / wall_s


def _run(folder: Path, model: str, scene: Path, max_memory: str | None) -> tuple[float, dict[str, Any]]:
    """Wall seconds of a whole run in a process of its own with an empty tile store, and its report."""
    out, cache = folder / f"map-{model}", folder / "cache"
    shutil.rmtree(cache / "tiles", ignore_errors=True)
    command = [sys.executable, "-m", "geoseg", "run", "--scenes", str(scene), "--model", model, "--fresh", "--quiet"]
    command += ["--sensor", "sentinel-2-l2a", "--out", str(out)]
    command += ["--max-memory", max_memory] if max_memory else []
    start = time.perf_counter()
    subprocess.run(command, env={**os.environ, "GEOSEG_CACHE": str(cache)}, check=True)  # noqa: S603  # our own words
    return time.perf_counter() - start, json.loads((out / "report.json").read_text())


def reference_seconds(network: Network, scene: Path) -> tuple[float, int]:
    """Seconds for transform, forward and argmax of a whole scene without overlap, and the better chip side."""
    torch.set_num_threads(usable_cores())
    with rasterio.open(scene) as file:
        pixels = file.read().astype("float32") / np.float32(10_000)
    timed = {side: _seconds_with(network, pixels, side) for side in _REFERENCE_CHIPS_PX}
    best = min(timed, key=lambda side: timed[side])
    return timed[best], best


def _seconds_with(network: Network, pixels: NDArray[np.float32], side: int) -> float:
    """Time of all chips of one size; chips at the border have the size that is left."""
    rows, cols = pixels.shape[1:]
    chips = [
        pixels[:, row : row + side, col : col + side] for row in range(0, rows, side) for col in range(0, cols, side)
    ]
    for _ in range(_WARM_UP):
        _classify(network, chips[0])
    seconds = []
    for chip in chips:
        start = time.perf_counter()
        _classify(network, chip)
        seconds.append(time.perf_counter() - start)
    # The median guards the reference against a disturbed chip; all full chips cost the same.
    full = statistics.median(seconds)
    return sum(min(value, full * 1.5) for value in seconds)


def _classify(network: Network, chip: NDArray[np.float32]) -> None:
    values = torch.from_numpy(np.ascontiguousarray(chip))[None]
    network.scores(values, torch.ones((1, *values.shape[2:]), dtype=torch.bool)).argmax(dim=1)
