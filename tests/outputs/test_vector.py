"""Polygon files: what GDAL polygonises is what geopandas reads back, in place, with true areas."""

import json
import subprocess
import sys
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio.features
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from pyproj import Geod, Transformer
from shapely.geometry import shape

from geoseg.errors import OutputError
from geoseg.outputs import vector
from geoseg.outputs.geodesy import Geodesy, cut_at_antimeridian, footprint
from geoseg.outputs.vector import PolygonWriter

UTM = CRS("EPSG:32633")
GRID = Affine(10, 0, 500_000, 0, -10, 5_400_000)
COLUMNS = ["id", "class", "name", "code", "area_m2", "confidence_mean", "confidence_p10", "pixels", "split", "geometry"]


def write(folder, legend, batches, crs=UTM, transform=GRID, **options):
    with PolygonWriter(folder, crs, transform, legend, **options) as writer:
        for batch in batches:
            writer.add(batch)
        return writer, writer.close()


def test_parquet_holds_the_polygons_of_gdal(tmp_path, legend, pixels, polygons_of):
    batch = polygons_of(pixels)
    writer, written = write(tmp_path, legend, [batch.take(slice(0, 5)), batch.take(slice(5, None))])
    table = gpd.read_parquet(written[0])
    assert list(table.columns) == COLUMNS
    assert table.crs.to_epsg() == 32633
    assert len(table) == writer.count == len(batch.class_index)
    oracle = [shape(g) for g, _ in rasterio.features.shapes(pixels, mask=pixels < 254, connectivity=4, transform=GRID)]
    assert all(a.normalize().equals_exact(b.normalize(), 0) for a, b in zip(table.geometry, oracle, strict=True))
    names = {c.index: c.name for c in legend}
    codes = {c.index: c.code for c in legend}
    assert table["name"].tolist() == [names[i] for i in batch.class_index]
    assert [None if np.isnan(c) else c for c in table["code"]] == [codes[i] for i in batch.class_index]
    assert (table.geometry.area == table["pixels"] * 100).all()
    np.testing.assert_array_equal(writer.pixels[:250], np.bincount(pixels.ravel(), minlength=256)[:250])


def test_parquet_metadata_is_geoparquet_1_1(tmp_path, legend, pixels, polygons_of):
    _, (path, _) = write(tmp_path, legend, [polygons_of(pixels)], metadata={"licence": "CC-BY-4.0"})
    metadata = pq.read_metadata(path).metadata
    geo = json.loads(metadata[b"geo"])
    column = geo["columns"]["geometry"]
    table = gpd.read_parquet(path)
    assert geo["version"] == "1.1.0"
    assert column["geometry_types"] == ["Polygon"]
    assert column["crs"]["id"] == {"authority": "EPSG", "code": 32633}
    np.testing.assert_allclose(column["bbox"], table.total_bounds)
    assert shapely.is_ccw(shapely.get_exterior_ring(table.geometry.to_numpy())).all()
    assert metadata[b"licence"] == b"CC-BY-4.0"
    corner = table.total_bounds
    near = gpd.read_parquet(path, bbox=(corner[0], corner[1], corner[0] + 1, corner[1] + 1))
    assert len(near) < len(table)


def test_area_is_geodesic(tmp_path, legend, pixels, polygons_of):
    _, (path, _) = write(tmp_path, legend, [polygons_of(pixels)])
    table = gpd.read_parquet(path)
    geod = Geod(ellps="WGS84")
    oracle = [abs(geod.geometry_area_perimeter(g)[0]) for g in table.to_crs(4326).geometry]
    np.testing.assert_allclose(table["area_m2"], oracle, rtol=2e-6)
    assert np.abs(table["area_m2"] / table.geometry.area - 1).max() > 1e-4  # and not planar


def test_long_edges_keep_their_true_area_and_place(tmp_path, legend, polygons_of):
    """A box 300 km wide, whose southern edge a geodesic between its corners would miss by kilometres."""
    whole = polygons_of(np.zeros((3, 30_000), np.uint8))
    _, (path, geojson) = write(tmp_path, legend, [whole])
    dense = shapely.segmentize(gpd.read_parquet(path).geometry, 10)
    oracle = gpd.GeoSeries(dense, crs=32633).to_crs(4326)
    area = abs(Geod(ellps="WGS84").geometry_area_perimeter(oracle[0])[0])
    np.testing.assert_allclose(gpd.read_parquet(path)["area_m2"][0], area, rtol=1e-5)
    degrees_off = shapely.hausdorff_distance(gpd.read_file(geojson).geometry[0], oracle[0])
    assert degrees_off < 1e-6


