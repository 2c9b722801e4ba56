"""Windows of labelled images: decoded once, kept in bounded memory, and padded where they reach over an image's edge."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.grid import Window
from geoseg.labels import IGNORE, Labelled


@dataclass(frozen=True, slots=True)
class Patch:
    """A window as it was read.

    Attributes:
        image: (band, rows, cols) in the numbers of the file.
        valid: (rows, cols), where they are to be believed.
        labels: (rows, cols), class index or ``IGNORE``; where the image is not valid there is no label either.
    """

    image: NDArray[Any]
    valid: NDArray[np.bool_]
    labels: NDArray[np.uint8]

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""
        return self.image.nbytes + self.valid.nbytes + self.labels.nbytes


class Windows:
    """Reads windows of the members of a set.

    A member that takes a quarter of the memory at most is decoded whole and kept; of a larger one only windows are read.

    Args:
        members: Images.
        cache_bytes: Memory for decoded images.
    """

    def __init__(self, members: Sequence[Labelled], cache_bytes: int) -> None:
        self.members = members
        self._limit = cache_bytes
        self._kept: OrderedDict[int, Patch] = OrderedDict()
        self._used = 0

    def read(self, member: int, window: Window) -> Patch:
        """A window that may reach over the edges of its image; what lies outside is neither valid nor labelled.

        Args:
            member: Place in ``members``.
            window: Pixels of the image, from its upper left corner.

        Raises:
            AssetReadError: If the image cannot be read.
            RequestError: If a label has no meaning.
        """
        image = self.members[member]
        outer = Window(0, 0, *image.shape)
        inner = window & outer or Window(0, 0, 0, 0)
        source = self._whole(member)
        if source is not None:
            part = inner.within(outer)
            patch = Patch(source.image[:, *part], source.valid[part], source.labels[part])
        else:
            patch = _read(image, inner or Window(0, 0, 1, 1))  # a pixel to know the type of the numbers by
        return patch if inner == window else _padded(patch, inner, window)

    def _whole(self, member: int) -> Patch | None:
        """All of an image, if it is one to be kept."""
        if member in self._kept:
            self._kept.move_to_end(member)
            return self._kept[member]
        image = self.members[member]
        rows, cols = image.shape
        # At least a byte for each band, a flag and a label for each pixel.
        if rows * cols * (len(image.bands) + 2) > self._limit // 4:
            return None
        patch = _read(image, Window(0, 0, rows, cols))
        self._kept[member] = patch
        self._used += patch.size_bytes
        while self._used > self._limit and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._used -= dropped.size_bytes
        return patch


def _read(image: Labelled, window: Window) -> Patch:
    pixels, valid = image.image(window)
    return Patch(pixels, valid, np.where(valid, image.labels(window), np.uint8(IGNORE)))


def _padded(patch: Patch, inner: Window, outer: Window) -> Patch:
    image = np.zeros((len(patch.image), *outer.shape), patch.image.dtype)
    valid = np.zeros(outer.shape, bool)
    labels = np.full(outer.shape, IGNORE, np.uint8)
    if inner:
        part = inner.within(outer)
        image[:, *part], valid[part], labels[part] = patch.image, patch.valid, patch.labels
    return Patch(image, valid, labels)
