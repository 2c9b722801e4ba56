"""Whether things are found as things: regions of one class against those of the reference, by size.

A region is what becomes a polygon of a map: pixels of one class that touch along edges. One of the map and one of the
reference are the same object if they share at least half of what either covers; each is matched once, the best matches
first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import cc3d
import numpy as np
from numpy.typing import NDArray

from geoseg.evaluation.confusion import NOTHING, Numbers

#: Objects from so many pixels on, up to the next; a factor of two in length.
SIZES_PX = (1, 16, 64, 256, 1024, 4096, 16384, 65536)
LEAST_IOU = 0.5
#: Larger images are not cut into objects: label images and their overlaps take some twenty bytes a pixel.
MOST_PX = 2**25

type _Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ObjectCounts:
    """Objects and their pixels, by class and size; sums of those of several images are those of all.

    Attributes:
        counts: (class, size, 6): objects of the reference, those found, objects of the map, those that are real, pixels of
            the reference's objects, those of them with the right class.
    """

    counts: NDArray[np.int64]

    @classmethod
    def nothing(cls, classes: int) -> Self:
        """Of no object."""
        return cls(np.zeros((classes, len(SIZES_PX), 6), np.int64))

    @classmethod
    def of(cls, reference: NDArray[np.uint8], found: NDArray[np.uint8], classes: int) -> Self:
        """Of two maps of one shape, as for ``Confusion.of``; pixels of unknown reference are cut out of both."""
        unknown = (reference == NOTHING) | (found == NOTHING)
        true, made = (_Regions.of(np.where(unknown, NOTHING, part), classes) for part in (reference, found))
        total = np.zeros((classes, len(SIZES_PX), 6), np.int64)
        pairs, shared = _overlaps(true, made)
        union = true.size_px[pairs[:, 0]] + made.size_px[pairs[:, 1]] - shared
        is_match = shared >= LEAST_IOU * union
        hit, real = _matched(pairs[is_match], (shared / np.maximum(union, 1))[is_match], len(true), len(made))
        right_px = np.bincount(pairs[:, 0], weights=shared, minlength=len(true)).astype(np.int64)
        for column, regions, weights in (
            (0, true, np.ones(len(true), np.int64)),
            (1, true, hit.astype(np.int64)),
            (2, made, np.ones(len(made), np.int64)),
            (3, made, real.astype(np.int64)),
            (4, true, true.size_px),
            (5, true, right_px),
        ):
            np.add.at(total[..., column], (regions.classes, regions.bins), weights)
        return cls(total)

    def __add__(self, other: Self) -> Self:
        return type(self)(self.counts + other.counts)

    @property
    def f1(self) -> Numbers:
        """Per class, over all sizes; NaN where there is no object of it in either map."""
        return _f1(self.counts.sum(axis=1))

    @property
    def present(self) -> NDArray[np.bool_]:
        """Classes with an object in the reference."""
        there: NDArray[np.bool_] = self.counts[..., 0].sum(axis=1) > 0
        return there


def _f1(counts: NDArray[np.int64]) -> Numbers:
    """2 x matches over all objects of both, which is the harmonic mean of precision and recall."""
    whole = counts[..., 0] + counts[..., 2]
    result = np.full(whole.shape, np.nan)
    np.divide(counts[..., 1] + counts[..., 3], whole, out=result, where=whole > 0)
    return result


@dataclass(frozen=True, slots=True)
class _Regions:
    """Regions of a map.

    Attributes:
        labels: (y, x), the number of each pixel's region plus one; 0 for none.
        classes: By region.
        size_px: By region.
    """

    labels: NDArray[np.unsignedinteger]
    classes: _Integers
    size_px: _Integers

    @classmethod
    def of(cls, classes: NDArray[np.uint8], count: int) -> Self:
        # Zero is what the library leaves out; a legend has at most 251 classes.
        shifted = np.where(classes < count, classes + np.uint8(1), np.uint8(0)).astype(np.uint8)
        labels = np.asarray(cc3d.connected_components(shifted, connectivity=4))
        number = int(labels.max(initial=0))
        sizes = np.bincount(labels.ravel(), minlength=number + 1)[1:]
        own = np.zeros(number + 1, np.int64)
        own[labels.ravel()] = shifted.ravel()
        return cls(labels, own[1:] - 1, sizes)

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def bins(self) -> _Integers:
        """Place in ``SIZES_PX``, by region."""
        return np.searchsorted(SIZES_PX, self.size_px, side="right") - 1


def _overlaps(true: _Regions, made: _Regions) -> tuple[_Integers, _Integers]:
    """Pairs (pair, 2) of regions of one class that share pixels, and how many."""
    both = (true.labels > 0) & (made.labels > 0)
    keys = (true.labels[both].astype(np.int64) - 1) * max(1, len(made)) + made.labels[both] - 1
    pairs, shared = np.unique(keys, return_counts=True)
    split = np.stack(np.divmod(pairs, max(1, len(made))), axis=1)
    alike = true.classes[split[:, 0]] == made.classes[split[:, 1]]
    return split[alike], shared[alike].astype(np.int64)


def _matched(pairs: _Integers, ious: Numbers, true: int, made: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which objects of either map have a partner; above one half there is one choice at most, at one half there may be two."""
    hit, real = np.zeros(true, bool), np.zeros(made, bool)
    for one, other in pairs[np.lexsort((pairs[:, 1], pairs[:, 0], -ious))].tolist():
        if not hit[one] and not real[other]:
            hit[one] = real[other] = True
    return hit, real
