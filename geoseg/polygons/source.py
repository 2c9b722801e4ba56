"""What this room reads: a finished map, block by block.

Rows and columns are mosaic pixels; (0, 0) is the top-left pixel. The blocks partition the mosaic.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]

LAST_CLASS = 250
"""Highest class index. Pixels above it (254 failed, 255 nodata) belong to no region."""

NO_CLASS = 255
"""Stands for everything that is no class, the outside of the mosaic included."""


class ClassSource(Protocol):
    """A finished map that is read block by block.

    Reading the same block again gives the same pixels.
    """

    @property
    def row_edges(self) -> tuple[int, ...]:
        """Block borders (0, …, rows), strictly increasing."""
        ...

    @property
    def col_edges(self) -> tuple[int, ...]:
        """Block borders (0, …, cols), strictly increasing."""
        ...

    def read(self, block_row: int, block_col: int) -> tuple[UInt8, UInt8]:
        """Classes (0 to 250, 254, 255) and confidence (0 to 100, 255), both (h, w), of one block."""
        ...


class OverSource:
    """Base of a map that has the blocks of another one, ``source``."""

    __slots__ = ()

    source: ClassSource

    @property
    def row_edges(self) -> tuple[int, ...]:
        """Block borders (0, …, rows)."""
        return self.source.row_edges

    @property
    def col_edges(self) -> tuple[int, ...]:
        """Block borders (0, …, cols)."""
        return self.source.col_edges


@dataclass(frozen=True, eq=False)
class ArraySource:
    """A map in memory, cut into square blocks.

    Args:
        classes: Class indices, uint8 (rows, cols).
        confidence: Confidence in percent, uint8 (rows, cols).
        block_px: Side of a block in pixels; the last ones may be smaller.
    """

    classes: UInt8
    confidence: UInt8
    block_px: int

    @property
    def row_edges(self) -> tuple[int, ...]:
        """Block borders (0, …, rows)."""
        return _edges(self.classes.shape[0], self.block_px)

    @property
    def col_edges(self) -> tuple[int, ...]:
        """Block borders (0, …, cols)."""
        return _edges(self.classes.shape[1], self.block_px)

    def read(self, block_row: int, block_col: int) -> tuple[UInt8, UInt8]:
        """Views of one block."""
        window = (
            slice(*self.row_edges[block_row : block_row + 2]),
            slice(*self.col_edges[block_col : block_col + 2]),
        )
        return self.classes[window], self.confidence[window]


@dataclass(frozen=True, slots=True)
class Seams:
    """Which sides of a block have a neighbour block."""

    top: bool
    left: bool
    bottom: bool
    right: bool


@dataclass(frozen=True, slots=True)
class Block:
    """Where a block lies.

    Attributes:
        row: Index of the block's row.
        col: Index of the block's column.
        row0: First mosaic row.
        col0: First mosaic column.
        row1: Mosaic row after the last.
        col1: Mosaic column after the last.
        seams: Its sides that have a neighbour.
    """

    row: int
    col: int
    row0: int
    col0: int
    row1: int
    col1: int
    seams: Seams

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.row1 - self.row0, self.col1 - self.col0


def shape_of(source: ClassSource) -> tuple[int, int]:
    """Rows and columns of the mosaic."""
    return source.row_edges[-1], source.col_edges[-1]


def block_rows(source: ClassSource) -> list[list[Block]]:
    """The blocks of a source, row by row."""
    rows, cols = len(source.row_edges) - 1, len(source.col_edges) - 1
    return [
        [
            Block(i, j, row0, col0, row1, col1, Seams(i > 0, j > 0, i < rows - 1, j < cols - 1))
            for j, (col0, col1) in enumerate(pairwise(source.col_edges))
        ]
        for i, (row0, row1) in enumerate(pairwise(source.row_edges))
    ]


def read_block(source: ClassSource, block: Block) -> tuple[UInt8, UInt8]:
    """Classes and confidence of a block; whatever is no class reads as ``NO_CLASS``.

    Raises:
        ValueError: If the source hands out arrays of another shape or type.
    """
    classes, confidence = source.read(block.row, block.col)
    for array in (classes, confidence):
        if array.shape != block.shape or array.dtype != np.uint8:
            raise ValueError(f"expected uint8 {block.shape} for {block}, got {array.dtype} {array.shape}")
    return np.where(classes > LAST_CLASS, np.uint8(NO_CLASS), classes), confidence


def _edges(size: int, step: int) -> tuple[int, ...]:
    return (*range(0, size, step), size)
