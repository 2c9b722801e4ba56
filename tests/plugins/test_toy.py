"""A package of thirty lines adds a sensor and a head, without a change in geoseg."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoints
from pathlib import Path

import numpy as np
import pytest
import worlds

from geoseg.models import ClassInfo

TOY = Path(__file__).parent / "toy"
CLASSES = (ClassInfo(0, "dark", "#202020"), ClassInfo(1, "bright", "#f0f0f0"))


def geoseg(*words: object, cwd: Path, plugins: Path = TOY) -> subprocess.CompletedProcess[str]:
    """The command line, with a package beside geoseg on the path."""
    path = os.pathsep.join([str(plugins), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "geoseg", *map(str, words)],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of the toy camera, and a model whose item names the head ``brightness``."""
    folder = tmp_path_factory.mktemp("toy")
    image = np.random.default_rng(4).integers(20, 130, (3, 90, 130)).astype("uint8")
    image[:, 10:20, 30:50] = 9  # what the sensor calls nothing
    worlds.write_raster(folder / "scene.tif", image, names=worlds.BANDS)
    head = {"head": "brightness", "head_settings": {"limit": 0.376}}
    worlds.finite_model(folder / "model", classes=CLASSES, quantity="reflectance", **head)
    return folder


def test_the_map_is_what_the_rule_of_the_head_says(world):
    done = geoseg(
        "run", "--scenes", "scene.tif", "--sensor", "toy", "--model", "model", "--out", "map", "--tile-size", "1",
        cwd=world,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with worlds.rasterio.open(world / "scene.tif") as file:
        raw = file.read().astype("float64")
    expected = np.where((raw / 200).mean(axis=0) > 0.376, 1, 0)
    expected[(raw == 9).all(axis=0)] = 255
    classes = worlds.read(world / "map" / "classes.tif")
    assert np.array_equal(classes, expected)
    assert {0, 1, 255} == set(np.unique(classes))
    confidence = worlds.read(world / "map" / "confidence.tif")
    assert set(np.unique(confidence[classes != 255])) == {90}
    report = json.loads((world / "map" / "report.json").read_text())
    assert report["software"]["libraries"]["toy-geoseg"] == "1.0"


def test_the_page_has_the_very_lines_of_the_package(repository):
    page = (repository / "docs" / "howto" / "plug-ins.md").read_text()
    source = (TOY / "toy_geoseg.py").read_text()
    assert f"```python\n{source}```" in page
    assert len(source.splitlines()) <= 30
    project = tomllib.loads(re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[0])["project"]
    stated = {(g, name, target) for g, names in project["entry-points"].items() for name, target in names.items()}
    installed = EntryPoints._from_text((TOY / "toy_geoseg-1.0.dist-info" / "entry_points.txt").read_text())
    assert stated == {(entry.group, entry.name, entry.value) for entry in installed}
    assert (project["name"], project["version"]) == ("toy-geoseg", "1.0")