def test_geojson_is_rfc_7946_and_says_the_same(tmp_path, legend, pixels, polygons_of):
    _, (parquet, geojson) = write(tmp_path, legend, [polygons_of(pixels)], metadata={"attribution": "é"})
    content = json.loads(geojson.read_text(encoding="utf-8"))
    assert content["type"] == "FeatureCollection"
    assert content["attribution"] == "é"
    assert "crs" not in content
    table = gpd.read_parquet(parquet)
    assert [f["id"] for f in content["features"]] == table["id"].tolist()
    first = content["features"][0]["properties"]
    assert first == {k: None if pd.isna(v) else v for k, v in table.iloc[0].drop(["id", "geometry"]).items()}
    outlines = [shape(f["geometry"]) for f in content["features"]]
    oracle = table.to_crs(4326).geometry
    assert all(a.hausdorff_distance(b) < 1e-7 for a, b in zip(outlines, oracle, strict=True))
    assert all(g.is_valid and g.exterior.is_ccw and not any(h.is_ccw for h in g.interiors) for g in outlines)
    numbers = np.array([xy for g in outlines for xy in g.exterior.coords])
    np.testing.assert_array_equal(numbers, np.round(numbers, 7))


def test_geojson_stops_at_its_limit_unless_asked_for(tmp_path, legend, pixels, polygons_of):
    batch = polygons_of(pixels)
    n = len(batch.pixels)
    (tmp_path / "polygons.geojson").write_text("of an earlier run")
    writer, written = write(tmp_path, legend, [batch], geojson_limit=n - 1)
    assert [p.name for p in written] == ["polygons.parquet"]
    assert not writer.has_geojson
    assert [p.name for p in tmp_path.iterdir()] == ["polygons.parquet"]
    _, written = write(tmp_path, legend, [batch], geojson_limit=n)
    assert [p.name for p in written] == ["polygons.parquet", "polygons.geojson"]
    _, written = write(tmp_path, legend, [batch], geojson_limit=0, formats={"geojson"})
    assert len(gpd.read_file(written[1])) == n


def test_no_polygons_make_valid_empty_files(tmp_path, legend, polygons_of):
    writer, written = write(tmp_path, legend, [polygons_of(np.full((4, 4), 255, np.uint8))])
    assert writer.count == 0
    table = gpd.read_parquet(written[0])
    assert list(table.columns) == COLUMNS
    assert table.crs.to_epsg() == 32633
    assert len(table) == 0
    assert json.loads(written[1].read_text())["features"] == []
    assert len(gpd.read_file(written[1])) == 0


def test_a_plain_pixel_grid_has_no_areas_and_no_geojson(tmp_path, legend, pixels, polygons_of):
    _, written = write(
        tmp_path, legend, [polygons_of(pixels)], crs=None, transform=Affine.identity(), formats={"geojson"}
    )
    assert [p.name for p in written] == ["polygons.parquet"]
    table = gpd.read_parquet(written[0])
    assert table.crs is None
    assert table["area_m2"].isna().all()
    assert (table.geometry.area == table["pixels"]).all()


def test_missing_confidence_is_null(tmp_path, legend, polygons_of):
    batch = polygons_of(np.zeros((2, 2), np.uint8))
    nothing = replace(batch, confidence_mean=np.array([np.nan]), confidence_p10=np.array([255], np.uint8))
    _, (parquet, geojson) = write(tmp_path, legend, [nothing])
    row = pq.read_table(parquet).to_pylist()[0]
    assert row["confidence_mean"] is None
    assert row["confidence_p10"] is None
    assert json.loads(geojson.read_text())["features"][0]["properties"]["confidence_mean"] is None


def test_a_class_that_is_not_in_the_table_is_refused_and_leaves_nothing(tmp_path, legend, polygons_of):
    with pytest.raises(ValueError, match=r"\[3\]"):
        write(tmp_path, legend, [polygons_of(np.full((2, 2), 3, np.uint8))])
    assert not list(tmp_path.iterdir())


