"""Which regions lie beside each other, and along how many pixel edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.polygons.frontier import Line
from geoseg.polygons.runs import pair_starts, run_lengths, run_starts
from geoseg.polygons.source import NO_CLASS, UInt8

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of regions, as arrays of one length.

    Attributes:
        pixels: Number of pixels.
        classes: Class.
        first_pixel: ``row * cols + col`` of the first pixel in reading order.
    """

    pixels: Int64
    classes: UInt8
    first_pixel: Int64

    @classmethod
    def none(cls) -> Self:
        """No regions."""
        return cls(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.int64))

    def take(self, index: Int64) -> Self:
        """The regions at an index."""
        return type(self)(self.pixels[index], self.classes[index], self.first_pixel[index])

    @classmethod
    def concatenate(cls, parts: Sequence[Facts]) -> Self:
        """All regions of several parts (at least one)."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def joined(self, region: Int64, count: int) -> Facts:
        """The facts of ``count`` regions that these are the pieces of."""
        pixels, classes = np.zeros(count, np.int64), np.full(count, NO_CLASS, np.uint8)
        first = np.full(count, np.iinfo(np.int64).max)
        np.add.at(pixels, region, self.pixels)
        np.minimum.at(first, region, self.first_pixel)
        classes[region] = self.classes
        return Facts(pixels, classes, first)


@dataclass(frozen=True, slots=True)
class Contacts:
    """So many pixel edges of a region border on a neighbour.

    Attributes:
        region: Number of the region.
        neighbour: Number of its neighbour.
        edges: Number of pixel edges that they share.
    """

    region: Int64
    neighbour: Int64
    edges: Int64

    def take(self, index: NDArray[np.bool_] | Int64) -> Contacts:
        """The contacts at an index."""
        return Contacts(self.region[index], self.neighbour[index], self.edges[index])

    @classmethod
    def concatenate(cls, parts: Sequence[Contacts]) -> Contacts:
        """All contacts of several parts."""
        empty = np.empty(0, np.int64)
        return cls(*(np.concatenate([empty, *(getattr(p, field.name) for p in parts)]) for field in fields(cls)))

    def summed(self) -> Contacts:
        """With each pair once, sorted by region and neighbour."""
        ordered = self.take(np.lexsort((self.neighbour, self.region)))
        starts = pair_starts(ordered.region, ordered.neighbour)
        edges = np.add.reduceat(ordered.edges, starts) if starts.size else ordered.edges
        return Contacts(ordered.region[starts], ordered.neighbour[starts], edges)


def contacts_within(labels: Int32, wanted: NDArray[np.bool_]) -> Contacts:
    """Contacts of some labels of a block, each pair once, sorted.

    Args:
        labels: Labels (h, w), 0 where there is no class.
        wanted: Whether the contacts of a label are wanted, per label (0 to n).
    """
    count = np.int64(wanted.size)
    keys = []
    for one, other in ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:])):
        differ = (one != other) & (one > 0) & (other > 0)
        a, b = one[differ].astype(np.int64), other[differ].astype(np.int64)
        keys += [(a * count + b)[wanted[a]], (b * count + a)[wanted[b]]]
    key, edges = np.unique(np.concatenate(keys), return_counts=True)
    return Contacts(key // count, key % count, edges)


def contacts_between(outside: Line, inside: Line) -> Contacts:
    """Contacts, both ways, of pieces along the two sides of a block border."""
    differ = (outside.classes != inside.classes) & (outside.classes != NO_CLASS) & (inside.classes != NO_CLASS)
    a, b = outside.open_id[differ], inside.open_id[differ]
    return Contacts(np.concatenate([a, b]), np.concatenate([b, a]), np.ones(2 * a.size, np.int64)).summed()


def best_neighbours(contacts: Contacts, facts: Facts) -> tuple[Int64, Int64]:
    """The neighbour with the longest border, per region.

    Ties go to the larger neighbour, then to the lower class, then to the one whose first pixel comes first.

    Args:
        contacts: Contacts, each pair once.
        facts: Of all regions that are named in them.

    Returns:
        Regions that have neighbours, ascending, and the neighbour of each.
    """
    neighbour = facts.take(contacts.neighbour)
    order = np.lexsort((neighbour.first_pixel, neighbour.classes, -neighbour.pixels, -contacts.edges, contacts.region))
    best = order[run_starts(contacts.region[order])]
    return contacts.region[best], contacts.neighbour[best]


def undecided(contacts: Contacts, classes: UInt8, touches: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which labels of a block cannot choose a neighbour from what the block shows.

    That is those that touch another block; those with two neighbours of a class that may be joined elsewhere; and those
    with a tie in which a neighbour's size is not known.

    Args:
        contacts: Contacts of a block, sorted, each pair once.
        classes: Class per label (0 to n).
        touches: Whether a label touches another block, per label.
    """
    result = touches.copy()
    region, neighbour = contacts.region, contacts.neighbour
    open_neighbour = touches[neighbour]
    region_and_class, times = np.unique(
        region[open_neighbour] << 8 | classes[neighbour[open_neighbour]], return_counts=True
    )
    result[region_and_class[times > 1] >> 8] = True
    starts = run_starts(region)
    if starts.size:
        longest = np.repeat(np.maximum.reduceat(contacts.edges, starts), run_lengths(starts, region.size))
        is_best = contacts.edges == longest
        is_tied = is_best & (np.bincount(region[is_best], minlength=touches.size)[region] > 1)
        result[region[is_tied & open_neighbour]] = True
    return result
