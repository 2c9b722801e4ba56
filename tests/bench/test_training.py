"""The table of a training on generated scenes: means of seeds, and whether the bars are met."""

from __future__ import annotations

import numpy as np
import pytest

from geoseg.bench.training import lines_of
from geoseg.training.scores import Confusion


def confusion(right, wrong):
    return Confusion(np.array([[right, wrong], [wrong, right]], np.int64))


@pytest.mark.parametrize(("right", "met"), [(99, "met, +44.2%"), (4, "not met, +12.8%")])
def test_the_bars_are_those_of_all_seeds_together(right, met):
    ours = {"seed-1": confusion(right, 1), "seed-2": confusion(right, 1)}
    theirs = {"seed-1": confusion(60, 20), "seed-2": confusion(80, 40)}
    lines = lines_of(["land", "water"], ours, theirs)
    assert [line[:29].strip() for line in lines[1:-1]] == [
        "IoU land",
        "IoU water",
        "mean IoU",
        "mean IoU, seed-1",
        "mean IoU, seed-2",
    ]
    assert lines[4].split()[-4] == f"{100 * right / (right + 2):.1f}"
    assert lines[4].split()[-2] == "60.0"
    assert lines[5].split()[-2] == "50.0"
    assert lines[-1].split(": ")[1] == met
