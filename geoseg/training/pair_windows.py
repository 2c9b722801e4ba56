"""What is done to windows of two dates: what may differ between dates without the land having changed.

Every number comes from the window's own generator, as for single images.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geoseg.labels import IGNORE
from geoseg.training.augment import Bands
from geoseg.training.config import PairsConfig
from geoseg.training.windows import Patch

#: Label of pixels where nothing changed: the first class of every legend of change.
NO_CHANGE = 0
#: How much of the light a shadow takes, and how much haze adds in standard deviations of a band.
_SHADES, _HAZES = (0.1, 0.6), (0.1, 1.0)
#: The later date of a mix is what the label calls it from here on.
_HALF = 0.5


def repaired(rng: np.random.Generator, patch: Patch, config: PairsConfig) -> Patch:
    """A pair put together anew: swapped, made of one date, mixed, moved. Labels follow.

    Args:
        rng: Of the window.
        patch: (2 x band, rows, cols).
        config: How often, how far.
    """
    before, after = np.split(patch.image, 2)
    labels = patch.labels
    if rng.random() < config.swap:
        before, after = after, before
    if rng.random() < config.same:
        after = before
        labels = np.where(labels == IGNORE, labels, np.uint8(NO_CHANGE))
    if rng.random() < config.mix:
        share = float(rng.random())
        after = (1 - share) * before.astype(np.float32) + share * after.astype(np.float32)
        labels = labels if share > _HALF else np.where(labels == IGNORE, labels, np.uint8(NO_CHANGE))
    length, angle = rng.uniform(0, config.shift_px), rng.uniform(0, 2 * np.pi)
    valid = patch.valid
    if length > 0:
        after, valid = _moved(after, valid, length * np.sin(angle), length * np.cos(angle))
    image = np.concatenate([before.astype(np.float32), after.astype(np.float32)])
    return replace(patch, image=image, valid=valid, labels=np.where(valid, labels, np.uint8(IGNORE)))


def weathered(rng: np.random.Generator, values: NDArray[np.float32], bands: Bands, config: PairsConfig) -> None:
    """Put a shadow on one date and haze over one, in place.

    Args:
        rng: Of the window.
        values: (2 x band, rows, cols), in the quantity of the set.
        bands: What values are like.
        config: How often.
    """
    dates = np.split(values, 2)  # views
    if rng.random() < config.shade:
        date = dates[int(rng.integers(2))]
        date *= 1 - np.float32(rng.uniform(*_SHADES)) * _patch(rng, date.shape[1:])
    if rng.random() < config.haze:
        date = dates[int(rng.integers(2))]
        # Brighter in some bands than in others, as haze is.
        strength = rng.uniform(*_HAZES) * rng.uniform(0.3, 1, len(bands.std)) * bands.std
        date += strength.astype(np.float32)[:, None, None] * (0.5 + _patch(rng, date.shape[1:]))


def _patch(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """1 in an ellipse somewhere, 0 far from it, with an edge of some pixels to a third of the window."""
    rows, cols = shape
    side = max(rows, cols)
    row, col = rng.uniform(0, rows), rng.uniform(0, cols)
    long, short = rng.uniform(0.05, 0.5, 2) * side
    angle, soft = rng.uniform(0, np.pi), rng.uniform(0.05, 0.6)
    y, x = (np.arange(rows) - row)[:, None], (np.arange(cols) - col)[None, :]
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    distance = np.hypot(u / long, v / short)
    inside: NDArray[np.float32] = np.clip((1 - distance) / soft + 0.5, 0, 1).astype(np.float32)
    return inside


def _moved(
    image: NDArray[np.generic], valid: NDArray[np.bool_], down: float, right: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """An image by parts of a pixel, bilinearly; not valid where a pixel is made of one that is not, or of none."""
    made = np.where(valid, image, 0).astype(np.float32)
    seen = valid
    for axis, shift in ((-2, down), (-1, right)):
        whole = int(np.floor(shift))
        part = np.float32(shift - whole)
        near, far = (_rolled(made, whole + step, axis) for step in (0, 1))
        made = np.asarray((1 - part) * near + part * far, np.float32)
        seen = _rolled(seen, whole, axis) & _rolled(seen, whole + 1, axis)
    return made, valid & seen


def _rolled[T: np.generic](layers: NDArray[T], by: int, axis: int) -> NDArray[T]:
    """Moved by whole pixels; what comes in is 0."""
    result = np.zeros_like(layers)
    length = layers.shape[axis]
    into, out = (slice(max(by, 0), length + min(by, 0)), slice(max(-by, 0), length + min(-by, 0)))
    if axis == -1:
        result[..., into] = layers[..., out]
    else:
        result[..., into, :] = layers[..., out, :]
    return result
