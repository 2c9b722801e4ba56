"""Images that are the same, or as good as: turned, mirrored, compressed, brightened or resized copies.

Two measures: a digest of the pixels, which equal images share whatever file they are in; and a picture of 32 x 32 mean
values, compared by correlation in all eight orientations (the dihedral group). Correlation does not see brightness and
contrast. It is taken twice: of the pictures, which tells the same place, and of what is left of them without their local
mean, which tells two places of one composition apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

SIDE = 32
_COARSE = 16
_FLAT = 1e-3  # standard deviation over mean below which a picture shows nothing
# Measured on 95 real chips of five data sets: copies (JPEG at quality 30, half size, gamma 0.7 and 1.5) correlate at 0.96 at
# least, and so do their details; different chips at 0.70 at most, their details at 0.29.
_COARSE_LEAST, _WHOLE_LEAST, _DETAIL_LEAST = 0.93, 0.95, 0.75
_ROWS = 2048


@dataclass(frozen=True, slots=True)
class Likeness:
    """What is kept of an image to find its copies.

    Attributes:
        digest: SHA-256 of its valid pixels, type and shape.
        picture: (32, 32) float32 mean values, or ``None`` where it is smaller or shows nothing.
    """

    digest: str
    picture: NDArray[np.float32] | None


class Looker:
    """Takes an image strip by strip, from the top.

    Args:
        shape: Rows and columns of the image.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape
        self._hash = hashlib.sha256(f"{shape}".encode())
        self._row = 0
        self._sums = np.zeros((SIDE, SIDE))
        self._counts = np.zeros((SIDE, SIDE))

    def look(self, pixels: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """The next strip: (band, rows, cols) and (rows, cols)."""
        self._hash.update(str(pixels.dtype).encode())
        self._hash.update(np.ascontiguousarray(np.where(valid, pixels, 0)).tobytes())
        rows, cols = valid.shape
        if min(self._shape) >= SIDE:
            grey = np.where(valid, pixels.mean(axis=0, dtype=np.float64), 0)
            down = np.arange(self._row, self._row + rows) * SIDE // self._shape[0]
            across = np.arange(SIDE) * cols // SIDE + (np.arange(SIDE) * cols % SIDE > 0)
            for sums, values in ((self._sums, grey), (self._counts, valid.astype(np.float64))):
                np.add.at(sums, down, np.add.reduceat(values, across, axis=1))
        self._row += rows

    def seen(self) -> Likeness:
        """What was seen."""
        if min(self._shape) < SIDE or not self._counts.all():
            return Likeness(self._hash.hexdigest(), None)
        picture = (self._sums / self._counts).astype(np.float32)
        flat = picture.std() <= _FLAT * max(abs(float(picture.mean())), 1e-12)
        return Likeness(self._hash.hexdigest(), None if flat else picture)


def copies(images: list[Likeness]) -> Iterator[tuple[int, int, str]]:
    """Pairs that are the same image or nearly, the earlier one first.

    Yields:
        Their places in the list, and in words how the second one differs.
    """
    first: dict[str, int] = {}
    same: set[int] = set()
    for at, image in enumerate(images):
        if (earlier := first.setdefault(image.digest, at)) != at:
            same.add(at)
            yield earlier, at, "the same pixels"
    looked = [at for at, image in enumerate(images) if image.picture is not None and at not in same]
    if len(looked) < 2:
        return
    pictures = np.stack([images[at].picture for at in looked])  # type: ignore[misc]  # none is None
    for one, other, words in _alike(pictures):
        yield looked[one], looked[other], words


def _alike(pictures: NDArray[np.float32]) -> Iterator[tuple[int, int, str]]:
    coarse = pictures.reshape(-1, _COARSE, SIDE // _COARSE, _COARSE, SIDE // _COARSE).mean(axis=(2, 4))
    found: dict[tuple[int, int], tuple[float, str]] = {}
    known = _normal(coarse)
    for turn, words in _turns():
        turned = _normal(_turned(coarse, turn))
        for start in range(0, len(known), _ROWS):
            near = np.argwhere(known[start : start + _ROWS] @ turned.T >= _COARSE_LEAST)
            near[:, 0] += start
            for one, other in near[near[:, 0] < near[:, 1]].tolist():
                whole, detail = _correlations(pictures[one], _turned(pictures[other][None], turn)[0])
                if whole >= _WHOLE_LEAST and detail >= _DETAIL_LEAST:
                    best = found.get((one, other), (0.0, ""))
                    found[one, other] = max(best, (whole, words), key=lambda pair: pair[0])
    for (one, other), (_, words) in sorted(found.items()):
        yield one, other, words


def _correlations(one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[float, float]:
    """Of two pictures, and of what is left of them without their local mean."""
    detail = [picture - uniform_filter(picture, 5) for picture in (one, other)]
    whole = _normal(np.stack([one, other]))
    fine = _normal(np.stack(detail))
    return float(whole[0] @ whole[1]), float(fine[0] @ fine[1])


def _normal(pictures: NDArray[Any]) -> NDArray[np.float32]:
    """Pictures as rows of mean 0 and length 1."""
    rows = pictures.reshape(len(pictures), -1).astype(np.float32)
    rows = rows - rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def _turns() -> Iterable[tuple[tuple[int, bool], str]]:
    for mirrored in (False, True):
        for quarter in range(4):
            words = (*[f"turned by {90 * quarter}°"] * bool(quarter), *["mirrored"] * mirrored)
            yield (quarter, mirrored), " and ".join(words) or "nearly the same picture"


def _turned(pictures: NDArray[Any], turn: tuple[int, bool]) -> NDArray[Any]:
    quarter, mirrored = turn
    turned = np.rot90(pictures, quarter, axes=(1, 2))
    return turned[:, :, ::-1] if mirrored else turned
