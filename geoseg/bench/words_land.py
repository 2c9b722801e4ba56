"""The shipped text-image model on the shipped demo: all land cover asked for at once, by the ordinary road."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import from_bounds

import geoseg
from geoseg.demo import write_demo
from geoseg.training.shipped.words import LAND

_DATES = "2021-06-01/2022-12-31"
_LAST_CLASS = 250


def measure_land(folder: Path, say: Callable[[str], object]) -> None:
    """Ask for each class of the demo by all of its words, and print the IoU of each.

    Args:
        folder: For demo and run.
        say: Takes the text.
    """
    demo = write_demo(folder / "demo")
    result = geoseg.run(
        aoi=str(demo.region),
        catalog=str(demo.catalog),
        datetime=_DATES,
        prompt=tuple(", ".join(words) for words in LAND),
        out=folder / "land",
        cache=folder / "cache-of-land",
        fresh=True,
    )
    with rasterio.open(result.out / "classes.tif") as file:
        classes, bounds = file.read(1), file.bounds
    with rasterio.open(demo.truth) as file:
        truth = file.read(1, window=from_bounds(*bounds, transform=file.transform))
    index = {info["name"]: info["index"] for info in result.report["classes"]}
    known = (classes <= _LAST_CLASS) & (truth <= _LAST_CLASS)
    ious = {}
    for number, words in enumerate(LAND):
        told, true = (classes == index[words[0]]) & known, (truth == number) & known
        ious[words[0]] = float((told & true).sum() / (told | true).sum())
    say("\nland cover of the shipped demo, all classes asked for at once: ")
    say(
        f"{', '.join(f'{name} {iou:.3f}' for name, iou in ious.items())}; mean IoU {np.mean(list(ious.values())):.3f}\n"
    )
