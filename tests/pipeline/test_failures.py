"""Promise 4: no silent holes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import worlds
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

import geoseg
from geoseg.cli import main
from geoseg.models import ModelFolder

BLOCK = 64


def blocky(path: Path) -> Path:
    """A raster of 64 px blocks whose block row 2 starts at row 128 of 256."""
    image = worlds.landscape((256, 256), 3, seed=3).astype("uint8")
    return worlds.write_raster(path, image, names=worlds.BANDS, origin=(500_000.0, 5_000_000.0), interleave="band")


def break_block(path: Path, band: int, row: int, col: int) -> None:
    """Overwrite one compressed block with bytes that are not deflate."""
    with rasterio.open(path) as file:
        offset = int(file.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band))
        size = int(file.get_tag_item(f"BLOCK_SIZE_{col}_{row}", "TIFF", bidx=band))
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * size)


def expected_failure() -> NDArray[np.bool_]:
    """The broken block, as pixels."""
    failed = np.zeros((256, 256), dtype=bool)
    failed[128:192, 64:128] = True
    return failed


def near(failed: NDArray[np.bool_], radius: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Pixels whose receptive field (top, left, bottom, right) holds a failed one, by brute force."""
    top, left, bottom, right = radius
    reach = np.zeros((2 * max(top, bottom) + 1, 2 * max(left, right) + 1), dtype=bool)
    middle = max(top, bottom), max(left, right)
    # A pixel sees `top` rows above it, so a failed pixel is seen from `top` rows below it.
    reach[middle[0] - bottom : middle[0] + top + 1, middle[1] - right : middle[1] + left + 1] = True
    return binary_dilation(failed, reach) & ~failed


def test_unreadable_block_is_failed_exactly_there(tmp_path: Path, finite: ModelFolder) -> None:
    broken = blocky(tmp_path / "scene.tif")
    clean = geoseg.run(scenes=(str(broken),), model=str(finite.path), out=tmp_path / "clean", cache=tmp_path / "c1")
    break_block(broken, band=2, row=2, col=1)
    holed = geoseg.run(scenes=(str(broken),), model=str(finite.path), out=tmp_path / "holed", cache=tmp_path / "c2")
    classes, before = (worlds.read(r.out / "classes.tif") for r in (holed, clean))
    failed = expected_failure()
    assert ((classes == 254) == failed).all()
    surroundings = near(failed, finite.spec.radius_px)
    untouched = ~failed & ~surroundings
    assert (classes[untouched] == before[untouched]).all()
    pixels = holed.report["pixels"]
    assert pixels["failed"] == {"read": int(failed.sum())}
    assert pixels["near_failed"] == int(surroundings.sum())
    assert str(broken) in " ".join(holed.report["warnings"])


def test_failed_sample_spreads_by_its_resampling_kernel(tmp_path: Path, finite: ModelFolder) -> None:
    """Twice finer pixels: bilinear weights reach one source pixel beyond the block, so two fine pixels minus one."""
    broken = blocky(tmp_path / "scene.tif")
    break_block(broken, band=1, row=2, col=1)
    result = geoseg.run(
        scenes=(str(broken),), model=str(finite.path), resolution=5.0, crs="EPSG:32633", out=tmp_path / "map"
    )
    with rasterio.open(result.out / "classes.tif") as file:
        failed = file.read(1) == 254
        row, col = file.index(500_000.0 + 64 * 10 + 0.1, 5_000_000.0 - 128 * 10 - 0.1)
    assert failed.any()
    rows, cols = np.nonzero(failed)
    # A fine pixel centre lies 0.25 source pixels from the nearest source centre: one fine pixel outside has weight.
    assert (rows.min(), cols.min()) == (row - 1, col - 1)
    assert (rows.max(), cols.max()) == (row + 128, col + 128)
    assert failed.sum() == 130 * 130


