"""Scores, entropy and margin: what the network said, on the grid of the map, however the work was cut."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import worlds
from numpy.typing import NDArray
from rasterio.warp import transform_bounds
from rio_cogeo.cogeo import cog_validate

import geoseg
from geoseg.models import ModelFolder
from geoseg.models.network import load_network

ALL = "margin,scores,entropy"
NAMES = ("scores.tif", "entropy.tif", "margin.tif")


@pytest.fixture(scope="module", params=["finite", "global"])
def model(request: pytest.FixtureRequest, finite: ModelFolder, chip_global: ModelFolder) -> ModelFolder:
    return finite if request.param == "finite" else chip_global


def make(folder: Path, scene: Path, model: ModelFolder, **options: object) -> geoseg.Result:
    folder.mkdir(exist_ok=True)
    more = {"cache": folder / "cache", "layers": ALL, **options}
    return geoseg.run(scenes=(str(scene),), model=str(model.path), out=folder / "map", **more)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, scene: Path, model: ModelFolder) -> geoseg.Result:
    return make(tmp_path_factory.mktemp("layers") / "96", scene, model, tile_size=96)


def read_all(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as file:
        pixels: NDArray[np.uint8] = file.read()
    return pixels


def test_layers_agree_with_classes_and_confidence(result: geoseg.Result) -> None:
    classes, confidence = worlds.read(result.out / "classes.tif"), worlds.read(result.out / "confidence.tif")
    scores, entropy, margin = (read_all(result.out / name) for name in NAMES)
    assert scores.shape[0] == len(worlds.COLOURS)
    there = classes < 254
    assert there.any()
    assert not there.all()
    for layer in (*scores, *entropy, *margin):
        np.testing.assert_array_equal(layer == 255, ~there)
        assert layer[there].max() <= 100
    chosen = np.take_along_axis(scores, np.minimum(classes, len(scores) - 1)[None], axis=0)[0]
    np.testing.assert_array_equal(chosen[there], confidence[there])
    assert (np.abs(scores[:, there].sum(axis=0, dtype=int) - 100) <= len(scores) / 2).all()
    ordered = np.sort(scores[:, there].astype(int), axis=0)
    assert (np.abs(ordered[-1] - ordered[-2] - margin[0][there]) <= 1).all()
    shares = scores[:, there] / scores[:, there].sum(axis=0)
    bits = -(shares * np.log(np.maximum(shares, 1e-9))).sum(axis=0) / np.log(len(scores)) * 100
    assert np.abs(bits - entropy[0][there]).max() < 8  # from rounded percents
    assert np.ptp(entropy[0][there]) > 10


@pytest.mark.parametrize("model", ["finite"], indirect=True)  # a global one has no pass over the whole image
def test_layers_are_those_of_one_pass_over_the_whole_image(
    result: geoseg.Result, scene: Path, model: ModelFolder
) -> None:
    """Scores of the network itself, in double precision."""
    network, stride = load_network(model), model.spec.stride_px
    with rasterio.open(scene) as file:
        image, usable = file.read().astype("float32"), (file.read() != 0).all(axis=0)
    rows, cols = usable.shape
    pad = [64 + place % stride for place in result.report["grid"]["anchor"]]
    shape = [-(-(before + size + 64) // stride) * stride for before, size in zip(pad, (rows, cols), strict=True)]
    values, valid = np.zeros((3, *shape), dtype="float32"), np.zeros(shape, dtype=bool)
    part = (slice(pad[0], pad[0] + rows), slice(pad[1], pad[1] + cols))
    values[(slice(None), *part)], valid[part] = image, usable
    answer = network.scores(torch.from_numpy(values)[None], torch.from_numpy(valid)[None])[0].numpy()
    scores = answer[(slice(None), *part)].astype("float64")[:, usable]
    ordered = np.sort(scores, axis=0)
    wanted = {
        "scores.tif": scores,
        "entropy.tif": -(scores * np.log(scores)).sum(axis=0, keepdims=True) / np.log(len(scores)),
        "margin.tif": (ordered[-1] - ordered[-2])[None],
    }
    for name, share in wanted.items():
        found = read_all(result.out / name)[:, usable]
        assert np.abs(found - share * 100).max() <= 0.5 + 1e-2, name


@pytest.mark.parametrize("tile_size", [512])
def test_layers_do_not_depend_on_tile_size(
    tmp_path: Path, scene: Path, model: ModelFolder, result: geoseg.Result, tile_size: int
) -> None:
    """As near as confidence does: chips of another shape may round the last bit of a score otherwise."""
    other = make(tmp_path, scene, model, tile_size=tile_size)
    for name in ("confidence.tif", *NAMES):
        one, two = (read_all(out / name).astype(int) for out in (result.out, other.out))
        assert np.abs(one - two).max() <= 1, name
        assert (one != two).mean() < 1e-3, name


def test_layers_are_rasters_like_the_others(result: geoseg.Result) -> None:
    assets = json.loads((result.out / "item.json").read_text())["assets"]
    for name in NAMES:
        valid, errors, warned = cog_validate(result.out / name, strict=True)
        assert valid, (name, errors, warned)
        with rasterio.open(result.out / name) as file, rasterio.open(result.out / "classes.tif") as classes:
            assert (file.transform, file.crs, file.shape) == (classes.transform, classes.crs, classes.shape)
            assert file.nodata == 255
            names = list(file.descriptions)
        asset = assets[name.removesuffix(".tif")]
        assert (asset["unit"], asset["nodata"]) == ("%", 255)
        if name == "scores.tif":
            assert names == [entry["name"] for entry in result.report["classes"]]
            assert [band["name"] for band in asset["bands"]] == names


def test_a_job_without_layers_shares_its_tiles_with_none_that_has_some(
    tmp_path: Path, scene: Path, finite: ModelFolder
) -> None:
    """Keys and bytes of plain jobs are those of a program that knows no layers; the order of asking makes no key."""
    plain = make(tmp_path / "plain", scene, finite, layers=(), tile_size=96)
    (record, *_) = sorted((tmp_path / "plain" / "cache" / "tiles").rglob("*.zip"))
    with zipfile.ZipFile(record) as archive:
        members = set(archive.namelist())
    assert members == {*(f"{name}.npy.zst" for name in ("cells", "classes", "confidence", "reason")), "facts.json"}
    assert not {path.name for path in plain.out.iterdir()} & set(NAMES)
    cache = tmp_path / "plain" / "cache"
    one = make(tmp_path / "one", scene, finite, layers="entropy,scores", cache=cache, tile_size=96)
    two = make(tmp_path / "two", scene, finite, layers="scores,entropy", cache=cache, tile_size=96)
    assert one.report["tiles"]["reused"] == 0
    assert two.report["tiles"]["computed"] == 0
    assert (one.out / "classes.tif").read_bytes() == (plain.out / "classes.tif").read_bytes()
    assert {path.name for path in one.out.iterdir()} & set(NAMES) == {"scores.tif", "entropy.tif"}


def test_a_region_cuts_layers_as_it_cuts_classes(tmp_path: Path, scene: Path, finite: ModelFolder) -> None:
    with rasterio.open(scene) as file:
        west, south, east, north = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    third = (east - west) / 3, (north - south) / 3
    aoi = [west + third[0], south + third[1], east - third[0], north - third[1]]
    cut = make(tmp_path, scene, finite, aoi=aoi, layers="margin")
    outside = worlds.read(cut.out / "classes.tif") == 255
    assert outside.any()
    np.testing.assert_array_equal(worlds.read(cut.out / "margin.tif") == 255, outside)
