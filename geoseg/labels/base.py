"""What every reader of labels gives: images with a class per pixel, in groups that a split never tears apart."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS

from geoseg.errors import RequestError, unknown_name
from geoseg.grid import Window

#: Label of a pixel that says nothing: it is neither trained on nor counted.
IGNORE = 255
#: Labels are 0 ... 250, as in a class raster.
MAX_CLASSES = 251

_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class ClassName:
    """A class of the labels.

    Attributes:
        name: Plain name.
        colour: ``#rrggbb`` in lower case, or empty where none was chosen.
        description: One sentence, may be empty.
    """

    name: str
    colour: str = ""
    description: str = ""


class Labelled(Protocol):
    """One image with labels: a chip, or a scene. Nothing is read until a window is asked for.

    Windows count in pixels of the image, from its upper left corner, and lie inside it.
    """

    @property
    def name(self) -> str:
        """Unique in its set."""
        ...

    @property
    def group(self) -> str:
        """Region, scene or event: the unit of splits."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        ...

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands in order."""
        ...

    @property
    def crs(self) -> CRS | None:
        """Coordinate reference system, where the image has a place."""
        ...

    @property
    def transform(self) -> Affine | None:
        """From (column, row) to coordinates, where the image has a place."""
        ...

    @property
    def gsd_m(self) -> float | None:
        """Pixel size in metres, where it is known."""
        ...

    @property
    def path(self) -> Path | None:
        """A raster that ``geoseg run --scenes`` can read, or ``None`` where there is no such file."""
        ...

    def image(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Pixels of a window.

        Returns:
            (band, rows, cols) in the numbers of the file, and (rows, cols): where they are to be believed. Of a pair
            the bands of the earlier date, then those of the later one; believed where both are.

        Raises:
            AssetReadError: If they cannot be read.
        """
        ...

    def labels(self, window: Window) -> NDArray[np.uint8]:
        """Class index of each pixel of a window, ``IGNORE`` where there is none.

        Raises:
            AssetReadError: If they cannot be read.
            RequestError: If there is a value that neither a class nor ``ignore`` has.
        """
        ...


