"""A small map for each prompt, on the report's page."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geoseg.outputs.map_sheet import data_address
from geoseg.outputs.preview import colour_classes
from geoseg.outputs.record import Record

_MOST_SIDE_PX = 420
_LAST_CLASS = 250


@dataclass(frozen=True, slots=True)
class PromptMap:
    """What the template draws.

    Attributes:
        name: Of the class.
        text: All that was asked.
        picture: Its pixels among all that have a class, as a ``data:`` address.
        share: Of the classified pixels.
    """

    name: str
    text: str
    picture: str
    share: float


def prompt_maps(record: Record, pixels: NDArray[np.uint8]) -> list[PromptMap]:
    """One for each prompt; none for maps that were not asked for in words.

    Args:
        record: Of the run.
        pixels: Classes of the preview, uint8 of shape (row, col).
    """
    if not record.job.spec.get("prompt") and not record.job.spec.get("example"):
        return []
    step = max(1, math.ceil(max(pixels.shape) / _MOST_SIDE_PX))
    small = pixels[::step, ::step]
    counts, made = record.pixels.per_class, []
    for entry in record.classes[1:]:
        alone = np.where((small != entry.index) & (small <= _LAST_CLASS), np.uint8(0), small)
        picture = data_address(colour_classes(alone, record.classes), "PNG")
        share = counts.get(entry.index, 0) / max(record.pixels.classified, 1)
        made.append(PromptMap(entry.name, entry.description, picture, share))
    return made
