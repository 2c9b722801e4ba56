"""One pass over labelled images: what each of them holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import AssetReadError, RequestError
from geoseg.labels.base import IGNORE, Labelled, LabelSet
from geoseg.labels.likeness import Likeness, Looker
from geoseg.labels.members import strips
from geoseg.labels.values import UndeclaredLabelError


@dataclass
class Seen:
    """What one image holds.

    Attributes:
        name: Of the image.
        group: Of the image.
        counts: Pixels of each class that are valid, by index.
        ignored_px: Pixels without a label.
        lost_px: Labelled pixels that are not valid in the image: they teach nothing.
        nodata_px: Pixels that are not valid.
        pixels: All of them.
        dtype: Type of the numbers.
        lowest: Least valid number of each band.
        highest: Greatest valid number of each band.
        undeclared: Label values without a meaning, and their pixels.
        trouble: Why it could not be read, or "".
    """

    name: str
    group: str
    counts: NDArray[np.int64]
    ignored_px: int = 0
    lost_px: int = 0
    nodata_px: int = 0
    pixels: int = 0
    dtype: str = ""
    lowest: NDArray[np.float64] | None = None
    highest: NDArray[np.float64] | None = None
    undeclared: Counter[str] = field(default_factory=Counter)
    trouble: str = ""
    likeness: Likeness | None = None


def untold(done: int, of: int) -> None:
    """Nobody is told how far it got."""


def survey(labels: LabelSet, told: Callable[[int, int], None] = untold) -> list[Seen]:
    """Read every image and its labels once, in strips.

    Args:
        labels: What to look at.
        told: Called with the number of images that are done, and of all.
    """
    found = []
    for done, member in enumerate(labels.members, start=1):
        found.append(_look(member, len(labels.classes)))
        told(done, len(labels.members))
    return found


def _look(member: Labelled, classes: int) -> Seen:
    seen = Seen(member.name, member.group, np.zeros(classes, np.int64), pixels=int(np.prod(member.shape)))
    looker = Looker(member.shape)
    try:
        for window in strips(member):
            pixels, valid = member.image(window)
            looker.look(pixels, valid)
            _range(seen, pixels, valid)
            seen.nodata_px += int((~valid).sum())
            try:
                truth = member.labels(window)
            except UndeclaredLabelError as err:
                seen.undeclared.update(err.counts)
                continue
            counts = np.bincount(truth[valid], minlength=IGNORE + 1)
            seen.counts += counts[:classes]
            seen.ignored_px += int((truth == IGNORE).sum())
            seen.lost_px += int(((truth != IGNORE) & ~valid).sum())
    except (AssetReadError, RequestError) as err:
        seen.trouble = err.given
        return seen
    seen.likeness = looker.seen() if seen.nodata_px < seen.pixels else None
    return seen


def _range(seen: Seen, pixels: NDArray[np.generic], valid: NDArray[np.bool_]) -> None:
    seen.dtype = str(pixels.dtype)
    if not valid.any():
        return
    inside = np.asarray(pixels[:, valid])
    low, high = (np.asarray(end, np.float64) for end in (inside.min(axis=1), inside.max(axis=1)))
    seen.lowest = low if seen.lowest is None else np.minimum(seen.lowest, low)
    seen.highest = high if seen.highest is None else np.maximum(seen.highest, high)
