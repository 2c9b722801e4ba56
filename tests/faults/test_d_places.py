"""Group D of the list of faults: one grid, axis order, the antimeridian and the poles."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import worlds
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from shapely.geometry import shape

import geoseg
from geoseg.errors import GeosegError
from geoseg.models import ModelFolder
from tests.faults import painted
from tests.faults.rasters import found, image, read

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


@pytest.mark.fault(46)
@pytest.mark.parametrize(("aoi", "zone"), [("11.985,45,12.0005,45.01", 32), ("11.9995,45,12.01,45.01", 33)])
def test_fault_46_files_of_two_zones_are_mapped_in_that_of_the_region(
    tmp_path: Path, positions: ModelFolder, aoi: str, zone: int
) -> None:
    paths = []
    for number, lon in ((32, 11.985), (33, 12.0)):
        x, y = Transformer.from_crs(4326, 32600 + number, always_xy=True).transform(lon, 45.01)
        place = Affine(10, 0, round(x), 0, -10, round(y))
        paths.append(painted.paint(tmp_path / f"{number}.tif", (100, 100), crs=f"EPSG:326{number}", transform=place))
    for given in (paths, paths[::-1]):
        prepared = painted.planned(positions, *given, cache=tmp_path, aoi=aoi)
        assert prepared.lattice.crs.to_epsg() == 32600 + zone


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
    assert 1 - read(whole)[0].usable.mean() == pytest.approx(0.0308, abs=1e-4)
    assert isinstance(whole.geobox, GeoBox)
