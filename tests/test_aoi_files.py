"""Regions in vector files that are no GeoJSON."""

from __future__ import annotations

import geopandas
import pandas as pd
import pytest
from pyproj import Transformer
from shapely.geometry import Polygon, box

from geoseg.aoi import AOI
from geoseg.errors import InvalidAOIError

SQUARE = box(9.0, 47.0, 9.1, 47.1)
OTHER = box(10.0, 46.0, 10.2, 46.1)


def refusal(path):
    with pytest.raises(InvalidAOIError) as refused:
        AOI.read(path)
    assert refused.value.exit_code == 2
    return refused.value


@pytest.mark.filterwarnings("ignore:GPKG:RuntimeWarning")
def test_files_that_cannot_be_read_are_refused_by_name(tmp_path):
    (tmp_path / "empty.geojson").touch()
    (tmp_path / "torn.geojson").write_text('{"type": "Polygon", "coord')
    (tmp_path / "latin.geojson").write_bytes('{"name": "Zürich"}'.encode("latin-1"))
    (tmp_path / "torn.gpkg").write_bytes(b"SQLite format 3\0" + b"\0" * 90)
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    for path in (*sorted(tmp_path.iterdir()), tmp_path):
        assert str(path) in refusal(path).given


def test_a_geopackage_in_metres_is_the_same_region(tmp_path):
    """Corners, reprojected one by one."""
    metres = Polygon([(500_000, 5_200_000), (504_000, 5_200_100), (503_000, 5_203_000)])
    path = tmp_path / "region.gpkg"
    geopandas.GeoDataFrame({"name": ["north field"]}, geometry=[metres], crs="EPSG:32632").to_file(path)
    region = AOI.read(path)
    assert [part.id for part in region.features] == ["north field"]
    there = Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
    corners = [there.transform(x, y) for x, y in metres.exterior.coords]
    assert region.geometry.equals_exact(Polygon(corners), 1e-9)
    assert region.area_km2 == pytest.approx(metres.area / 1e6, rel=1e-3)


def test_a_vector_file_keeps_its_ids_whatever_else_is_in_its_table(tmp_path):
    path = tmp_path / "fields.gpkg"
    table = {
        "id": [17, 4],
        "when": pd.to_datetime(["2022-01-01", "2022-02-01"]),
        "name": ["a", "b"],
    }
    geopandas.GeoDataFrame(table, geometry=[SQUARE, OTHER], crs="EPSG:4326").to_file(path)
    assert [part.id for part in AOI.read(path).features] == ["17", "4"]


def test_of_several_layers_the_first_is_the_region_and_that_is_said(tmp_path):
    path = tmp_path / "two.gpkg"
    for layer, outline in (("fields", SQUARE), ("roads", OTHER)):
        geopandas.GeoDataFrame({"Name": [layer]}, geometry=[outline], crs="EPSG:4326").to_file(path, layer=layer)
    region = AOI.read(path)
    assert [part.id for part in region.features] == ["fields"]
    (warning,) = region.warnings
    assert "2 layers (fields, roads)" in warning


def test_geoparquet_is_a_region_like_others(tmp_path):
    path = tmp_path / "region.parquet"
    geopandas.GeoDataFrame({"id": ["a"]}, geometry=[SQUARE], crs="EPSG:4326").to_crs("EPSG:32633").to_parquet(path)
    region = AOI.read(path)
    assert [part.id for part in region.features] == ["a"]
    assert region.geometry.normalize().equals_exact(SQUARE.normalize(), 1e-9)
    path.write_bytes(b"PAR1 and no more")
    assert str(path) in refusal(path).given


def test_a_shapefile_without_a_crs_is_refused(tmp_path):
    path = tmp_path / "region.shp"
    with pytest.warns(UserWarning, match="crs"):
        geopandas.GeoDataFrame({"a": [1]}, geometry=[SQUARE]).to_file(path)
    err = refusal(path)
    assert str(path) in err.given
    assert "CRS" in err.expected
