"""Every labelled folder of the shared data opens with the configuration that is shipped for it."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from geoseg.grid import Window
from geoseg.labels import IGNORE
from geoseg.labels.config import read_data
from geoseg.spec import workflow_folder
from tests.labels.made import everything

# Images on both sides together; the class of the second column and the labelled pixels that the data set's page states.
COUNTS = {
    "buildings-atlanta": (3, None, 0),
    "landcover-loveda": (2, "forest", 914_057),
    "landcover-nlcd-zion": (4, None, 0),
    "landslide-nepal": (15, None, 0),
    "landslide-sichuan": (24 + 15, None, 0),
    "roads-gsi": (23, None, 0),
    "s2-amazon-forest": (12, None, 0),
    "s2-slovenia-lulc": (10, "forest", 5 * 7601),
    "s2-slovenia-register": (10, "forest", 5 * 7601),
    "solar-gsi": (21, None, 0),
    "trees-neon-osbs": (4, None, 0),
}


@pytest.fixture
def data(shared, monkeypatch):
    monkeypatch.setenv("GEOSEG_DATA", str(shared / "data"))
    return shared / "data"


def both_sides(name):
    path = workflow_folder() / "train" / f"{name}.yaml"
    return read_data(yaml.safe_load(path.read_text())["data"], path.parent)


@pytest.mark.parametrize("name", COUNTS)
def test_it_opens(data, name):
    images, known, px = COUNTS[name]
    trained, held = both_sides(name)
    assert held is not None
    members = (*trained.members, *held.members)
    assert len(members) == images
    assert trained.licence != "not stated"
    assert trained.attribution
    counts = np.zeros(256, np.int64)
    for member in members if known else members[:2]:
        window = everything(member) if known else Window(0, 0, *(min(256, side) for side in member.shape))
        pixels, valid = member.image(window)
        assert pixels.shape == (len(trained.bands), *window.shape)
        labels = member.labels(window)
        assert labels.shape == valid.shape == window.shape
        counts += np.bincount(labels.ravel(), minlength=256)
    assert (counts[len(trained.classes) : IGNORE] == 0).all()
    if known:
        assert counts[[c.name for c in trained.classes].index(known)] == px


def test_the_register_drawn_is_the_raster_made_of_it(data):
    """eo-learn made lulc.tif of these polygons: drawing them by the centres of pixels gives it back, nearly."""
    rasters, vectors = (both_sides(name)[0].members[0] for name in ("s2-slovenia-lulc", "s2-slovenia-register"))
    one, other = rasters.labels(everything(rasters)), vectors.labels(everything(vectors))
    assert (one == other).mean() > 0.995


def test_the_other_labelled_folders_open_too(data, tmp_path):
    change = {
        "reader": "rasters", "path": str(data / "change-landsat-taizhou"), "images": "landsat7_*.tif",
        "labels": "change.tif", "classes": ["unchanged", "changed"], "ignore": 255,
    }  # fmt: skip
    labels, _ = read_data(change, tmp_path)
    truth = labels.members[0].labels(everything(labels.members[0]))
    assert [(truth == value).sum() for value in (0, 1, IGNORE)] == [17_163, 4_227, 138_610]
    levir = {
        "reader": "chips", "path": str(data / "change-levir-samples"), "images": "B/*", "masks": "label/*",
        "classes": ["none", "change"],
    }  # fmt: skip
    assert len(read_data(levir, tmp_path)[0].members) == 4


@pytest.mark.parametrize("name", COUNTS)
def test_it_is_a_training(name):
    from geoseg.training.config import TrainConfig

    config = TrainConfig.read(workflow_folder() / "train" / f"{name}.yaml")
    assert config.name == name
    blocks = config.data if isinstance(config.data, list) else [config.data]
    assert all("${GEOSEG_DATA}/" in block["path"] for block in blocks)


def test_every_shipped_training_is_tried():
    assert {path.stem for path in (workflow_folder() / "train").glob("*.yaml")} >= set(COUNTS)
