"""The shipped landslide model: what its folder says is so, it maps a chip, and its maps name whose images it learned from."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import worlds
import yaml

import geoseg
from geoseg.models import resolve
from geoseg.models.check import check_model
from geoseg.models.exports import find_export
from geoseg.models.exports.openvino_network import OpenVinoNetwork
from geoseg.models.licences import licence_kind
from geoseg.models.network import load_network
from geoseg.spec import workflow_folder


@pytest.fixture(scope="module")
def folder():
    return resolve("landslide-rgb", offline=True)


def test_the_folder_is_small_and_says_where_the_model_comes_from(folder):
    spec, card = folder.spec, (folder.path / "README.md").read_text(encoding="utf-8")
    assert (folder.path / "weights.safetensors").stat().st_size <= 6_000_000
    assert [info.name for info in spec.classes] == ["background", "landslide"]
    assert "CC-BY-4.0" in spec.licence
    assert "10.11922/sciencedb.j00001.00222" in (spec.attribution or "")
    assert licence_kind(spec.licence) == "open"
    assert len(spec.temperatures) == 2  # of the folds: confidences hold on chips that nobody saw
    for words in (spec.licence, "10.11922/sciencedb.j00001.00222", "random forest", "fold 3", "geoseg.bench folds"):
        assert words in card


def test_what_the_item_declares_is_measured(folder):
    report = check_model(folder)
    assert report.lasting == ()
    assert folder.spec.kind == "finite"


def test_the_recipe_is_that_of_the_folds():
    recipes = [
        yaml.safe_load((workflow_folder() / "train" / f"landslide-{name}.yaml").read_text())
        for name in ("rgb", "sichuan")
    ]
    for recipe in recipes:
        for name in ("name", "notes", "validation"):
            recipe.pop(name, None)
        recipe["data"][0].pop("held_out", None)
    assert recipes[0] == recipes[1]


def test_it_maps_a_chip_and_the_map_names_its_sources(tmp_path):
    image = worlds.landscape((300, 260), 3, seed=5).clip(0, 255).astype("uint8")
    path = worlds.write_raster(tmp_path / "chip.tif", image, pixel=0.5, names=worlds.BANDS)
    maps = []
    for tile in (256, 512):
        out = tmp_path / f"map-{tile}"
        result = geoseg.run(scenes=(str(path),), model="landslide-rgb", out=out, tile_size=tile)
        maps.append(worlds.read(out / "classes.tif"))
        assert "sciencedb.j00001.00222" in json.dumps(result.report, default=str)
    np.testing.assert_array_equal(*maps)
    assert set(np.unique(maps[0])) <= {0, 1}


def test_it_finds_landslides_that_it_was_shown(shared, tmp_path):
    data = shared / "data" / "landslide-sichuan"
    out = tmp_path / "map"
    scenes = (str(data / "images" / "sichuan_006.jpg"),)
    geoseg.run(scenes=scenes, bands=("red", "green", "blue"), model="landslide-rgb", out=out, pixel_grid=True)
    found, drawn = worlds.read(out / "classes.tif") == 1, worlds.read(data / "masks" / "sichuan_006.png") == 1
    assert (found & drawn).sum() / (found | drawn).sum() > 0.6


def test_the_shipped_export_gives_the_classes_of_the_weights_beside_it(folder):
    export = find_export(folder, "openvino", "exact")
    assert export is not None
    assert export.path.is_relative_to(folder.path)
    rng = np.random.default_rng(1)
    values = (rng.random((1, 3, 4, 6)).repeat(64, 2).repeat(64, 3) * 255).astype("float32")
    valid = np.ones((1, 256, 384), bool)
    valid[:, :40, :70] = False
    ours = OpenVinoNetwork(folder.spec, export).scores(values, valid)
    theirs = load_network(folder).scores(torch.from_numpy(values), torch.from_numpy(valid)).numpy()
    assert np.abs(ours - theirs).max() < 1e-4
