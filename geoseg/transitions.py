"""Tile records of two dates to the finished change map, block by block: from what to what, and how sure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from geoseg.change.fromto import NO_CHANGE, FromTo, observed_pairs
from geoseg.grid import Window
from geoseg.mosaic import Blocks
from geoseg.pixels import FAILED_CLASS, NEAR_FAILED_BIT, NO_CLASS, NO_CONFIDENCE, Reason
from geoseg.plan import Region

#: Further layers of a block, in percent: how sure the class of either date is.
CONFIDENCE_BEFORE, CONFIDENCE_AFTER = "confidence_before", "confidence_after"

_BLOCK_PX = 512
_CHANGED = 1
# What stands where several lists have no class, the gravest first.
_GAPS = (Reason.FAILED, Reason.MODEL, Reason.MASKED, Reason.UNOBSERVED)

type Layers = dict[str, NDArray[np.uint8]]


class ChangeMosaic(Blocks):
    """Land cover of both dates, and where a detector saw change; without one, where the classes differ.

    Args:
        region: The AOI on the lattice.
        before: Classes of the earlier date.
        after: Classes of the later date.
        change: Classes 0 and 1 of a detector.
        names: Of the land cover classes, by index.

    Raises:
        RequestError: If more pairs of classes were observed than a raster can hold.
    """

    def __init__(
        self, region: Region, before: Blocks, after: Blocks, change: Blocks | None, names: Sequence[str]
    ) -> None:
        super().__init__(region, _BLOCK_PX)
        self._lists = (before, after) if change is None else (before, after, change)
        self.from_to = FromTo.of(self._observed(), names)

    def pixels(self, window: Window) -> Layers | None:
        """See ``Blocks``; classes are those of ``from_to``."""
        lists = self._of_lists(window)
        if lists is None:
            return None
        before, after = lists[:2]
        reason = _reason(lists)
        seen = (reason & ~np.uint8(NEAR_FAILED_BIT)) == Reason.OBSERVED
        changed = _changed(lists) & seen & self._region.mask(window)  # pairs of other regions are not in the table
        pairs = self.from_to.classes(before["classes"], after["classes"], changed)
        classes = np.where(seen, np.where(changed, pairs, np.uint8(NO_CHANGE)), np.uint8(NO_CLASS))
        classes[np.isin(reason, (Reason.FAILED, Reason.MODEL))] = FAILED_CLASS
        sure = np.minimum.reduce([layers["confidence"] for layers in lists])
        made = {
            "confidence": sure,
            CONFIDENCE_BEFORE: before["confidence"],
            CONFIDENCE_AFTER: after["confidence"],
        }
        percents = {name: np.where(seen, layer, np.uint8(NO_CONFIDENCE)) for name, layer in made.items()}
        return {"classes": classes, "reason": reason, **percents}

    def _observed(self) -> set[tuple[int, int]]:
        """Pairs of classes of the changed pixels of the region."""
        found: set[tuple[int, int]] = set()
        for block in self.blocks():
            window = self.window(*block)
            lists = self._of_lists(window)
            if lists is not None:
                seen = (_reason(lists) & ~np.uint8(NEAR_FAILED_BIT)) == Reason.OBSERVED
                changed = _changed(lists) & seen & self._region.mask(window)
                found |= observed_pairs(lists[0]["classes"], lists[1]["classes"], changed).keys()
        return found

    def _of_lists(self, window: Window) -> list[Layers] | None:
        found = [layers for one in self._lists if (layers := one.pixels(window)) is not None]
        return found if len(found) == len(self._lists) else None


class _OneDate(Blocks):
    """What one date shows, of a map whose records tell both.

    Args:
        region: The AOI on the lattice.
        whole: The map, with the layers of ``dates_of``.
        when: ``before`` or ``after``.
    """

    def __init__(self, region: Region, whole: Blocks, when: str) -> None:
        super().__init__(region, _BLOCK_PX)
        self._whole, self._when = whole, when

    def pixels(self, window: Window) -> Layers | None:
        """See ``Blocks``."""
        layers = self._whole.pixels(window)
        if layers is None:
            return None
        return {
            "classes": layers[self._when],
            "confidence": layers[f"confidence_{self._when}"],
            "reason": layers["reason"],
        }


def dates_of(region: Region, whole: Blocks) -> tuple[Blocks, Blocks]:
    """Land cover of both dates out of a map that has it as layers ``before``, ``after`` and a confidence of each."""
    return _OneDate(region, whole, "before"), _OneDate(region, whole, "after")


def _changed(lists: Sequence[Layers]) -> NDArray[np.bool_]:
    if len(lists) == len(("before", "after")):
        differ: NDArray[np.bool_] = lists[0]["classes"] != lists[1]["classes"]
        return differ
    changed: NDArray[np.bool_] = lists[2]["classes"] == _CHANGED
    return changed


def _reason(lists: Sequence[Layers]) -> NDArray[np.uint8]:
    """Why a pixel has no class on either date, or in the detector's list."""
    reasons = [layers["reason"] for layers in lists]
    plain = [reason & ~np.uint8(NEAR_FAILED_BIT) for reason in reasons]
    gaps = [np.logical_or.reduce([reason == gap for reason in plain]) for gap in _GAPS]
    near = np.bitwise_or.reduce([reason & np.uint8(NEAR_FAILED_BIT) for reason in reasons])
    made: NDArray[np.uint8] = np.select(gaps, _GAPS, Reason.OBSERVED).astype("uint8")
    return np.where(made == Reason.OBSERVED, made | near, made)
