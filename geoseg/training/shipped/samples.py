"""Generated images with truth, normalised as the networks will see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.demo.landscape import make_landscape
from geoseg.demo.noise import Floats
from geoseg.demo.scenes import DemoScenes
from geoseg.demo.uav import make_uav

INVALID = 255


@dataclass(frozen=True, slots=True)
class Sample:
    """One image with truth.

    Attributes:
        values: Float32 (band, rows, cols) in the sensor's units, NaN where nothing is seen.
        truth: uint8 (rows, cols), 255 where there is no truth.
    """

    values: Floats
    truth: NDArray[np.uint8]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Where there is a value in every band."""
        return np.asarray(np.isfinite(self.values).all(axis=0))


def landcover_dates(
    seed: int, shape: tuple[int, int], bands: tuple[str, ...]
) -> tuple[list[Floats], NDArray[np.uint8]]:
    """Reflectance of each date (NaN under clouds, shadows and nodata), the least cloudy first, and the truth."""
    scenes = DemoScenes(make_landscape(seed, shape))
    dates = []
    for acquisition in scenes.acquisitions(bands):
        values = acquisition.reflectance(bands)
        values[:, ~acquisition.clear()] = np.nan
        dates.append(values)
    dates.sort(key=lambda values: int(np.isnan(values[0]).sum()))
    return dates, scenes.landscape.truth


def first_clear(dates: list[Floats]) -> Floats:
    """Each pixel from the first date that sees it."""
    result = dates[0].copy()
    for values in dates[1:]:
        hole = np.isnan(result[0])
        result[:, hole] = values[:, hole]
    return result


def median(dates: list[Floats]) -> Floats:
    """Each pixel's median over the dates that see it, band by band."""
    seen = np.sort(np.stack(dates), axis=0)  # NaN sorts last
    count = np.isfinite(seen[:, 0]).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    pick = [np.take_along_axis(seen, np.minimum(k, len(dates) - 1)[None, None], axis=0)[0] for k in (low, high)]
    return np.asarray((pick[0] + pick[1]) / 2, dtype=np.float32)


def landcover_samples(seed: int, shape: tuple[int, int], bands: tuple[str, ...]) -> Iterator[Sample]:
    """What a composite may look like: each date alone, the least cloudy first, and the median."""
    dates, truth = landcover_dates(seed, shape, bands)
    for values in (*dates, first_clear(dates), median(dates)):
        yield Sample(values, truth)


def uav_sample(seed: int, shape: tuple[int, int]) -> Sample:
    """A generated flight: RGB 0 to 255."""
    scene = make_uav(seed, shape)
    values = scene.rgb.astype(np.float32)
    values[:, ~scene.flown] = np.nan
    return Sample(values, scene.truth)
