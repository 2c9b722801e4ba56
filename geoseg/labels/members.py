"""An image with labels put together from where its pixels come from and where its labels do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from geoseg.grid import Window
from geoseg.labels.base import Labelled
from geoseg.labels.files import metres


class Imagery(Protocol):
    """Pixels of one image, read by window."""

    @property
    def grid(self) -> GeoBox:
        """Rows, columns and, where there is one, place."""
        ...

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands in order."""
        ...

    @property
    def path(self) -> Path | None:
        """A raster that ``geoseg run --scenes`` can read, or ``None``."""
        ...

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """(band, rows, cols), and (rows, cols): where every band is to be believed."""
        ...


class Truth(Protocol):
    """Labels of one image, read by window on the image's grid."""

    def read(self, window: Window) -> NDArray[np.uint8]:
        """(rows, cols) class indices, 255 where there is none."""
        ...


@dataclass(frozen=True)
class Constant:
    """One class everywhere: images that are known to hold nothing else."""

    index: int

    def read(self, window: Window) -> NDArray[np.uint8]:
        """See ``Truth``."""
        return np.full(window.shape, self.index, np.uint8)


@dataclass(frozen=True)
class Member:
    """An image and its labels; implements ``Labelled``."""

    name: str
    group: str
    imagery: Imagery
    truth: Truth
    stated_gsd_m: float | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """See ``Labelled``."""
        rows, cols = self.imagery.grid.shape
        return rows, cols

    @property
    def bands(self) -> tuple[str, ...]:
        """See ``Labelled``."""
        return self.imagery.bands

    @property
    def crs(self) -> CRS | None:
        """See ``Labelled``."""
        return self.imagery.grid.crs

    @property
    def transform(self) -> Affine | None:
        """See ``Labelled``."""
        return None if self.crs is None else self.imagery.grid.transform

    @property
    def gsd_m(self) -> float | None:
        """See ``Labelled``."""
        return self.stated_gsd_m or metres(self.imagery.grid)

    @property
    def path(self) -> Path | None:
        """See ``Labelled``."""
        return self.imagery.path

    def image(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """See ``Labelled``."""
        return self.imagery.read(window)

    def labels(self, window: Window) -> NDArray[np.uint8]:
        """See ``Labelled``."""
        return self.truth.read(window)


@dataclass(frozen=True)
class Block:
    """A rectangle of an image, as a member of its own; implements ``Labelled``.

    So one large scene can be trained on in one part and judged in another.

    Attributes:
        whole: The image.
        window: Which pixels of it.
    """

    name: str
    group: str
    whole: Labelled
    window: Window

    @property
    def shape(self) -> tuple[int, int]:
        """See ``Labelled``."""
        return self.window.shape

    @property
    def bands(self) -> tuple[str, ...]:
        """See ``Labelled``."""
        return self.whole.bands

    @property
    def crs(self) -> CRS | None:
        """See ``Labelled``."""
        return self.whole.crs

    @property
    def transform(self) -> Affine | None:
        """See ``Labelled``."""
        whole = self.whole.transform
        return None if whole is None else whole @ Affine.translation(self.window.col0, self.window.row0)

    @property
    def gsd_m(self) -> float | None:
        """See ``Labelled``."""
        return self.whole.gsd_m

    @property
    def path(self) -> None:
        """No raster of its own: that of ``whole`` holds the other blocks too."""
        return

    def image(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """See ``Labelled``."""
        return self.whole.image(self._there(window))

    def labels(self, window: Window) -> NDArray[np.uint8]:
        """See ``Labelled``."""
        return self.whole.labels(self._there(window))

    def _there(self, window: Window) -> Window:
        row, col = self.window.row0, self.window.col0
        return Window(window.row0 + row, window.col0 + col, window.row1 + row, window.col1 + col)


def blocks(member: Labelled, rows: int, cols: int) -> Iterator[Block]:
    """An image in so many rows and columns of blocks, named NAME/ROW-COLUMN from 0-0; groups are the names."""
    height, width = member.shape
    for row in range(rows):
        for col in range(cols):
            window = Window(
                row * height // rows, col * width // cols, (row + 1) * height // rows, (col + 1) * width // cols
            )
            name = f"{member.name}/{row}-{col}"
            yield Block(name, name, member, window)


def whole(member: Labelled) -> Window:
    """All pixels of an image."""
    return Window(0, 0, *member.shape)


def strips(member: Labelled, rows: int = 512) -> Iterator[Window]:
    """All pixels of an image, in strips that fit in memory."""
    height, width = member.shape
    for start in range(0, height, rows):
        yield Window(start, 0, min(start + rows, height), width)
