"""Pixels drawn at random from the strata of a map, in one pass over its blocks.

Every pixel has a number of its own between 0 and 1, made from the seed and its place on the lattice. Of each stratum
those pixels are drawn whose number, divided by their area on the ellipsoid, is least: sequential Poisson sampling
(Ohlsson 1998). So the chance of a pixel is proportional to its area, which on projected grids is as good as the same for
all, and means of samples are means of the area on grids in degrees too. What is drawn does not depend on the order or
the size of blocks; the memory it takes is that of one block and of the samples.

References:
    Ohlsson (1998), Sequential Poisson sampling, Journal of Official Statistics 14(2), 149-162.
    Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators, doi:10.1145/2660193.2660195, for the
    numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geoseg.assessment.finished import FinishedMap
from geoseg.compiled import compiled
from geoseg.outputs.areas import AreaTable
from geoseg.outputs.geodesy import Geodesy
from geoseg.outputs.record_parts import ClassFacts

type Floats = NDArray[np.float64]

_VALUES = 256


@dataclass(frozen=True, slots=True)
class StratumSize:
    """How much of the map a stratum is.

    Attributes:
        value: Its value in the blocks.
        pixels: Pixels.
        area_m2: On the ellipsoid; ``None`` without a CRS.
    """

    value: int
    pixels: int
    area_m2: float | None

    @property
    def size(self) -> float:
        """What its weight is in proportion to."""
        return float(self.pixels) if self.area_m2 is None else self.area_m2


def measure_strata(finished: FinishedMap, values: Iterable[int], low_confidence: int | None) -> list[StratumSize]:
    """Sizes of the strata that have a pixel, in one pass.

    Args:
        finished: The map.
        values: Of its blocks, those that are strata.
        low_confidence: See ``FinishedMap.blocks``.
    """
    table = AreaTable(finished.geobox, [ClassFacts(index=value, name=str(value), colour="#000000") for value in values])
    for rows, cols, block in finished.blocks(low_confidence):
        table.add(rows, cols, block)
    return [
        StratumSize(row.index, row.pixels, row.area_m2) for row in table.rows() if row.feature == "all" and row.pixels
    ]


def draw_pixels(
    finished: FinishedMap, wanted: dict[int, int], seed: int, low_confidence: int | None
) -> dict[int, NDArray[np.int64]]:
    """Pixels of each stratum, (sample, 2) rows and columns of the map, in an order as random as the pixels.

    Args:
        finished: The map.
        wanted: Value of a stratum to how many pixels.
        seed: Another seed draws others.
        low_confidence: See ``FinishedMap.blocks``.
    """
    table = AreaTable(finished.geobox, ())  # knows how many rows have pixels of about one area
    urn = Urn(wanted, seed, finished.anchor, finished.geodesy, table.strip_rows)
    for rows, cols, block in finished.blocks(low_confidence):
        urn.add(rows, cols, block)
    return urn.drawn()


@dataclass(slots=True)
class _Stratum:
    """The pixels with the least keys so far."""

    most: int
    keys: Floats = field(default_factory=lambda: np.zeros(0))
    places: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))

    @property
    def limit(self) -> float:
        return np.inf if len(self.keys) < self.most else float(self.keys[-1])

    def add(self, keys: Floats, places: NDArray[np.int64]) -> None:
        keys, places = np.concatenate((self.keys, keys)), np.concatenate((self.places, places))
        order = np.lexsort((places[:, 1], places[:, 0], keys))[: self.most]
        self.keys, self.places = keys[order], places[order]


class Urn:
    """Draws from blocks as they come, in any order.

    Args:
        wanted: Value of a stratum to how many pixels.
        seed: Another seed draws others.
        anchor: Row and column of the map's first pixel on its lattice: a larger map of the same lattice gives the
            pixels that it shares the same numbers.
        geodesy: Areas; ``None`` where all pixels count alike.
        strip_rows: So many rows have pixels of about one area.
    """

    def __init__(
        self, wanted: dict[int, int], seed: int, anchor: tuple[int, int], geodesy: Geodesy | None, strip_rows: int
    ) -> None:
        self._strata = {value: _Stratum(most) for value, most in wanted.items() if most}
        self._seed = np.uint64(seed % 2**64)
        self._anchor, self._geodesy, self._strip_rows = anchor, geodesy, strip_rows

    def add(self, rows: slice, cols: slice, block: NDArray[np.uint8]) -> None:
        """Take a block of strata, uint8 of shape (row, col)."""
        tops = range(rows.start, rows.stop, self._strip_rows)
        strips = [slice(top, min(top + self._strip_rows, rows.stop)) for top in tops]
        for strip, area in zip(strips, self._areas(strips, cols), strict=True):
            self._add(strip, cols, block[strip.start - rows.start : strip.stop - rows.start], area)

    def _areas(self, strips: Sequence[slice], cols: slice) -> list[float]:
        if self._geodesy is None:
            return [1.0] * len(strips)
        areas: list[float] = self._geodesy.pixel_areas_m2([(strip, cols) for strip in strips]).tolist()
        return areas

    def _add(self, rows: slice, cols: slice, block: NDArray[np.uint8], area: float) -> None:
        limits = np.zeros(_VALUES)
        for value, stratum in self._strata.items():
            limits[value] = stratum.limit * area
        row0, col0 = rows.start + self._anchor[0], cols.start + self._anchor[1]
        places, numbers = _candidates(block, row0, col0, self._seed, limits)
        values = block[places[:, 0], places[:, 1]]
        for value, stratum in self._strata.items():
            mine = values == value
            if mine.any():
                stratum.add(numbers[mine] / area, places[mine] + (rows.start, cols.start))

    def drawn(self) -> dict[int, NDArray[np.int64]]:
        """Value of a stratum to its pixels, (sample, 2) rows and columns, in order of their keys."""
        return {value: stratum.places for value, stratum in self._strata.items()}


@compiled("uint64(uint64)")
def _mixed(number: np.uint64) -> np.uint64:
    """The finalizer of SplitMix64."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


@compiled("Tuple((int64[:, ::1], float64[::1]))(uint8[:, :], int64, int64, uint64, float64[::1])")
def _candidates(
    block: NDArray[np.uint8], row0: int, col0: int, seed: np.uint64, limits: Floats
) -> tuple[NDArray[np.int64], Floats]:
    """Pixels whose number is below the limit of their value, and the numbers."""
    height, width = block.shape
    places = np.empty((height * width, 2), np.int64)
    numbers = np.empty(height * width, np.float64)
    found = 0
    start = _mixed(seed + np.uint64(0x9E3779B97F4A7C15))
    for row in range(height):
        of_row = _mixed(start ^ np.uint64(row0 + row))
        for col in range(width):
            limit = limits[block[row, col]]
            if limit <= 0.0:
                continue
            number = (
                _mixed(of_row + np.uint64(col0 + col) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(11)
            ) * 2.0**-53
            if number < limit:
                places[found] = row, col
                numbers[found] = number
                found += 1
    return places[:found].copy(), numbers[:found].copy()
