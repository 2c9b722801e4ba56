"""Somebody with a Sentinel-2 scene on disk types what the pages print, and gets polygons that QGIS shows in the right place."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.features
from pages import command_lines, fences

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "docs" / "howto" / "sentinel-2.md"]
OWN_SCENE = re.compile(r"geoseg run --scenes (S2A\S+\.SAFE|bands/) .*--format gpkg")
COMMANDS = {
    page.name: [line for fence in fences(page) for line in command_lines(fence.text) if OWN_SCENE.match(line)]
    for page in PAGES
}
SHIPPED = "--model demo-landcover"


def test_both_pages_print_the_same_way_from_a_scene_to_polygons():
    readme, howto = COMMANDS.values()
    assert {OWN_SCENE.match(line)[1][:3] for line in readme} == {"S2A", "ban"}
    assert set(readme) <= set(howto)
    assert any(SHIPPED in line for line in howto)


@pytest.mark.parametrize("line", sorted({line for lines in COMMANDS.values() for line in lines}))
def test_a_scene_on_disk_becomes_polygons_in_the_right_place(
    line, request, readers_disk, terminal, tmp_path, monkeypatch
):
    if SHIPPED not in line:  # the default model's weights are fetched, or put where the page on offline work says
        monkeypatch.setenv("GEOSEG_MODELS", str(request.getfixturevalue("shared") / "data" / "weights"))
    terminal(line)
    out = tmp_path / re.search(r"--out (\S+)", line)[1]
    with closing(sqlite3.connect(out / "polygons.gpkg")) as file:
        assert file.execute("select count(*) from layer_styles where useAsDefault").fetchone() == (1,)
    polygons = geopandas.read_file(out / "polygons.gpkg", layer="polygons")
    assert len(polygons) > 50
    with rasterio.open(next((readers_disk / "bands").glob("*_B02_*"))) as scene:
        assert polygons.crs == scene.crs
        drawn = rasterio.features.rasterize(
            zip(polygons.geometry, polygons["class"], strict=True), scene.shape, 255, transform=scene.transform
        )
        bounds = scene.bounds
    with rasterio.open(readers_disk / "demo-data" / "truth" / "landcover.tif") as file:
        truth = file.read(1, window=file.window(*bounds))
    seen = drawn != 255
    assert seen.mean() > 0.5  # the rest is cloud
    water = polygons.loc[polygons["name"] == "water", "class"].iloc[0]
    shifts = [(rows, cols) for rows in range(-3, 4) for cols in range(-3, 4)]
    best = max(shifts, key=lambda shift: agreement(np.roll(drawn, shift, (0, 1)), truth, water))
    assert best == (0, 0)


def agreement(drawn, truth, water: int) -> float:
    """How alike the water is in map and truth: shared over all, where the map has a class."""
    seen = drawn != 255
    mapped, true = (drawn == water) & seen, (truth == 0) & seen
    return float((mapped & true).sum() / max(1, (mapped | true).sum()))
