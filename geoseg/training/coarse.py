"""Labelled images at the resolution that a reduced network computes at: what its averaging would make of them, made once.

Windows of a thousand pixels of which a network looks at 64 cost more to make than to learn from. Means of squares before a
linear input step are what averaging after it gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS

from geoseg.grid import Window
from geoseg.labels import IGNORE, Labelled


@dataclass(frozen=True)
class Coarse:
    """An image as means of squares of its pixels; what is left over below and on the right is dropped. A ``Labelled``.

    Attributes:
        member: The image.
        factor: Side of a square.
    """

    member: Labelled
    factor: int

    @property
    def name(self) -> str:
        """That of the image."""
        return self.member.name

    @property
    def group(self) -> str:
        """That of the image."""
        return self.member.group

    @property
    def shape(self) -> tuple[int, int]:
        """Squares."""
        rows, cols = self.member.shape
        return rows // self.factor, cols // self.factor

    @property
    def bands(self) -> tuple[str, ...]:
        """Those of the image."""
        return self.member.bands

    @property
    def crs(self) -> CRS | None:
        """That of the image."""
        return self.member.crs

    @property
    def transform(self) -> Affine | None:
        """From squares to coordinates."""
        return None if self.member.transform is None else self.member.transform * Affine.scale(self.factor)

    @property
    def gsd_m(self) -> float | None:
        """Side of a square."""
        return None if self.member.gsd_m is None else self.member.gsd_m * self.factor

    @property
    def path(self) -> Path | None:
        """There is no such file."""
        return None

    def image(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Means, valid where every pixel of the square is."""
        pixels, valid = self.member.image(self._fine(window))
        squares = self._squares(np.where(valid, pixels, 0).astype(np.float32))
        return squares.mean(axis=(-3, -1), dtype=np.float32), self._squares(valid).all(axis=(-3, -1))

    def labels(self, window: Window) -> NDArray[np.uint8]:
        """The commonest label of each square, of which no label is one."""
        squares = self._squares(self.member.labels(self._fine(window)))
        found = np.full(window.shape, IGNORE, np.uint8)
        most = (squares == IGNORE).sum(axis=(-3, -1))
        for label in np.unique(squares[squares != IGNORE]):
            count = (squares == label).sum(axis=(-3, -1))
            found = np.where(count > most, label, found)
            most = np.maximum(count, most)
        return found

    def _fine(self, window: Window) -> Window:
        """The same place in pixels of the image."""
        edges = (window.row0, window.col0, window.row1, window.col1)
        return Window(*(edge * self.factor for edge in edges))

    def _squares[T: np.generic](self, layers: NDArray[T]) -> NDArray[T]:
        """(…, rows, factor, cols, factor)."""
        *others, rows, cols = layers.shape
        return layers.reshape(*others, rows // self.factor, self.factor, cols // self.factor, self.factor)


def coarse(members: Sequence[Labelled], factor: int) -> tuple[Labelled, ...]:
    """The images, or the same as means of squares where these are more than a pixel; images without a square are left out."""
    if factor == 1:
        return tuple(members)
    made = (Coarse(member, factor) for member in members)
    return tuple(member for member in made if min(member.shape))