def test_a_damaged_parquet_never_gets_its_name(tmp_path, legend, pixels, monkeypatch, polygons_of):
    def damage(writer):
        path = next(tmp_path.glob(".polygons*.parquet"))
        data = bytearray(path.read_bytes())
        geometry = pq.read_metadata(path).row_group(0).column(13)  # bbox makes four of the columns
        assert geometry.path_in_schema == "geometry"
        data[geometry.data_page_offset + geometry.total_compressed_size // 2] ^= 0xFF
        path.write_bytes(data)
        check(writer)

    check = PolygonWriter._check_parquet
    monkeypatch.setattr(PolygonWriter, "_check_parquet", damage)
    with pytest.raises(OutputError, match=r"polygons\.parquet"):
        write(tmp_path, legend, [polygons_of(pixels)])
    assert not list(tmp_path.iterdir())


def test_row_groups_are_bounded(tmp_path, legend, pixels, monkeypatch, polygons_of):
    monkeypatch.setattr(vector, "_GROUP_ROWS", 4)
    batch = polygons_of(pixels)
    _, (path, _) = write(tmp_path, legend, [batch.take([i]) for i in range(len(batch.pixels))])
    groups = pq.read_metadata(path)
    assert groups.num_row_groups == -(-len(batch.pixels) // 4)
    assert pq.read_table(path).num_rows == len(batch.pixels)
    assert isinstance(pq.read_table(path), pa.Table)


def test_a_polygon_across_the_antimeridian_is_cut_there(tmp_path, legend, polygons_of):
    grid = Affine(1000, 0, 520_000, 0, -1000, 8_000_000)
    zone = CRS("EPSG:32660")
    _, (parquet, geojson) = write(tmp_path, legend, [polygons_of(np.zeros((60, 200), np.uint8))], zone, grid)
    outline = gpd.read_file(geojson).geometry[0]
    assert outline.geom_type == "MultiPolygon"
    west, _, east, _ = outline.bounds
    assert (west, east) == (-180, 180)
    geod = Geod(ellps="WGS84")
    np.testing.assert_allclose(
        abs(geod.geometry_area_perimeter(outline)[0]), gpd.read_parquet(parquet)["area_m2"][0], rtol=1e-4
    )
    frame = footprint(GeoBox((60, 200), grid, zone))
    assert frame.geom_type == "MultiPolygon"
    assert frame.symmetric_difference(outline).area < 1e-3 * outline.area


@settings(max_examples=25, deadline=None)
@given(epsg=st.sampled_from([32633, 3857, 4326, 3031, 2056]), seed=st.integers(0, 2**20))
def test_area_of_pixels_agrees_with_area_of_polygons(epsg, seed, polygons_of):
    crs = CRS(f"EPSG:{epsg}")
    x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(8.0, -72.0 if epsg == 3031 else 47.0)
    size = 1e-4 if epsg == 4326 else 10.0
    geodesy = Geodesy(crs, Affine(size, 0, x, 0, -size, y))
    pixels = np.random.default_rng(seed).choice(np.array([0, 1], np.uint8), (8, 8))
    batch = polygons_of(pixels)
    total = geodesy.areas_m2(batch.geometry).sum()
    np.testing.assert_allclose(total, 64 * geodesy.pixel_area_m2(slice(0, 8), slice(0, 8)), rtol=1e-5)


def test_north_is_up_on_a_map_that_is_not_turned_and_follows_one_that_is():
    up = Geodesy(CRS("EPSG:4326"), Affine(1e-4, 0, 8, 0, -1e-4, 47)).north((5, 5))
    np.testing.assert_allclose(up, (0, -1), atol=1e-9)
    right = Geodesy(CRS("EPSG:4326"), Affine(0, 1e-4, 8, 1e-4, 0, 47)).north((5, 5))
    np.testing.assert_allclose(right, (1, 0), atol=1e-9)


def test_nothing_is_cut_where_nothing_crosses():
    boxes = shapely.box([0, -180], [0, 0], [1, -179], [1, 1])
    assert cut_at_antimeridian(boxes) is boxes
    assert len(cut_at_antimeridian(np.zeros(0, object))) == 0


@settings(max_examples=40, deadline=None)
@given(
    lon=st.floats(-180, 180),
    lat=st.floats(-84, 84),
    size_m=st.sampled_from([0.05, 1.0, 10.0, 30.0]),
    seed=st.integers(0, 2**20),
)
def test_area_is_geodesic_anywhere(lon, lat, size_m, seed, polygons_of):
    """Along geodesics between dense vertices, on any UTM zone, past the antimeridian too."""
    zone = int((lon + 180) // 6) % 60 + 1
    crs = CRS(f"EPSG:{(32600 if lat >= 0 else 32700) + zone}")
    x, y = Transformer.from_crs(4326, crs.proj, always_xy=True).transform(lon, lat)
    grid = Affine(size_m, 0, x, 0, -size_m, y)
    batch = polygons_of(
        np.kron(np.random.default_rng(seed).integers(0, 2, (4, 5)).astype(np.uint8), np.ones((3, 200), np.uint8))
    )
    geod = Geod(ellps="WGS84")
    dense = Geodesy(crs, grid).lonlat(shapely.segmentize(batch.geometry, 20))
    oracle = [abs(geod.geometry_area_perimeter(shapely.orient_polygons(p))[0]) for p in dense]
    thousandth_px = 0.001 * size_m**2 * shapely.length(batch.geometry) * max(1, np.tan(abs(np.radians(lat))))
    assert (np.abs(Geodesy(crs, grid).areas_m2(batch.geometry) - oracle) < thousandth_px).all()
    np.testing.assert_allclose(Geodesy(crs, grid).areas_m2(batch.geometry), oracle, rtol=3e-4)


def test_area_around_the_pole_is_that_of_the_cap(polygons_of):
    crs = CRS("EPSG:3031")
    geodesy = Geodesy(crs, Affine(10_000, 0, -1_000_000, 0, -10_000, 1_000_000))
    rows, cols = np.mgrid[:200, :200] + 0.5
    disc = (np.hypot(rows - 100, cols - 100) < 90).astype(np.uint8)
    batch = polygons_of(np.where(disc, disc, 255).astype(np.uint8))
    in_pieces = sum(geodesy.pixel_area_m2(slice(r, r + 1), slice(c, c + 1)) for r, c in np.argwhere(disc)[::40]) * 40
    np.testing.assert_allclose(geodesy.areas_m2(batch.geometry)[0], in_pieces, rtol=1e-2)


FULL_DISK = """
import resource, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np, shapely
from affine import Affine
from odc.geo import CRS
from geoseg.errors import OutputError
from geoseg.outputs.vector import PolygonWriter
limit, folder = int(sys.argv[1]), Path(sys.argv[2])
n = 3000
entry = SimpleNamespace(index=0, name="a", colour="#000000", code=None, description="")
x = np.arange(n)
_, vertices, offsets = shapely.to_ragged_array(shapely.box(x, 0, x + 1, 1))
polygons = SimpleNamespace(vertices=vertices, ring_offsets=offsets[0].astype(int), polygon_offsets=offsets[1].astype(int))
batch = SimpleNamespace(polygons=polygons, class_index=np.zeros(n, np.uint8),
    pixels=np.ones(n, np.int64), confidence_mean=np.random.default_rng(0).random(n),
    confidence_p10=np.zeros(n, np.uint8), first_pixel=x, split=np.zeros(n, bool))
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with PolygonWriter(folder, CRS("EPSG:32633"), Affine.scale(10, -10), [entry]) as writer:
        writer.add(batch)
        print(*(p.stat().st_size for p in writer.close()))
except OutputError as err:
    print(err)
    sys.exit(9)
"""


def test_a_full_disk_raises_and_leaves_nothing(tmp_path):
    def run(limit):
        command = [sys.executable, "-c", FULL_DISK, str(limit), str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    whole = run(0)
    assert whole.returncode == 0, whole.stderr
    parquet_bytes, geojson_bytes = map(int, whole.stdout.split())
    for path in tmp_path.iterdir():
        path.unlink()
    for limit in (100, parquet_bytes - 10, geojson_bytes - 10):
        cut = run(limit)
        assert cut.returncode == 9, (limit, cut.stdout, cut.stderr)
        assert ".parquet" in cut.stdout or ".geojson" in cut.stdout
        assert not list(tmp_path.iterdir()), limit
