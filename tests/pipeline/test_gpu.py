"""The road on a CUDA device: the same promises, and the map of the CPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import worlds

import geoseg
from geoseg.errors import RequestError
from geoseg.models import ModelFolder
from geoseg.models.exports.trials import export_apart

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


def test_bf16_is_measured_before_it_is_run(tmp_path: Path, scene: Path, finite: ModelFolder) -> None:
    """On a flat image rounding changes no class; what it does on others is for the gate to say."""
    options = {"device": "cuda", "profile": "bf16", "out": tmp_path / "map", "cache": tmp_path / "cache"}
    with pytest.raises(RequestError, match="--device cuda"):
        geoseg.run(scenes=(str(scene),), model=str(finite.path), **options)
    image = np.full((3, 256, 256), 120, "float32"), np.ones((256, 256), bool)
    folder = replace(finite, cache=tmp_path / "cache")
    export_apart(folder, "bf16", [image], "a flat image", backend="torch", device="cuda")
    settings = geoseg.run(scenes=(str(scene),), model=str(finite.path), **options).report["settings"]
    assert (settings["device"], settings["precision"]) == ("cuda", "bfloat16")
