"""Rasters that are legal and strange, found by ``make oddities``: each in its place, or refused with the way out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio.shutil
import worlds
from affine import Affine

import geoseg
from geoseg.errors import GeosegError
from geoseg.inputs import filler_warnings
from geoseg.load import lazy_item, pixels_of, reading
from geoseg.models import ModelFolder
from geoseg.scenes import Found, find_scenes
from geoseg.spec import JobSpec
from tests.faults import painted

GEOS = "+proj=geos +h=35785831 +lon_0=0 +sweep=y"


def found(path: object, wanted: tuple[str, ...] = painted.BANDS, **options: Any) -> Found:
    return find_scenes(JobSpec.build(scenes=(str(path),), model="any", **options), None, wanted)


def refusal(path: object, **options: Any) -> GeosegError:
    with pytest.raises(GeosegError) as refused:
        found(path, **options)
    assert refused.value.exit_code == 2
    return refused.value


# 37: places


@pytest.mark.fault(37)
@pytest.mark.parametrize("step", [-2.0, 2.0])
def test_fault_37_rows_that_are_centred_on_the_poles_lie_where_they_should(
    tmp_path: Path, positions: ModelFolder, step: float
) -> None:
    path = painted.paint(
        tmp_path / "globe.tif", (91, 180), crs="EPSG:4326", transform=Affine(2, 0, -181, 0, step, -45.5 * step)
    )
    errors, seen = painted.errors_px(painted.planned(positions, path, cache=tmp_path), [path])
    assert seen.all()
    assert errors.max() < 1e-6
    result = geoseg.run(scenes=str(path), model=str(positions.path), out=tmp_path / "map", device="cpu")
    item = json.loads((tmp_path / "map" / "item.json").read_text())
    assert item["bbox"] == [-180, -90, 180, 90]
    area = sum(row["area_m2"] for row in result.report["areas"] if row["feature"] == "all")
    assert area == pytest.approx(510_065_621_724_089, rel=1e-3)  # the surface of WGS 84, not a row more
    assert all(abs(lat) <= 90 for _, lat in result.report["grid"]["corners_lonlat"])


@pytest.mark.fault(37)
@pytest.mark.parametrize(
    ("crs", "transform", "words", "way"),
    [
        ("EPSG:4326", Affine(1, 0, 10, 0, -1, 120), "latitudes from 60 to 120", "-a_ullr"),
        ("EPSG:4326", Affine(0.01, 0, 725, 0, -0.01, 40), "longitudes from 725", "-a_ullr"),
        ("EPSG:32633", Affine(10, 0, 50_000_000, 0, -10, 5_000_000), "100% lies off the Earth", "-a_srs"),
        (GEOS, Affine(180_000, 0, -5.4e6, 0, -180_000, 5.4e6), "lies off the Earth", "gdalwarp -t_srs EPSG:4326"),
    ],
    ids=["beyond the pole", "turned twice", "far from the zone", "full disc"],
)
def test_fault_37_pixels_off_the_earth_are_refused_with_the_way_out(
    tmp_path: Path, crs: str, transform: Affine, words: str, way: str
) -> None:
    path = painted.paint(tmp_path / "a.tif", (60, 60), crs=crs, transform=transform)
    err = refusal(path)
    assert words in err.given
    assert way in err.todo
    assert "--pixel-grid" in err.todo
    assert found(path, pixel_grid=True).items


@pytest.mark.fault(37)
@pytest.mark.parametrize(
    ("crs", "transform"),
    [
        ("EPSG:3031", Affine(1000, 0, -30_000, 0, -1000, 30_000)),  # the South Pole in its middle
        ("EPSG:4326", Affine(0.01, 0, 179.7, 0, -0.01, 45)),
        ("EPSG:4326", Affine(0.01, 0, 359.7, 0, -0.01, 45)),
        ("EPSG:3857", Affine(1000, 0, 20_007_508, 0, -1000, 5_000_000)),
        ("+proj=sinu +R=6371007.181", Affine(463.3127, 0, -5_559_752.6, 0, -463.3127, -1_111_950.5)),
        ("EPSG:2229", Affine(30, 0, 6_400_000, 0, -30, 1_900_000)),  # feet
        ("EPSG:4807", Affine(0.001, 0, 2, 0, -0.001, 50)),  # grads from Paris
        ("EPSG:32633", Affine(10, 3, 500_000, 0, -10, 5_000_000)),  # sheared
        ("EPSG:32633", Affine.translation(500_000, 5_000_000) @ Affine.rotation(45) @ Affine.scale(10, -10)),
    ],
    ids=["pole", "180", "360", "mercator-180", "sinusoidal", "feet", "grads", "sheared", "turned"],
)
def test_fault_37_strange_grids_lie_where_they_should(
    tmp_path: Path, positions: ModelFolder, crs: str, transform: Affine
) -> None:
    path = painted.paint(tmp_path / "a.tif", (60, 60), crs=crs, transform=transform)
    prepared = painted.planned(positions, path, cache=tmp_path)
    errors, seen = painted.errors_px(prepared, [path])
    assert seen.all()
    assert errors.max() < 1e-6


# 27, 30: virtual rasters


def virtual(path: Path, of: Path) -> Path:
    rasterio.shutil.copy(of, path, driver="VRT")
    return path


@pytest.mark.fault(27)
def test_fault_27_a_virtual_raster_of_files_that_are_not_there_is_refused(tmp_path: Path) -> None:
    source = painted.paint(tmp_path / "source.tif", (40, 50))
    one = virtual(tmp_path / "one.vrt", source)
    two = virtual(tmp_path / "two.vrt", one)
    assert found(two).items
    source.unlink()
    for path in (one, two):
        err = refusal(path)
        assert f"made of {source}" in err.given
        assert "gdalbuildvrt" in err.todo


@pytest.mark.fault(27)
@pytest.mark.parametrize("content", [None, b"<html>login</html>"])
def test_fault_27_what_a_virtual_raster_cannot_read_is_failed_and_never_zero(
    tmp_path: Path, content: bytes | None
) -> None:
    """GDAL fails the first read of such a file, and gives zeros for all later ones."""
    source = painted.paint(tmp_path / "source.tif", (40, 50))
    (item,) = found(virtual(tmp_path / "two.vrt", virtual(tmp_path / "one.vrt", source))).items
    source.unlink()
    if content is not None:
        source.write_bytes(content)
    with reading(10**8):
        pixels, failures = pixels_of(lazy_item(item, item.geobox, 40, "digital-number"), slice(0, 40), 2)
    assert pixels.failed.all()
    assert failures
    assert all(failure.cause for failure in failures)


# 34: names and containers of GDAL's


@pytest.mark.fault(34)
@pytest.mark.parametrize("name", ["/vsizip/a.zip/in/a.tif", 'NETCDF:"a.nc":band', "HDF5:a.h5://grid", "/vsicurl/x"])
def test_fault_34_names_that_only_gdal_understands_are_refused_with_the_way_out(name: str) -> None:
    err = refusal(name)
    assert "GDAL" in err.given
    assert "gdal_translate" in err.todo


@pytest.mark.fault(34)
def test_fault_34_a_container_of_rasters_names_them(tmp_path: Path) -> None:
    pages = tmp_path / "pages.gpkg"
    for number in (1, 2):
        image = worlds.landscape((8, 9), 3).astype("uint8")
        with rasterio.open(
            pages, "w", driver="GPKG", width=9, height=8, count=3, dtype="uint8", crs="EPSG:32633",
            transform=Affine(10, 0, 500_000, 0, -10, 5_000_000), RASTER_TABLE=f"page{number}",
            APPEND_SUBDATASET="YES" if number > 1 else "NO",
        ) as file:  # fmt: skip
            file.write(image)
    err = refusal(pages)
    assert "2 rasters" in err.given
    assert "page1" in err.todo


@pytest.mark.fault(45)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_fault_45_a_picture_that_is_not_edited_in_place_is_translated(tmp_path: Path) -> None:
    image = worlds.landscape((8, 9), 3).astype("uint8")
    with rasterio.open(tmp_path / "a.png", "w", driver="PNG", width=9, height=8, count=3, dtype="uint8") as file:
        file.write(image)
    err = refusal(tmp_path / "a.png", wanted=worlds.BANDS)
    assert "gdal_translate -a_srs EPSG:CODE -a_ullr WEST NORTH EAST SOUTH" in err.todo


# 42: numbers that are none


@pytest.mark.fault(42)
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_fault_42_an_edge_of_what_is_no_number_is_not_called_ground(tmp_path: Path, value: float) -> None:
    image = worlds.landscape((60, 70), 3).astype("float64")
    image[:, :10] = value
    path = worlds.write_raster(tmp_path / "a.tif", image, names=worlds.BANDS)
    assert not filler_warnings(found(path, worlds.BANDS).items)
