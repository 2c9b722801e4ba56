"""An area strip by strip: what its scores say is decided as they come, so that they are never held."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.predict.arrays import Arrays, Decision


def decide_strips(
    strips: Any,
    arrays: Arrays,
    core: tuple[slice, slice],
    layers: dict[str, NDArray[np.uint8]],
    layers_of: Callable[[Any], Mapping[str, NDArray[np.uint8]]],
    between: Callable[[], object],
) -> Decision:
    """The classes of an area.

    Args:
        strips: First row of a part, and its scores (class, y, x).
        arrays: What decides them.
        core: Rows, counted like those of the strips, and columns of the scores that are kept.
        layers: Further layers of what is kept; they are filled.
        layers_of: What scores say of them.
        between: Called after each strip.
    """
    rows, cols = core
    decision = Decision.none((rows.stop - rows.start, cols.stop - cols.start))
    for row, scores in strips:
        between()
        kept = scores[:, :, cols]
        part = arrays.decide(kept)
        at = slice(row - rows.start, row - rows.start + kept.shape[1])
        decision.classes[at], decision.percent[at] = part.classes, part.percent
        for name, layer in layers_of(kept).items():
            layers[name][at] = layer
    return decision
