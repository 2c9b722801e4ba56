"""Windows and the edges of small images: never further out than the rim, every place as likely, small images enlarged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from geoseg.grid import Window
from geoseg.training.config import SamplingConfig
from geoseg.training.sampler import LabelIndex, Sampler
from geoseg.training.windows import Windows

RIM = 0.2


@dataclass(frozen=True)
class Plain:
    """An image without anything to see, of one class above and another below."""

    name: str
    shape: tuple[int, int]
    bands = ("x",)
    crs = transform = gsd_m = path = None

    @property
    def group(self):
        return self.name

    def image(self, window):
        return np.zeros((1, *window.shape), np.uint8), np.ones(window.shape, bool)

    def labels(self, window):
        drawn = np.zeros(self.shape, np.uint8)
        drawn[self.shape[0] // 2 :] = 1
        return drawn[window.within(Window(0, 0, *self.shape))]


@pytest.fixture
def members():
    return (Plain("large", (90, 120)), Plain("small", (30, 40)))


def drawn(members, side, count=400, **options):
    index = LabelIndex.build(Windows(members, 10**8), 2)
    sampler = Sampler(index, SamplingConfig(window_px=side, **options), seed=3)
    return [sampler.window(sampler.rng(step, 0), side, members) for step in range(count)]


def test_no_window_reaches_further_than_the_rim_and_each_holds_pixels(members):
    for member, window in drawn(members, 48, rim=RIM, groups=1):
        rows, cols = members[member].shape
        side = window.shape[0]
        assert window.shape == (side, side)
        out = max(-window.row0, -window.col0, window.row1 - rows, window.col1 - cols)
        assert out <= np.ceil(side * RIM)
        assert window & Window(0, 0, rows, cols)


def test_an_image_that_is_small_against_its_window_is_enlarged_not_an_island(members):
    found = drawn(members, 48, rim=RIM, groups=1)
    sides = {member: {window.shape[0] for own, window in found if own == member} for member in (0, 1)}
    assert sides == {0: {48}, 1: {int(30 * (1 + 2 * RIM))}}
    island = drawn(members, 48, groups=1)
    assert {window.shape[0] for member, window in island if member == 1} == {48}


def test_a_rim_of_nothing_keeps_windows_inside(members):
    for member, window in drawn(members, 64, rim=0, groups=1):
        assert window & Window(0, 0, *members[member].shape) == window


def test_corners_are_seen_about_as_often_as_the_middle(members):
    """Without a rim, windows that would reach out are pushed back, so most lie at an edge; with it, every place is as likely."""
    rows = [window.row0 for member, window in drawn(members[:1], 64, 2000, rim=RIM, classes=0) if member == 0]
    low, high = -np.ceil(64 * RIM), 90 + np.ceil(64 * RIM) - 64
    shares = np.histogram(rows, 4, (low, high))[0] / len(rows)
    assert shares.min() > 0.15
