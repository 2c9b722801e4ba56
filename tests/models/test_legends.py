"""Legends: what becomes of a model's classes, and what does not change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import worlds

import geoseg
from geoseg.errors import RequestError
from geoseg.heads import Chips, HeadOutput
from geoseg.heads.legend import LegendHead
from geoseg.models import ClassInfo, ModelFolder, list_models, resolve
from geoseg.models.legends import LEGENDS, legend_of
from geoseg.spec import JobSpec

CODES = {10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100}


def spec_of(name):
    return resolve(name, models_dirs=(), cache=Path("nowhere"), offline=True).spec


def test_dynamic_world_in_worldcovers_legend_keeps_every_pixel():
    model = spec_of("dynamic-world")
    legend = legend_of(model, "worldcover")
    assert [(info.index, info.code) for info in legend.classes] == list(enumerate((80, 10, 30, 90, 40, 20, 50, 60, 70)))
    assert legend.fused == ()
    assert legend.words == ""
    assert legend.absent == ("mangroves", "moss and lichen")
    pairs = {model.classes[n].name: legend.classes[i].name for n, i in enumerate(legend.sources)}
    assert pairs["trees"] == "tree cover"
    assert pairs["built area" if "built area" in pairs else "built-area"] == "built-up"


def test_classes_that_become_one_are_said():
    legend = legend_of(spec_of("demo-landcover"), "worldcover")
    assert [info.code for info in legend.classes] == [80, 10, 30, 40, 50, 60]
    assert legend.fused == (0, 1, 2, 3, 4, 5, 5)
    assert legend.words == "bare or sparse vegetation = gravel + landslide"
    assert {info.code for info in legend.classes} <= CODES


def test_a_model_without_a_crosswalk_is_refused_and_one_with_the_codes_is_not():
    uav = spec_of("demo-uav")
    with pytest.raises(RequestError, match="demo-uav") as refused:
        legend_of(uav, "worldcover")
    assert len(str(refused.value).splitlines()) == 3
    own = replace(uav, classes=tuple(replace(info, code=10 * n) for n, info in enumerate(uav.classes, 1)))
    assert [info.code for info in legend_of(own, "worldcover").classes] == [
        10 * n for n in range(1, len(own.classes) + 1)
    ]
    assert JobSpec.model_fields["legend"].annotation.__args__[0].__args__ == LEGENDS
    assert {folder.spec.name for folder in list_models(models_dirs=(), cache=Path("nowhere"))} >= {"dynamic-world"}


class Fixed:
    """A head that always says the same."""

    def __init__(self, scores):
        self.scores = scores
        self.class_table = tuple(ClassInfo(n, f"c{n}", "#000000") for n in range(scores.shape[1]))

    def __call__(self, chips: Chips) -> HeadOutput:
        return HeadOutput(self.scores)


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_scores_are_summed_before_the_highest_is_chosen(kind):
    legend = legend_of(spec_of("demo-landcover"), "worldcover")
    scores = np.zeros((1, 7, 1, 2), "float32")
    scores[0, :, 0, 0] = (0.1, 0.35, 0.0, 0.0, 0.0, 0.3, 0.25)  # forest leads, gravel and landslide together do
    scores[0, :, 0, 1] = (0.0, np.nan, 0.0, 0.0, 0.0, 0.5, 0.5)
    head = LegendHead(Fixed(torch.from_numpy(scores) if kind == "torch" else scores), legend)
    found = np.asarray(head(Chips({}, None)).scores)
    assert found.shape == (1, 6, 1, 2)
    np.testing.assert_allclose(found[0, :, 0, 0], (0.1, 0.35, 0, 0, 0, 0.55), atol=1e-7)
    assert found[0, :, 0, 0].argmax() == 5
    assert np.isnan(found[0, 1, 0, 1])
    assert found[0, 5, 0, 1] == 1
    assert len(head.class_table) == 6


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> ModelFolder:
    """A network whose classes are called like those of the shipped demo."""
    folder = tmp_path_factory.mktemp("legend")
    names = [info.name for info in spec_of("demo-landcover").classes]
    classes = tuple(ClassInfo(n, name, f"#{n:02x}8080") for n, name in enumerate(names))
    return worlds.finite_model(folder / "demo-landcover", name="demo-landcover", classes=classes)


def test_the_map_has_the_legends_classes_everywhere(tmp_path, model):
    image = worlds.landscape((70, 80), 3).astype("uint8")
    scene = worlds.write_raster(tmp_path / "scene.tif", image, names=worlds.BANDS, nodata=0)
    options = {"scenes": (str(scene),), "model": str(model.path), "cache": tmp_path / "cache", "layers": "scores"}
    plain = geoseg.run(out=tmp_path / "plain", **options)
    found = geoseg.run(out=tmp_path / "map", legend="worldcover", **options)
    again = geoseg.run(out=tmp_path / "again", legend="worldcover", **options)
    assert found.report["tiles"]["reused"] == 0
    assert again.report["tiles"]["computed"] == 0
    assert [entry["code"] for entry in found.report["classes"]] == [80, 10, 30, 40, 50, 60]
    assert any("gravel + landslide" in text for text in found.report["warnings"])
    with rasterio.open(tmp_path / "plain" / "scores.tif") as file:
        scores = file.read().astype(float)
    summed = np.concatenate((scores[:5], scores[5:6] + scores[6:7]))
    with rasterio.open(tmp_path / "map" / "scores.tif") as file:
        assert file.count == 6
        assert abs(file.read() - summed).max() <= 1
    classes = worlds.read(tmp_path / "map" / "classes.tif")
    top = np.sort(summed, axis=0)
    clear = top[-1] - top[-2] > 2
    np.testing.assert_array_equal(classes[clear], summed.argmax(axis=0)[clear])
    polygons = found.polygons
    assert set(zip(polygons["name"], polygons["code"], strict=True)) <= {
        (entry["name"], entry["code"]) for entry in found.report["classes"]
    }
    areas = (tmp_path / "map" / "areas.csv").read_text().splitlines()
    assert areas[1].startswith("all,0,80,permanent water bodies,")
    assert plain.report["classes"][0]["code"] is None
