"""A run writes the formats it is asked for, and the styles that QGIS takes by itself."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import geopandas as gpd
import pytest

import geoseg
from geoseg.models import ModelFolder


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, scene: Path, finite: ModelFolder) -> geoseg.Result:
    folder = tmp_path_factory.mktemp("formats")
    return geoseg.run(
        scenes=(str(scene),),
        model=str(finite.path),
        format="fgb,gpkg,pmtiles",
        out=folder / "map",
        cache=folder / "cache",
        tile_size=64,
    )


def test_all_formats_hold_the_same_polygons(result: geoseg.Result) -> None:
    wanted = set(result.polygons["id"])
    assert wanted
    for kind in ("fgb", "gpkg", "pmtiles"):
        assert set(gpd.read_file(result.out / f"polygons.{kind}", layer="polygons")["id"]) == wanted, kind


def test_every_file_is_named_in_the_report_and_in_the_item(result: geoseg.Result) -> None:
    here = {path.name for path in result.out.iterdir() if path.is_file()}
    assert {
        "polygons.fgb",
        "polygons.gpkg",
        "polygons.pmtiles",
        "classes.qml",
        "confidence.qml",
        "polygons.qml",
    } <= here
    listed = {file["path"] for file in result.report["outputs"]}
    assert listed == here - {"report.json", "report.html", "item.json"}
    assets = json.loads((result.out / "item.json").read_text())["assets"].values()
    assert {asset["href"].removeprefix("./") for asset in assets} == here - {"item.json"}
    assert all(asset["title"] and asset["type"] != "application/octet-stream" for asset in assets)


def test_every_run_has_its_styles_and_no_format_that_nobody_asked_for(
    tmp_path: Path, scene: Path, finite: ModelFolder
) -> None:
    result = geoseg.run(scenes=(str(scene),), model=str(finite.path), out=tmp_path / "map")
    names = {category.get("label") for category in ET.parse(result.out / "polygons.qml").iter("category")}
    assert names == {entry["name"] for entry in result.report["classes"]}
    assert len(list(ET.parse(result.out / "classes.qml").iter("paletteEntry"))) == len(names) + 1
    kinds = {path.suffix for path in result.out.iterdir()}
    assert not kinds & {".fgb", ".gpkg", ".pmtiles"}
