"""Generated scenes with truth, as labels that a configuration reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worlds
from affine import Affine
from odc.geo import CRS

from geoseg.evaluation import baselines
from geoseg.grid import Window
from geoseg.labels import IGNORE, ClassName, LabelSet


@dataclass(frozen=True)
class Painted:
    """A labelled image in memory; implements ``Labelled``."""

    name: str
    pixels: np.ndarray
    truth: np.ndarray
    group: str = "a"
    bands: tuple[str, ...] = worlds.BANDS
    crs: CRS | None = None
    transform: Affine | None = None
    gsd_m: float | None = None
    path: Path | None = None
    gaps: np.ndarray | None = field(default=None)

    @property
    def shape(self) -> tuple[int, int]:
        return self.truth.shape

    def image(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        rows, cols = slice(window.row0, window.row1), slice(window.col0, window.col1)
        valid = np.ones(window.shape, bool) if self.gaps is None else ~self.gaps[rows, cols]
        return self.pixels[:, rows, cols], valid

    def labels(self, window: Window) -> np.ndarray:
        return self.truth[window.row0 : window.row1, window.col0 : window.col1]


def land(shape: tuple[int, int], seed: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (band, y, x) uint8, and a truth that has something to do with them."""
    image = worlds.landscape(shape, 3, seed)
    truth = np.digitize(image[0], np.linspace(60, 180, classes - 1)).astype("uint8")
    return image.astype("uint8"), truth


@pytest.fixture(autouse=True)
def _small_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is claimed of forests holds for small ones."""
    monkeypatch.setattr(baselines, "TREES", 10)
    monkeypatch.setattr(baselines, "_TRIED_PIXELS", 2000)


@pytest.fixture
def painted() -> Callable[..., LabelSet]:
    """Sets of images in memory."""

    def make(
        count: int = 3,
        shape: tuple[int, int] = (70, 90),
        classes: int = 4,
        groups: Iterable[str] = (),
        ignore: bool = True,
        **facts: Any,
    ) -> LabelSet:
        names = list(groups) or [f"g{at}" for at in range(count)]
        members = []
        for at in range(count):
            pixels, truth = land(shape, at, classes)
            if ignore:
                truth[:5, :7] = IGNORE
            members.append(Painted(f"image-{at}", pixels, truth, names[at % len(names)], **facts))
        return LabelSet(tuple(ClassName(f"class {at}") for at in range(classes)), tuple(members))

    return make
