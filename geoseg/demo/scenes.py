"""Acquisitions of a generated landscape: the numbers a Sentinel-2 Level-2A product would hold, in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import scipy.ndimage as ndi
from numpy.typing import NDArray

from geoseg.demo import clouds
from geoseg.demo.landscape import Landscape
from geoseg.demo.noise import Floats, fractal
from geoseg.demo.spectra import BANDS, Cover, Sun, illumination, make_cover, reflectance

FINE_BANDS = ("B02", "B03", "B04", "B08")
SCALE = 0.0001


@dataclass(frozen=True, slots=True)
class Pass:
    """One overpass: what differs between dates.

    Attributes:
        when: Time of the acquisition, UTC.
        platform: STAC platform.
        baseline: Processing baseline; from 04.00 on the numbers are shifted by ``add``.
        add: What is added to the digital numbers (1000 since baseline 04.00).
        sun: Where the sun stands.
        haze: Reflectance that thin air adds in the blue, falling with wavelength.
        gain: Factor on every reflectance: what calibration and view angle leave.
        season: 0 early, 1 late.
        cloud_share: Part of the scene under clouds.
        has_edge: Whether the swath ends inside the landscape.
    """

    when: datetime
    platform: str
    baseline: str
    add: int
    sun: Sun
    haze: float
    gain: float
    season: float
    cloud_share: float
    has_edge: bool = False


# Southern summer, when grass and crops stand; the shift of baseline 04.00 came on 25 January 2022.
PASSES = (
    Pass(datetime(2021, 12, 19, 22, 20, 21, tzinfo=UTC), "sentinel-2a", "03.01", 0, Sun(66, 58), 0.004, 1.0, 0.0, 0.12),
    Pass(
        datetime(2022, 1, 13, 22, 20, 29, tzinfo=UTC),
        "sentinel-2b",
        "03.01",
        0,
        Sun(65, 56),
        0.009,
        0.97,
        0.5,
        0.09,
        True,
    ),
    Pass(
        datetime(2022, 2, 7, 22, 20, 27, tzinfo=UTC), "sentinel-2a", "04.00", 1000, Sun(59, 51), 0.006, 1.03, 1.0, 0.14
    ),
)


#: The overpass of the later date of a change map.
LATER_PASSES = (
    Pass(
        datetime(2023, 12, 29, 22, 20, 24, tzinfo=UTC),
        "sentinel-2b",
        "05.10",
        1000,
        Sun(66, 57),
        0.007,
        0.98,
        0.2,
        0.05,
    ),
)


@dataclass(frozen=True, slots=True)
class Acquisition:
    """What the sensor delivers for one overpass over the whole landscape.

    Attributes:
        overpass: Its facts.
        numbers: Digital numbers per band, uint16, 0 where there is no data; :data:`FINE_BANDS` at 10 m, others at 20 m.
        scl: uint8, scene classification at 20 m.
    """

    overpass: Pass
    numbers: dict[str, NDArray[np.uint16]]
    scl: NDArray[np.uint8]

    def reflectance(self, bands: tuple[str, ...]) -> Floats:
        """Reflectance at 10 m, (band, rows, cols), NaN where there is no data; 20 m bands resampled bilinearly."""
        layers = []
        for band in bands:
            raw = self.numbers[band]
            values = (raw.astype(np.float32) - self.overpass.add) * np.float32(SCALE)
            values[raw == 0] = np.nan
            layers.append(values if band in FINE_BANDS else double(values))
        return np.stack(layers)

    def clear(self) -> NDArray[np.bool_]:
        """Where the ground is seen: neither nodata nor marked as cloud or shadow; at 10 m."""
        bad = np.isin(self.scl, (clouds.SCL_NODATA, *clouds.SCL_OBSCURED))
        return ~np.kron(bad, np.ones((2, 2), bool)).astype(bool)


@dataclass(frozen=True, slots=True)
class DemoScenes:
    """A landscape and the way to its acquisitions, which are made one at a time.

    Attributes:
        landscape: Land cover and relief.
        passes: The overpasses.
        first: Number of the first overpass: each has weather and noise of its own.
        cover: Materials of the landscape.
    """

    landscape: Landscape
    passes: tuple[Pass, ...] = PASSES
    first: int = 0
    cover: Cover = field(init=False)

    def __post_init__(self) -> None:
        if any(side % 2 for side in self.landscape.shape):
            raise ValueError(f"sides must be even for the 20 m bands, not {self.landscape.shape}")
        object.__setattr__(self, "cover", make_cover(self.landscape))

    def acquisitions(self, bands: tuple[str, ...] = BANDS) -> Iterator[Acquisition]:
        """The acquisitions in the order of the passes; of the first three, at least one sees each pixel."""
        skies = self._skies()
        greenness = self.cover.mixture[:2].sum(axis=0) > 0.4  # leaf and canopy
        for number, overpass in enumerate(self.passes, start=self.first):
            seen = swath(self.landscape.shape) if overpass.has_edge else np.ones(self.landscape.shape, bool)
            rng = np.random.default_rng([self.landscape.seed, 2, number])
            values = self._at_sensor(rng, overpass, skies[number - self.first], bands)
            numbers = {}
            for band, layer in zip(bands, values, strict=True):
                # Noise of its own for each band, so that a band is the same whichever others are asked for.
                noise = np.random.default_rng([self.landscape.seed, 4, number, BANDS.index(band)])
                layer_at_size = layer if band in FINE_BANDS else halve(layer)
                numbers[band] = _quantise(noise, layer_at_size, overpass, seen, band)
            scl = clouds.classify_scene(skies[number - self.first], self.landscape.truth, greenness, seen)
            yield Acquisition(overpass, numbers, scl)

    def _at_sensor(self, rng: np.random.Generator, overpass: Pass, sky: clouds.Sky, bands: tuple[str, ...]) -> Floats:
        values = reflectance(self.cover, bands, overpass.season)
        values *= illumination(self.landscape, overpass.sun) * np.float32(overpass.gain)
        # Haze falls with wavelength, and lies unevenly.
        fall = np.array([0.86 ** BANDS.index(band) for band in bands], np.float32)[:, None, None]
        patchy = 1 + 0.35 * fractal(rng, self.landscape.shape, 300, 2.6)
        values += np.float32(overpass.haze) * fall * patchy
        brightness = np.array([0.78 - 0.025 * BANDS.index(band) for band in bands], np.float32)
        return clouds.veil_reflectance(values, sky, brightness)

    def _skies(self) -> list[clouds.Sky]:
        """One sky per pass; each keeps off what two earlier ones, or the swath's edge and an earlier one, hide."""
        hidden = np.zeros(self.landscape.shape, np.uint8)
        skies: list[clouds.Sky] = []
        edges = sum((~swath(self.landscape.shape)).astype(np.uint8) for p in self.passes if p.has_edge)
        for number, overpass in enumerate(self.passes, start=self.first):
            rng = np.random.default_rng([self.landscape.seed, 3, number])
            taken = (hidden + edges) >= max(1, len(self.passes) - 1)
            sky = clouds.make_sky(rng, self.landscape.shape, overpass.sun, overpass.cloud_share, taken)
            skies.append(sky)
            # A little more than is marked, for the margin that the classification adds.
            hidden += ndi.binary_dilation(sky.obscured, iterations=5)
        return skies