@dataclass(frozen=True)
class LabelSet:
    """Labelled images of one legend, one order of bands and one meaning of their numbers.

    Attributes:
        classes: Legend; a label is an index into it.
        members: Images, in an order that does not depend on the machine.
        ignore: Label that means none.
        licence: SPDX identifier, or words.
        attribution: Line that results must carry; may be empty.
        title: What the data are, in a line, for a model's card.
        quantity: What ``number x scale + offset`` is: reflectance, or the numbers of the file as they are.
        scale: See quantity.
        offset: See quantity.
        expects: Kind of data in the sensor table's words, such as ``sentinel-2-l2a``, or empty.
        dates: Images of each member: 1, or 2 of the same pixels, whose labels say what changed between them.

    Raises:
        RequestError: If there is no member, too few classes, or members differ in their bands or share a name.
    """

    classes: tuple[ClassName, ...]
    members: tuple[Labelled, ...]
    ignore: int = IGNORE
    licence: str = "not stated"
    attribution: str = ""
    title: str = ""
    quantity: Literal["reflectance", "digital-number"] = "digital-number"
    scale: float = 1.0
    offset: float = 0.0
    expects: str = ""
    dates: int = 1

    def __post_init__(self) -> None:
        names = [member.name for member in self.members]
        if not names:
            raise RequestError("labels without an image", "at least one image", "look at path and patterns of the data")
        if not 2 <= len(self.classes) <= MAX_CLASSES or len({c.name for c in self.classes}) < len(self.classes):
            raise RequestError(
                f"the classes {', '.join(c.name for c in self.classes) or '(none)'}",
                f"2 to {MAX_CLASSES} classes, each name once",
                "correct classes of the data",
            )
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise RequestError(f"two images {twice}", "each name once", "read them from folders of their own")
        if other := next((m for m in self.members if m.bands != self.bands), None):
            raise RequestError(
                f"{other.name} with the bands {' '.join(other.bands)}",
                f"those of {names[0]}: {' '.join(self.bands)}",
                "name the bands to use, in order, with bands",
            )

    @property
    def bands(self) -> tuple[str, ...]:
        """Names of the bands in order."""
        return self.members[0].bands

    @property
    def groups(self) -> tuple[str, ...]:
        """Groups in natural order of their names: chip-9 comes before chip-10."""
        return tuple(sorted({member.group for member in self.members}, key=natural))

    def of(self, groups: Collection[str]) -> Self:
        """The members of some groups.

        Raises:
            RequestError: If there is no such group, or it has nothing.
        """
        for group in groups:
            if group not in self.groups:
                raise unknown_name("the group", group, self.groups, "correct the name")
        return replace(self, members=tuple(member for member in self.members if member.group in groups))

    def hold_out(self, groups: Collection[str]) -> tuple[Self, Self]:
        """Two sets: what is left to train on, and the groups that are held out.

        Raises:
            RequestError: If a group is unknown, or nothing is left on one of the two sides.
        """
        held = self.of(groups)
        rest = [group for group in self.groups if group not in groups]
        if not rest:
            raise RequestError(
                f"all {len(self.groups)} groups held out",
                "at least one to train on",
                "hold out fewer, or make smaller groups",
            )
        return self.of(rest), held

    def folds(self, count: int) -> tuple[tuple[str, ...], ...]:
        """Groups dealt into folds, each a run of neighbours in natural order, of about as many images.

        Neighbours stay together because in most collections neighbouring numbers are one flight or one scene.

        Args:
            count: Number of folds, 2 or more.

        Raises:
            RequestError: If there are fewer groups than folds.
        """
        groups = self.groups
        if not 2 <= count <= len(groups):
            raise RequestError(
                f"{count} folds of {len(groups)} groups",
                f"2 to {len(groups)} folds",
                "ask for fewer folds, or make smaller groups",
            )
        sizes = [sum(member.group == group for member in self.members) for group in groups]
        folds: list[tuple[str, ...]] = []
        start, left = 0, sum(sizes)
        for number in range(count, 1, -1):
            # As close to an equal share of what is left as whole groups allow, with a group at least for each fold to come.
            ends = range(start + 1, len(groups) - number + 2)
            end = min(ends, key=lambda stop: (abs(sum(sizes[start:stop]) - left / number), stop))
            folds.append(groups[start:end])
            left -= sum(sizes[start:end])
            start = end
        return (*folds, groups[start:])


def joined(sets: Iterable[LabelSet]) -> LabelSet:
    """One set of several that agree about classes, bands and the meaning of numbers.

    Raises:
        RequestError: If they do not.
    """

    def join(first: LabelSet, second: LabelSet) -> LabelSet:
        for what in ("classes", "bands", "dates", "quantity", "scale", "offset"):
            one, other = getattr(first, what), getattr(second, what)
            if one != other:
                raise RequestError(
                    f"data of {what} {_words(one)} and {_words(other)}",
                    "the same in all data",
                    f"correct {what}, or train apart",
                )
        return replace(
            first,
            members=(*first.members, *second.members),
            licence=_both(first.licence, second.licence),
            attribution=_both(first.attribution, second.attribution),
            title=_both(first.title, second.title),
        )

    return reduce(join, sets)


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts numbers in names by value."""
    parts = _DIGITS.split(name)  # numbers are every second part
    return tuple((0, int(part), part) if at % 2 else (1, 0, part) for at, part in enumerate(parts) if part)


def _both(first: str, second: str) -> str:
    return "; ".join(dict.fromkeys(filter(None, (first, second))))


def _words(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(part.name if isinstance(part, ClassName) else str(part) for part in value)
    return str(value)
