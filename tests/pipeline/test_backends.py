"""The same map, whatever runs the network; and one without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import worlds

from geoseg.models import ModelFolder, timing
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
