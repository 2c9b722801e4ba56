"""A pair of dates as rasters, whose change is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import worlds
from numpy.typing import NDArray

import geoseg

BANDS = ("red", "green", "blue", "nir")


@dataclass(frozen=True, eq=False)
class PairOfDates:
    """Two rasters on one grid.

    Attributes:
        before: The earlier one.
        after: The later one, in other light.
        changed: (y, x), where the land is another one.
        masked: (y, x), where either date is nodata.
    """

    before: Path
    after: Path
    changed: NDArray[np.bool_]
    masked: NDArray[np.bool_]

    def run(self, out: Path, **options: object) -> geoseg.Result:
        """A change map of the pair, with a tile store of its own."""
        options.setdefault("cache", out.parent / f"{out.name}-cache")
        dates = {"scenes_before": str(self.before), "scenes_after": str(self.after)} | options
        return geoseg.run(workflow="change", out=out, **dates)


def write_pair(folder: Path, shape: tuple[int, int] = (200, 230), seed: int = 3, **profile: object) -> PairOfDates:
    """Smooth land, a square of it another one later; a hole of nodata in each date."""
    rng = np.random.default_rng(seed)
    before = worlds.landscape(shape, len(BANDS), seed)
    other = worlds.landscape(shape, len(BANDS), seed + 50)[::-1] * np.array([0.5, 1.4, 0.6, 1.5])[:, None, None]
    changed = np.zeros(shape, dtype=bool)
    changed[90:140, 100:170] = True
    after = np.where(changed, other, before) * np.array([0.7, 0.9, 0.8, 0.75])[:, None, None] + 12
    after += rng.normal(size=after.shape) * 2
    masked = np.zeros((2, *shape), dtype=bool)
    masked[0, 60:75, 20:90] = masked[1, 130:160, 150:200] = True
    paths = []
    for year, image, gap in ((2022, before, masked[0]), (2023, after, masked[1])):
        numbers = np.clip(np.rint(image), 1, 255).astype("uint8")
        numbers[:, gap] = 0
        paths.append(worlds.write_raster(folder / f"scene_{year}0601.tif", numbers, names=BANDS, nodata=0, **profile))
    return PairOfDates(paths[0], paths[1], changed, masked.any(axis=0))
