"""What plants lost between two dates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import shapely
from numpy.typing import NDArray

from geoseg.evidence.surroundings import drawn

Floats = NDArray[np.float32] | NDArray[np.float64]

_BLOCK_PX = 512
# Polygons come row by row: so many blocks are a row of a map that is 16,384 pixels wide, and 32 MB.
_KEPT_BLOCKS = 32


@dataclass(frozen=True, slots=True)
class VegetationLoss:
    """Facts of one outline with two dates.

    Attributes:
        ndvi_drop: Mean of NDVI before minus after.
        lost_share: Share of the pixels whose drop is at least the limit, 0 to 1.
        seen_share: Share of the pixels that both dates see, 0 to 1.
    """

    ndvi_drop: float | None
    lost_share: float | None
    seen_share: float

    def facts(self, least_seen: float) -> dict[str, float | None]:
        """Fields of ``Facts``; what both dates see too little of is not known.

        Args:
            least_seen: Share of the pixels that both dates must see, 0 to 1.
        """
        known = self.seen_share >= least_seen
        return {
            "ndvi_drop": self.ndvi_drop if known else None,
            "ndvi_lost_share": self.lost_share if known else None,
            "ndvi_seen_share": self.seen_share,
        }


def ndvi(red: Floats, nir: Floats) -> Floats:
    """Normalised difference of near infrared and red, NaN where their sum is not above 0 or either is unknown."""
    total = nir + red
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, (nir - red) / total, np.nan)


def ndvi_drop(before: tuple[Floats, Floats], after: tuple[Floats, Floats]) -> Floats:
    """NDVI before minus after, (rows, cols); NaN where either date sees nothing.

    Args:
        before: Red and near infrared of the first date, (rows, cols) each, NaN where nothing is seen.
        after: The same of the second date, on the same grid.
    """
    drop: Floats = ndvi(*before) - ndvi(*after)
    return drop


class LossOfOutlines:
    """What plants lost inside outlines, from blocks of both dates that are kept while their neighbours are asked for.

    Blocks lie on the lattice, so that an outline has the same numbers on whatever map it is.

    Args:
        read: From first row, row after the last, first column and column after the last to the drop of the NDVI there,
            (rows, cols), NaN where either date sees nothing. Pixels of the map; may lie partly outside of it.
        anchor: Row and column of the lattice of the map's first pixel.
        limit: Drop from which a pixel counts as lost.
    """

    def __init__(
        self, read: Callable[[int, int, int, int], Floats], anchor: tuple[int, int] = (0, 0), limit: float = 0.15
    ) -> None:
        self._offset = -anchor[0] % _BLOCK_PX, -anchor[1] % _BLOCK_PX
        self._limit = limit
        self._block = lru_cache(maxsize=_KEPT_BLOCKS)(lambda row, col: read(row, row + _BLOCK_PX, col, col + _BLOCK_PX))

    def of(self, outline: shapely.Polygon) -> VegetationLoss:
        """Facts of an outline in pixels of the map (x = column, y = row)."""
        total, pixels, seen, lost = 0.0, 0, 0, 0
        for row, col in self._touched(outline):
            inside = drawn(outline, (_BLOCK_PX, _BLOCK_PX), (row, col))
            if not inside.any():
                continue
            drop = self._block(row, col)[inside]
            known = drop[np.isfinite(drop)]
            pixels += len(drop)
            seen += len(known)
            lost += int(np.count_nonzero(known >= self._limit))
            total += float(known.sum(dtype=np.float64))
        share = seen / pixels if pixels else 0.0
        return VegetationLoss(total / seen, lost / seen, share) if seen else VegetationLoss(None, None, share)

    def _touched(self, outline: shapely.Polygon) -> Iterator[tuple[int, int]]:
        """First row and column of the blocks under an outline's bounding box."""
        left, top, right, bottom = outline.bounds
        first = (
            (int(np.floor(low)) - offset) // _BLOCK_PX * _BLOCK_PX + offset
            for low, offset in zip((top, left), self._offset, strict=True)
        )
        first_row, first_col = first
        for row in range(first_row, int(np.ceil(bottom)), _BLOCK_PX):
            for col in range(first_col, int(np.ceil(right)), _BLOCK_PX):
                yield row, col
