"""Group D of the list of faults: nodata, masks, places."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import worlds
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from shapely.geometry import shape

import geoseg
from geoseg.errors import GeosegError, NothingToDoError
from geoseg.inputs import filler_warnings
from geoseg.load import lazy_item, pixels_of, reading
from geoseg.models import ModelFolder
from geoseg.pipeline.prepare import prepare
from geoseg.scenes import Found, find_scenes
from geoseg.settings import Settings
from geoseg.spec import JobSpec
from tests.faults import painted

RGB = ("red", "green", "blue")
# Bands of the files of the shared folders, and the share of pixels without data that a look at them gives.
ACCEPTED = {
    "scenes-awkward/antimeridian_utm60n.tif": 0.0,
    "scenes-awkward/hro_rgb.tif": 0.0,
    "scenes-awkward/hro_rgb_nodata.tif": 0.0266,
    "scenes-awkward/hro_rgb_alpha.tif": 0.1130,
    "scenes-awkward/hro_rgb_extmask.tif": 0.0308,
    "scenes-awkward/landsat_rgb_sidecar_mask.tif": 0.326,
    "scenes-awkward/landsat_rgb_nodata_edges.tif": 0.3254,
    "scenes-awkward/scale_offset_no_epsg.tif": 0.0,
    "scenes-awkward/lidar_dtm_2m.tif": 0.0038,
    "scenes-naip-series/m_4709963_se_14_1_20140720.tif": 0.0,
    "modis-ndvi-sinop/TERRA_MODIS_012010_NDVI_2013-09-14.jp2": 0.0,
}


@pytest.fixture(scope="module")
def positions(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A model that reads rows and columns; only its bands matter."""
    return worlds.finite_model(tmp_path_factory.mktemp("models") / "positions", bands=painted.BANDS)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A small network of red, green and blue."""
    return worlds.finite_model(tmp_path_factory.mktemp("models") / "colours")


def found(*paths: Path, wanted: tuple[str, ...] = RGB, **options: Any) -> Found:
    return find_scenes(JobSpec.build(scenes=tuple(map(str, paths)), model="any", **options), None, wanted)


def refusal(*paths: Path, wanted: tuple[str, ...] = RGB, **options: Any) -> GeosegError:
    with pytest.raises(GeosegError) as refused:
        found(*paths, wanted=wanted, **options)
    assert refused.value.exit_code == 2
    return refused.value


def image(shape: tuple[int, int] = (60, 70), bands: int = 3) -> Any:
    return worlds.landscape(shape, bands).astype("uint8")


def read(item: Any) -> Any:
    with reading(10**8):
        lazy = lazy_item(item, item.geobox, item.geobox.shape[0], item.sensor.quantity)
        return pixels_of(lazy, slice(0, item.geobox.shape[0]), 2)[0]


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
    assert np.array_equal(read(item).usable, ~edge)


@pytest.mark.fault(41)
def test_fault_41_the_run_says_it_in_the_report(tmp_path: Path, colours: ModelFolder) -> None:
    path = with_edge(tmp_path / "a.tif")
    result = geoseg.run(scenes=str(path), model=str(colours.path), out=tmp_path / "map", device="cpu")
    assert any("exact zeros" in words for words in result.report["warnings"])


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
    assert read(result.items[0]).usable.all()


@pytest.mark.fault(42)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_fault_42_what_is_no_number_is_unobserved(tmp_path: Path, value: float) -> None:
    picture = image().astype("float32")
    picture[1, 10:20, 30:40] = value
    (item,) = found(worlds.write_raster(tmp_path / "a.tif", picture, names=worlds.BANDS, nodata=np.nan)).items
    usable = np.ones((60, 70), bool)
    usable[10:20, 30:40] = False
    assert np.array_equal(read(item).usable, usable)


@pytest.mark.fault(42)
def test_fault_42_a_legal_value_as_nodata_is_reported_with_its_share(tmp_path: Path) -> None:
    picture = image((100, 100))
    picture[0, :10, :30] = 0
    path = worlds.write_raster(tmp_path / "a.tif", picture, names=worlds.BANDS, nodata=0)
    (words,) = warned(path)
    assert "nodata 0" in words
    assert "3.0 %" in words
    assert not read(found(path).items[0]).usable[:10, :30].any()


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
    report = json.loads((tmp_path / "map" / "report.json").read_text())
    assert report["polygons"]["count"] == 0


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
    assert np.array_equal(read(item).usable, usable)


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


# 46: one grid


@pytest.mark.fault(46)
def test_fault_46_two_zones_and_degrees_meet_within_half_a_pixel(tmp_path: Path, positions: ModelFolder) -> None:
    """Three scenes side by side at 12° E, in UTM 32, UTM 33 and longitude and latitude."""
    paths = []
    for number, (crs, lon) in enumerate((("EPSG:32632", 11.992), ("EPSG:32633", 12.0), ("EPSG:4326", 12.008))):
        x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(lon, 47.0)
        step = 1e-4 if crs == "EPSG:4326" else 10.0
        paths.append(
            painted.paint(
                tmp_path / f"{number}.tif", (90, 110), crs=crs, transform=Affine(step, 0, x, 0, -step, y), nodata=0
            )
        )
    prepared = painted.planned(positions, *paths, cache=tmp_path)
    errors, seen = painted.errors_px(prepared, paths)
    assert seen.mean() > 0.6
    inner = errors[seen]
    assert np.quantile(inner, 0.98) <= 0.5
    assert np.median(inner) < 0.05
    assert "zone that holds most" in prepared.lattice_origin


# 48: custom, compound and authority axis order


@pytest.mark.fault(48)
@pytest.mark.parametrize(
    ("crs", "x", "y", "step"),
    [
        ("EPSG:4326", 13.0, 45.0, 1e-4),
        ("EPSG:32633+5773", 500_000.0, 5_000_000.0, 10.0),
        ("+proj=tmerc +lat_0=0 +lon_0=14 +k=1 +x_0=100000 +y_0=0 +ellps=GRS80", 100_000.0, 5_000_000.0, 10.0),
        ("EPSG:2193", 1_600_000.0, 5_500_000.0, 10.0),  # northing before easting, by authority
    ],
)
def test_fault_48_x_and_y_are_never_swapped(
    tmp_path: Path, positions: ModelFolder, crs: str, x: float, y: float, step: float
) -> None:
    path = painted.paint(tmp_path / "a.tif", (40, 50), crs=crs, transform=Affine(step, 0, x, 0, -step, y))
    prepared = painted.planned(positions, path, cache=tmp_path)
    corner = prepared.geobox.transform @ (0, 0)
    assert corner == pytest.approx((x, y))
    errors, seen = painted.errors_px(prepared, [path])
    assert seen.all()
    assert errors.max() < 1e-6


@pytest.mark.fault(48)
def test_fault_48_a_known_corner_reaches_the_item(tmp_path: Path, colours: ModelFolder) -> None:
    for number, (crs, x, y, step) in enumerate(
        (("EPSG:4326", 13.0, 45.0, 1e-4), ("EPSG:32633+5773", 500_000.0, 5_000_000.0, 10.0))
    ):
        path = worlds.write_raster(
            tmp_path / f"{number}.tif", image(), names=worlds.BANDS, crs=crs, origin=(x, y), pixel=step
        )
        result = geoseg.run(scenes=str(path), model=str(colours.path), out=tmp_path / f"map{number}", device="cpu")
        lon, lat = Transformer.from_crs(crs.partition("+")[0], 4326, always_xy=True).transform(x, y)
        assert result.report["grid"]["corners_lonlat"][0] == pytest.approx((lon, lat))
        bbox = json.loads((result.out / "item.json").read_text())["bbox"]
        assert (bbox[0], bbox[3]) == pytest.approx((lon, lat), abs=1e-4)


# The antimeridian and the poles


def test_degrees_on_both_sides_of_the_antimeridian_make_one_small_map(tmp_path: Path, positions: ModelFolder) -> None:
    paths = [
        painted.paint(tmp_path / f"{name}.tif", (60, 80), crs="EPSG:4326", transform=Affine(0.01, 0, x, 0, -0.01, 45))
        for name, x in (("east", 179.2), ("west", -180.0))
    ]
    for given in (paths, paths[::-1]):
        prepared = painted.planned(positions, *given, cache=tmp_path)
        assert prepared.geobox.shape == (60, 160)
        assert prepared.geobox.transform.c == pytest.approx(179.2)
        errors, seen = painted.errors_px(prepared, paths)
        assert seen.all()
        assert errors.max() < 1e-6
    part = painted.planned(positions, *paths, cache=tmp_path, aoi="-179.9,44.7,-179.7,44.8")
    errors, seen = painted.errors_px(part, paths)
    assert seen.shape == (10, 20)
    assert seen.all()
    assert errors.max() < 1e-6


def test_a_map_in_degrees_of_scenes_across_the_antimeridian_is_refused(tmp_path: Path, positions: ModelFolder) -> None:
    path = painted.paint(
        tmp_path / "a.tif", (40, 400), crs="EPSG:32660", transform=Affine(1000, 0, 500_000, 0, -1000, 5_000_000)
    )
    with pytest.raises(GeosegError) as refused:
        painted.planned(positions, path, cache=tmp_path, crs="EPSG:4326", resolution=0.01)
    assert refused.value.exit_code == 2
    assert "EPSG:32660" in refused.value.todo


def test_a_raster_over_the_pole_has_a_valid_item(tmp_path: Path, colours: ModelFolder) -> None:
    path = worlds.write_raster(
        tmp_path / "a.tif", image((24, 30)), names=worlds.BANDS, crs="EPSG:3031", origin=(-60_000, 75_000), pixel=5000
    )
    result = geoseg.run(scenes=str(path), model=str(colours.path), out=tmp_path / "map", device="cpu")
    item = json.loads((result.out / "item.json").read_text())
    assert item["bbox"][0] == -180
    assert item["bbox"][1] == -90
    assert item["bbox"][2] == 180
    assert shape(item["geometry"]).is_valid
    polygons = json.loads((result.out / "polygons.geojson").read_text())["features"]
    assert all(shape(feature["geometry"]).is_valid for feature in polygons)


# The shared folders


@pytest.mark.parametrize("name", ACCEPTED)
def test_twins_of_the_shared_rasters_lie_where_they_should(
    tmp_path: Path, shared: Path, positions: ModelFolder, name: str
) -> None:
    path = painted.twin(shared / "data" / name, tmp_path)
    errors, seen = painted.errors_px(painted.planned(positions, path, cache=tmp_path), [path])
    assert errors[seen].max() < 1e-6
    assert 1 - seen.mean() == pytest.approx(ACCEPTED[name], abs=5e-4)


@pytest.mark.fault(46)
def test_fault_46_two_scenes_on_grids_that_do_not_fit_meet_within_half_a_pixel(
    tmp_path: Path, shared: Path, positions: ModelFolder
) -> None:
    folder = shared / "data" / "scenes-awkward"
    paths = [painted.twin(folder / f"landsat_pair_{side}.tif", tmp_path) for side in ("west", "east")]
    prepared = painted.planned(positions, *paths, cache=tmp_path)
    errors, seen = painted.errors_px(prepared, paths)
    assert prepared.lattice_origin.startswith("CRS EPSG:32618")
    assert 1 - seen.mean() == pytest.approx(0.25, abs=0.01)
    assert np.quantile(errors[seen], 0.999) <= 0.5  # at the rim half of a kernel is missing


def test_a_mask_that_was_lost_is_another_map(tmp_path: Path, shared: Path) -> None:
    original = shared / "data" / "scenes-awkward" / "hro_rgb_extmask.tif"
    shutil.copy(original, tmp_path / "a.tif")
    (alone,), (whole,) = found(tmp_path / "a.tif").items, found(original).items
    assert alone.mask is None
    assert whole.mask is not None
    assert 1 - read(whole).usable.mean() == pytest.approx(0.0308, abs=1e-4)
    assert isinstance(whole.geobox, GeoBox)
