"""Images as means of squares are what a reduced network sees of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from affine import Affine
from odc.geo import CRS
from torch.nn import functional

from geoseg.errors import RequestError
from geoseg.grid import Window
from geoseg.labels import IGNORE
from geoseg.training.coarse import Coarse, coarse
from geoseg.training.config import TrainConfig


@dataclass(frozen=True)
class Image:
    pixels: np.ndarray
    seen: np.ndarray
    drawn: np.ndarray
    name: str = "one"
    group: str = "a"
    bands: tuple[str, ...] = ("x", "y")
    crs: CRS | None = None
    transform: Affine | None = None
    gsd_m: float | None = 0.5
    path: Path | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.drawn.shape

    def image(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        at = slice(window.row0, window.row1), slice(window.col0, window.col1)
        return self.pixels[:, *at], self.seen[at]

    def labels(self, window: Window) -> np.ndarray:
        return self.drawn[window.row0 : window.row1, window.col0 : window.col1]


@pytest.fixture
def image() -> Image:
    rng = np.random.default_rng(3)
    shape = (42, 33)  # not a multiple of four
    seen = np.ones(shape, bool)
    seen[9, 10] = False
    return Image(rng.integers(0, 255, (2, *shape), np.uint8), seen, rng.integers(0, 3, shape, np.uint8))


def test_a_square_is_the_mean_that_the_network_makes(image):
    (small,) = coarse([image], 4)
    assert small.shape == (10, 8)
    assert small.gsd_m == 2.0
    pixels, valid = small.image(Window(1, 2, 9, 7))
    theirs = functional.avg_pool2d(torch.from_numpy(image.pixels.astype(np.float32))[None], 4)[0, :, 1:9, 2:7]
    np.testing.assert_allclose(pixels[:, valid], theirs.numpy()[:, valid], rtol=1e-6)
    assert np.argwhere(~valid).tolist() == [[2 - 1, 2 - 2]]  # the one square with a pixel that is not to be believed


def test_a_square_has_its_commonest_label():
    drawn = np.full((8, 12), 1, np.uint8)
    drawn[:4, :4] = [[2, 2, 2, 0], [2, 2, 2, 0], [2, 1, 1, 1], [0, 1, 1, 1]]
    drawn[:4, 4:8] = IGNORE
    drawn[0, 4:7] = 2
    drawn[4:, :4] = [[IGNORE] * 4, [2] * 4, [2] * 4, [0] * 4]
    image = Image(np.zeros((2, 8, 12), np.uint8), np.ones((8, 12), bool), drawn)
    found = Coarse(image, 4).labels(Window(0, 0, 2, 3))
    assert found.tolist() == [[2, IGNORE, 1], [2, 1, 1]]


def test_what_is_smaller_than_a_square_is_left_out_and_one_changes_nothing(image):
    assert coarse([image], 1) == (image,)
    assert coarse([image], 40) == ()


@pytest.mark.parametrize(
    "change", [{"network": {}}, {"transform": [{"op": "minmax"}]}, {"network": {"hyperparameters": {"reduce": 1}}}]
)
def test_only_what_averages_by_itself_can_learn_from_means(change, tmp_path):
    document = {"name": "n", "data": {}, "network": {"hyperparameters": {"reduce": 4}}, "sampling": {"reduced": True}}
    assert TrainConfig(**document).factor == 4
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**document, **change}))
    with pytest.raises(RequestError, match="reduced"):
        TrainConfig.read(tmp_path / "c.yaml")
