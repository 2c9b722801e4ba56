"""Group D of the list of faults: pictures whose place lies in a world file and a .prj beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import worlds
from affine import Affine
from odc.geo import CRS

import geoseg
from geoseg.errors import RequestError
from geoseg.models import ModelFolder
from tests.faults.rasters import image

PLACE = Affine(10, 0, 500_000, 0, -10, 5_000_000)
KINDS = {"png": ("PNG", "pgw"), "jpg": ("JPEG", "jgw"), "JPG": ("JPEG", "wld"), "tif": ("GTiff", "tfw")}


@pytest.fixture
def options(colours: ModelFolder, tmp_path: Path) -> dict[str, Any]:
    return {"model": str(colours.path), "cache": tmp_path / "cache", "device": "cpu", "bands": worlds.BANDS}


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def beside(folder: Path, kind: str, prj: str | None) -> Path:
    """A picture with a world file, and what is asked for as its .prj."""
    driver, world = KINDS[kind]
    path = folder / f"a.{kind}"
    with rasterio.open(path, "w", driver=driver, width=70, height=60, count=3, dtype="uint8") as file:
        file.write(image())
    (folder / f"a.{world}").write_text("10\n0\n0\n-10\n500005\n4999995\n")  # the middle of the first pixel
    if prj is not None:
        (folder / "a.prj").write_text(prj)
    return path


def esri(code: str) -> str:
    return str(CRS(code).to_wkt(version="WKT1_ESRI"))


@pytest.mark.fault(45)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_fault_45_a_prj_beside_a_world_file_is_the_crs(tmp_path: Path, options: dict[str, Any], kind: str) -> None:
    path = beside(tmp_path, kind, esri("EPSG:32633"))
    result = geoseg.run(scenes=str(path), out=tmp_path / "map", **options)
    with rasterio.open(result.out / "classes.tif") as file:
        assert file.crs.to_epsg() == 32633
        assert file.transform == PLACE
    assert result.report["pixels"]["classified"] == 4200
    assert any("a.prj" in words for words in result.report["warnings"])
    with rasterio.open(path) as file:
        pixels = file.read()
    clean = worlds.write_raster(tmp_path / "b.tif", pixels, origin=(500_000, 5_000_000), names=worlds.BANDS)
    same = geoseg.run(scenes=str(clean), out=tmp_path / "same", **options)
    assert np.array_equal(worlds.read(result.out / "classes.tif"), worlds.read(same.out / "classes.tif"))


@pytest.mark.fault(45)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_fault_45_such_a_picture_is_warped_to_another_crs(tmp_path: Path, options: dict[str, Any]) -> None:
    path = beside(tmp_path, "png", esri("EPSG:32633"))
    result = geoseg.run(scenes=str(path), out=tmp_path / "map", crs="EPSG:3857", **options)
    assert result.report["pixels"]["nodata_unobserved"] < 200
    lon, lat = result.report["grid"]["corners_lonlat"][0]
    assert (lon, lat) == pytest.approx((15.0, 45.15), abs=0.01)


@pytest.mark.fault(45)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("prj", [None, "", "no CRS", "\x00\xff"])
def test_fault_45_without_a_prj_that_is_understood_the_crs_is_missing(
    tmp_path: Path, options: dict[str, Any], prj: str | None
) -> None:
    path = beside(tmp_path, "png", prj)
    with pytest.raises(RequestError) as refused:
        geoseg.run(scenes=str(path), out=tmp_path / "map", **options)
    assert "without a CRS" in refused.value.given
    assert ("a.prj" in refused.value.given) is (prj is not None)
    assert "-a_srs" in refused.value.todo


@pytest.mark.fault(45)
def test_fault_45_the_crs_in_a_file_is_stronger_than_a_prj(tmp_path: Path, options: dict[str, Any]) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", image(), origin=(500_000, 5_000_000))
    (tmp_path / "a.prj").write_text(esri("EPSG:32632"))
    result = geoseg.run(scenes=str(path), out=tmp_path / "map", **options)
    assert result.report["grid"]["crs"] == "EPSG:32633"
    assert not any("a.prj" in words for words in result.report["warnings"])
