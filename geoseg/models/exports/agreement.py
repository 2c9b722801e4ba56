"""How far two answers to the same pixels are from each other."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

from geoseg.models.exports.record import Agreement

#: Two scores that are closer than this may change places by the order of floating-point operations alone.
SURE_MARGIN = 1e-5


def compare(pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]], images: str) -> Agreement:
    """Agreement over several images.

    Args:
        pairs: Scores (class, y, x) of the original and of its export.
        images: Where they are from, in words.
    """
    pixels = same = sure = sure_same = ours = theirs = found = kept = 0
    largest = 0.0
    for one, other in pairs:
        first, second = one.argmax(axis=0), other.argmax(axis=0)
        ordered = np.partition(one, -2, axis=0)
        is_sure = ordered[-1] - ordered[-2] > SURE_MARGIN
        is_same = first == second
        pixels, same = pixels + first.size, same + int(is_same.sum())
        sure, sure_same = sure + int(is_sure.sum()), sure_same + int((is_sure & is_same).sum())
        difference = np.abs(one - other)
        largest = max(largest, float(difference.max()) if np.isfinite(difference).all() else float("inf"))
        edges, other_edges = boundaries(first), boundaries(second)
        ours, theirs = ours + int(edges.sum()), theirs + int(other_edges.sum())
        found += int((edges & _near(other_edges)).sum())
        kept += int((other_edges & _near(edges)).sum())
    return Agreement(
        pixels=pixels,
        largest_difference=largest,
        classes=_share(same, pixels),
        sure_classes=_share(sure_same, sure),
        boundaries=_f_score(_share(found, ours), _share(kept, theirs)),
        images=images,
    )


def boundaries(classes: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Pixels (y, x) with a neighbour to the right or below that is of another class."""
    edges = np.zeros(classes.shape, bool)
    edges[:, :-1] = classes[:, 1:] != classes[:, :-1]
    edges[:-1] |= classes[1:] != classes[:-1]
    return edges


def _near(edges: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those, and all pixels one away."""
    near: NDArray[np.bool_] = binary_dilation(edges, np.ones((3, 3), bool))
    return near


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _f_score(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
