"""``geoseg assess`` from a run's folder to its page."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
import worlds
from PIL import Image

import geoseg
from geoseg.cli import main


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assess")
    image = worlds.landscape((90, 120), 3).astype("uint8")
    image[:, :20, :30] = 0
    scene = worlds.write_raster(folder / "scene_20220101.tif", image, names=worlds.BANDS, nodata=0)
    model = worlds.finite_model(folder / "tiny")
    return geoseg.run(scenes=(str(scene),), model=str(model.path), cache=folder / "cache", out=folder / "map")


def say(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


def test_a_map_is_drawn_from_labelled_and_judged(result, tmp_path, capfd):
    folder = tmp_path / "sample"
    assert say("assess", "draw", result.out, "--out", folder, "--samples", 40, "--min-per-class", 4) in {0, None}
    design = json.loads((folder / "sample.json").read_text())
    pictures = sorted((folder / "chips").glob("*.png"))
    assert len(pictures) == len(design["samples"]) >= 40
    with Image.open(pictures[0]) as picture:
        assert picture.size == (378, 378)
    names = {entry["index"]: entry["name"] for entry in design["classes"]}
    with (folder / "sample.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    classes = np.asarray(result.classes)
    places = {one["id"]: (one["row"], one["col"]) for one in design["samples"]}
    for row in rows:
        row["label"] = names[int(classes[places[int(row["id"])]])]
    assert all((folder / row["chip"]).is_file() for row in rows)
    with (folder / "sample.csv").open("w") as stream:
        table = csv.DictWriter(stream, rows[0])
        table.writeheader()
        table.writerows(rows)
    capfd.readouterr()
    assert say("assess", "report", result.out, folder, "--json") in {0, None}
    found = json.loads(capfd.readouterr().out)
    assert found == json.loads((folder / "assessment.json").read_text())
    assert found["overall_accuracy"]["value"] == 1
    assert found["overall_accuracy"]["low"] < 1
    counted = {row["index"]: row["area_m2"] for row in result.report["areas"] if row["feature"] == "all"}
    for row in found["classes"]:
        assert row["area"]["value"] == pytest.approx(counted[row["index"]], rel=1e-9)
    page = (folder / "assessment.html").read_text()
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", page)
    assert "<script" not in page
    assert say("assess", "report", result.out, folder) in {0, None}
    assert "overall accuracy 100.0" in capfd.readouterr().out


def test_what_is_wrong_is_said_in_three_lines(result, tmp_path, capfd):
    for words in (
        ("assess", "draw", result.out, "--out", result.out, "--expected", "much", "--no-chips"),
        ("assess", "draw", result.out, "--standard-error", "2"),
        ("assess", "draw", tmp_path),
        ("assess", "report", result.out, tmp_path),
    ):
        assert say(*words) == 2
        assert len(capfd.readouterr().err.splitlines()) == 3
