"""The same map, whatever runs the network; and one without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import worlds

import geoseg
from geoseg.demo.land import write_scene
from geoseg.errors import RequestError
from geoseg.job import open_job
from geoseg.models import ModelFolder, backends, resolve, timing
from geoseg.models.backends import Choice
from geoseg.models.exports.trials import export_apart
from geoseg.pipeline import prepare
from geoseg.settings import Settings
from geoseg.spec import JobSpec

WITHOUT_TORCH = """
import importlib.util, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "torch" else find_spec(name, *rest)
sys.modules["torch"] = None
from geoseg.cli import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from geoseg.demo import write_demo

    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder)
    return folder


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated scene of the shipped model's bands, a little larger than a tile of one cell."""
    bands = resolve("demo-landcover", models_dirs=(), cache=None).spec.bands
    return write_scene(tmp_path_factory.mktemp("land") / "land.tif", bands, 320)


def mapped(land: Path, out: Path, **options: object) -> geoseg.Result:
    options = {"backend": "auto", "cache": out.parent / "cache", **options}
    return geoseg.run(scenes=(str(land),), model="demo-landcover", out=out, tile_size=1, **options)


def run(demo: Path, out: Path, backend: str, *start: str) -> dict[str, object]:
    """Map a corner of the generated region in a process of its own; returns the settings in its report."""
    words = [sys.executable, *(start or ("-m", "geoseg")), "run", "--catalog", str(demo / "catalog.json")]
    words += ["--aoi", corner(demo), "--workflow", "demo", "--backend", backend, "--out", str(out), "--quiet"]
    subprocess.run(words, check=True, env={**os.environ, "GEOSEG_CACHE": str(out) + "-cache"}, cwd=demo)
    settings: dict[str, object] = json.loads((out / "report.json").read_text())["settings"]
    return settings


def corner(demo: Path) -> str:
    from geoseg.aoi import AOI

    west, south, east, north = AOI.read(str(demo / "region.geojson")).bounds
    return f"{west},{north - (north - south) / 3},{west + (east - west) / 3},{north}"


def test_openvino_and_torch_make_one_map_and_neither_needs_the_other(demo: Path, tmp_path: Path) -> None:
    torch = run(demo, tmp_path / "torch", "torch")
    openvino = run(demo, tmp_path / "openvino", "openvino", "-c", WITHOUT_TORCH)
    assert (torch["backend"], openvino["backend"]) == ("torch", "openvino")
    one, other = (worlds.read(tmp_path / name / "classes.tif") for name in ("torch", "openvino"))
    assert (one < 250).any()
    differs = one != other
    assert differs.mean() <= 1e-5, "only where two scores are closer than 1e-5"
    confidence = [worlds.read(tmp_path / name / "confidence.tif").astype(int) for name in ("torch", "openvino")]
    assert np.abs(confidence[0] - confidence[1]).max() <= 1


def test_onnx_runtime_makes_the_map_of_torch_without_it(land: Path, tmp_path: Path) -> None:
    folder = replace(resolve("demo-landcover", models_dirs=(), cache=None), cache=tmp_path / "cache")
    export_apart(folder, "exact", backend="onnx")
    torch = mapped(land, tmp_path / "torch", backend="torch")
    words = [sys.executable, "-c", WITHOUT_TORCH, "run", "--scenes", str(land), "--model", "demo-landcover", "--quiet"]
    words += ["--backend", "onnx", "--tile-size", "1", "--out", str(tmp_path / "onnx")]
    subprocess.run(words, check=True, env={**os.environ, "GEOSEG_CACHE": str(tmp_path / "cache")})
    onnx = geoseg.Result.open(tmp_path / "onnx")
    assert onnx.report["settings"]["backend"] == "onnx"
    one, other = (worlds.read(result.out / "classes.tif") for result in (torch, onnx))
    assert (one < 250).any()
    assert (one != other).mean() <= 1e-5, "only where two scores are closer than 1e-5"
    one, other = (worlds.read(result.out / "confidence.tif").astype(int) for result in (torch, onnx))
    assert np.abs(one - other).max() <= 1