@pytest.mark.fault(27)
def test_exit_status_tells_of_failed_pixels(
    tmp_path: Path, finite: ModelFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = blocky(tmp_path / "scene.tif")
    break_block(broken, band=3, row=0, col=0)
    words = ["run", "--scenes", str(broken), "--model", str(finite.path), "--out", str(tmp_path / "map"), "--quiet"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 4
    assert "4096 failed pixels" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([*words, "--max-failed", "0.1"])
    assert ended.value.code == 0


@pytest.mark.fault(27)
def test_repair_computes_the_touched_tiles_and_no_others(tmp_path: Path, finite: ModelFolder) -> None:
    """Two rasters side by side; the left one is broken, then repaired."""
    image = worlds.landscape((160, 512), 3, seed=4).astype("uint8")
    left, right = (
        worlds.write_raster(
            tmp_path / f"{name}.tif",
            image[:, :, start : start + 256],
            names=worlds.BANDS,
            origin=(500_000.0 + 10 * start, 5_000_000.0),
            interleave="band",
        )
        for name, start in (("left", 0), ("right", 256))
    )
    whole = tmp_path / "left.whole"
    shutil.copy2(left, whole)
    options = {
        "scenes": (str(left), str(right)),
        "model": str(finite.path),
        "out": tmp_path / "map",
        "cache": tmp_path / "cache",
        "tile_size": 32,
    }
    clean = geoseg.run(**{**options, "out": tmp_path / "clean", "cache": tmp_path / "other"})
    break_block(left, band=1, row=0, col=0)
    first = geoseg.run(**options)
    assert first.report["pixels"]["failed"]["read"] == BLOCK * BLOCK
    again = geoseg.run(**options)  # still broken: the incomplete tiles and nothing else
    assert again.report["tiles"]["computed"] == first.report["tiles"]["incomplete"] > 0
    shutil.copyfile(whole, left)
    repaired = geoseg.run(**options)
    anchor_col = repaired.report["grid"]["anchor"][1]
    tiles_left = sum(
        1
        for row, col in tiles_of(repaired.report, 32)
        if col * 32 - 40 < anchor_col + 256  # halo of 40 px: radius 36 in whole strides of 8
    )
    assert repaired.report["tiles"]["computed"] == tiles_left
    assert repaired.report["tiles"]["reused"] == repaired.report["tiles"]["total"] - tiles_left > 0
    assert (worlds.read(repaired.out / "classes.tif") == worlds.read(clean.out / "classes.tif")).all()


def tiles_of(report: dict, side: int) -> list[tuple[int, int]]:
    """Tiles of a map without an AOI, by arithmetic."""
    (row0, col0), (rows, cols) = report["grid"]["anchor"], report["grid"]["shape"]
    return [
        (row, col)
        for row in range(row0 // side, -(-(row0 + rows) // side))
        for col in range(col0 // side, -(-(col0 + cols) // side))
    ]


@pytest.mark.fault(27)
def test_a_failed_read_never_falls_through_to_another_scene(tmp_path: Path, finite: ModelFolder) -> None:
    new, old = blocky(tmp_path / "scene_20220601.tif"), blocky(tmp_path / "scene_20210601.tif")
    break_block(new, band=1, row=2, col=1)
    result = geoseg.run(scenes=(str(new), str(old)), model=str(finite.path), composite="first", out=tmp_path / "map")
    assert ((worlds.read(result.out / "classes.tif") == 254) == expected_failure()).all()


def test_a_failure_that_is_not_needed_does_no_harm(tmp_path: Path, finite: ModelFolder) -> None:
    new, old = blocky(tmp_path / "scene_20220601.tif"), blocky(tmp_path / "scene_20210601.tif")
    break_block(old, band=1, row=2, col=1)
    result = geoseg.run(scenes=(str(new), str(old)), model=str(finite.path), composite="first", out=tmp_path / "map")
    assert result.report["pixels"]["failed"] == {}


def test_a_scene_that_cannot_be_read_is_not_said_to_be_hidden(tmp_path: Path, finite: ModelFolder) -> None:
    new, old = blocky(tmp_path / "scene_20220601.tif"), blocky(tmp_path / "scene_20210601.tif")
    same = blocky(tmp_path / "scene_20200601.tif")
    for row in range(4):
        for col in range(4):
            break_block(old, band=1, row=row, col=col)
    request = {"model": str(finite.path), "composite": "median", "cache": tmp_path / "cache"}
    broken = geoseg.run(scenes=(str(new), str(old)), out=tmp_path / "broken", **request).report["scenes_skipped"]
    (reason,) = [scene["reason"] for scene in broken if scene["id"] == old.stem]
    assert "could not be read: 1 of its 1 files" in reason
    assert "earlier scenes" not in reason
    request["composite"] = "first"
    hidden = geoseg.run(scenes=(str(new), str(same)), out=tmp_path / "hidden", **request).report["scenes_skipped"]
    (reason,) = [scene["reason"] for scene in hidden if scene["id"] == same.stem]
    assert "earlier scenes" in reason
