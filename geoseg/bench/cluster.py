"""What a second worker process adds: the same tiles by one and by two of them, each with one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from geoseg.bench.context import describe_machine
from geoseg.budget import Share
from geoseg.cluster.loading import ModelLoader
from geoseg.cluster.run import ClusterWorkers
from geoseg.cluster.team import own_team
from geoseg.demo.land import write_scene
from geoseg.models import resolve
from geoseg.pipeline import prepare
from geoseg.pipeline.prepared import Prepared
from geoseg.progress import Silent
from geoseg.settings import Settings
from geoseg.spec import JobSpec
from geoseg.store import open_store
from geoseg.work import Recipe

_TILE_PX = 512
_WARM_UP = 4  # tiles: libraries, weights, the allocator's first pages


def measure_cluster(folder: Path, model: str, side_px: int, say: Callable[[str], object]) -> float:
    """Compute a generated scene by one worker process and by two.

    Returns:
        Throughput of two over that of one.
    """
    own = Settings()
    bands = resolve(model, models_dirs=own.models, cache=own.cache, offline=own.offline).spec.bands
    scene = write_scene(folder / f"scene-{model}-{side_px}.tif", bands, side_px)
    spec = JobSpec.build(scenes=(str(scene),), model=model, sensor="sentinel-2-l2a")
    prepared = prepare(
        spec, Settings.with_options(tile_size=_TILE_PX, device="cpu", backend="torch", cache=folder / "cache")
    )
    say(f"\n{model}: {side_px} x {side_px} px in tiles of {_TILE_PX} px; {describe_machine()}\n")
    with prepared.remote:
        speeds = [_mpx_per_s(prepared, processes, folder / f"store-{processes}") for processes in (1, 2)]
    for processes, speed in zip((1, 2), speeds, strict=True):
        say(f"  {processes} worker process(es), one thread each {speed:8.3f} Mpx/s\n")
    say(f"  ratio {speeds[1] / speeds[0]:34.3f}\n")
    return speeds[1] / speeds[0]


def _mpx_per_s(prepared: Prepared, processes: int, store: Path) -> float:
    """Speed of workers that have loaded what they need, from the first tile handed out to the last record written."""
    budget, parts, chips = prepared.budget, replace(prepared.key_parts, threads=1), prepared.chips
    share = Share(processes, 1, 1, budget.gdal_cache_bytes, budget.strip_bytes)
    recipe = Recipe(
        prepared.coverage, chips, parts, prepared.asset_facts, budget.strip_bytes, 1, budget.gdal_cache_bytes
    )
    loader = ModelLoader(prepared.model, chips, prepared.backend, prepared.pixel_m, 1)
    with own_team(share, "cpu") as team:
        workers = ClusterWorkers(recipe, loader, open_store(store), lambda: team, lambda _: share, 8, (), lambda: False)
        warm = prepared.tasks[: _WARM_UP * processes]
        workers.run(warm, Silent())
        tasks = prepared.tasks[len(warm) :]
        start = time.perf_counter()
        tally = workers.run(tasks, Silent())
        return tally.computed_px / 1e6 / (time.perf_counter() - start)