def swath(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Where a swath sees whose edge cuts the lower left corner of the landscape."""
    (row0, col0), (row1, col1) = swath_edge(shape)
    row, col = np.ogrid[: shape[0], : shape[1]]
    # True to the right of the line from the first to the second point.
    return np.asarray((col + 0.5 - col0) * (row1 - row0) > (row + 0.5 - row0) * (col1 - col0))


def swath_edge(shape: tuple[int, int]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Two (row, col) points of the swath's edge, the upper one first."""
    return (0.0, 0.015 * shape[1]), (float(shape[0]), 0.16 * shape[1])


def halve(values: Floats) -> Floats:
    """Means of 2 x 2 pixels: 10 m to 20 m."""
    rows, cols = values.shape
    return np.asarray(values.reshape(rows // 2, 2, cols // 2, 2).mean(axis=(1, 3)), dtype=np.float32)


def double(values: Floats) -> Floats:
    """20 m to 10 m, bilinearly as GDAL does it: NaN takes no part, and a NaN pixel stays NaN."""
    known = np.isfinite(values)
    total = _double_axis(_double_axis(np.where(known, values, 0), 0), 1)
    weight = _double_axis(_double_axis(known.astype(np.float32), 0), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        result = total / weight
    result[~np.repeat(np.repeat(known, 2, 0), 2, 1)] = np.nan
    return np.asarray(result, dtype=np.float32)


def _double_axis(values: Floats, axis: int) -> Floats:
    values = np.moveaxis(values, axis, 0)
    padded = np.concatenate([values[:1], values, values[-1:]])
    out = np.empty((2 * len(values), *values.shape[1:]), np.float32)
    out[0::2] = 0.75 * values + 0.25 * padded[:-2]
    out[1::2] = 0.75 * values + 0.25 * padded[2:]
    return np.moveaxis(out, 0, axis)


def _quantise(
    rng: np.random.Generator, values: Floats, overpass: Pass, seen: NDArray[np.bool_], band: str
) -> NDArray[np.uint16]:
    """Digital numbers with the sensor's noise; 0 is kept for nodata."""
    fine = band in FINE_BANDS
    spread = (0.0035 + 0.02 * values) * (1.0 if fine else 0.6)
    noisy = values + spread * rng.standard_normal(values.shape, dtype=np.float32)
    numbers: NDArray[np.uint16] = np.clip(np.rint(noisy / SCALE) + overpass.add, 1, 65535).astype(np.uint16)
    numbers[~seen if fine else halve((~seen).astype(np.float32)) > 0] = 0
    return numbers
