"""The road on a CUDA device: the same promises, and the map of the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import worlds

import geoseg
from geoseg.models import ModelFolder

pytestmark = pytest.mark.gpu


def on(device: str, out: Path, scene: Path, model: ModelFolder, tile_size: int) -> geoseg.Result:
    """Run on a device, with a tile store of its own."""
    options = {"device": device, "tile_size": tile_size, "out": out, "cache": out.parent / f"{out.name}-cache"}
    return geoseg.run(scenes=(str(scene),), model=str(model.path), **options)


@pytest.mark.parametrize("kind", ["finite", "chip_global"])
def test_gpu_gives_the_map_of_the_cpu_whatever_the_tile_size(
    tmp_path: Path, scene: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(kind)
    cpu, small, large, again = (
        on(device, tmp_path / f"{device}{size}{n}", scene, model, size)
        for n, (device, size) in enumerate((("cpu", 512), ("cuda", 32), ("cuda", 512), ("cuda", 512)))
    )
    assert {small.report["settings"]["device"], large.report["settings"]["device"]} == {"cuda"}
    maps = [worlds.read(result.out / "classes.tif") for result in (cpu, small, large)]
    confidence = [worlds.read(result.out / "confidence.tif").astype(int) for result in (cpu, small, large)]
    for other in (1, 2):
        # Scores differ in the sixth digit; a class only where two scores are that close.
        assert (maps[0] != maps[other]).sum() <= 3
        assert np.abs(confidence[0] - confidence[other]).max() <= 1
    assert (large.out / "classes.tif").read_bytes() == (again.out / "classes.tif").read_bytes()
    assert (large.out / "confidence.tif").read_bytes() == (again.out / "confidence.tif").read_bytes()
