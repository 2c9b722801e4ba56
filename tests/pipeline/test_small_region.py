"""A small region of a large scene costs what its own cells and their surroundings cost, wherever tiles end."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
import torch
import worlds

import geoseg
from geoseg.grid import Window
from geoseg.load.shared import SharedReads
from geoseg.models import ModelFolder
from geoseg.pipeline import Prepared, prepare
from geoseg.predict.passes import Passes
from geoseg.settings import Settings
from geoseg.spec import JobSpec
from geoseg.tiles import around, finite_halo, global_chips

SIDE_PX = 500
SCENE_PX = 2_000
PIXEL_M = 10.0
MOST = 1.5


@dataclass
class Work:
    """Pixels that were read for tiles, over all bands and dates; those for the preview; those of all chips."""

    read: int = 0
    computed: int = 0
    shown: int = 0


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    counted = Work()
    finish = sys.modules["geoseg.pipeline.finish"]  # the package has a function of that name
    window, preview = SharedReads.window, finish.preview_imagery

    def read(self: SharedReads, file: Any, source: Any, roi: tuple[slice, slice], *rest: Any) -> Any:
        rows, cols = roi
        counted.read += (rows.stop - rows.start) * (cols.stop - cols.start)
        return window(self, file, source, roi, *rest)

    def compute(self: Passes, values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Scores of a network that is as fast as counting."""
        rows, cols = valid.shape
        counted.computed += rows * cols
        return torch.tensor([0.7, 0.1, 0.1, 0.1])[:, None, None].expand(-1, rows, cols)

    def show(*arguments: Any, **options: Any) -> Any:
        before = counted.read
        try:
            return preview(*arguments, **options)
        finally:
            counted.shown, counted.read = counted.read - before, before

    monkeypatch.setattr(SharedReads, "window", read)
    monkeypatch.setattr(Passes, "_forward", compute)
    monkeypatch.setattr(finish, "preview_imagery", show)
    return counted


def own_work(prepared: Prepared) -> Work:
    """What the region takes in one piece: pixels of one band and date, and pixels of chips, each chip once."""
    model = prepared.model.spec
    cells = prepared.region.window.snapped(model.cell_px)
    if model.chip_px is None:
        seen = cells.padded(*finite_halo(model.radius_px, model.stride_px))
        return Work(seen.size_px, seen.size_px)
    assert model.chip_step_px is not None
    chips = [chip.window for chip in global_chips(cells, model.chip_px, model.chip_step_px)]
    return Work(around(chips).size_px, sum(chip.size_px for chip in chips))


@pytest.mark.parametrize("dates", [1, 3])
@pytest.mark.parametrize("kind", ["finite", "chip_global"])
def test_a_small_region_of_a_large_scene_takes_little_more_than_its_own_work(
    tmp_path: Path, kind: str, dates: int, request: pytest.FixtureRequest, work: Work
) -> None:
    model: ModelFolder = request.getfixturevalue(kind)
    settings = Settings(out=tmp_path / "map", cache=tmp_path / "cache", device="cpu")

    def scene(name: str, middle_px: tuple[int, int], seed: int, side_px: int = SCENE_PX) -> str:
        image = np.random.default_rng(seed).integers(1, 255, (3, side_px, side_px), dtype="uint8")
        col, row = middle_px[1] - side_px // 2, middle_px[0] - side_px // 2
        options = {"origin": (col * PIXEL_M, -row * PIXEL_M), "pixel": PIXEL_M, "compress": None}
        return str(worlds.write_raster(tmp_path / name, image, names=worlds.BANDS, **options))

    def job(scenes: list[str], aoi: Any = None) -> JobSpec:
        return JobSpec.build(scenes=tuple(scenes), model=str(model.path), aoi=aoi, composite="median")

    budget = prepare(job([scene("any.tif", (-500_000, 50_000), 0, 64)]), settings).budget
    tile_px = budget.tile_cells * model.spec.cell_px
    corner = -500_000 // tile_px * tile_px, 50_000 // tile_px * tile_px  # where four tiles meet, the worst place
    scenes = [scene(f"scene_2022010{date + 1}.tif", corner, date) for date in range(dates)]
    top, left = corner[0] - SIDE_PX // 2 + 13, corner[1] - SIDE_PX // 2 + 7
    outline = shapely.box(left, -top - SIDE_PX, left + SIDE_PX, -top)
    outline = shapely.transform(outline.buffer(-0.3, join_style="mitre"), lambda xy: xy * PIXEL_M)
    aoi = geopandas.GeoDataFrame(geometry=[outline], crs="EPSG:32633")
    prepared = prepare(job(scenes, aoi), settings)
    assert prepared.region.window == Window(top, left, top + SIDE_PX, left + SIDE_PX)
    assert len(prepared.tasks) == 4
    assert (work.read, work.computed) == (0, 0)
    result = geoseg.run(
        scenes=tuple(scenes),
        model=str(model.path),
        aoi=aoi,
        composite="median",
        out=settings.out,
        cache=settings.cache,
        device="cpu",
    )
    own = own_work(prepared)
    assert result.report["pixels"]["classified"] == SIDE_PX**2
    assert own.read * 3 * dates <= work.read <= MOST * own.read * 3 * dates
    assert own.computed <= work.computed <= MOST * own.computed
    assert work.shown <= 1.1 * SIDE_PX**2 * 3 * dates  # the picture of the report: the region itself, once more
