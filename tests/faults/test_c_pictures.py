"""Group C of the list of faults: pictures (PNG, JPEG) that are cut short or damaged, as files and within a TIFF."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import worlds
from affine import Affine

import geoseg
from geoseg.errors import RequestError
from geoseg.load import Rasters, lazy_item, pixels_of, reading
from geoseg.load.shared import read_window
from geoseg.models import ModelFolder
from geoseg.scenes.raster_ends import cut_short
from tests.faults.rasters import found, image, read

PLACE = Affine(10, 0, 500_000, 0, -10, 5_000_000)
SHAPE = (300, 260)


def picture(path: Path, driver: str, **options: Any) -> Path:
    """A picture with a place, in a file beside it where the format has none."""
    pixels = image(SHAPE)
    header = {"width": SHAPE[1], "height": SHAPE[0], "count": 3, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", driver=driver, transform=PLACE, **header, **options) as file:
        file.write(pixels)
    return path


def rewrite(path: Path, content: bytes) -> None:
    path.write_bytes(content)


# 30: cut short


@pytest.mark.fault(30)
@pytest.mark.parametrize(("driver", "share"), [("PNG", 0.6), ("JPEG", 0.6), ("PNG", 0.999), ("JPEG", 0.999)])
def test_fault_30_a_cut_picture_is_refused_before_any_pixel(
    tmp_path: Path, colours: ModelFolder, driver: str, share: float
) -> None:
    path = picture(tmp_path / f"a.{driver.lower()}", driver)
    content = path.read_bytes()
    rewrite(path, content[: int(len(content) * share)])
    out = tmp_path / "map"
    with pytest.raises(RequestError) as refused:
        geoseg.run(scenes=str(path), model=str(colours.path), out=out, cache=tmp_path / "cache", device="cpu")
    assert refused.value.exit_code == 2
    assert str(path) in refused.value.given
    assert f"{driver} that was cut short" in refused.value.given
    assert "again" in refused.value.todo
    assert not out.exists()


@pytest.mark.fault(30)
@pytest.mark.parametrize("driver", ["PNG", "JPEG"])
def test_fault_30_a_cut_picture_of_a_catalogue_is_a_hole(tmp_path: Path, driver: str) -> None:
    path = picture(tmp_path / "a.picture", driver)
    (item,) = found(path).items
    assert not read(item)[0].failed.any()
    content = path.read_bytes()
    rewrite(path, content[: int(len(content) * 0.6)])
    pixels, failures = read(item)
    assert pixels.failed.all()
    assert not pixels.usable.any()
    assert all("cut short" in failure.cause for failure in failures)


@pytest.mark.fault(30)
@pytest.mark.parametrize("driver", ["PNG", "JPEG"])
def test_fault_30_a_cut_picture_on_a_server_is_not_opened(
    tmp_path: Path, folder: Path, server: Any, driver: str
) -> None:
    path = picture(folder / "a.picture", driver)
    with reading(0), Rasters().opened(f"{server.url}/a.picture") as file:
        whole = file.read()
    assert whole.shape == (3, *SHAPE)
    content = path.read_bytes()
    rewrite(path, content[: int(len(content) * 0.6)])
    with (
        pytest.raises(rasterio.errors.RasterioIOError, match="cut short"),
        reading(0),
        Rasters().opened(f"{server.url}/a.picture"),
    ):
        pass


@pytest.mark.fault(30)
@pytest.mark.parametrize("driver", ["PNG", "JPEG"])
def test_fault_30_what_follows_the_end_of_a_picture_is_let_be(tmp_path: Path, driver: str) -> None:
    content = picture(tmp_path / "a.picture", driver).read_bytes()
    for more in (b"", b"\0", b"a maker's notes \xff\xd8" * 100_000):
        whole = content + more
        assert cut_short(lambda start, stop, whole=whole: whole[max(0, start) : stop], len(whole)) == ""


@pytest.mark.fault(30)
def test_fault_30_the_end_of_a_thumbnail_is_not_that_of_the_picture(tmp_path: Path) -> None:
    content = picture(tmp_path / "a.jpg", "JPEG").read_bytes()
    thumbnail = b"Exif\0\0\xff\xd8\xff\xd9" * 9
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2) + thumbnail
    cut = content[:2] + segment + content[2:-500]
    assert "JPEG" in cut_short(lambda start, stop: cut[max(0, start) : stop], len(cut))


@pytest.mark.fault(30)
def test_fault_30_a_handle_that_failed_once_is_not_believed_again(tmp_path: Path) -> None:
    """GDAL fails the first read of a cut JPEG, and gives zeros from then on."""
    path = picture(tmp_path / "a.jpg", "JPEG")
    content = path.read_bytes()
    rewrite(path, content[: int(len(content) * 0.6)])
    with reading(0), rasterio.open(path) as file:
        _, failed, cause = read_window(file, 1, (slice(0, SHAPE[0]), slice(0, SHAPE[1])))
    assert failed is not None
    assert failed.all()
    assert cause


@pytest.mark.fault(33)
def test_fault_33_a_flip_in_a_png_fails_what_was_asked_for(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", "PNG")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    rewrite(path, content)
    with reading(0), rasterio.open(path) as file:
        _, failed, _ = read_window(file, 1, (slice(0, SHAPE[0]), slice(0, SHAPE[1])))
    assert failed is not None
    assert failed.all()


@pytest.mark.fault(30)
@pytest.mark.parametrize("driver", ["PNG", "JPEG"])
@pytest.mark.parametrize("depth", [1, 2])
def test_fault_30_a_virtual_raster_of_a_cut_picture_is_refused(
    tmp_path: Path, colours: ModelFolder, driver: str, depth: int
) -> None:
    path, virtual = virtual_of(tmp_path, driver, depth)
    content = path.read_bytes()
    rewrite(path, content[: int(len(content) * 0.6)])
    out = tmp_path / "map"
    with pytest.raises(RequestError) as refused:
        geoseg.run(scenes=str(virtual), model=str(colours.path), out=out, cache=tmp_path / "cache", device="cpu")
    assert refused.value.exit_code == 2
    assert f"made of {path}, a {driver} that was cut short" in refused.value.given
    assert "again" in refused.value.todo
    assert not out.exists()


@pytest.mark.fault(30)
@pytest.mark.parametrize("driver", ["PNG", "JPEG"])
@pytest.mark.parametrize("depth", [1, 2])
def test_fault_30_a_picture_that_is_cut_later_is_a_hole_of_its_virtual_raster(
    tmp_path: Path, driver: str, depth: int
) -> None:
    path, virtual = virtual_of(tmp_path, driver, depth)
    (item,) = found(virtual).items
    assert read(item)[0].usable.all()
    content = path.read_bytes()
    rewrite(path, content[: int(len(content) * 0.6)])
    pixels, failures = read(item)
    assert pixels.failed.all()
    assert all(str(path) in failure.cause and "cut short" in failure.cause for failure in failures)


def virtual_of(folder: Path, driver: str, depth: int) -> tuple[Path, Path]:
    """A picture, and a virtual raster of it, or of such a one; the last one is not called so."""
    path = virtual = picture(folder / f"a.{driver.lower()}", driver)
    for number in range(depth):
        source, virtual = virtual, folder / (f"{number}.tif" if number else "0.vrt")
        rasterio.shutil.copy(source, virtual, driver="VRT")
    return path, virtual


# 33: JPEG within a TIFF


def jpeg_tiff(path: Path, **options: Any) -> Path:
    picture(path, "GTiff", compress="jpeg", tiled=True, blockxsize=128, blockysize=128, **options)
    return path


def damage(path: Path, block: str) -> None:
    """The second half of a block becomes zeros."""
    with rasterio.open(path) as file:
        offset, size = (int(file.get_tag_item(f"BLOCK_{what}_{block}", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    content = bytearray(path.read_bytes())
    content[offset + size // 2 : offset + size] = bytes(size - size // 2)
    path.write_bytes(content)


@pytest.mark.fault(33)
@pytest.mark.parametrize("options", [{"photometric": "YCBCR"}, {"interleave": "band"}], ids=["together", "apart"])
def test_fault_33_a_jpeg_block_that_turns_grey_is_failed(
    tmp_path: Path, colours: ModelFolder, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    path = jpeg_tiff(tmp_path / "a.tif", **options)
    request = {"model": str(colours.path), "bands": worlds.BANDS, "cache": tmp_path / "cache", "device": "cpu"}
    clean = geoseg.run(scenes=str(path), out=tmp_path / "clean", **request)
    damage(path, "1_1")
    holed = geoseg.run(scenes=str(path), out=tmp_path / "holed", **request)
    before, after = worlds.read(clean.out / "classes.tif"), worlds.read(holed.out / "classes.tif")
    assert (after[128:256, 128:256] == 254).all()
    assert holed.report["pixels"]["failed"]["read"] == 128 * 128 == (after == 254).sum()
    assert (after[:80, :80] == before[:80, :80]).all()
    assert any("JPEGLib" in words for words in holed.report["warnings"])
    assert "JPEGLib" not in caplog.text


@pytest.mark.fault(33)
def test_fault_33_a_silenced_log_does_not_hide_the_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = jpeg_tiff(tmp_path / "a.tif", photometric="YCBCR")
    damage(path, "0_0")
    (item,) = found(path, bands="red,green,blue").items
    quiet = logging.getLogger("rasterio")
    monkeypatch.setattr(quiet, "level", logging.CRITICAL)
    quiet.manager._clear_cache()  # type: ignore[attr-defined]
    pixels, _ = read(item)
    assert pixels.failed[:128, :128].all()
    assert not pixels.failed[128:].any()


def preview(path: Path) -> Any:
    """What a look from afar gets of a raster: one pixel for 4 x 4."""
    (item,) = found(path, bands="red,green,blue").items
    small = item.geobox.zoom_out(4)
    with reading(10**8):
        lazy = lazy_item(item, small, small.shape[0], item.sensor.quantity, previews=True)
        return pixels_of(lazy, slice(0, small.shape[0]), 2)[0]


@pytest.mark.fault(33)
@pytest.mark.parametrize("overviews", [(), (2, 4)], ids=["plain", "overviews"])
@pytest.mark.parametrize("compress", [{"compress": "jpeg", "photometric": "YCBCR"}, {"compress": "lzw"}], ids=str)
def test_fault_33_a_damaged_block_leaves_the_rest_of_a_preview(
    tmp_path: Path, compress: dict[str, str], overviews: tuple[int, ...]
) -> None:
    path = tmp_path / "a.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=2048, height=1536, count=3, dtype="uint8", crs="EPSG:32633", transform=PLACE,
        tiled=True, blockxsize=128, blockysize=128, **compress,
    ) as file:  # fmt: skip
        file.write(image((1536, 2048)))
    if overviews:
        with rasterio.open(path, "r+") as file:
            file.build_overviews(list(overviews))
    clean = preview(path)
    assert clean.usable.all()
    if overviews:
        with rasterio.open(path, overview_level=len(overviews) - 1) as file:
            offset, size = (int(file.get_tag_item(f"BLOCK_{what}_1_0", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
        content = bytearray(path.read_bytes())
        content[offset + size // 2 : offset + size] = bytes(size - size // 2)
        path.write_bytes(content)
        lost = slice(0, 128), slice(128, 256)
    else:
        damage(path, "6_3")
        lost = slice(96, 128), slice(192, 224)
    holed = preview(path)
    assert holed.failed[lost].all()
    assert holed.failed.sum() <= 9 * holed.failed[lost].size + 4000
    assert not holed.failed.all()
    assert np.array_equal(holed.values[:, ~holed.failed], clean.values[:, ~holed.failed])
    assert holed.usable[~holed.failed].all()
