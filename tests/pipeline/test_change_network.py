"""A network that compares two dates, in the place of the detector."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import worlds
from pairs import BANDS, PairOfDates, write_pair

from geoseg.errors import GeosegError
from geoseg.models import ClassInfo, ModelFolder
from geoseg.models.networks import build
from geoseg.models.saving import save_model
from geoseg.models.steps import Step
from tests.models.test_two_dates import spec_of

CLASSES = (ClassInfo(0, "no change", "#e8e8e4"), ClassInfo(1, "change", "#c51b7d"))

SCALED = Step.of("zscore", mean=[100.0] * 3, std=[40.0] * 3)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> PairOfDates:
    return write_pair(tmp_path_factory.mktemp("pair"), shape=(96, 140))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    folder = tmp_path_factory.mktemp("models") / "pairs"
    return worlds.finite_model(folder, bands=BANDS[:3], classes=CLASSES, dates=2)


def test_a_network_of_two_dates_finds_the_change(pair: PairOfDates, network: ModelFolder, tmp_path: Path) -> None:
    options = {"model": str(network.path), "backend": "torch"}
    whole, cut, swapped = (
        pair.run(tmp_path / name, **options, **more)
        for name, more in (
            ("whole", {}),
            ("cut", {"tile_size": 1}),
            ("swapped", {"scenes_before": str(pair.after), "scenes_after": str(pair.before)}),
        )
    )
    classes = worlds.read(whole.out / "classes.tif")
    assert set(np.unique(classes)) == {0, 1, 255}
    assert (classes[~pair.masked] < 2).all()
    for other in (cut, swapped):
        assert (worlds.read(other.out / "classes.tif") == classes).mean() > 0.999
    assert whole.report["change"]["detector"] == network.spec.name
    assert whole.report["change"]["threshold"] is None
    assert whole.report["model"]["task"] == "change-detection"
    assert set(whole.polygons["class"]) == {1}
    same = pair.run(tmp_path / "same", **options, scenes_after=str(pair.before))
    assert not (worlds.read(same.out / "classes.tif") == 1).any()


def test_one_date_is_refused(pair: PairOfDates, network: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(GeosegError, match="two dates") as refused:
        pair.run(tmp_path / "map", model=str(network.path), detector="post-classification")
    assert refused.value.exit_code == 2


def read_bands(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read([1, 2, 3]).astype("float32")


def test_a_network_that_tells_both_dates_makes_a_from_to_map_in_one_pass(pair: PairOfDates, tmp_path: Path) -> None:
    cover = [{"name": "trees", "color_hint": "397D49"}, {"name": "houses"}, {"name": "water"}]
    # How far it looks, which a map that is cut depends on: measured once by check_model, which takes a minute.
    spec = replace(spec_of("torchgeo:changestar", bands=BANDS[:3]), radius_px=(75, 75, 68, 68))
    spec = replace(
        spec, quantity="digital-number", head="from-to", head_settings={"classes": cover}, transform=(SCALED,)
    )
    torch.manual_seed(3)
    module = build(spec)
    dates = np.stack([read_bands(path)[None, :, :96, :136] for path in (pair.before, pair.after)], axis=1)
    with torch.no_grad():  # random weights that see change in a part of the pair, and several classes
        last = module.network.changemixin.convs[-2]
        last.weight.mul_(1e4)
        module.network.seg_classifier.weight.mul_(1e3)
        change, classes = module.eval().network.answer(torch.from_numpy((dates - 100) / 40))
        last.bias.sub_(change.median())
        module.network.seg_classifier.bias.sub_(classes.mean(dim=(0, 1, 3, 4)))
    folder = save_model(tmp_path / "star", spec, module)
    options = {"model": str(folder.path), "backend": "torch"}
    whole = pair.run(tmp_path / "whole", **options)
    classes = worlds.read(whole.out / "classes.tif")
    assert (classes[pair.masked] == 255).all()
    table = whole.report["classes"]
    assert table[0]["name"] == "no change"
    assert len(table) > 2
    names = [entry["name"] for entry in cover]
    for entry in table[1:]:
        assert entry["name"] == f"{entry['before']} to {entry['after']}"
        assert entry["code"] == 100 * names.index(entry["before"]) + names.index(entry["after"])
    assert whole.report["tiles"]["computed"] == 1
    rows = whole.polygons
    assert {"before", "after", "code", "confidence_before", "confidence_after"} <= set(rows.columns)
    assert rows["confidence_before"].between(33, 100).all()
    cut = pair.run(tmp_path / "cut", **options, tile_size=1)
    assert cut.report["classes"] == table
    assert (worlds.read(cut.out / "classes.tif") == classes).mean() > 0.999
    swapped = pair.run(tmp_path / "swapped", **options, scenes_before=str(pair.after), scenes_after=str(pair.before))
    assert ((worlds.read(swapped.out / "classes.tif") > 0) == (classes > 0)).mean() > 0.999
    turned = {(entry["after"], entry["before"]) for entry in swapped.report["classes"][1:]}
    assert turned == {(entry["before"], entry["after"]) for entry in table[1:]}
