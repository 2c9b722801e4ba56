"""Group D of the list of faults: files that are legal and rare, each right and in its place, or refused."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import worlds
from affine import Affine

import geoseg
from geoseg.inputs import filler_warnings
from geoseg.models import ModelFolder
from tests.faults import painted
from tests.faults.rasters import found, image, read, refusal

UTM = Affine(10, 0, 500_000, 0, -10, 5_000_000)


def virtual(folder: Path, nodata: tuple[str, ...] = ("", "", "")) -> Path:
    """A virtual raster whose three bands are files of three dtypes."""
    bands = ""
    for number, (name, dtype, kind, missing) in enumerate(
        zip(worlds.BANDS, ("uint8", "int16", "float32"), ("Byte", "Int16", "Float32"), nodata, strict=True), start=1
    ):
        picture = image()[number - 1 : number].astype(dtype)
        if missing:
            picture[:, :10] = np.array(float(missing)).astype(dtype)
        worlds.write_raster(folder / f"{name}.tif", picture)
        tag = f"<NoDataValue>{missing}</NoDataValue>" if missing else ""
        bands += (
            f'<VRTRasterBand dataType="{kind}" band="{number}"><Description>{name}</Description>{tag}<SimpleSource>'
            f'<SourceFilename relativeToVRT="1">{name}.tif</SourceFilename><SourceBand>1</SourceBand></SimpleSource>'
            "</VRTRasterBand>"
        )
    path = folder / "mixed.vrt"
    head = "<SRS>EPSG:32633</SRS><GeoTransform>500003,10,0,5000007,0,-10</GeoTransform>"
    path.write_text(f'<VRTDataset rasterXSize="70" rasterYSize="60">{head}{bands}</VRTDataset>')
    return path


@pytest.mark.fault(39)
def test_fault_39_bands_of_several_dtypes_are_one_image(tmp_path: Path, colours: ModelFolder) -> None:
    path = virtual(tmp_path)
    options = {"model": str(colours.path), "cache": tmp_path / "cache", "device": "cpu"}
    mixed = geoseg.run(scenes=str(path), out=tmp_path / "mixed", **options)
    clean = worlds.write_raster(tmp_path / "clean.tif", image(), names=worlds.BANDS)
    same = geoseg.run(scenes=str(clean), out=tmp_path / "same", **options)
    assert np.array_equal(worlds.read(mixed.out / "classes.tif"), worlds.read(same.out / "classes.tif"))


@pytest.mark.fault(42)
def test_fault_42_bands_of_several_dtypes_have_a_nodata_each(tmp_path: Path) -> None:
    (item,) = found(virtual(tmp_path, ("0", "-9999", "nan"))).items
    usable = np.ones((60, 70), bool)
    usable[:10] = False
    assert np.array_equal(read(item)[0].usable, usable)
    assert not filler_warnings([item])


@pytest.mark.fault(42)
@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("float64", np.finfo("float64").min),
        ("float32", -3.4e38),
        ("uint32", 4294967295),
        ("int8", -128),
        ("uint32", 2**31 + 1),
    ],
)
def test_fault_42_nodata_beyond_what_the_network_reads_is_unobserved(tmp_path: Path, dtype: str, value: float) -> None:
    """No warning of an overflow either, and what rounds to the same single-precision number stays."""
    picture = (image() // 2).astype(dtype)
    if value == 2**31 + 1:
        picture += np.array(2**31 + 100, dtype)
    picture[:, :10] = np.array(value).astype(dtype)
    path = worlds.write_raster(tmp_path / "a.tif", picture, names=worlds.BANDS, nodata=value)
    usable = np.ones((60, 70), bool)
    usable[:10] = False
    assert np.array_equal(read(found(path).items[0])[0].usable, usable)


@pytest.mark.fault(42)
def test_fault_42_nan_as_nodata_of_integers_is_ignored_and_said(tmp_path: Path) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", image(), names=worlds.BANDS, nodata=200)
    content, entry = path.read_bytes(), struct.pack("<HHI", 42113, 2, 4)
    assert entry + b"200\0" in content
    path.write_bytes(content.replace(entry + b"200\0", entry + b"nan\0"))
    result = found(path)
    assert "nodata nan cannot be a pixel of uint8" in result.warnings[0]
    assert read(result.items[0])[0].usable.all()


@pytest.mark.fault(42)
def test_fault_42_a_mask_and_a_nodata_tag_hold_both(tmp_path: Path) -> None:
    picture = image()
    picture[:, :10] = 0
    path = worlds.write_raster(tmp_path / "a.tif", picture, names=worlds.BANDS, nodata=0)
    mask = np.ones((60, 70), bool)
    mask[:, :20] = False
    with rasterio.open(path, "r+") as file:
        file.write_mask(mask)
    usable = mask.copy()
    usable[:10] = False
    assert np.array_equal(read(found(path).items[0])[0].usable, usable)


@pytest.mark.fault(41)
def test_fault_41_a_sparse_file_of_which_only_zeros_are_seen_is_told(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=100_000, height=100_000, count=3, dtype="uint8", photometric="RGB",
        tiled=True, sparse_ok=True, bigtiff="YES", crs="EPSG:32633", transform=UTM,
    ) as file:  # fmt: skip
        file.write(image((256, 256)), window=rasterio.windows.Window(51_200, 51_200, 256, 256))
    (words,) = filler_warnings(found(path).items)
    assert "100.0 % of the pixels are exact zeros" in words
    assert "-a_nodata 0" in words


SYSTEMS: dict[str, tuple[str, tuple[float, float], float, str]] = {
    "with heights": ("EPSG:32633+5773", (500_000, 5_000_000), 10, "EPSG:3857"),
    "national with heights": ("EPSG:7415", (150_000, 450_000), 10, "EPSG:32631"),
    "datum by seven numbers": (
        "+proj=utm +zone=33 +ellps=bessel +towgs84=598.1,73.7,418.2,0.202,0.045,-2.455,6.7 +units=m",
        (500_000, 5_000_000), 10, "EPSG:32633",
    ),
    "survey feet": ("EPSG:2263", (1_000_000, 200_000), 30, "EPSG:32618"),
    "axes to the south and west": ("EPSG:2065", (600_000, 1_000_000), 10, "EPSG:32633"),
    "three axes": ("EPSG:4979", (15, 45), 1e-4, "EPSG:32633"),
}  # fmt: skip


@pytest.mark.fault(48)
@pytest.mark.parametrize("name", SYSTEMS)
def test_fault_48_rare_systems_lie_where_proj_says(tmp_path: Path, positions: ModelFolder, name: str) -> None:
    system, (x, y), pixel, other = SYSTEMS[name]
    path = painted.paint(tmp_path / "a.tif", (60, 70), crs=system, transform=Affine(pixel, 0, x, 0, -pixel, y))
    for crs in (None, other):
        prepared = painted.planned(positions, path, cache=tmp_path, crs=crs)
        errors, seen = painted.errors_px(prepared, [path])
        values, _ = painted.read(prepared)
        assert seen[prepared.region.mask(prepared.region.window)].all()
        inner = seen & (values[0] > 1) & (values[0] < 57) & (values[1] > 1) & (values[1] < 67)
        assert inner.sum() > 3500
        assert errors[inner].max() < 0.1


@pytest.mark.fault(48)
@pytest.mark.parametrize(
    ("crs", "y", "is_far"),
    [("EPSG:32733", -5_000_000, True), ("EPSG:32633", -5_000_000, True), ("EPSG:32733", 5_000_000, False)],
    ids=["behind the pole", "of the northern zone", "right"],
)
def test_fault_48_a_northing_of_another_hemisphere_is_told(tmp_path: Path, crs: str, y: float, is_far: bool) -> None:
    path = painted.paint(tmp_path / "a.tif", (60, 70), crs=crs, transform=Affine(10, 0, 500_000, 0, -10, y))
    words = found(path, wanted=painted.BANDS).warnings
    assert any("check the CRS" in said and crs in said for said in words) is is_far


@pytest.mark.fault(45)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_fault_45_what_has_no_place_on_earth_is_refused_with_the_way_out(tmp_path: Path) -> None:
    plain: dict[str, Any] = {"width": 70, "height": 60, "count": 3, "dtype": "uint8"}
    with rasterio.open(tmp_path / "really a png.tif", "w", driver="PNG", **plain) as file:
        file.write(image())
    assert "gdal_translate -a_srs" in refusal(tmp_path / "really a png.tif").todo
    site = worlds.write_raster(
        tmp_path / "site.tif", image(), names=worlds.BANDS, crs='LOCAL_CS["site",UNIT["metre",1]]'
    )
    assert "no place on Earth" in refusal(site).given
    assert found(site, pixel_grid=True).items
    nothing = tmp_path / "nothing.vrt"
    nothing.write_text('<VRTDataset rasterXSize="0" rasterYSize="0"><SRS>EPSG:32633</SRS></VRTDataset>')
    assert "damaged VRT" in refusal(nothing).given
