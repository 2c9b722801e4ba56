"""Two dates through the whole road: identities, cuts, gaps, resume, what is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.features
import rasterio.warp
import worlds
from pairs import PairOfDates, write_pair

import geoseg
from geoseg.errors import GeosegError, NothingToDoError
from geoseg.models import ModelFolder
from geoseg.pipeline.other_dates import asked_as


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> PairOfDates:
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def result(pair: PairOfDates, tmp_path_factory: pytest.TempPathFactory) -> geoseg.Result:
    return pair.run(tmp_path_factory.mktemp("change") / "map")


def classes_of(result: geoseg.Result) -> np.ndarray:
    return worlds.read(result.out / "classes.tif")


def test_the_change_is_found_and_masked_pixels_never_change(pair: PairOfDates, result: geoseg.Result) -> None:
    classes = classes_of(result)
    assert (classes[pair.masked] == 255).all()
    seen = ~pair.masked
    assert (classes[pair.changed & seen] == 1).mean() > 0.9
    assert (classes[~pair.changed & seen] == 0).mean() > 0.99
    assert set(result.polygons["class"]) == {1}
    assert result.polygons["pixels"].sum() == (classes == 1).sum()
    assert [entry["name"] for entry in result.report["classes"]] == ["no change", "change"]


def test_the_report_tells_alignment_and_fit_and_shows_both_dates(result: geoseg.Result) -> None:
    told = result.report["change"]
    assert told["detector"] == "ir-mad"
    assert told["fit"] == "scene"
    assert told["alignment"]["verdict"] == "consistent"
    assert told["alignment"]["correction_px"] == [0.0, 0.0]
    assert told["values"]["detector"]["split"]["threshold"] == told["threshold"]
    assert {scene["used_as"] for scene in result.report["scenes"]} == {"before", "after"}
    page = (result.out / "report.html").read_text()
    assert [page.count(f"<figcaption>{word}</figcaption>") for word in ("Before", "After", "Change")] == [1, 1, 1]


@pytest.mark.parametrize("tile_size", [1, 512])
def test_the_cut_changes_no_pixel(pair: PairOfDates, result: geoseg.Result, tmp_path: Path, tile_size: int) -> None:
    other = pair.run(tmp_path / "cut", tile_size=tile_size)
    for name in ("classes.tif", "confidence.tif"):
        np.testing.assert_array_equal(worlds.read(other.out / name), worlds.read(result.out / name))


def test_a_larger_region_agrees_on_the_shared_part(pair: PairOfDates, result: geoseg.Result, tmp_path: Path) -> None:
    with rasterio.open(pair.before) as file:
        west, south, east, north = rasterio.warp.transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    dx, dy = (east - west) / 4, (north - south) / 4
    small = pair.run(
        tmp_path / "small",
        aoi=str(worlds.region(tmp_path / "aoi.geojson", west + dx, south + dy, east - dx, north - dy)),
    )
    assert small.report["change"]["values"] == result.report["change"]["values"]
    with rasterio.open(small.out / "classes.tif") as inner, rasterio.open(result.out / "classes.tif") as outer:
        window = outer.window(*inner.bounds)
        ours, around = inner.read(1), outer.read(1, window=window.round_offsets().round_lengths())
    shared = ours != 255
    assert shared.sum() > 1000
    np.testing.assert_array_equal(ours[shared], around[shared])


def test_equal_dates_are_an_empty_map(pair: PairOfDates, tmp_path: Path) -> None:
    for number, scene in enumerate((pair.before, pair.after)):
        same = pair.run(tmp_path / f"same{number}", scenes_before=str(scene), scenes_after=str(scene))
        assert not (classes_of(same) == 1).any()
        assert (classes_of(same) == 0).any()
        assert len(same.polygons) == 0


def test_the_order_of_the_dates_changes_no_pixel(pair: PairOfDates, result: geoseg.Result, tmp_path: Path) -> None:
    other = pair.run(tmp_path / "swapped", scenes_before=str(pair.after), scenes_after=str(pair.before))
    for name in ("classes.tif", "confidence.tif"):
        np.testing.assert_array_equal(worlds.read(other.out / name), worlds.read(result.out / name))


def test_a_run_that_goes_on_fits_nothing_anew(pair: PairOfDates, tmp_path: Path) -> None:
    out = tmp_path / "map"
    first = pair.run(out, tile_size=1)
    frozen = out / "job" / "fitted.json"
    facts = json.loads(frozen.read_text())
    facts["detector"]["split"]["threshold"] *= 1.5
    frozen.write_text(json.dumps(facts))
    again = pair.run(out, tile_size=1)
    assert again.report["change"]["threshold"] == 1.5 * first.report["change"]["threshold"]
    assert again.report["tiles"]["reused"] == 0  # another threshold is another key
    third = pair.run(out, tile_size=1)
    assert third.report["tiles"]["computed"] == 0
    fresh = pair.run(out, tile_size=1, fresh=True)
    assert fresh.report["tiles"]["computed"] == 0  # what was fitted first is what is fitted again
    np.testing.assert_array_equal(classes_of(fresh), classes_of(first))


def test_rasters_without_a_place_run_on_their_pixel_grid(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, shape=(96, 180), crs=None)
    with pytest.raises(GeosegError, match="--pixel-grid") as refused:
        pair.run(tmp_path / "placed")
    assert refused.value.given.startswith(f"--scenes-before {pair.before}")  # as it was asked for
    result = pair.run(tmp_path / "map", pixel_grid=True)
    assert classes_of(result).shape == (96, 180)
    smaller = write_pair(tmp_path / "other", shape=(96, 128), crs=None)
    with pytest.raises(GeosegError, match="one size") as refused:
        pair.run(tmp_path / "sizes", pixel_grid=True, scenes_after=str(smaller.after))
    assert refused.value.exit_code == 2


def test_bands_that_the_dates_do_not_share_are_left_out(pair: PairOfDates, tmp_path: Path) -> None:
    with rasterio.open(pair.after) as file:
        image = file.read([4, 3])
    two = worlds.write_raster(tmp_path / "two.tif", image, names=("nir", "blue"), nodata=0)
    result = pair.run(tmp_path / "map", scenes_after=str(two))
    assert set(result.report["change"]["bands"]) == {"blue", "nir"}
    none = worlds.write_raster(tmp_path / "none.tif", image, names=("swir16", "swir22"), nodata=0)
    with pytest.raises(GeosegError, match="share"):
        pair.run(tmp_path / "none", scenes_after=str(none))


def test_dates_apart_from_each_other_are_refused(pair: PairOfDates, tmp_path: Path) -> None:
    image = worlds.landscape((100, 100), 4).astype("uint8")
    far = worlds.write_raster(tmp_path / "far.tif", image, names=("red", "green", "blue", "nir"), origin=(560_000, 5e6))
    with pytest.raises(GeosegError, match="overlap") as refused:
        pair.run(tmp_path / "map", scenes_after=str(far))
    assert refused.value.exit_code == 3


def test_a_refused_date_is_called_by_its_option() -> None:
    lost = NothingToDoError("no item for --datetime", "--scenes, or --scenes-before", "set --datetime")
    with pytest.raises(NothingToDoError, match="set --after") as refused, asked_as("after"):
        raise lost
    assert str(refused.value) == (
        "given:    no item for --after\nexpected: --scenes-after, or --scenes-before\nto do:    set --after"
    )


# Land cover


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return worlds.finite_model(tmp_path_factory.mktemp("models") / "finite")


@pytest.mark.parametrize("detector", ["ir-mad", "post-classification"])
def test_a_legend_is_that_of_the_land_cover(pair: PairOfDates, tmp_path: Path, detector: str) -> None:
    codes = zip((10, 30, 50, 80), worlds.SPEC["classes"], strict=True)
    classes = tuple(replace(info, code=code) for code, info in codes)
    model = worlds.finite_model(tmp_path / "cover", classes=classes, licence="CC-BY-NC-4.0")
    result = pair.run(tmp_path / "map", model=str(model.path), detector=detector, backend="torch", legend="worldcover")
    told = {name for entry in result.report["classes"][1:] for name in (entry["before"], entry["after"])}
    assert told
    assert told <= {"tree cover", "grassland", "built-up", "permanent water bodies"}
    assert sum("CC-BY-NC-4.0" in text for text in result.report["warnings"]) == 1


@pytest.mark.parametrize("detector", ["ir-mad", "post-classification"])
def test_classes_before_and_after_are_those_of_ordinary_maps(
    pair: PairOfDates, model: ModelFolder, tmp_path: Path, detector: str
) -> None:
    cache = tmp_path / "cache"
    maps = [
        geoseg.run(scenes=(str(scene),), model=str(model.path), out=tmp_path / name, cache=cache, backend="torch")
        for name, scene in (("b", pair.before), ("a", pair.after))
    ]
    before, after = map(classes_of, maps)
    options = {"model": str(model.path), "detector": detector, "cache": cache, "backend": "torch"}
    result = pair.run(tmp_path / "map", **options)
    # The tiles of the single dates are found again.
    assert result.report["tiles"]["reused"] == sum(one.report["tiles"]["total"] for one in maps)
    classes = classes_of(result)
    seen = (before < 250) & (after < 250)
    np.testing.assert_array_equal(classes == 255, ~seen)
    changed = seen & (classes != 0)
    if detector == "post-classification":
        np.testing.assert_array_equal(changed, seen & (before != after))
        assert result.report["tiles"]["computed"] == 0
    table = {entry["index"]: entry for entry in result.report["classes"]}
    pairs = sorted({(int(b), int(a)) for b, a in zip(before[changed], after[changed], strict=True)})
    assert [(table[n + 1]["before"], table[n + 1]["after"]) for n in range(len(pairs))] == [
        (f"class {b}", f"class {a}") for b, a in pairs
    ]
    assert [table[n + 1]["code"] for n in range(len(pairs))] == [100 * b + a for b, a in pairs]
    for index, (b, a) in enumerate(pairs, start=1):
        np.testing.assert_array_equal(classes == index, changed & (before == b) & (after == a))
    confidence = worlds.read(result.out / "confidence.tif")
    least = np.minimum(*(worlds.read(one.out / "confidence.tif") for one in maps))
    assert (confidence[seen] <= least[seen]).all()
    rows = result.polygons
    assert (rows["before"] + " to " + rows["after"] == rows["name"]).all()
    first = rows.iloc[rows["pixels"].argmax()]
    mask = rasterio.features.geometry_mask(
        [first.geometry], classes.shape, rasterio.open(result.out / "classes.tif").transform, invert=True
    )
    for column, one in zip(("confidence_before", "confidence_after"), maps, strict=True):
        assert first[column] == pytest.approx(worlds.read(one.out / "confidence.tif")[mask].mean())
