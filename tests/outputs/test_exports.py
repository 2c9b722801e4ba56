"""FlatGeobuf, GeoPackage and PMTiles say what the GeoParquet file says, whole or not at all."""

from __future__ import annotations

import gzip
import json
import sqlite3
import struct
import subprocess
import sys

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely
from affine import Affine
from odc.geo import CRS

from geoseg.errors import OutputError
from geoseg.outputs import exports
from geoseg.outputs.exports import DRIVERS, export_polygons
from geoseg.outputs.style import polygon_style
from geoseg.outputs.vector import PolygonWriter

GRID = Affine(10, 0, 500_000, 0, -10, 5_400_000)
COLUMNS = ["id", "class", "name", "code", "area_m2", "confidence_mean", "confidence_p10", "pixels", "split"]


def parquet(folder, legend, batch, crs="EPSG:32633"):
    with PolygonWriter(folder, crs and CRS(crs), GRID, legend, metadata={"model licence": "CC-BY-4.0"}) as writer:
        writer.add(batch)
        path, *others = writer.close()
    for other in others:
        other.unlink()
    return path


@pytest.mark.parametrize("kind", ["fgb", "gpkg"])
def test_every_polygon_comes_back_as_it_was(tmp_path, legend, pixels, polygons_of, kind):
    path = parquet(tmp_path, legend, polygons_of(pixels))
    made = export_polygons(path, kind, pixel_m=10)
    assert made.path == tmp_path / f"polygons.{kind}"
    wanted = gpd.read_parquet(path).sort_values("id", ignore_index=True)
    found = gpd.read_file(made.path).sort_values("id", ignore_index=True)
    assert found.crs.to_epsg() == 32633
    assert list(found.columns) == [*COLUMNS, "geometry"]
    assert shapely.equals_exact(found.geometry.values, wanted.geometry.values).all()
    assert found.geometry.is_valid.all()
    for name in COLUMNS:
        equal = (found[name] == wanted[name]) | (found[name].isna() & wanted[name].isna())
        assert equal.all(), name


def test_every_polygon_is_in_the_vector_tiles_where_it_belongs(tmp_path, legend, pixels, polygons_of):
    path = parquet(tmp_path, legend, polygons_of(pixels))
    made = export_polygons(path, "pmtiles", pixel_m=10)
    wanted = gpd.read_parquet(path).set_index("id")
    found = gpd.read_file(made.path).to_crs(wanted.crs).dissolve("id")  # tiles cut what crosses their borders
    assert made.left_out == 0
    assert set(found.index) == set(wanted.index)
    assert (found["class"] == wanted["class"].reindex(found.index)).all()
    aside = found.geometry.symmetric_difference(wanted.geometry.reindex(found.index)).area
    assert (aside <= 0.3 * 10 * wanted.geometry.reindex(found.index).length).all()  # a step is a quarter of a pixel


def test_polygons_that_no_tile_holds_are_counted(tmp_path, legend, pixels, polygons_of):
    path = parquet(tmp_path, legend, polygons_of(pixels))
    made = export_polygons(path, "pmtiles", pixel_m=1000)  # a pyramid that ends long before the polygons
    assert 0 < made.left_out < len(gpd.read_parquet(path))


@pytest.mark.parametrize("kind", DRIVERS)
def test_no_polygons_make_a_file_that_opens(tmp_path, legend, polygons_of, kind):
    path = parquet(tmp_path, legend, polygons_of(np.full((4, 4), 255, np.uint8)))
    made = export_polygons(path, kind, pixel_m=10)
    found = gpd.read_file(made.path)
    assert len(found) == 0
    assert set(COLUMNS) <= set(pyogrio.read_info(made.path)["fields"])
    assert pyogrio.read_info(made.path)["crs"] == {"pmtiles": "EPSG:3857"}.get(kind, "EPSG:32633")


def test_an_archive_without_polygons_is_one_empty_tile(tmp_path, legend, polygons_of):
    """Read by the layout of the format's description, not by the driver."""
    path = parquet(tmp_path, legend, polygons_of(np.full((4, 4), 255, np.uint8)))
    body = export_polygons(path, "pmtiles", pixel_m=10).path.read_bytes()
    places = struct.unpack_from("<11Q", body, 8)
    assert body[:8] == b"PMTiles\x03"
    directory = gzip.decompress(body[places[0] : places[0] + places[1]])
    assert directory[0] == 1  # one entry
    assert directory[3] == places[7]
    facts = json.loads(gzip.decompress(body[places[2] : places[2] + places[3]]))
    assert set(facts["vector_layers"][0]["fields"]) == set(COLUMNS)
    assert gzip.decompress(body[places[6] : places[6] + places[7]]) == b""
    assert len(body) == places[6] + places[7]


