"""What the outputs need to know of a class, and the colours of pixels that have none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

NODATA = 255
FAILED = 254
FAILED_NAME = "failed (could not be read)"
FAILED_COLOUR = "#ff00ff"

_HEX = re.compile(r"#[0-9a-fA-F]{6}")

type RGBA = tuple[int, int, int, int]


class LegendClass(Protocol):
    """One class of a map."""

    @property
    def index(self) -> int:
        """Pixel value, 0 to 250."""

    @property
    def name(self) -> str:
        """Name for people."""

    @property
    def colour(self) -> str:
        """``#rrggbb``."""

    @property
    def code(self) -> int | None:
        """Value in the legend it comes from (WorldCover's 10 … 100), or ``None``."""

    @property
    def description(self) -> str:
        """A sentence, or nothing."""


type ClassTable = Sequence[LegendClass]


def rgba(colour: str) -> RGBA:
    """Red, green, blue and full alpha, 0 to 255, of ``#rrggbb``.

    Raises:
        ValueError: If the text is no such colour. Colours go into markup and style files, so nothing else may pass.
    """
    if _HEX.fullmatch(colour) is None:
        raise ValueError(f"a colour is #rrggbb, not {colour!r}")
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16), 255


def colour_table(classes: ClassTable) -> dict[int, str]:
    """Pixel value to ``#rrggbb``, the failed value included."""
    return {c.index: c.colour for c in classes} | {FAILED: FAILED_COLOUR}


def name_table(classes: ClassTable) -> dict[int, str]:
    """Pixel value to name, the failed value included."""
    return {c.index: c.name for c in classes} | {FAILED: FAILED_NAME}
