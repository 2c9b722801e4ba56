"""Faults of what a network says (group E): a chip without an answer is a hole in the map, never a class."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import worlds
from torch import Tensor, nn

import geoseg
from geoseg.errors import ModelMismatchError
from geoseg.models import ModelFolder
from geoseg.models.network import Network

MARK = 255.0  # one pixel of the scene; the chips that see it have no answer
ROW, COL = 70, 101


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = worlds.landscape((130, 160), 3).astype("uint8")
    image[0, ROW, COL] = MARK
    return worlds.write_raster(tmp_path_factory.mktemp("scene") / "scene.tif", image, names=worlds.BANDS)


@pytest.fixture(scope="module", params=["finite", "global"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    make = worlds.finite_model if request.param == "finite" else worlds.global_model
    return make(tmp_path_factory.mktemp("models") / request.param)


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory, scene: Path, model: ModelFolder) -> np.ndarray:
    """Classes where the network always answers."""
    return worlds.read(run(scene, model, tmp_path_factory.mktemp("clean")).out / "classes.tif")


class Odd(nn.Module):
    """A network that answers wrongly where its input holds the mark."""

    def __init__(self, network: nn.Module, kind: str, mark: float) -> None:
        super().__init__()
        self.network, self.kind, self.mark = network, kind, mark

    def forward(self, values: Tensor) -> Tensor:
        logits: Tensor = self.network(values)
        here = torch.isclose(values[:, 0], torch.tensor(self.mark)).any()
        if self.kind == "always" or (here and self.kind == "size"):
            return logits[..., :-1]
        if here and self.kind == "classes":
            return logits[:, :-1]
        return logits * torch.nan if here and self.kind == "nan" else logits


@contextmanager
def odd(monkeypatch: pytest.MonkeyPatch, kind: str) -> Iterator[None]:
    begin = Network.__init__

    def wraps(network: Network, spec: object, module: nn.Module, device: str = "cpu", **more: bool) -> None:
        begin(network, spec, Odd(module, kind, (MARK - 120) / 40), device, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Network, "__init__", wraps)
        yield


def run(scene: Path, model: ModelFolder, folder: Path, **more: object) -> geoseg.Result:
    options = {"tile_size": 64, "cache": folder / "cache", "out": folder / "map", **more}
    return geoseg.run(scenes=(str(scene),), model=str(model.path), **options)


@pytest.mark.fault(54)
@pytest.mark.parametrize("kind", ["nan", "size", "classes"])
def test_fault_54_chips_without_an_answer_are_failed_and_named(tmp_path, monkeypatch, scene, model, right, kind):
    with odd(monkeypatch, kind):
        result = run(scene, model, tmp_path)
    pixels = worlds.read(result.out / "classes.tif")
    failed = pixels == 254
    report = json.loads((result.out / "report.json").read_text())
    assert failed[ROW, COL]
    assert report["pixels"]["failed"] == {"model": failed.sum()}
    assert (worlds.read(result.out / "confidence.tif")[failed] == 255).all()
    if model.spec.kind == "finite":  # what other chips see is theirs alone; a global network's neighbours are blended
        np.testing.assert_array_equal(pixels[~failed], right[~failed])
    # Every hole lies in a window that the report names, and one of them holds the mark.
    assert report["model_failures"]
    named = np.zeros_like(failed)
    reasons = set()
    for text in report["model_failures"]:
        numbers = [
            int(word) for word in text.split(" of the map")[0].replace(",", "").split() if word.lstrip("-").isdigit()
        ]
        top, bottom, first, last = np.maximum(numbers, 0)
        named[top:bottom, first:last] = True
        reasons.add(text.rsplit(", ", 1)[1])
        assert "longitude " in text
    assert not (failed & ~named).any()
    assert named[ROW, COL]
    assert reasons == {"scores that are no numbers" if kind == "nan" else "scores of a wrong shape"}
    assert any("no answer for a chip" in text for text in report["warnings"])
    # What comes from the tile store says so too.
    again = run(scene, model, tmp_path, fresh=True).report
    assert again["tiles"]["computed"] == 0
    assert again["model_failures"] == report["model_failures"]


@pytest.mark.fault(54)
def test_fault_54_a_network_that_never_fits_is_refused(tmp_path, monkeypatch, scene, model):
    with odd(monkeypatch, "always"), pytest.raises(ModelMismatchError) as refused:
        run(scene, model, tmp_path)
    assert len(str(refused.value).splitlines()) == 3
    assert not (tmp_path / "map" / "classes.tif").exists()
