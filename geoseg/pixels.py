"""What pixel values mean. One place, so that no room writes 254 where another reads 255.

``classes``: class indices from 0 to 250, ``FAILED_CLASS``, ``NO_CLASS`` (the declared nodata value).
``confidence``: percent, ``NO_CONFIDENCE`` where there is no class. Further layers are percent too, with the same gap:

- ``scores``: the probability of every class, one layer each.
- ``entropy``: of all probabilities, as a share of the largest possible; 0 = sure, 100 = every class equally likely.
- ``margin``: by how much the first choice is ahead of the second.
- ``sets``: one layer for each class, 1 where its probability reaches the threshold that the model was calibrated with
  (``geoseg.models.class_sets``), else 0: no percent, with the same gap.

``reason``: a ``Reason``; ``NEAR_FAILED_BIT`` is added where a class lies near a failed pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

FAILED_CLASS = 254
NO_CLASS = 255
NO_CONFIDENCE = 255
NEAR_FAILED_BIT = 0x80
LAYERS = ("scores", "entropy", "margin", "sets")
SETS = "sets"

_STRIP_ROWS = 64  # of which copies in double precision are made


class Reason(IntEnum):
    """Why a pixel has a class, or has none."""

    OBSERVED = 0
    UNOBSERVED = 1  # no scene covers it
    MASKED = 2  # observed, but something was in the way on every date
    FAILED = 3  # it should have been read and was not
    MODEL = 4  # the network gave no finite score
    LOST = 5  # the process that computed it ended, again and again


def layer_names(wanted: Iterable[str], classes: int) -> tuple[str, ...]:
    """Names of the arrays that hold some of ``LAYERS``, in a fixed order: scores and sets have one for each class."""
    asked = set(wanted)
    many = {name: [f"{name}_{number:03d}" for number in range(classes)] for name in ("scores", SETS)}
    return tuple(one for name in LAYERS if name in asked for one in many.get(name, [name]))


def layers_of(
    scores: NDArray[np.float32], wanted: Sequence[str], least: Sequence[float] = ()
) -> dict[str, NDArray[np.uint8]]:
    """Layers of some pixels.

    Every pixel is computed by itself and rounded from double precision, so that none depends on its neighbours or on
    the shape of the array.

    Args:
        scores: Probabilities (class, y, x).
        wanted: Of ``LAYERS``.
        least: For ``sets``: the least probability of each class in a set.

    Returns:
        Names as in ``layer_names`` to (y, x) uint8 percent, of sets 0 or 1; ``NO_CONFIDENCE`` where a score is no number.
    """
    made = {name: np.empty(scores.shape[1:], "uint8") for name in layer_names(wanted, len(scores))}
    for start in range(0, scores.shape[1], _STRIP_ROWS):
        strip = scores[:, start : start + _STRIP_ROWS]
        here = slice(start, start + strip.shape[1])
        good = np.isfinite(strip).all(axis=0)
        first, second, entropy = (np.zeros(good.shape) for _ in range(3))
        for number, score in enumerate(strip):
            share = np.where(good, score, 0).astype("float64")
            if "scores" in wanted:
                made[f"scores_{number:03d}"][here] = _percent(share, good)
            if SETS in wanted:
                made[f"{SETS}_{number:03d}"][here] = np.where(good, share >= least[number], NO_CONFIDENCE)
            second = np.maximum(second, np.minimum(first, share))
            first = np.maximum(first, share)
            if "entropy" in wanted:
                entropy -= share * np.log(np.where(share > 0, share, 1))
        if "entropy" in wanted:
            made["entropy"][here] = _percent(entropy / np.log(max(2, len(scores))), good)
        if "margin" in wanted:
            made["margin"][here] = _percent(first - second, good)
    return made


def _percent(share: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(good, np.rint(np.clip(share, 0, 1) * 100), NO_CONFIDENCE).astype("uint8")
