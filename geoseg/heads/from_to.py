"""Change, and what both dates show, of a network that tells all of it in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from geoseg.heads.base import Array, Chips, Finished, HeadOutput
from geoseg.heads.semantic import SemanticHead
from geoseg.models import ClassInfo
from geoseg.pixels import NO_CLASS, NO_CONFIDENCE

if TYPE_CHECKING:
    from geoseg.models.backends import AnyNetwork

#: Layers of a record: the class of either date, and how sure it is.
DATE_LAYERS = ("before", "after", "confidence_before", "confidence_after")


class FromToHead:
    """Implements ``geoseg.heads.FinishingHead``: scores of change and of both dates' classes are blended, then each is chosen.

    Args:
        network: A loaded model with ``land_cover``.
    """

    further = DATE_LAYERS

    def __init__(self, network: AnyNetwork) -> None:
        self._semantic = SemanticHead(network)

    @property
    def class_table(self) -> tuple[ClassInfo, ...]:
        """No change, and change."""
        return self._semantic.class_table

    @property
    def channels(self) -> int:
        """Of no change and change, and of the classes of both dates."""
        return len(self.class_table) + 2 * len(self._semantic.network.spec.land_cover)

    def __call__(self, chips: Chips) -> HeadOutput:
        """Scores (b, channel, h, w); see ``SemanticHead``."""
        return self._semantic(chips)

    def finish(self, scores: Array) -> Finished:
        """The choices, from blended scores (channel, h, w)."""
        told: NDArray[np.float32] = scores.cpu().numpy() if hasattr(scores, "cpu") else np.asarray(scores)
        kinds, own = len(self._semantic.network.spec.land_cover), len(self.class_table)
        good = np.isfinite(told).all(axis=0)
        change, before, after = (
            _chosen(part, good) for part in (told[:own], told[own : own + kinds], told[own + kinds :])
        )
        layers = dict(zip(DATE_LAYERS, (before[0], after[0], before[1], after[1]), strict=True))
        return Finished(change[0], change[1], np.where(good, told[:own], np.float32(np.nan)), layers)


def _chosen(scores: NDArray[np.float32], good: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The most probable class, and its probability in percent."""
    known = np.where(good, scores, 0)
    classes = np.where(good, known.argmax(axis=0), NO_CLASS).astype("uint8")
    share = np.clip(known.max(axis=0).astype("float64"), 0, 1)
    return classes, np.where(good, np.rint(share * 100), NO_CONFIDENCE).astype("uint8")
