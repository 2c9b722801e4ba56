"""``geoseg evaluate``, ``models compare`` and ``models calibrate`` on generated images in files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import worlds
import yaml

import geoseg
from geoseg.cli import main
from geoseg.evaluation.record import EvaluationRecord
from geoseg.evaluation.task import Task, compare
from geoseg.models import ModelFolder
from geoseg.settings import Settings

CLASSES = [f"class {at}" for at in range(4)]


def write_chips(folder: Path, painted, count: int = 10, shape=(48, 56)) -> Path:
    labels = painted(count, shape)
    for member in labels.members:
        rng = np.random.default_rng(len(member.name))
        noisy = np.where(rng.random(shape) < 0.15, rng.integers(0, 4, shape), member.truth).astype("uint8")
        truth = np.where(member.truth == 255, 255, noisy).astype("uint8")
        worlds.write_raster(folder / "images" / f"{member.name}.tif", member.pixels, names=worlds.BANDS)
        worlds.write_raster(folder / "masks" / f"{member.name}.tif", truth[None])
    return folder


@pytest.fixture
def config(tmp_path: Path, painted) -> Path:
    write_chips(tmp_path / "chips", painted)
    data = {"reader": "chips", "path": "chips", "classes": CLASSES, "ignore": [255], "title": "painted <b>land</b>"}
    data["held_out"] = {"fold": 0, "of": 2}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"data": data, "evaluate": {"boundary_px": 1}, "network": {"name": "unet"}}))
    return path


def run(*words: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 0


def test_models_stand_in_one_table_with_baselines_and_a_page(tmp_path, config, capsys):
    model = worlds.finite_model(tmp_path / "tiny")
    out = tmp_path / "out"
    run(
        "evaluate",
        str(config),
        "--model",
        str(model.path),
        "--conformal",
        "0.3",
        "--out",
        str(out),
        "--json",
        "--quiet",
    )
    printed = capsys.readouterr().out
    record = EvaluationRecord.model_validate_json(printed)
    assert record.model_dump_json(indent=1) + "\n" == (out / "evaluation.json").read_text()
    assert [one.kind for one in record.models] == ["network", "random forest", "majority class"]
    assert record.data.images == record.data.training_images == 5
    assert record.boundary_px == 1
    network, forest, majority = record.models
    assert network.facts["size_bytes"] > 0
    assert network.over_baseline is not None
    assert network.over_baseline.low <= network.over_baseline.value <= network.over_baseline.high
    assert forest.summaries["mean_iou"].value > majority.summaries["mean_iou"].value
    assert network.class_sets is not None
    assert forest.class_sets is None
    assert network.class_sets.scenes == (5, 5, 5, 5)
    total = sum(map(sum, network.confusion))
    assert total == sum(group.pixels for group in network.groups)
    page = (out / "evaluation.html").read_text()
    assert "random forest" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "src=" not in page
    assert "<b>land" not in page


def test_a_table_for_people_names_every_model_and_class(tmp_path, config, capsys):
    models = [worlds.finite_model(tmp_path / name, seed=seed) for seed, name in enumerate(("one", "two"))]
    run("models", "compare", str(config), *(str(model.path) for model in models))
    told = capsys.readouterr().out
    for word in ("random forest", "majority class", "class 3", "mean IoU", "Mpx/s", *(str(m.path) for m in models)):
        assert word in told, word


def test_without_anything_held_out_baselines_go_across_folds_and_it_is_said(tmp_path, config):
    document = yaml.safe_load(config.read_text())
    del document["data"]["held_out"]
    document["evaluate"]["folds"] = 3
    config.write_text(yaml.safe_dump(document))
    model = worlds.finite_model(tmp_path / "tiny")
    record = compare(Task.read(config), [model], Settings())
    assert record.data.images == 10
    assert record.data.across_folds == 3
    assert any("nothing is held out" in note for note in record.notes)
    assert {len(one.groups) for one in record.models} == {10}
    assert record.drawn == "groups"
    held = Task.read(config, ["image-3", "image-4"])
    assert [member.name for member in held.held.members] == ["image-3", "image-4"]
    assert len(held.train.members) == 8


def test_a_calibration_is_stored_and_changes_no_class(tmp_path, config, capsys):
    folder = tmp_path / "sure"
    worlds.finite_model(folder, seed=3)
    scene = config.parent / "chips" / "images" / "image-0.tif"
    before = geoseg.run(scenes=(str(scene),), model=str(folder), out=tmp_path / "before")
    run("models", "calibrate", str(folder), str(config))
    told = capsys.readouterr().out
    after_model = ModelFolder.open(folder)
    assert after_model.spec.temperature != 1 or after_model.spec.temperatures
    for number in after_model.spec.temperatures or (after_model.spec.temperature,):
        assert f"{number:g}" in told
    after = geoseg.run(scenes=(str(scene),), model=str(folder), out=tmp_path / "after")
    classes = [worlds.read(result.out / "classes.tif") for result in (before, after)]
    sure = [worlds.read(result.out / "confidence.tif") for result in (before, after)]
    assert (classes[0] == classes[1]).all()
    assert (sure[0] != sure[1]).any()
    assert after.report["tiles"]["reused"] == 0
    kept = json.loads((folder / "item.json").read_text())["properties"]["geoseg:calibration"]
    assert kept["nll_after"] < kept["nll_before"]
    assert kept["scenes"] == 5
    # Calibrating again starts from the network as it was trained.
    run("models", "calibrate", str(folder), str(config), "--quiet", "--conformal", "0.4")
    assert f"class sets: {kept_sets(folder)}" in capsys.readouterr().out
    again = ModelFolder.open(folder).spec
    assert (again.temperature, again.temperatures) == (after_model.spec.temperature, after_model.spec.temperatures)
    run("models", "show", str(folder))
    assert kept_sets(folder) in capsys.readouterr().out


def kept_sets(folder):
    """Thresholds of class sets in a model's item, in the words of the command line."""
    kept = json.loads((folder / "item.json").read_text())["properties"]["geoseg:class_sets"]
    assert kept["miss"] == 0.4
    assert len(kept["thresholds"]) == len(kept["classes"]) == len(kept["scenes"])
    assert any(least is not None for least in kept["thresholds"])
    return ", ".join(
        f"{name} always" if least is None else f"{name} from {least:.1%} on"
        for name, least in zip(kept["classes"], kept["thresholds"], strict=True)
    )


def test_models_of_geoseg_itself_and_data_without_held_out_images_are_refused(tmp_path, config):
    for words in (
        ("models", "calibrate", "demo-uav", str(config)),
        ("models", "calibrate", "hf:some/model", str(config)),
        ("evaluate", str(config)),
        ("evaluate", str(config), "--model", "demo-uav"),
        ("evaluate", str(config), "--model", "demo-uav", "--hold-out", "image-77"),
        ("evaluate", str(tmp_path / "none.yaml"), "--model", "demo-uav"),
    ):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 2, words
