"""The files of a run open in the programs that people have, and agree with each other."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import geopandas
import numpy as np
import pystac
import pytest
import rasterio
import rasterio.features
import shapely
import worlds
from rasterio.warp import transform_geom
from rio_cogeo.cogeo import cog_validate
from shapely.geometry import mapping, shape

import geoseg
from geoseg.models import ModelFolder

COLUMNS = {"class", "name", "area_m2", "confidence_mean", "confidence_p10"}


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory, scene: Path) -> Path:
    """Two overlapping areas over the raster, the second with a hole; together they leave some of it out."""
    with rasterio.open(scene) as file:
        west, south, east, north = file.bounds
        crs = str(file.crs)
    outlines = {
        "north": shapely.box(west + 43, south + 904, east - 57, north - 31),
        "south": shapely.Point((west + east) / 2, south + 800)
        .buffer(700)
        .difference(shapely.Point((west + east) / 2 + 3, south + 700).buffer(151)),
    }
    path = tmp_path_factory.mktemp("aoi") / "areas.geojson"
    content = [
        {
            "type": "Feature",
            "id": name,
            "properties": {},
            "geometry": transform_geom(crs, "EPSG:4326", mapping(outline)),
        }
        for name, outline in outlines.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": content}))
    return path


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, scene: Path, finite: ModelFolder, features: Path) -> geoseg.Result:
    folder = tmp_path_factory.mktemp("outputs")
    return geoseg.run(
        scenes=(str(scene),),
        model=str(finite.path),
        aoi=str(features),
        format=("parquet", "geojson"),
        out=folder / "map",
        cache=folder / "cache",
        tile_size=64,
    )


@pytest.fixture(scope="module")
def classes(result: geoseg.Result) -> np.ndarray:
    return worlds.read(result.out / "classes.tif")


@pytest.mark.parametrize("name", ["classes.tif", "confidence.tif"])
def test_rasters_are_cogs_of_bytes_with_nodata(result: geoseg.Result, name: str) -> None:
    valid, errors, _ = cog_validate(result.out / name, strict=False)
    assert valid, errors
    with rasterio.open(result.out / name) as file:
        assert file.dtypes == ("uint8",)
        assert file.nodata == 255
        assert file.crs == "EPSG:32633"


def test_classes_carry_colours_and_names(result: geoseg.Result) -> None:
    with rasterio.open(result.out / "classes.tif") as file:
        colours, names = file.colormap(1), file.tags(1)
        described = json.dumps({**file.tags(), **names})
    for index, colour in enumerate(worlds.COLOURS):
        assert "#{:02x}{:02x}{:02x}".format(*colours[index][:3]) == colour
        assert f"class {index}" in described


def test_the_region_is_cut_by_pixel_centres(result: geoseg.Result, features: Path, classes: np.ndarray) -> None:
    with rasterio.open(result.out / "classes.tif") as file:
        geometries = [
            shape(transform_geom("EPSG:4326", str(file.crs), feature["geometry"]))
            for feature in json.loads(features.read_text())["features"]
        ]
        outside = rasterio.features.geometry_mask(geometries, file.shape, file.transform)
    assert result.report["pixels"]["aoi"] == (~outside).sum()
    assert result.report["pixels"]["outside_aoi"] == outside.sum()
    assert (classes[outside] == 255).all()
    assert (classes[~outside] != 255).sum() == result.report["pixels"]["classified"]


def test_pixels_of_the_report_are_those_of_the_rasters(result: geoseg.Result, classes: np.ndarray) -> None:
    pixels = result.report["pixels"]
    per_class = {str(index): int((classes == index).sum()) for index in np.unique(classes) if index < 254}
    assert {index: count for index, count in pixels["per_class"].items() if count} == per_class
    assert pixels["total"] == classes.size
    accounted = pixels["classified"] + pixels["nodata_unobserved"] + pixels["nodata_masked"]
    assert accounted + sum(pixels["failed"].values()) == pixels["aoi"]
    assert pixels["nodata_unobserved"] > 0  # the raster's hole
    confidence = worlds.read(result.out / "confidence.tif")
    np.testing.assert_array_equal(confidence == 255, classes >= 254)
    assert confidence[classes < 254].max() <= 100


def test_areas_are_counted_for_each_feature(result: geoseg.Result, features: Path, classes: np.ndarray) -> None:
    with rasterio.open(result.out / "classes.tif") as file:
        crs, transform = str(file.crs), file.transform
    with (result.out / "areas.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for feature in json.loads(features.read_text())["features"]:
        outline = transform_geom("EPSG:4326", crs, feature["geometry"])
        inside = rasterio.features.geometry_mask([outline], classes.shape, transform, invert=True)
        expected = {index: int((classes[inside] == index).sum()) for index in range(len(worlds.COLOURS))}
        mine = [row for row in result.report["areas"] if row["feature"] == feature["id"]]
        assert {row["index"]: row["pixels"] for row in mine if row["index"] in expected} == expected
        assert sum(feature["id"] in row.values() for row in rows) >= len(expected)


def test_the_item_is_valid_and_lies_where_the_map_lies(result: geoseg.Result) -> None:
    item = pystac.Item.from_file(str(result.out / "item.json"))
    core = item.clone()
    core.stac_extensions = []  # their schemas are on the network
    assert core.validate()
    assert item.properties["proj:code"] == "EPSG:32633"
    with rasterio.open(result.out / "classes.tif") as file:
        assert item.properties["proj:shape"] == list(file.shape)
        assert item.properties["proj:transform"][:6] == list(file.transform)[:6]
    for asset in item.assets.values():
        path = result.out / asset.href
        assert path.is_file()
        assert asset.extra_fields.get("file:size", path.stat().st_size) == path.stat().st_size


def test_polygons_open_with_crs_and_columns(result: geoseg.Result) -> None:
    parquet = geopandas.read_parquet(result.out / "polygons.parquet")
    geojson = geopandas.read_file(result.out / "polygons.geojson")
    assert parquet.crs == "EPSG:32633"
    assert geojson.crs == "EPSG:4326"
    for table in (parquet, geojson):
        assert set(table.columns) >= COLUMNS
        assert len(table) == result.report["polygons"]["count"]
        assert table.geometry.is_valid.all()
        assert set(table["name"]) <= {f"class {index}" for index in range(4)}
    np.testing.assert_allclose(parquet["area_m2"].sum(), geojson["area_m2"].sum(), rtol=1e-6)
    moved = geojson.geometry.to_crs(parquet.crs)
    assert moved.union_all().symmetric_difference(parquet.union_all()).area < 0.001 * parquet.area.sum()


def test_the_report_needs_nothing_from_elsewhere(result: geoseg.Result) -> None:
    text = (result.out / "report.html").read_text()
    loaded = re.findall(r"""\s(?:src|href|data|poster|srcset)=["']([^"']*)["']""", text)
    loaded += re.findall(r"""url\(\s*["']?([^"')]+)""", text)
    assert loaded
    assert [link for link in loaded if not link.startswith(("data:", "#"))] == []
    assert not re.search(r"<(script|link|iframe)[^>]+(src|href)=", text)
    assert not re.search(r"@import|fetch\(|XMLHttpRequest|import\(", text)
    for word in ("class 0", "class 3", "tiny", "EPSG:32633"):
        assert word in text


def test_a_result_opens_again(result: geoseg.Result, classes: np.ndarray) -> None:
    again = geoseg.Result.open(result.out)
    assert again.report == result.report
    np.testing.assert_array_equal(again.classes.values, classes)
    assert again.classes.odc.crs == "EPSG:32633"
    assert again.confidence.dtype == np.uint8
    assert len(again.polygons) == again.report["polygons"]["count"]
    assert again.item.id == result.item.id
    assert "data:image/png;base64," in again._repr_html_()
