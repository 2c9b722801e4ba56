"""Promise 1 once more, for networks that run in OpenVINO: the shipped export on a generated scene."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import rasterio
import worlds
from numpy.typing import NDArray

import geoseg
from geoseg.demo.land import write_scene
from geoseg.models import ModelFolder, resolve
from geoseg.models.exports import find_export
from geoseg.models.exports.openvino_network import OpenVinoNetwork
from tests.pipeline.test_cutting import ROUNDING, inner_box, margin_of

MODEL = "demo-landcover"
ROWS = 600  # tiles of 256, 512 and 1024 px cut it in different places
FILES = ("classes.tif", "confidence.tif", "polygons.parquet", "areas.csv")


@pytest.fixture(scope="module")
def model() -> ModelFolder:
    return resolve(MODEL, models_dirs=(), cache=None)


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory, model: ModelFolder) -> Path:
    path = write_scene(tmp_path_factory.mktemp("land") / "land.tif", model.spec.bands, ROWS)
    with rasterio.open(path, "r+") as file:  # a hole, not in step with anything
        file.write(np.zeros((file.count, 70, 110), "uint16"), window=((333, 403), (481, 591)))
    return path


@pytest.fixture(scope="module")
def truth(land: Path, model: ModelFolder) -> NDArray[np.float32]:
    """Scores (class, y, x) of one pass over the whole scene, with more than the radius of fill around it."""
    export = find_export(model, "openvino", "exact")
    assert export is not None
    stride, around = model.spec.stride_px, 128
    with rasterio.open(land) as file:
        raw, transform = file.read(), file.transform
    # In phase with the pixel grid, which is counted from the origin of the CRS.
    phase = [round(-transform.f / transform.e) % stride, round(transform.c / transform.a) % stride]
    before = [around + place for place in phase]
    shape = [-(-(start + ROWS + around) // stride) * stride for start in before]
    part = tuple(slice(start, start + ROWS) for start in before)
    values, valid = np.zeros((1, len(raw), *shape), "float32"), np.zeros((1, *shape), bool)
    values[(0, slice(None), *part)], valid[(0, *part)] = raw * np.float32(1e-4), (raw != 0).all(axis=0)
    return OpenVinoNetwork(model.spec, export).scores(values, valid)[(0, slice(None), *part)]


def mapped(land: Path, out: Path, **options: object) -> geoseg.Result:
    cache = out.parent / f"{out.name}-cache"
    result = geoseg.run(scenes=(str(land),), model=MODEL, out=out, cache=cache, backend="openvino", **options)
    assert result.report["settings"]["backend"] == "openvino"
    return result


def test_neither_tile_size_nor_a_larger_region_changes_a_class(
    tmp_path: Path, land: Path, truth: NDArray[np.float32]
) -> None:
    box = str(worlds.region(tmp_path / "inner.geojson", *inner_box(land, 0.4)))
    cuts = {"256": {"tile_size": 256}, "512": {"tile_size": 512}, "1024": {"tile_size": 1024}}
    cuts |= {"inner": {"aoi": box, "tile_size": 512}}
    margin, expected = margin_of(truth), truth.argmax(axis=0)
    with rasterio.open(land) as whole:
        for name, options in cuts.items():
            mapped(land, tmp_path / name, **options)
            with rasterio.open(tmp_path / name / "classes.tif") as file:
                classes, window = file.read(1), whole.window(*file.bounds).round().toslices()
            confidence = worlds.read(tmp_path / name / "confidence.tif").astype(int)
            seen = classes < 250
            assert seen.sum() > (300_000 if name != "inner" else 40_000)
            sure = seen & (margin[window] > ROUNDING)
            assert sure.sum() > 0.999 * seen.sum()
            assert (classes == expected[window])[sure].all(), name
            assert np.abs(confidence - np.rint(truth.max(axis=0)[window] * 100))[seen].max() <= 1, name
            if name != "inner":
                assert (seen == (whole.read(1) != 0)).all()


def test_neither_the_number_of_passes_nor_a_kill_changes_a_byte(
    tmp_path: Path, land: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cores in (1, 2):
        monkeypatch.setattr(import_module("geoseg.pipeline.sizes"), "usable_cores", lambda n=cores: n)
        made = mapped(land, tmp_path / f"cores{cores}", tile_size=256, workers=1)
        assert made.report["settings"]["passes_at_once"] == cores
    cache, calm = tmp_path / "killed-cache", tmp_path / "cores1"
    command = [sys.executable, "-m", "geoseg", "run", "--scenes", str(land), "--model", MODEL, "--tile-size", "256"]
    command += ["--backend", "openvino", "--quiet", "--out", str(tmp_path / "killed")]
    environment = {**os.environ, "GEOSEG_CACHE": str(cache)}
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    while len(list(cache.rglob("*.zip"))) < 3:  # killed in the middle
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = len(list(cache.rglob("*.zip")))
    subprocess.run(command, env=environment, check=True)
    report = geoseg.Result.open(tmp_path / "killed").report
    assert 3 <= kept <= report["tiles"]["reused"] < report["tiles"]["total"]
    for folder in ("cores2", "killed"):
        for name in FILES:
            assert (tmp_path / folder / name).read_bytes() == (calm / name).read_bytes(), (folder, name)
        records = (
            {p.name: p.read_bytes() for p in (tmp_path / f"{f}-cache").rglob("*.zip")} for f in (folder, calm.name)
        )
        assert next(records) == next(records)
