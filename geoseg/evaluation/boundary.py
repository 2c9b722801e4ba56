"""How well borders between classes lie: boundary F1 and boundary IoU, with a tolerance in pixels.

Distances are those of a king on a chess board: a pixel is within d of another if neither its row nor its column differs
by more. A border lies between two labelled pixels of different classes; neither the rim of an image nor pixels whose
label says nothing make one.

- Boundary F1: of the border pixels of a class in the one map, those within d of a border pixel of that class in the other
  (Csurka et al. 2013; Martin et al. 2004 match one to one, which this does not).
- Boundary IoU: intersection over union of the two inner bands of a class, its pixels within d of another class (Cheng et
  al. 2021, who take a share of the image's diagonal for d and a Euclidean erosion).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from geoseg.evaluation.confusion import NOTHING, Numbers

_BLOCK_PX = 1024

type _Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class BoundaryCounts:
    """Pixels at borders, by class; sums of those of parts are those of the whole.

    Attributes:
        counts: (class, 6): border pixels found, those of them near a true one, true ones, those of them near one that was
            found, pixels in both bands, pixels in either band.
    """

    counts: NDArray[np.int64]

    @classmethod
    def nothing(cls, classes: int) -> Self:
        """Of no pixel."""
        return cls(np.zeros((classes, 6), np.int64))

    @classmethod
    def of(cls, reference: NDArray[np.uint8], found: NDArray[np.uint8], classes: int, reach_px: int) -> Self:
        """Of two maps of one shape, as for ``Confusion.of``.

        Args:
            reference: What the pixels are.
            found: What they were taken for.
            classes: Size of the legend.
            reach_px: The tolerance d, at least 1.
        """
        total = np.zeros((classes, 6), np.int64)
        for seen, core in _blocks(reference.shape, reach_px + 1):
            one, other = reference[seen], found[seen]
            unknown = (one == NOTHING) | (other == NOTHING)
            if not unknown.all():
                one, other = (np.where(unknown, NOTHING, part).astype(np.uint8) for part in (one, other))
                total += _count(one, other, core, classes, reach_px)
        return cls(total)

    def __add__(self, other: Self) -> Self:
        return type(self)(self.counts + other.counts)

    @property
    def f1(self) -> Numbers:
        """Per class; NaN where neither map has a border of it."""
        made, near, true, met, _, _ = self.counts.T.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision, recall = near / made, met / true
            score = 2 * precision * recall / (precision + recall)
        both = (made > 0) & (true > 0)
        return np.where(both, np.nan_to_num(score), np.where((made > 0) | (true > 0), 0.0, np.nan))

    @property
    def iou(self) -> Numbers:
        """Per class; NaN where neither map has a border of it."""
        *_, shared, either = self.counts.T.astype(np.float64)
        result = np.full(len(self.counts), np.nan)
        np.divide(shared, either, out=result, where=either > 0)
        return result

    @property
    def present(self) -> _Mask:
        """Classes that have a border in the reference."""
        there: _Mask = self.counts[:, 2] > 0
        return there


def _blocks(shape: tuple[int, ...], margin: int) -> Iterator[tuple[tuple[slice, slice], tuple[slice, slice]]]:
    """Squares with what lies around them: slices of the image, and of the square within these."""
    rows, cols = shape
    for row in range(0, rows, _BLOCK_PX):
        for col in range(0, cols, _BLOCK_PX):
            top, left = max(0, row - margin), max(0, col - margin)
            bottom, right = min(rows, row + _BLOCK_PX), min(cols, col + _BLOCK_PX)
            seen = slice(top, min(rows, bottom + margin)), slice(left, min(cols, right + margin))
            yield seen, (slice(row - top, bottom - top), slice(col - left, right - left))


def _count(
    one: NDArray[np.uint8], other: NDArray[np.uint8], core: tuple[slice, slice], classes: int, reach_px: int
) -> NDArray[np.int64]:
    """Counts of one block; see ``BoundaryCounts``."""
    total = np.zeros((classes, 6), np.int64)
    edge, other_edge = _edges(one), _edges(other)
    for index in np.union1d(np.unique(one), np.unique(other)).tolist():
        if index >= classes:
            continue
        true, made = edge & (one == index), other_edge & (other == index)
        band, other_band = _band(one, index, reach_px), _band(other, index, reach_px)
        masks = (
            made,
            made & _near(true, reach_px),
            true,
            true & _near(made, reach_px),
            band & other_band,
            band | other_band,
        )
        total[index] = [mask[core].sum() for mask in masks]
    return total


def _edges(classes: NDArray[np.uint8]) -> _Mask:
    """Pixels with a neighbour (4) of another class, where both are known."""
    known = classes != NOTHING
    edges = np.zeros(classes.shape, bool)
    across = (classes[:, 1:] != classes[:, :-1]) & known[:, 1:] & known[:, :-1]
    down = (classes[1:] != classes[:-1]) & known[1:] & known[:-1]
    edges[:, 1:] |= across
    edges[:, :-1] |= across
    edges[1:] |= down
    edges[:-1] |= down
    return edges


def _band(classes: NDArray[np.uint8], index: int, reach_px: int) -> _Mask:
    """Pixels of a class within reach of another one."""
    others = (classes != index) & (classes != NOTHING)
    return np.asarray((classes == index) & _near(others, reach_px))


def _near(mask: _Mask, reach_px: int) -> _Mask:
    """Pixels within reach of those that are set."""
    near = maximum_filter(mask.view(np.uint8), size=2 * reach_px + 1, mode="constant")
    return np.asarray(near, np.uint8) > 0
