"""Group D of the list of faults: nodata, masks, places."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import worlds
from affine import Affine
from rasterio.rpc import RPC

import geoseg
from geoseg.errors import GeosegError, NothingToDoError
from geoseg.inputs import filler_warnings
from geoseg.models import ModelFolder
from geoseg.pipeline.prepare import prepare
from geoseg.settings import Settings
from geoseg.spec import JobSpec
from tests import imagery
from tests.faults.rasters import found, image, read, refusal
from tests.faults.server import FaultServer
from tests.remote.world import PLACE, request, write_catalogue


def warned(*paths: Path, **options: Any) -> tuple[str, ...]:
    return filler_warnings(found(*paths, **options).items)


# 41: empty edges


def with_edge(path: Path, value: int = 0, **options: Any) -> Path:
    picture = image((100, 100))
    picture[:, np.tri(100, dtype=bool)] = value
    return worlds.write_raster(path, picture, **{"names": worlds.BANDS, **options})


@pytest.mark.fault(41)
@pytest.mark.parametrize("value", [0, 1, 255])
def test_fault_41_an_empty_edge_without_nodata_is_told_with_its_share(tmp_path: Path, value: int) -> None:
    (words,) = warned(with_edge(tmp_path / "a.tif", value))
    assert "50.5 %" in words
    assert ("exact zeros" if value == 0 else f"value {value}") in words
    assert f"-a_nodata {value}" in words


@pytest.mark.fault(41)
def test_fault_41_declared_or_small_or_inner_emptiness_is_no_news(tmp_path: Path) -> None:
    assert not warned(with_edge(tmp_path / "declared.tif", nodata=0))
    inner = image((100, 100))
    inner[:, 40:60, 40:60] = 0  # a dark lake
    assert not warned(worlds.write_raster(tmp_path / "lake.tif", inner, names=worlds.BANDS))


@pytest.mark.fault(41)
def test_fault_41_a_sensor_rule_masks_the_edge(tmp_path: Path) -> None:
    picture = worlds.landscape((100, 100), 2).astype("uint16") * 20
    edge = np.tri(100, dtype=bool)
    picture[:, edge] = 0
    (item,) = found(worlds.write_raster(tmp_path / "a.tif", picture, names=("B04", "B08")), wanted=("B04",)).items
    assert np.array_equal(read(item)[0].usable, ~edge)


@pytest.mark.fault(41)
def test_fault_41_the_run_says_it_in_the_report(tmp_path: Path, colours: ModelFolder) -> None:
    path = with_edge(tmp_path / "a.tif")
    result = geoseg.run(scenes=str(path), model=str(colours.path), out=tmp_path / "map", device="cpu")
    assert any("exact zeros" in words for words in result.report["warnings"])


def of_catalogue(
    folder: Path, server: FaultServer, model: ModelFolder, near: bool, checksum: str | None = None, **bands: Any
) -> list[str]:
    """Warnings of a run on a NAIP item whose file lies on this machine or on a server."""
    href = str(folder / "image.tif") if near else f"{server.url}/image.tif"
    catalogue = json.loads(write_catalogue(folder / "catalogue", "").with_name("scene.json").read_text())
    asset = {**catalogue["assets"].pop("red"), "href": href, "raster:bands": [bands] * 3, "file:checksum": checksum}
    asset["eo:bands"] = [{"name": name} for name in worlds.BANDS]
    path = folder / "item.json"
    path.write_text(json.dumps({**catalogue, "collection": "naip", "assets": {"image": asset}}))
    options = request(folder, "", model.path, out=folder / "map", sensor=None, collection="naip")
    return geoseg.run(**{**options, "catalog": str(path)}).report["warnings"]


def naip(folder: Path, value: int, **options: Any) -> None:
    """An image on the pixels of the scene of `tests.remote.world`, a quarter of it one value in all bands."""
    picture = worlds.landscape(PLACE.shape, 3).astype("uint8")
    picture[:, :, : PLACE.shape[1] // 4] = value
    imagery.paint(folder / "image.tif", picture, PLACE, **options)


@pytest.mark.fault(41)
@pytest.mark.parametrize("near", [True, False], ids=["here", "on a server"])
def test_fault_41_a_scene_of_a_catalogue_without_a_rule_is_told_too(
    folder: Path, server: FaultServer, colours: ModelFolder, near: bool
) -> None:
    naip(folder, 0)
    (words,) = [said for said in of_catalogue(folder, server, colours, near) if "exact zeros" in said]
    assert "25.0 %" in words
    assert ("gdal_edit.py" in words) is near


@pytest.mark.fault(41)
def test_fault_41_a_scene_of_a_catalogue_with_a_tag_in_its_file_is_masked(
    folder: Path, server: FaultServer, colours: ModelFolder
) -> None:
    naip(folder, 0, nodata=0)
    assert not [said for said in of_catalogue(folder, server, colours, near=True) if "exact zeros" in said]
    assert (worlds.read(folder / "map" / "classes.tif") == 255).mean() > 0.2


@pytest.mark.fault(33)
def test_fault_33_a_checksum_of_no_known_kind_is_in_the_report(
    folder: Path, server: FaultServer, colours: ModelFolder
) -> None:
    naip(folder, 9, nodata=9)
    words = of_catalogue(folder, server, colours, near=True, checksum="md5:123")
    assert [said for said in words if "file:checksum" in said and "md5:123" in said]


@pytest.mark.fault(42)
def test_fault_42_a_legal_value_as_nodata_of_a_catalogue_is_reported(
    folder: Path, server: FaultServer, colours: ModelFolder
) -> None:
    naip(folder, 0)
    with rasterio.open(folder / "image.tif", "r+") as file:
        picture = file.read()
        picture[0, :64] = 7
        file.write(picture)
    words = of_catalogue(folder, server, colours, near=True, nodata=7)
    assert [said for said in words if "nodata 7 is a value too" in said]


# 42: nodata that cannot be, that is no number, that is a value too


@pytest.mark.fault(42)
def test_fault_42_an_impossible_tag_is_ignored_and_said(tmp_path: Path) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", image(), names=worlds.BANDS, nodata=200)
    content = path.read_bytes()
    entry = struct.pack("<HHI", 42113, 2, 4)  # GDAL's nodata tag, as text of four bytes
    assert entry + b"200\x00" in content  # more than once where GDAL has written the directory anew
    path.write_bytes(content.replace(entry + b"200\x00", entry + b"-99\x00"))
    result = found(path)
    (words,) = result.warnings
    assert "nodata -99 cannot be a pixel of uint8" in words
    assert "ignored" in words
    assert read(result.items[0])[0].usable.all()


@pytest.mark.fault(42)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_fault_42_what_is_no_number_is_unobserved(tmp_path: Path, value: float) -> None:
    picture = image().astype("float32")
    picture[1, 10:20, 30:40] = value
    (item,) = found(worlds.write_raster(tmp_path / "a.tif", picture, names=worlds.BANDS, nodata=np.nan)).items
    usable = np.ones((60, 70), bool)
    usable[10:20, 30:40] = False
    assert np.array_equal(read(item)[0].usable, usable)


@pytest.mark.fault(42)
def test_fault_42_a_legal_value_as_nodata_is_reported_with_its_share(tmp_path: Path) -> None:
    picture = image((100, 100))
    picture[0, :10, :30] = 0
    path = worlds.write_raster(tmp_path / "a.tif", picture, names=worlds.BANDS, nodata=0)
    (words,) = warned(path)
    assert "nodata 0" in words
    assert "3.0 %" in words
    assert not read(found(path).items[0])[0].usable[:10, :30].any()


# 43: nothing but nodata


@pytest.mark.fault(43)
def test_fault_43_nothing_but_nodata_ends_with_3_and_valid_empty_files(tmp_path: Path, colours: ModelFolder) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", np.zeros((3, 40, 50), "uint8"), names=worlds.BANDS, nodata=0)
    with pytest.raises(NothingToDoError) as refused:
        geoseg.run(scenes=str(path), model=str(colours.path), out=tmp_path / "map", device="cpu")
    assert refused.value.exit_code == 3
    assert "without a scene" in refused.value.given
    assert "--scenes" in refused.value.todo
    assert "--datetime" not in refused.value.todo
    assert (worlds.read(tmp_path / "map" / "classes.tif") == 255).all()
    for name in ("classes.tif", "confidence.tif"):
        with rasterio.open(tmp_path / "map" / name) as file:
            assert not file.read_masks(1).any(), name
    table = gpd.read_parquet(tmp_path / "map" / "polygons.parquet")
    assert len(table) == 0
    assert table.crs == "EPSG:32633"
    report = json.loads((tmp_path / "map" / "report.json").read_text())
    assert report["polygons"]["count"] == 0
    assert report["pixels"]["failed"] == {}


@pytest.mark.fault(43)
def test_fault_43_nothing_but_cloud_ends_with_3_too(tmp_path: Path) -> None:
    model = worlds.finite_model(tmp_path / "model", bands=("B02", "B04"))
    for name, value in (("B02", 900), ("B04", 800), ("SCL", 9)):
        worlds.write_raster(tmp_path / "scene" / f"T33_20220601_{name}.tif", np.full((1, 40, 50), value, "uint16"))
    with pytest.raises(NothingToDoError) as refused:
        geoseg.run(scenes=str(tmp_path / "scene"), model=str(model.path), out=tmp_path / "map", device="cpu")
    assert "2000 masked" in refused.value.given
    assert (worlds.read(tmp_path / "map" / "classes.tif") == 255).all()


# 44: bands of different masks and resolutions


@pytest.mark.fault(44)
def test_fault_44_a_pixel_is_valid_where_every_band_is(tmp_path: Path) -> None:
    one = np.full((1, 4, 4), 5, "uint16")
    other = one.copy()
    one[0, 0] = 0
    other[0, :, 0] = 0
    for name, band in (("B02", one), ("B04", other)):
        worlds.write_raster(tmp_path / "scene" / f"T33_{name}.tif", band)
    (item,) = found(tmp_path / "scene", wanted=("B02", "B04")).items
    usable = np.array([[0, 0, 0, 0], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]], bool)
    assert np.array_equal(read(item)[0].usable, usable)


@pytest.mark.fault(44)
def test_fault_44_the_report_names_how_each_band_was_resampled(tmp_path: Path) -> None:
    model = worlds.finite_model(tmp_path / "model", bands=("B02", "B11"))
    for name, pixel, side in (("B02", 10.0, 40), ("B11", 20.0, 20)):
        picture = worlds.landscape((side, side), 1).astype("uint16")
        worlds.write_raster(tmp_path / "scene" / f"T33_{name}.tif", picture, pixel=pixel)
    result = geoseg.run(scenes=str(tmp_path / "scene"), model=str(model.path), out=tmp_path / "map", device="cpu")
    assert result.report["scenes"][0]["notes"] == ["B11 resampled from 20 to 10 CRS units per pixel, bilinear"]


# 45: no place


def unplaced(path: Path, **header: Any) -> Path:
    picture = image()
    options = {"driver": "GTiff", "width": 70, "height": 60, "count": 3, "dtype": "uint8", "photometric": "RGB"}
    with rasterio.open(path, "w", **options, **header) as file:
        file.write(picture)
    return path


@pytest.mark.fault(45)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_fault_45_what_is_missing_is_named_and_how_to_supply_it(tmp_path: Path) -> None:
    transform = Affine(0.01, 0, 13, 0, -0.01, 45)  # degrees, to tempt
    for name, header, missing in (
        ("crs", {"transform": transform}, "without a CRS,"),
        ("place", {"crs": "EPSG:4326"}, "without a geotransform,"),
        ("both", {}, "without a CRS and a geotransform,"),
    ):
        err = refusal(unplaced(tmp_path / f"{name}.tif", **header))
        assert missing in err.given
        assert "--pixel-grid" in err.todo
        assert "gdal_edit" in err.todo


@pytest.mark.fault(45)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_fault_45_rational_polynomials_alone_are_sent_to_be_warped(tmp_path: Path) -> None:
    path = unplaced(tmp_path / "a.tif")
    numbers = {"lat_off": 45.0, "lat_scale": 0.1, "long_off": 13.0, "long_scale": 0.1, "height_off": 0.0}
    numbers |= {"height_scale": 500.0, "line_off": 30.0, "line_scale": 30.0, "samp_off": 35.0, "samp_scale": 35.0}
    line, sample = ([0.0, *one, *[0.0] * 17] for one in ((0.0, -1.0), (1.0, 0.0)))
    one = [1.0, *[0.0] * 19]
    with rasterio.open(path, "r+") as file:
        file.rpcs = RPC(**numbers, line_num_coeff=line, line_den_coeff=one, samp_num_coeff=sample, samp_den_coeff=one)
    err = refusal(path)
    assert "RPC" in err.given
    assert "geotransform" in err.expected
    assert "gdalwarp -rpc" in err.todo
    assert "--pixel-grid" in err.todo


@pytest.mark.fault(45)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_fault_45_a_plain_pixel_grid_gives_the_classes_of_the_same_raster_with_a_place(
    tmp_path: Path, colours: ModelFolder
) -> None:
    bare = unplaced(tmp_path / "bare.tif")
    placed = unplaced(tmp_path / "placed.tif", crs="EPSG:3857", transform=Affine(1, 0, 0, 0, -1, 0))
    options: dict[str, Any] = {"model": str(colours.path), "device": "cpu"}
    plain = geoseg.run(scenes=str(bare), pixel_grid=True, out=tmp_path / "plain", **options)
    clean = geoseg.run(scenes=str(placed), out=tmp_path / "clean", **options)
    assert np.array_equal(worlds.read(plain.out / "classes.tif"), worlds.read(clean.out / "classes.tif"))
    with rasterio.open(plain.out / "classes.tif") as file:
        assert file.crs is None
    assert plain.report["grid"]["crs"] is None
    assert plain.report["polygons"]["count"] == clean.report["polygons"]["count"]
    assert not (plain.out / "polygons.geojson").exists()
    assert all(row["area_m2"] is None for row in plain.report["areas"])
    item = json.loads((plain.out / "item.json").read_text())
    assert item["geometry"] is None


@pytest.mark.fault(45)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_fault_45_a_pixel_grid_has_no_region_no_crs_and_one_size(tmp_path: Path, colours: ModelFolder) -> None:
    bare = unplaced(tmp_path / "bare.tif")
    for option in ({"crs": "EPSG:3857"}, {"aoi": "9,47,9.1,47.1"}, {"resolution": 2.0}):
        spec = JobSpec.build(scenes=str(bare), model=str(colours.path), pixel_grid=True, **option)
        with pytest.raises(GeosegError) as refused:
            prepare(spec, Settings(cache=tmp_path))
        assert refused.value.exit_code == 2
        assert f"--{next(iter(option))}" in refused.value.given
    other = worlds.write_raster(tmp_path / "other.tif", image((61, 70)), names=worlds.BANDS)
    assert "61" in refusal(bare, other, pixel_grid=True).given


@pytest.mark.fault(45)
def test_fault_45_other_planets_have_no_place_on_earth(tmp_path: Path) -> None:
    for name, crs in (("moon", "+proj=longlat +a=1737400 +b=1737400"), ("mars", "+proj=eqc +R=3396190 +units=m")):
        path = worlds.write_raster(tmp_path / f"{name}.tif", image(), names=worlds.BANDS, crs=crs)
        err = refusal(path)
        assert "km radius" in err.given
        assert "--pixel-grid" in err.todo
        assert found(path, pixel_grid=True).items
    sphere = worlds.write_raster(tmp_path / "modis.tif", image(), names=worlds.BANDS, crs="+proj=sinu +R=6371007.181")
    assert found(sphere).items
