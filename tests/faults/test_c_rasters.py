"""Group C of the list of faults: rasters that are broken, odd, or no rasters at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import worlds
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp

import geoseg
from geoseg.inputs import checksum_warnings, with_verified_files
from geoseg.load import lazy_item, pixels_of, reading
from geoseg.models import ModelFolder
from geoseg.scenes import Item
from geoseg.scenes.raster_checks import MOST_BLOCK_BYTES
from tests.faults import painted
from tests.faults.rasters import RGB, found, image, read, refusal

# 33: bit flips


@pytest.mark.fault(33)
def test_fault_33_flips_that_decode_are_found_by_the_checksum(tmp_path: Path) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", image(), names=worlds.BANDS, compress="none")
    (item,) = found(path).items
    stated = "1220" + hashlib.sha256(path.read_bytes()).hexdigest()
    assets = {"data": {**item.document["assets"]["data"], "file:checksum": stated}}
    item = replace(item, document={**item.document, "assets": assets})
    assert with_verified_files([item], tmp_path / "cache") == (item,)
    assert len(list((tmp_path / "cache").rglob("*"))) == 2  # the folder and one file: found whole once is enough
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    (damaged,) = with_verified_files([item], tmp_path / "cache")
    pixels, failures = read(damaged)
    assert pixels.failed.all()
    assert not pixels.usable.any()
    assert all(stated[4:] in failure.cause and failure.href == str(path) for failure in failures)


def stating(path: Path, checksum: object) -> Item:
    """The item of a raster, with a checksum."""
    (item,) = found(path).items
    assets = {"data": {**item.document["assets"]["data"], "file:checksum": checksum}}
    return replace(item, document={**item.document, "assets": assets})


@pytest.mark.fault(33)
def test_fault_33_a_bare_sha256_is_verified(tmp_path: Path) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", image(), names=worlds.BANDS)
    right = stating(path, hashlib.sha256(path.read_bytes()).hexdigest().upper())
    assert with_verified_files([right], tmp_path / "cache") == (right,)
    wrong = stating(path, "0" * 64)
    assert not checksum_warnings([right, wrong])
    (damaged,) = with_verified_files([wrong], tmp_path / "cache")
    assert read(damaged)[0].failed.all()


@pytest.mark.fault(33)
@pytest.mark.parametrize("stated", ["zzz", "1220abc", "1220" + "g" * 64, "b220" + "0" * 64, 5, "\x1b[2J" * 200])
def test_fault_33_a_checksum_that_nobody_understands_is_said(tmp_path: Path, stated: object) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", image(), names=worlds.BANDS)
    item = stating(path, stated)
    assert with_verified_files([item], tmp_path / "cache") == (item,)
    (words,) = checksum_warnings([item, item])
    assert words.startswith("unverified")
    assert item.id in words
    assert words.isprintable()
    assert len(words) < 600
    assert not checksum_warnings([stating(path, None), stating(path, "1220" + "0" * 64)])


@pytest.mark.fault(33)
def test_fault_33_a_block_that_does_not_decode_is_failed_and_the_rest_is_right(
    tmp_path: Path, colours: ModelFolder
) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", image((128, 128)), names=worlds.BANDS)
    clean = geoseg.run(scenes=str(path), model=str(colours.path), out=tmp_path / "clean", device="cpu")
    with rasterio.open(path) as file:
        offset = int(file.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    content[offset + 2 : offset + 200] = bytes(198)
    path.write_bytes(content)
    geoseg.run(scenes=str(path), model=str(colours.path), out=tmp_path / "flipped", device="cpu")
    before, after = worlds.read(clean.out / "classes.tif"), worlds.read(tmp_path / "flipped" / "classes.tif")
    assert (after[64:, 64:] == 254).all()
    assert (after[:20, :20] == before[:20, :20]).all()
    report = json.loads((tmp_path / "flipped" / "report.json").read_text())
    assert report["pixels"]["failed"]["read"] == 64 * 64


# 34: not a raster


@pytest.mark.fault(34)
@pytest.mark.parametrize(
    ("content", "kind", "first"),
    [
        (b"<!DOCTYPE html><html>login</html>", "HTML", "<!DOCTYPE html>"),
        (b"<?xml version='1.0'?><Error>denied</Error>", "XML", "<?xml"),
        (b"PK\x03\x04" + b"0" * 50, "ZIP", "PK"),
        (b"", "empty", "0 bytes"),
        (b"II*\x00\xff\xff\xff\x7f", "damaged TIFF", "II*"),
        (b"hello", "no known raster format", "hello"),
    ],
)
def test_fault_34_what_is_no_raster_is_named_with_its_first_bytes(
    tmp_path: Path, content: bytes, kind: str, first: str
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    err = refusal(path)
    assert str(path) in err.given
    assert kind in err.given
    assert first in err.given
    assert "supported" not in str(err)


@pytest.mark.fault(34)
def test_fault_34_a_file_of_a_catalogue_fails_its_pixels_with_what_it_is(tmp_path: Path) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", image(), names=worlds.BANDS)
    (item,) = found(path).items
    path.write_bytes(b"<!DOCTYPE html><html>login</html>")
    pixels, failures = read(item)
    assert pixels.failed.all()
    assert all("HTML" in failure.cause and "<!DOCTYPE" in failure.cause for failure in failures)


# 35: no COG


@pytest.mark.fault(35)
def test_fault_35_stripes_give_the_pixels_of_tiles_and_large_ones_a_warning(tmp_path: Path) -> None:
    picture = image((300, 200))
    tiled = worlds.write_raster(tmp_path / "tiled.tif", picture, names=worlds.BANDS)
    striped = worlds.write_raster(
        tmp_path / "striped.tif", picture, names=worlds.BANDS, tiled=False, blockxsize=None, blockysize=None
    )
    one, other = (read(found(path).items[0])[0] for path in (tiled, striped))
    assert np.array_equal(one.values, other.values)
    large = tmp_path / "large.tif"
    with rasterio.open(
        large, "w", driver="GTiff", width=6000, height=5000, count=3, dtype="uint8", photometric="RGB", SPARSE_OK=True,
        crs="EPSG:32633", transform=Affine(1, 0, 500_000, 0, -1, 5_000_000),
    ):  # fmt: skip
        pass
    (warning,) = found(large).warnings
    assert "slow" in warning
    assert "not tiled" in warning
    assert "no overviews" in warning
    assert not found(striped).warnings


# 36: bombs


def sparse(path: Path, side: int, block: int, bands: int = 3) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", width=side, height=side, count=bands, dtype="uint8", tiled=True, blockxsize=block,
        blockysize=block, SPARSE_OK="TRUE", BIGTIFF="YES", crs="EPSG:32633", compress="deflate",
        transform=Affine(0.1, 0, 500_000, 0, -0.1, 5_000_000),
    ):  # fmt: skip
        pass
    return path


@pytest.mark.fault(36)
def test_fault_36_a_block_above_the_limit_is_refused_with_its_size(tmp_path: Path) -> None:
    path = sparse(tmp_path / "bomb.tif", 32_768, 32_768, 1)
    assert path.stat().st_size < 20_000
    err = refusal(path, wanted=("band",), bands=("band",))
    assert "1.07 GB" in err.given
    assert f"{MOST_BLOCK_BYTES / 1e9:.2f} GB" in err.expected


@pytest.mark.fault(36)
def test_fault_36_such_a_file_of_a_catalogue_fails_its_pixels_unread(tmp_path: Path) -> None:
    small = sparse(tmp_path / "a.tif", 64, 32, 1)
    (item,) = found(small, wanted=("band",), bands=("band",)).items
    sparse(small, 32_768, 32_768, 1)
    with reading(10**8):
        pixels, failures = pixels_of(lazy_item(item, item.geobox, 64, "digital-number"), slice(0, 64), 2)
    assert pixels.failed.all()
    assert "1.07 GB" in failures[0].cause


@pytest.mark.fault(36)
def test_fault_36_pixels_far_away_cost_nothing(tmp_path: Path) -> None:
    path = sparse(tmp_path / "wide.tif", 2_000_000, 512)
    assert path.stat().st_size < 20_000_000_000 // 100
    (item,) = found(path, bands=RGB).items
    part = item.geobox[1_000_000:1_000_064, 1_000_000:1_000_064]
    with reading(10**8):
        pixels, failures = pixels_of(lazy_item(item, part, 64, "digital-number"), slice(0, 64), 2)
    assert not failures
    assert (pixels.values == 0).all()


# 37: odd shapes and transforms

TRANSFORMS = {
    "north-up": Affine(10, 0, 500_000, 0, -10, 5_000_000),
    "south-up": Affine(10, 0, 500_000, 0, 10, 5_000_000),
    "mirrored": Affine(-10, 0, 500_000, 0, -10, 5_000_000),
    "turned": Affine.translation(500_000, 5_000_000) @ Affine.rotation(30) @ Affine.scale(10, -10),
    "not-square": Affine(10, 0, 500_000, 0, -7, 5_000_000),
}
SHAPES = {"row": (1, 300), "column": (301, 1), "one": (1, 1), "primes": (97, 101)}


@pytest.mark.fault(37)
@pytest.mark.parametrize("name", [*TRANSFORMS, *SHAPES])
def test_fault_37_odd_shapes_and_transforms_lie_where_they_should(
    tmp_path: Path, positions: ModelFolder, name: str
) -> None:
    path = painted.paint(
        tmp_path / f"{name}.tif", SHAPES.get(name, (60, 75)), transform=TRANSFORMS.get(name, TRANSFORMS["north-up"])
    )
    errors, seen = painted.errors_px(painted.planned(positions, path, cache=tmp_path), [path])
    assert seen.all()
    assert errors.max() < 1e-6  # on its own lattice nothing is resampled
    there = painted.planned(positions, path, cache=tmp_path, crs="EPSG:32633", resolution=10.0)
    errors, seen = painted.errors_px(there, [path])
    assert seen.any()
    inner = seen & (errors < np.inf)
    # At the rim half a kernel is missing, which moves the value of a pixel and not its place.
    assert np.quantile(errors[inner], 0.9) <= 0.5


@pytest.mark.fault(37)
def test_fault_37_a_map_of_the_globe_from_the_south_up(tmp_path: Path) -> None:
    picture = worlds.landscape((90, 180), 3).astype("uint8")
    model = worlds.finite_model(tmp_path / "model")
    maps = {}
    for name, transform, rows in (
        ("north", Affine(2, 0, -180, 0, -2, 90), slice(None)),
        ("south", Affine(2, 0, -180, 0, 2, -90), slice(None, None, -1)),
    ):
        path = tmp_path / f"{name}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", width=180, height=90, count=3, dtype="uint8", photometric="RGB", crs="EPSG:4326",
            transform=transform,
        ) as file:  # fmt: skip
            file.write(picture[:, rows])
        maps[name] = geoseg.run(scenes=str(path), model=str(model.path), out=tmp_path / name, device="cpu")
    with rasterio.open(maps["south"].out / "classes.tif") as file:
        assert file.transform.e > 0
        assert tuple(file.bounds) == (-180, 90, 180, -90)
    item = json.loads((maps["south"].out / "item.json").read_text())
    assert item["bbox"] == [-180, -90, 180, 90]
    areas = [sum(row["area_m2"] for row in m.report["areas"] if row["feature"] == "all") for m in maps.values()]
    assert areas == pytest.approx([510_065_621_724_089] * 2, rel=1e-3)  # the surface of WGS 84


@pytest.mark.fault(37)
def test_fault_37_a_transform_without_an_area_is_named(tmp_path: Path) -> None:
    path = painted.paint(tmp_path / "flat.tif", (8, 8), transform=Affine(10, 0, 500_000, 10, 0, 5_000_000))
    err = refusal(path, wanted=painted.BANDS)
    assert "geotransform" in err.given
    assert "--pixel-grid" in err.todo


# 38: bands and validity


@pytest.mark.fault(38)
def test_fault_38_bands_are_found_by_name_and_alpha_is_no_band(tmp_path: Path) -> None:
    picture = image()
    picture[:, :, :20] = 0
    alpha = np.where(picture[:1] > 0, 255, 0).astype("uint8")
    path = worlds.write_raster(tmp_path / "bgr.tif", np.concatenate([picture[::-1], alpha]), photometric="MINISBLACK")
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.alpha]
    (item,) = found(path).items
    pixels, _ = read(item)
    assert np.array_equal(pixels.values[:, :, 20:], picture[:, :, 20:].astype("float32"))
    assert np.array_equal(pixels.usable, alpha[0] > 0)
    err = refusal(path, wanted=(*RGB, "nir"))
    assert "nir" in err.expected


@pytest.mark.fault(38)
def test_fault_38_bands_without_names_ask_for_them(tmp_path: Path) -> None:
    err = refusal(worlds.write_raster(tmp_path / "a.tif", image(bands=5)))
    assert "--bands" in err.todo


@pytest.mark.fault(38)
@pytest.mark.parametrize("where", ["inside", "beside"])
def test_fault_38_a_mask_makes_pixels_unobserved(tmp_path: Path, where: str) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", image((60, 150)), names=worlds.BANDS)
    valid = np.zeros((60, 150), bool)
    valid[:, :75] = True
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=where == "inside"), rasterio.open(path, "r+") as file:
        file.write_mask(valid)
    assert Path(f"{path}.msk").exists() == (where == "beside")
    (item,) = found(path).items
    pixels, failures = read(item)
    assert not failures
    assert np.array_equal(pixels.usable, valid)
    other = GeoBox((40, 100), item.geobox.transform @ Affine.translation(5.5, 5.5) @ Affine.scale(1.01), "EPSG:32633")
    with reading(10**8):  # warped, nearest
        pixels, _ = pixels_of(lazy_item(item, other, 40, "digital-number"), slice(0, 40), 2)
    assert pixels.usable[:, :65].all()
    assert not pixels.usable[:, 70:].any()


@pytest.mark.fault(38)
def test_fault_38_another_mask_beside_a_file_is_another_version(tmp_path: Path) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", image(), names=worlds.BANDS)
    versions = set()
    for number in (10, 20):
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as file:
            file.write_mask(np.arange(60)[:, None] * np.ones((1, 70)) > number)
        versions.add(found(path).items[0].version)
    assert len(versions) == 2


@pytest.mark.fault(38)
def test_fault_38_a_palette_is_no_measurement(tmp_path: Path) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", image(bands=1) % 5)
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, {i: (i * 40, 0, 0, 255) for i in range(5)})
    for given in ({}, {"bands": ("band",)}):
        assert "-expand rgb" in refusal(path, wanted=("band",), **given).todo


@pytest.mark.fault(38)
def test_fault_38_complex_numbers_are_sent_to_be_amplitudes(tmp_path: Path) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", image(bands=1).astype("complex64"))
    err = refusal(path, wanted=("band",), bands=("band",))
    assert "complex64" in err.given
    assert "AMPLITUDE" in err.todo
