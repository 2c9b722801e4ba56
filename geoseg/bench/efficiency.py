"""How much of a run's wall time the network's own work takes.

The reference is the input transform, the forward pass and the argmax of the same pixels, cut into chips without any
overlap, with the same backend and threads: what no pipeline can beat with that backend.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from geoseg.bench.context import describe_machine
from geoseg.bench.parts import compare_with_parts
from geoseg.demo.land import write_scene
from geoseg.machine import tune_allocator, usable_cores
from geoseg.models import ModelFolder, resolve
from geoseg.models.backends import Backend, choose_backend
from geoseg.pipeline import prepare
from geoseg.predict import Arrays, NumpyArrays
from geoseg.settings import Settings
from geoseg.spec import JobSpec

_REFERENCE_CHIPS_PX = (512, 1024)
_REFERENCE_PX = 4096


def measure_efficiency(
    folder: Path, model: str, side_px: int, max_memory: str | None, say: Callable[[str], object]
) -> float:
    """Measure one model and print a table.

    Returns:
        Reference seconds over wall seconds of the run.
    """
    tune_allocator()  # as the command line does
    settings = Settings()
    cache = folder / "cache"
    found = resolve(model, models_dirs=settings.models, cache=cache, offline=settings.offline)
    cores = usable_cores()
    backend = choose_backend(found, settings.backend, "cpu", "exact", cores, say=lambda words: say(f"{words}\n"))
    scene = write_scene(folder / f"scene-{model}-{side_px}.tif", found.spec.bands, side_px)
    wall_s, report = _run(cache, model, backend, scene, max_memory)
    reference_s, how = reference_seconds(found, backend, scene, cores)
    mpx, limit_gb = side_px**2 / 1e6, report["settings"]["max_memory_bytes"] / 1e9
    say(f"\n{model}: {side_px} x {side_px} px, {len(found.spec.bands)} bands; {describe_machine()}\n")
    say(f"  backend        {backend.name} {backend.why}\n")
    say(f"  reference      {reference_s:8.2f} s  {mpx / reference_s:7.3f} Mpx/s  ({how}, no overlap)\n")
    say(
        f"  run            {wall_s:8.2f} s  {mpx / wall_s:7.3f} Mpx/s  (limit {limit_gb:.1f} GB; a whole process, imports included)\n"
    )
    say(f"  efficiency     {reference_s / wall_s:8.3f}\n")
    for stage, seconds in report["timing"]["stage_seconds"].items():
        speed = f"{mpx / seconds:9.2f} Mpx/s" if seconds > 0 else ""
        say(f"    {stage:<16} {seconds:8.2f} s {speed}\n")
    say(f"  peak memory    {report['settings']['peak_memory_bytes'] / 1e9:8.2f} GB (process tree, proportional)\n")
    spec = JobSpec.build(scenes=(str(scene),), model=model, sensor="sentinel-2-l2a")
    limit = {"max_memory": report["settings"]["max_memory_bytes"], "device": "cpu", "backend": backend.name}
    prepared = prepare(spec, Settings.with_options(cache=cache, **limit))
    if prepared.chips.chip_px is None and not prepared.chips.column_px:
        with prepared.remote:
            compare_with_parts(prepared, scene, folder / f"map-{model}", folder, wall_s, cores, say)
    return reference_s / wall_s


def _run(
    cache: Path, model: str, backend: Backend, scene: Path, max_memory: str | None
) -> tuple[float, dict[str, Any]]:
    """Wall seconds of a whole run in a process of its own with an empty tile store, and its report."""
    out = cache.parent / f"map-{model}"
    shutil.rmtree(cache / "tiles", ignore_errors=True)
    command = [sys.executable, "-m", "geoseg", "run", "--scenes", str(scene), "--model", model, "--fresh", "--quiet"]
    command += ["--sensor", "sentinel-2-l2a", "--backend", backend.name, "--out", str(out)]
    command += ["--max-memory", max_memory] if max_memory else []
    start = time.perf_counter()
    subprocess.run(command, env={**os.environ, "GEOSEG_CACHE": str(cache)}, check=True)  # noqa: S603  # our own words
    return time.perf_counter() - start, json.loads((out / "report.json").read_text())


def reference_seconds(model: ModelFolder, backend: Backend, scene: Path, cores: int) -> tuple[float, str]:
    """Seconds for transform, forward and argmax of a whole scene without overlap, at the best shape of a chip; which it is.

    Of a large scene a part is timed: its chips are all alike.

    Args:
        model: The model.
        backend: What runs it.
        scene: Digital numbers that are reflectance times 10,000.
        cores: Threads: of one pass, or of as many passes of one thread.
    """
    with rasterio.open(scene) as file:
        side_px = min(file.width, _REFERENCE_PX)
        share = side_px**2 / file.width / file.height
        pixels = file.read(window=((0, side_px), (0, side_px))).astype("float32") / np.float32(10_000)
    timed = {
        (side, passes): _seconds_with(model, backend, pixels, side, passes, cores // passes)
        for side in _REFERENCE_CHIPS_PX
        for passes in sorted({1, cores})
    }
    side, passes = min(timed, key=lambda shape: timed[shape])
    return timed[side, passes] / share, f"chips of {side} px, {passes} at once"


def _seconds_with(
    model: ModelFolder, backend: Backend, pixels: NDArray[np.float32], side: int, passes: int, threads: int
) -> float:
    """Time of all chips of one size; chips at the border have the size that is left."""
    network = backend.load(model, threads)
    arrays: Arrays = NumpyArrays()
    if backend.name == "torch":
        from geoseg.predict.tensors import Tensors  # noqa: PLC0415  # imports torch

        arrays = Tensors(backend.device)

    def classify(chip: NDArray[np.float32]) -> None:
        values = arrays.put(np.ascontiguousarray(chip)[None])
        scores = network.scores(values, arrays.put(np.ones((1, *chip.shape[1:]), bool)))
        arrays.decide(scores[0])

    rows, cols = pixels.shape[1:]
    chips = [
        pixels[:, row : row + side, col : col + side] for row in range(0, rows, side) for col in range(0, cols, side)
    ]
    with ThreadPoolExecutor(passes, initializer=arrays.start_thread, initargs=(threads,)) as pool:
        list(pool.map(classify, chips[:1] * passes))  # buffers are made, caches are filled
        start = time.perf_counter()
        list(pool.map(classify, chips))
        return time.perf_counter() - start
