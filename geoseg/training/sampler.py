"""Which window is looked at when: a pure function of (seed, step, place in the batch), so that a training can go on anywhere.

Images are seen as blocks with a histogram of their labels. A window is either sought at a class, every class as often, or
at any labelled pixel; and either every group is as likely, or each by what of it is labelled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.grid import Window
from geoseg.labels import IGNORE, Labelled
from geoseg.training.config import SamplingConfig
from geoseg.training.windows import Windows

_BLOCK_PX = 64
#: Larger parts of an image than this are never read at once to count its labels.
_STRIP_PX = 2048


@dataclass(frozen=True)
class LabelIndex:
    """Where labels are.

    Attributes:
        counts: (block, class), labelled pixels.
        members: (block,), place of its image.
        corners: (block, 2), row and column of its first pixel.
        groups: (block,), number of its group.
        titles: Names of the groups.
    """

    counts: NDArray[np.int64]
    members: NDArray[np.int64]
    corners: NDArray[np.int64]
    groups: NDArray[np.int64]
    titles: tuple[str, ...]

    @classmethod
    def build(cls, windows: Windows, classes: int) -> LabelIndex:
        """Count the labels of every image, read once, part by part.

        Args:
            windows: Images.
            classes: Length of the legend.
        """
        titles = tuple(dict.fromkeys(member.group for member in windows.members))
        counts, members, corners, groups = [], [], [], []
        for number, member in enumerate(windows.members):
            for part in _parts(member):
                for corner, histogram in _blocks(windows.read(number, part).labels, classes):
                    counts.append(histogram)
                    members.append(number)
                    corners.append((part.row0 + corner[0], part.col0 + corner[1]))
                    groups.append(titles.index(member.group))
        return cls(
            np.array(counts, np.int64).reshape(-1, classes),
            np.array(members, np.int64),
            np.array(corners, np.int64).reshape(-1, 2),
            np.array(groups, np.int64),
            titles,
        )

    @property
    def pixels(self) -> tuple[int, ...]:
        """Labelled pixels of each class."""
        return tuple(int(count) for count in self.counts.sum(axis=0))


@dataclass(frozen=True, slots=True)
class Place:
    """A window to read: so many pixels about a place.

    Attributes:
        member: Place of the image.
        row: Row in the middle.
        col: Column in the middle.
    """

    member: int
    row: int
    col: int

    def window(self, side: int, member: Labelled) -> Window:
        """The window of a side about the place, moved into the image, or about all of it where it is smaller."""
        rows, cols = member.shape
        row = min(max(self.row - side // 2, min(0, rows - side)), max(rows - side, 0))
        col = min(max(self.col - side // 2, min(0, cols - side)), max(cols - side, 0))
        return Window(row, col, row + side, col + side)

    def window_over(self, rng: np.random.Generator, side: int, member: Labelled, rim: float) -> Window:
        """A window that holds the place, each as likely; it reaches over no edge of the image by more than the rim.

        An image that is small against the window is then seen enlarged, not as an island in nothing: where nothing lies
        around it tells a network what it is.

        Args:
            rng: Of the window.
            side: Pixels; less where the image and its rim have less.
            member: The image.
            rim: Share of the side.
        """
        side = max(1, min(side, int(min(member.shape) * (1 + 2 * rim))))
        margin = math.ceil(side * rim)
        corner = []
        for at, size in zip((self.row, self.col), member.shape, strict=True):
            inside = min(at, size - 1)
            corner.append(int(rng.integers(max(inside - side + 1, -margin), min(inside, size + margin - side) + 1)))
        return Window(corner[0], corner[1], corner[0] + side, corner[1] + side)


class Sampler:
    """Places by number.

    Args:
        index: Where labels are; at least one pixel has one.
        config: How they are balanced.
        seed: Of the places.

    Attributes:
        pixels: Labelled pixels of each class.
    """

    def __init__(self, index: LabelIndex, config: SamplingConfig, seed: int) -> None:
        self._index, self._config, self._seed = index, config, seed
        # Row 0 is about all labels, row 1 + c about class c.
        weights = np.column_stack([index.counts.sum(axis=1), index.counts])
        self._weights = weights.T.astype(np.float64)
        self._classes = np.flatnonzero(index.counts.sum(axis=0)) + 1
        by_group = np.zeros((len(self._weights), len(index.titles)))
        for row, weight in enumerate(self._weights):
            by_group[row] = np.bincount(index.groups, weight, len(index.titles))
        self._by_group = by_group
        self.pixels = index.pixels

    def rng(self, step: int, place: int) -> np.random.Generator:
        """The numbers that everything about one window is made with."""
        return np.random.default_rng([self._seed, step, place])

    def place(self, rng: np.random.Generator, side: int) -> Place:
        """Where a window lies; asked first of a window's numbers.

        Args:
            rng: Of the window.
            side: Of the window in pixels: the block that was chosen may lie anywhere in it.
        """
        row = int(rng.choice(self._classes)) if rng.random() < self._config.classes else 0
        in_groups = self._by_group[row]
        weights = (in_groups > 0).astype(np.float64) if rng.random() < self._config.groups else in_groups
        group = _drawn(rng, weights)
        block = _drawn(rng, np.where(self._index.groups == group, self._weights[row], 0.0))
        if self._config.rim is None:
            reach = max(1, side // 2)
            shift = rng.integers(-reach, reach, 2) + _BLOCK_PX // 2
        else:
            shift = rng.integers(0, _BLOCK_PX, 2)
        top, left = (self._index.corners[block] + shift).tolist()
        return Place(int(self._index.members[block]), int(top), int(left))

    def window(self, rng: np.random.Generator, side: int, members: Sequence[Labelled]) -> tuple[int, Window]:
        """The window of a step: place of its image, and pixels of that.

        Args:
            rng: Of the window.
            side: Pixels; fewer where ``rim`` says so.
            members: The images.
        """
        spot = self.place(rng, side)
        member, rim = members[spot.member], self._config.rim
        window = spot.window(side, member) if rim is None else spot.window_over(rng, side, member, rim)
        return spot.member, window


def grid(members: Sequence[Labelled], core: int, most: int) -> list[tuple[int, Window]]:
    """Windows that cover images without overlap, thinned evenly to a number that depends on nothing else.

    Args:
        members: Images.
        core: Side in pixels; windows at the end of an image are smaller.
        most: How many at most.

    Returns:
        Place of the image, and window.
    """
    found = [
        (number, Window(row, col, min(row + core, member.shape[0]), min(col + core, member.shape[1])))
        for number, member in enumerate(members)
        for row in range(0, member.shape[0], core)
        for col in range(0, member.shape[1], core)
    ]
    if len(found) <= most:
        return found
    return [found[at * len(found) // most] for at in range(most)]


def _drawn(rng: np.random.Generator, weights: NDArray[np.float64]) -> int:
    """A number with a probability by weight; exact for the same numbers on every machine."""
    edges = np.cumsum(weights)
    return int(np.searchsorted(edges, rng.random() * edges[-1], side="right").clip(0, len(weights) - 1))


def _parts(member: Labelled) -> list[Window]:
    rows, cols = member.shape
    return [
        Window(row, col, min(row + _STRIP_PX, rows), min(col + _STRIP_PX, cols))
        for row in range(0, rows, _STRIP_PX)
        for col in range(0, cols, _STRIP_PX)
    ]


def _blocks(labels: NDArray[np.uint8], classes: int) -> list[tuple[tuple[int, int], NDArray[np.int64]]]:
    """Blocks with a label in them: corner and histogram."""
    found = []
    for row in range(0, labels.shape[0], _BLOCK_PX):
        for col in range(0, labels.shape[1], _BLOCK_PX):
            histogram = np.bincount(labels[row : row + _BLOCK_PX, col : col + _BLOCK_PX].ravel(), minlength=IGNORE + 1)
            if histogram[:classes].any():
                found.append(((row, col), histogram[:classes]))
    return found
