"""What is decided of parts of a tile and of the whole, and the arithmetic of neighbourhoods and weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.grid import Window
from geoseg.predict.arrays import Decision


@dataclass(frozen=True, slots=True)
class Part:
    """Pixels of a tile: where, what was decided of them, and what else was asked for."""

    window: Window
    decision: Decision
    layers: Mapping[str, NDArray[np.uint8]]
    failures: Mapping[Window, str]
    scores: Any = None  # of the head's kind, (class, y, x), where they are kept instead of a decision


@dataclass(frozen=True, slots=True)
class TileResult:
    """Classes of a tile.

    Attributes:
        classes: (y, x) uint8; 254 = failed, 255 = nothing observed or not computed.
        confidence: (y, x) uint8 percent; 255 where there is no class.
        reason: (y, x) uint8, see ``geoseg.pixels.Reason``; bit 7 is set where a class lies near a failed pixel.
        layers: Name to (y, x) uint8 percent, those that were asked for; 255 where there is no class.
        failures: Chip for whose observed pixels the network gave no answer, to the reason in words.
        scores: (class, y, x) float32 probabilities where they are kept; NaN where there is no class.
    """

    classes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    layers: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    failures: Mapping[Window, str] = field(default_factory=dict)
    scores: NDArray[np.float32] | None = None


def spread(flags: NDArray[np.bool_], axis: int, before: int, after: int) -> NDArray[np.bool_]:
    """Where any flag is set from ``before`` pixels ahead of a pixel to ``after`` pixels behind it."""
    length = flags.shape[axis]
    running = np.insert(np.cumsum(flags, axis=axis, dtype="int32"), 0, 0, axis=axis)
    place = np.arange(length)
    upto = np.take(running, np.minimum(place + after + 1, length), axis=axis)
    return upto > np.take(running, np.maximum(place - before, 0), axis=axis)


def taper_of(side: int) -> NDArray[np.float32]:
    """Fixed blending weights: a pyramid, highest in the middle, positive everywhere."""
    ramp = np.arange(1, side + 1, dtype="float32")
    line = (np.minimum(ramp, ramp[::-1]) / ((side + 1) // 2)).astype("float32")
    weights: NDArray[np.float32] = line[:, None] * line[None, :]
    return weights
