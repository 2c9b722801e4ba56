"""Minimum mapping unit: small regions take the class of the neighbour that they share the longest border with.

Everything is decided on the unsieved map and on whole regions, so the blocks do not show. One pass gathers, per region,
how long its borders are. Most small regions lie within a block and are decided there; what touches other blocks, or
hangs on a tie with such a region, waits in tables until the whole map was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geoseg.polygons.contacts import Contacts, Facts, best_neighbours, contacts_between, contacts_within, undecided
from geoseg.polygons.frontier import Frontier, LabelledBlock
from geoseg.polygons.labels import class_of_label, first_of_label, label_regions
from geoseg.polygons.runs import by_block
from geoseg.polygons.source import (
    LAST_CLASS,
    NO_CLASS,
    ClassSource,
    OverSource,
    UInt8,
    block_rows,
    read_block,
    shape_of,
)

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Place = tuple[int, int]


def sieve(source: ClassSource, min_pixels: int) -> ClassSource:
    """The map with 4-connected regions below ``min_pixels`` relabelled.

    A small region takes the class of the region that it shares the most pixel edges with; in a tie that of the larger
    region, then of the lower class, then of the one whose first pixel comes first. A neighbour's own class counts,
    though the neighbour be small itself. A region without neighbours that have a class stays. So the result may still
    hold regions below the limit. Confidence, failed and nodata pixels stay as they are.

    Args:
        source: The map. It is read once, and again when the result is read.
        min_pixels: Least number of pixels of a region that stays.

    Returns:
        A source with the same blocks.

    Raises:
        ValueError: If the source hands out arrays of another shape or type than its edges say.
    """
    if min_pixels <= 1:
        return source
    cols = shape_of(source)[1]
    frontier, tables = Frontier(cols), _Tables(min_pixels)
    for row in block_rows(source):
        for block in row:
            classes, _ = read_block(source, block)
            labels, count = label_regions(classes)
            tables.add(frontier.enter(block, classes, labels, class_of_label(labels, classes, count)), cols)
        frontier.end_row()
    return SievedSource(source, tables.decide(frontier.join()))


@dataclass(frozen=True, slots=True)
class Changes:
    """New classes of some labels of a block."""

    labels: Int32
    classes: UInt8

    def and_also(self, labels: Int64, classes: UInt8) -> Changes:
        """These and more."""
        return Changes(np.append(self.labels, labels.astype(np.int32)), np.append(self.classes, classes))

    @classmethod
    def none(cls) -> Changes:
        """No changes."""
        return cls(np.empty(0, np.int32), np.empty(0, np.uint8))


@dataclass(frozen=True, slots=True)
class SievedSource(OverSource):
    """A map some regions of which have another class.

    Args:
        source: The map as it was.
        changes: New classes, per block (row, column) that has any.
    """

    source: ClassSource
    changes: dict[Place, Changes]

    def read(self, block_row: int, block_col: int) -> tuple[UInt8, UInt8]:
        """Classes and confidence of one block."""
        classes, confidence = self.source.read(block_row, block_col)
        changes = self.changes.get((block_row, block_col))
        if changes is None:
            return classes, confidence
        labels, count = label_regions(np.where(classes > LAST_CLASS, np.uint8(NO_CLASS), classes))
        new = np.full(count + 1, NO_CLASS, np.uint8)
        new[changes.labels] = changes.classes
        changed = new[labels]
        return np.where(changed == NO_CLASS, classes, changed), confidence


@dataclass
class _Named:
    """Regions that wait for the end, in the order of their numbers, in parts.

    Attributes:
        places: Block row, block column and label, (3, n).
        facts: Their facts.
        count: How many there are.
    """

    places: list[Int64] = field(default_factory=lambda: [np.empty((3, 0), np.int64)])
    facts: list[Facts] = field(default_factory=lambda: [Facts.none()])
    count: int = 0

    def add(self, labelled: LabelledBlock, labels: Int64, facts: Facts) -> Int64:
        """Takes labels of a block, and returns their numbers."""
        place = np.broadcast_to([[labelled.block.row], [labelled.block.col]], (2, labels.size))
        self.places.append(np.vstack([place, labels]))
        self.facts.append(facts.take(labels))
        self.count += labels.size
        return np.arange(self.count - labels.size, self.count)


@dataclass
class _Tables:
    """What is known of small regions while the blocks are read.

    Attributes:
        min_pixels: Least number of pixels of a region that stays.
        changes: New classes that a block could decide alone.
        pieces: Pieces that touch another block, numbered by the frontier.
        within: Regions within a block that small regions in doubt lie beside, or that are in doubt themselves.
        contacts: Contacts that count in the end, in parts; regions within a block have the number ``-1 - k``.
    """

    min_pixels: int
    changes: dict[Place, Changes] = field(default_factory=dict)
    pieces: _Named = field(default_factory=_Named)
    within: _Named = field(default_factory=_Named)
    contacts: list[Contacts] = field(default_factory=list)

    def add(self, labelled: LabelledBlock, cols: int) -> None:
        """Decides what can be decided in a block and keeps the rest."""
        labels, block, classes = labelled.labels, labelled.block, labelled.class_of_label
        pixels = np.bincount(labels.ravel(), minlength=classes.size)
        row, col = np.divmod(first_of_label(labels, classes.size - 1), block.shape[1])
        facts = Facts(pixels, classes, (row + block.row0) * cols + col + block.col0)
        touches = labelled.open_id >= 0
        contacts = contacts_within(labels, pixels < self.min_pixels)
        waits = undecided(contacts, classes, touches)[contacts.region]
        region, neighbour = best_neighbours(contacts.take(~waits), facts)
        if region.size:
            self.changes[block.row, block.col] = Changes.none().and_also(region, classes[neighbour])
        contacts = contacts.take(waits)
        self.pieces.add(labelled, np.flatnonzero(touches), facts)
        named = np.unique(np.concatenate([contacts.region, contacts.neighbour]))
        named = named[~touches[named]]
        number = labelled.open_id.copy()
        number[named] = -1 - self.within.add(labelled, named, facts)
        self.contacts += [
            Contacts(number[contacts.region], number[contacts.neighbour], contacts.edges),
            contacts_between(labelled.above.part(1), labelled.top_row),
            contacts_between(labelled.left, labelled.left_column),
        ]

    def decide(self, joined: Int64) -> dict[Place, Changes]:
        """All changes, given the joined region per piece."""
        count = int(joined.max()) + 1 if joined.size else 0
        facts = Facts.concatenate([Facts.concatenate(self.pieces.facts).joined(joined, count), *self.within.facts])
        # Numbers of regions within a block are negative and so count from the end of this table.
        region_of = np.concatenate([joined, count + np.arange(self.within.count)[::-1]])
        waiting = Contacts.concatenate(self.contacts)
        waiting = Contacts(region_of[waiting.region], region_of[waiting.neighbour], waiting.edges)
        waiting = waiting.take(facts.pixels[waiting.region] < self.min_pixels).summed()
        region, neighbour = best_neighbours(waiting, facts)
        new = np.full(facts.pixels.size, NO_CLASS, np.uint8)
        new[region] = facts.classes[neighbour]
        places = np.concatenate([*self.pieces.places, *self.within.places], axis=1)
        new = np.concatenate([new[joined], new[count:]])
        return self._merged(places[:, new != NO_CLASS], new[new != NO_CLASS])

    def _merged(self, places: Int64, classes: UInt8) -> dict[Place, Changes]:
        """The changes of single blocks, and more of them."""
        result = dict(self.changes)
        for block, index in by_block(places[:2]).items():
            result[block] = result.get(block, Changes.none()).and_also(places[2, index], classes[index])
        return result