@pytest.mark.parametrize("crs", ["EPSG:3413", "EPSG:3031"])
def test_polygons_at_a_pole_are_left_out_of_tiles_that_end_before_it(tmp_path, legend, pixels, polygons_of, crs):
    at_the_pole = Affine(10, 0, -1_000, 0, -10, 1_000)
    with PolygonWriter(tmp_path, CRS(crs), at_the_pole, legend) as writer:
        writer.add(polygons_of(pixels))
        path = writer.close()[0]
    made = export_polygons(path, "pmtiles", pixel_m=10)
    assert made.left_out == len(gpd.read_parquet(path)) > 0
    assert len(gpd.read_file(made.path)) == 0


def test_a_plain_pixel_grid_has_no_vector_tiles(tmp_path, legend, pixels, polygons_of):
    path = parquet(tmp_path, legend, polygons_of(pixels), crs=None)
    assert export_polygons(path, "pmtiles", pixel_m=10) is None
    made = [export_polygons(path, kind, pixel_m=10).path for kind in ("fgb", "gpkg")]
    assert set(tmp_path.iterdir()) == {path, *made}
    for found in map(gpd.read_file, made):
        assert found.crs is None or not found.crs.to_epsg()
        assert len(found) == len(gpd.read_parquet(path))


def test_a_geopackage_brings_its_style_and_its_licence(tmp_path, legend, pixels, polygons_of):
    path = parquet(tmp_path, legend, polygons_of(pixels))
    style = polygon_style(legend)
    made = export_polygons(path, "gpkg", pixel_m=10, style=style)
    with sqlite3.connect(made.path) as database:
        (table, column, content, default), *rest = database.execute(
            "SELECT f_table_name, f_geometry_column, styleQML, useAsDefault FROM layer_styles"
        ).fetchall()
        (description,) = database.execute("SELECT description FROM gpkg_contents WHERE data_type = 'features'")
        geometry = database.execute("SELECT table_name, column_name FROM gpkg_geometry_columns").fetchall()
    assert not rest
    assert (content, default) == (style, 1)
    assert [(table, column)] == geometry
    assert list(description) == ["model licence: CC-BY-4.0"]
    # For GDAL it is a table without geometry, as QGIS itself would have made it.
    assert dict(pyogrio.list_layers(made.path)) == {
        "polygons": "Polygon",
        "layer_styles": None,
    }


@pytest.mark.parametrize("kind", ["fgb", "gpkg"])
def test_what_reads_back_different_never_gets_its_name(tmp_path, legend, pixels, polygons_of, monkeypatch, kind):
    path = parquet(tmp_path, legend, polygons_of(pixels))

    def moved(arrow, *args, **more):
        table = arrow.read_all()
        place = table.schema.get_field_index("geometry")
        outlines = shapely.transform(shapely.from_wkb(table["geometry"].to_pylist()), lambda xy: xy + 1e-6)
        wkb = shapely.to_wkb(outlines, flavor="iso")
        write(table.set_column(place, table.schema.field(place), [wkb]).to_reader(), *args, **more)

    write = exports.pyogrio.write_arrow
    monkeypatch.setattr(exports.pyogrio, "write_arrow", moved)
    with pytest.raises(OutputError, match="reads back"):
        export_polygons(path, kind, pixel_m=10)
    assert list(tmp_path.iterdir()) == [path]


FULL_DISK = """
import resource, sys
from pathlib import Path
from geoseg.errors import OutputError
from geoseg.outputs.exports import export_polygons
limit, kind, path = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    export_polygons(path, kind, pixel_m=10, style="a style")
except OutputError as err:
    print(err)
    sys.exit(9)
"""


@pytest.mark.parametrize("kind", DRIVERS)
def test_a_full_disk_raises_and_leaves_nothing(tmp_path, legend, polygons_of, kind):
    noise = np.random.default_rng(5).choice(np.array([0, 1, 7], np.uint8), (60, 60))
    path = parquet(tmp_path, legend, polygons_of(noise))
    whole = export_polygons(path, kind, pixel_m=10, style="a style").path
    size = whole.stat().st_size
    whole.unlink()
    for limit in (100, size // 2, size - 10):
        command = [sys.executable, "-c", FULL_DISK, str(limit), kind, str(path)]
        cut = subprocess.run(command, capture_output=True, text=True, check=False)
        assert cut.returncode == 9, (limit, cut.stdout, cut.stderr)
        assert f"polygons.{kind}" in cut.stdout
        assert "bytes are free" in cut.stdout
        assert list(tmp_path.iterdir()) == [path], limit
