"""Generated landscapes as labelled images: the numbers of the generator, and its truth."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from geoseg.demo.landscape import make_landscape
from geoseg.demo.scenes import DemoScenes
from geoseg.errors import RequestError
from geoseg.grid import Window
from geoseg.labels.config import data_config, read_data

SHAPE = (128, 192)
BLOCK = {"reader": "generated", "seeds": [3, 4], "shape": SHAPE, "bands": ["B04", "B11"]}


def test_images_hold_what_the_generator_gives():
    labels = data_config({**BLOCK, "images": ["dates", "first", "median"]}).read(Path())
    names = ["date-1", "date-2", "date-3", "first", "median"]
    assert [m.name for m in labels.members] == [f"seed-{s}-{n}" for s in (3, 4) for n in names]
    assert labels.groups == ("seed-3", "seed-4")
    scenes = DemoScenes(make_landscape(3, SHAPE))
    dates = []
    for acquisition in scenes.acquisitions(("B04", "B11")):
        values = acquisition.reflectance(("B04", "B11"))
        values[:, ~acquisition.clear()] = np.nan
        dates.append(values)
    dates.sort(key=lambda values: int(np.isnan(values[0]).sum()))
    first = dates[0]
    for later in dates[1:]:
        first = np.where(np.isnan(first[0]), later, first)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a pixel that no date sees
        median = np.nanmedian(np.stack(dates), axis=0)
    window = Window(10, 20, 90, 100)
    for member, expected in zip(labels.members, [*dates, first, median], strict=False):
        numbers, seen = member.image(window)
        part = expected[:, 10:90, 20:100]
        np.testing.assert_array_equal(seen, np.isfinite(part).all(axis=0))
        found = numbers * labels.scale + labels.offset
        np.testing.assert_allclose(found[:, seen], part[:, seen], atol=0.6 * labels.scale)
        np.testing.assert_array_equal(member.labels(window), scenes.landscape.truth[10:90, 20:100])


def test_seeds_are_groups_to_hold_out():
    kept, held = read_data({**BLOCK, "held_out": {"groups": ["seed-4"]}}, Path())
    assert [m.name for m in kept.members] == ["seed-3-first", "seed-3-median"]
    assert {m.group for m in held.members} == {"seed-4"}
    assert (kept.quantity, kept.licence, kept.members[0].gsd_m) == ("reflectance", "Apache-2.0", 10)
    with pytest.raises(RequestError, match="the generator has its own"):
        data_config({**BLOCK, "classes": ["a", "b"]})