def test_a_plan_times_and_writes_nothing(
    tmp_path: Path, scene: Path, finite: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a plan must not convert or time a network")

    monkeypatch.setattr(timing, "export_apart", never)
    monkeypatch.setattr(timing, "speeds_apart", never)
    cache = tmp_path / "cache"
    spec = JobSpec.build(scenes=(str(scene),), model=str(finite.path))
    planned = prepare(spec, Settings(backend="auto", cache=cache), asks_files=False)
    assert "first run" in planned.backend.why
    assert not list(cache.rglob("*"))


# What a job was begun with


def told_apart(monkeypatch: pytest.MonkeyPatch, **mpx_per_s: float) -> None:
    """From now on a measurement says this."""
    monkeypatch.setattr(timing, "speeds_apart", lambda *_, **__: mpx_per_s)


@pytest.mark.parametrize("first", ["torch", "openvino"])
def test_a_job_keeps_to_what_it_was_begun_with(
    land: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    speeds = {"torch": 1.0, "openvino": 1.0, first: 9.0}
    told_apart(monkeypatch, **speeds)
    begun = mapped(land, tmp_path / "map")
    assert begun.report["settings"]["backend"] == first
    (tmp_path / "cache" / "backends.json").unlink()
    other = "torch" if first == "openvino" else "openvino"
    told_apart(monkeypatch, **{**speeds, other: 99.0})
    for more in ({}, {"update": True}):
        again = mapped(land, tmp_path / "map", **more)
        assert again.report["settings"]["backend"] == first
        assert again.report["tiles"]["reused"] == begun.report["tiles"]["total"]
    assert mapped(land, tmp_path / "elsewhere").report["settings"]["backend"] == other


def test_another_backend_is_taken_when_somebody_says_so(
    land: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_apart(monkeypatch, torch=1.0, openvino=9.0)
    mapped(land, tmp_path / "map")
    asked = mapped(land, tmp_path / "map", backend="torch").report
    assert asked["tiles"]["reused"] == 0
    assert any("begun with openvino on cpu" in note for note in asked["notes"])
    kept = mapped(land, tmp_path / "map").report
    assert (kept["settings"]["backend"], kept["tiles"]["computed"]) == ("torch", 0)
    assert mapped(land, tmp_path / "map", fresh=True).report["settings"]["backend"] == "openvino"


@pytest.mark.parametrize(
    "lost", [{"name": "openvino"}, {"device": "cuda", "name": "torch"}, {"precision": "float32 other"}], ids=str
)
def test_a_machine_without_what_a_job_was_begun_with_says_so(
    land: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: dict[str, str]
) -> None:
    told_apart(monkeypatch, torch=1.0, openvino=9.0)
    begun = mapped(land, tmp_path / "map").report["tiles"]["total"]
    record = tmp_path / "map" / "job" / "backend.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), **lost}))
    if lost == {"name": "openvino"}:
        monkeypatch.setattr(backends, "has_openvino", lambda: False)
    before = (tmp_path / "map" / "report.json").read_bytes()
    with pytest.raises(RequestError) as refused:
        mapped(land, tmp_path / "map", device="auto")
    assert len(str(refused.value).splitlines()) == 3
    assert "was begun with" in refused.value.given
    assert "--backend torch --device cpu" in refused.value.todo
    assert (tmp_path / "map" / "report.json").read_bytes() == before
    assert mapped(land, tmp_path / "map", backend="torch", device="cpu").report["tiles"]["computed"] == begun


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "torch", "device": "cpu", "precision": 32}'])
def test_a_torn_record_of_the_backend_is_none(tmp_path: Path, text: str) -> None:
    spec = JobSpec(model="m", scenes=("a.tif",))
    with open_job(tmp_path / "map", spec, fresh=False, update=False).taken([], Choice("torch", "cpu", "float32")):
        assert open_job(tmp_path / "map", spec, fresh=False, update=False).backend == Choice("torch", "cpu", "float32")
    (tmp_path / "map" / "job" / "backend.json").write_text(text)
    assert open_job(tmp_path / "map", spec, fresh=False, update=False).backend is None
