"""``--composite mean-scores``: every date is mapped by itself, and the class has the highest mean probability."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import worlds

import geoseg
from geoseg.errors import MemoryTooSmallError
from geoseg.models import ModelFolder

SHAPE = (90, 100)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Three dates on one grid, each with a hole of its own; a corner that none has."""
    folder, made = tmp_path_factory.mktemp("scenes"), []
    for number in range(3):
        image = worlds.landscape(SHAPE, 3, seed=number).astype("uint8")
        image[:, 10 + 20 * number : 40 + 20 * number, 20:60] = 0
        image[:, :12, :12] = 0
        path = folder / f"s_2022010{number + 1}.tif"
        made.append(str(worlds.write_raster(path, image, names=worlds.BANDS, nodata=0)))
    return tuple(made)


def job(folder: Path, model: ModelFolder, scenes: tuple[str, ...], name: str, **more: object) -> geoseg.Result:
    options = {"model": str(model.path), "cache": folder / f"cache-{name}", "out": folder / name, "tile_size": 64}
    return geoseg.run(**{"scenes": scenes, "composite": "mean-scores", **options, **more})


@pytest.fixture(scope="module", params=["finite", "chip_global"])
def model(request: pytest.FixtureRequest) -> ModelFolder:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, model: ModelFolder, scenes: tuple[str, ...]) -> geoseg.Result:
    return job(tmp_path_factory.mktemp("mean"), model, scenes, "map", layers="scores")


def scores_of(result: geoseg.Result) -> np.ndarray:
    with rasterio.open(result.out / "scores.tif") as file:
        found = file.read().astype(float)
    return np.where(found == 255, np.nan, found)


def test_it_is_the_mean_of_the_maps_of_the_dates(
    tmp_path: Path, result: geoseg.Result, model: ModelFolder, scenes: tuple[str, ...]
) -> None:
    each = job(tmp_path, model, scenes, "dates", composite="per-date", layers="scores")
    single = np.stack([scores_of(one) for one in each.dates.values()])
    with np.errstate(all="ignore"):
        mean = np.nansum(single, axis=0) / np.isfinite(single).sum(axis=0)
    found, classes = scores_of(result), worlds.read(result.out / "classes.tif")
    seen = np.isfinite(single).any(axis=(0, 1))
    assert (np.isfinite(single).sum(axis=0)[0] == 1).any()  # pixels of one date, of two and of three
    np.testing.assert_array_equal(np.isfinite(found).all(axis=0), seen)
    np.testing.assert_array_equal(classes == 255, ~seen)
    assert np.nanmax(abs(found - mean)) <= 1.01  # percent, rounded once here and for each date there
    first, second = np.sort(mean, axis=0)[-1], np.sort(mean, axis=0)[-2]
    clear = seen & (first - second > 2)
    assert clear.mean() > 0.3
    np.testing.assert_array_equal(classes[clear], mean.argmax(axis=0)[clear])
    median = job(tmp_path, model, scenes, "median", composite="median")
    assert (worlds.read(median.out / "classes.tif") != classes)[seen].any()


def test_neither_tiles_nor_workers_nor_the_region_change_it(
    tmp_path: Path, result: geoseg.Result, model: ModelFolder, scenes: tuple[str, ...]
) -> None:
    whole = worlds.read(result.out / "classes.tif")
    other = job(tmp_path, model, scenes, "tiles", tile_size=32, max_memory="3GB", layers="margin")
    margin = worlds.read(other.out / "margin.tif")
    found = worlds.read(other.out / "classes.tif")
    np.testing.assert_array_equal(found[margin > 0], whole[margin > 0])
    box = (15.0002, 45.1475, 15.0060, 45.1520)
    part = job(tmp_path, model, scenes, "part", aoi=box, like=str(result.out), layers="margin")
    with rasterio.open(part.out / "classes.tif") as file, rasterio.open(result.out / "classes.tif") as large:
        row, col = large.index(*file.xy(0, 0))
        small = file.read(1)
    rows, cols = slice(row, row + small.shape[0]), slice(col, col + small.shape[1])
    inside = small < 254
    assert inside.sum() > 500
    np.testing.assert_array_equal(small[inside], whole[rows, cols][inside])


def test_a_second_run_computes_nothing_and_other_rules_have_other_tiles(
    result: geoseg.Result, model: ModelFolder, scenes: tuple[str, ...]
) -> None:
    again = job(result.out.parent, model, scenes, "map", layers="scores", fresh=True)
    assert again.report["tiles"]["computed"] == 0
    assert {scene["share"] for scene in again.report["scenes"]} == {None}
    assert len(again.report["scenes"]) == 3
    first = job(result.out.parent, model, scenes, "first", cache=result.out.parent / "cache-map", composite="first")
    assert first.report["tiles"]["reused"] == 0


def test_a_date_that_cannot_be_read_is_a_hole(
    tmp_path: Path, model: ModelFolder, scenes: tuple[str, ...], result: geoseg.Result
) -> None:
    copies = []
    for path in scenes:
        copies.append(str(tmp_path / Path(path).name))
        Path(copies[-1]).write_bytes(Path(path).read_bytes())
    with rasterio.open(copies[1]) as file:
        # A block of the second date is cut to pieces; its header stays whole.
        offset = int(file.get_tag_item("BLOCK_OFFSET_1_1", "TIFF", bidx=1))
    data = bytearray(Path(copies[1]).read_bytes())
    data[offset : offset + 200] = b"\xff" * 200
    Path(copies[1]).write_bytes(data)
    broken = job(tmp_path, model, tuple(copies), "broken")
    classes, whole = worlds.read(broken.out / "classes.tif"), worlds.read(result.out / "classes.tif")
    assert (classes[64:, 64:][whole[64:, 64:] < 254] == 254).all()
    assert (classes[:64, :64] != 254).all()
    assert sum(broken.report["pixels"]["failed"].values()) == (classes == 254).sum() > 0


def test_the_sums_are_in_the_memory_that_is_planned(
    tmp_path: Path, finite: ModelFolder, scenes: tuple[str, ...]
) -> None:
    with pytest.raises(MemoryTooSmallError) as alone:
        job(tmp_path, finite, scenes, "a", composite="median", max_memory="0.5GB", tile_size=4096)
    with pytest.raises(MemoryTooSmallError) as summed:
        job(tmp_path, finite, scenes, "b", max_memory="0.5GB", tile_size=4096)
    least = [float(err.value.expected.split()[2]) for err in (alone, summed)]
    classes = len(
        json.loads((finite.path / "item.json").read_text())["properties"]["mlm:output"][0]["classification:classes"]
    )
    assert least[1] - least[0] >= 4096**2 * 4 * classes / 1e9
