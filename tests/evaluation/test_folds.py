"""A configuration across folds: each image is mapped once, by a network that never saw its fold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import worlds
import yaml

from geoseg.bench.folds import fold_of, measure_folds
from geoseg.bench.real_sets import measure_real_sets
from geoseg.bench.trained import tried
from geoseg.errors import RequestError
from geoseg.labels.config import read_data

CLASSES = ["low", "high"]


@pytest.fixture
def config(tmp_path: Path, painted) -> Path:
    for name, count in (("land", 4), ("more", 1)):
        for member in painted(count, (64, 64), classes=2, ignore=False).members:
            worlds.write_raster(
                tmp_path / name / "images" / f"{name}-{member.name}.tif", member.pixels, names=worlds.BANDS
            )
            worlds.write_raster(tmp_path / name / "masks" / f"{name}-{member.name}.tif", member.truth[None])
    block = {"reader": "chips", "classes": CLASSES}
    document = {
        "name": "folded",
        "data": [{**block, "path": "land", "held_out": {"fold": 0, "of": 2}}, {**block, "path": "more"}],
        "network": {"architecture": "geoseg:unet", "hyperparameters": {"widths": [4, 4]}},
        "sampling": {"window_px": 32, "batch": 2},
        "schedule": {"steps": 2, "precision": "float32"},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_every_image_is_mapped_by_a_network_that_never_saw_it(config, tmp_path):
    said: list[str] = []
    (tmp_path / "runs").mkdir()
    measure_folds(config, 2, tmp_path / "runs", said.append)
    held = []
    for fold in range(2):
        own = yaml.safe_load((tmp_path / "runs" / f"fold-{fold}" / "config.yaml").read_text())
        kept, out = read_data(own["data"], tmp_path / "runs")
        assert out is not None
        held.append({member.name for member in out.members})
        assert not held[-1] & {member.name for member in kept.members}
        assert "more-image-0" in {member.name for member in kept.members}
    assert set.union(*held) == {f"land-image-{at}" for at in range(4)}
    assert not held[0] & held[1]
    scores = [json.loads((tmp_path / "runs" / f"fold-{fold}" / "scores.json").read_text())["scores"] for fold in (0, 1)]
    for fold in (0, 1):
        assert list(scores[fold]) == ["network", "random forest", "majority class"]
        for images in scores[fold].values():
            assert images.keys() == held[fold]
            assert all(np.sum(counts) == 64 * 64 for counts in images.values())
    network = next(line.split() for line in "".join(said).splitlines() if line.startswith("high"))
    folds = [float(number) for number in network[2:4]]
    assert float(network[4]) == pytest.approx(sum(folds) / 2, abs=1e-3)
    assert float(network[5]) == pytest.approx(abs(folds[0] - folds[1]) / 2**0.5, abs=2e-3)
    again: list[str] = []
    measure_folds(config, 2, tmp_path / "runs", again.append)
    assert again[-6:] == said[-6:]


def test_only_what_is_held_out_is_dealt_and_paths_hold_elsewhere(tmp_path):
    document = {
        "name": "n",
        "data": [{"path": "a", "held_out": {"groups": ["x"]}}, {"path": "$HOME/b"}, {"seeds": [1]}],
    }
    made = fold_of(document, tmp_path, 1, 3)
    assert made["data"] == [
        {"path": str(tmp_path / "a"), "held_out": {"fold": 1, "of": 3}},
        {"path": "$HOME/b"},
        {"seeds": [1]},
    ]
    assert document["data"][0]["held_out"] == {"groups": ["x"]}


def test_nothing_to_hold_out_is_refused(config, tmp_path):
    document = yaml.safe_load(config.read_text())
    document["data"] = document["data"][1]
    config.write_text(yaml.safe_dump(document))
    with pytest.raises(RequestError, match="held_out"):
        measure_folds(config, 2, tmp_path, lambda _: None)


def test_a_table_of_sets_says_of_each_class_what_each_model_reached(config, tmp_path):
    document = yaml.safe_load(config.read_text())
    document["data"][0]["held_out"] = {"groups": ["land-image-3"]}
    own = config.with_name("painted.yaml")
    own.write_text(yaml.safe_dump(document))
    said: list[str] = []
    (tmp_path / "runs").mkdir()
    measure_real_sets([own], tmp_path / "runs", said.append)
    found = tried(own, tmp_path / "runs" / "painted")
    assert found.facts["trained"] == 4
    assert found.facts["held"] == 1
    rows = [line.split("|")[1:-1] for line in "".join(said).splitlines() if line.startswith("| painted |")]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert cells[0][1:3] == ["4 images", "1 (land-image-3)"]
    network = found.total("network")
    assert [row[1] for row in cells[2:]] == [CLASSES[at] for at in network.present]
    for row, at in zip(cells[2:], network.present, strict=True):
        assert row[3] == f"{network.classes[at].iou:.3f}"
    assert sum(float(row[2].rstrip("%")) for row in cells[2:]) == pytest.approx(100, abs=0.2)
    samples = {sample.name: sample for sample in found.samples}
    assert samples.keys() == {"land-image-3"}
    assert samples["land-image-3"].scores.sum(axis=1) == pytest.approx(1, abs=1e-5)
