"""What is changed about a window before the input transform sees it. Every number comes from the window's own generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from geoseg.labels import IGNORE
from geoseg.training.config import AugmentConfig, ScaleConfig
from geoseg.training.windows import Patch


@dataclass(frozen=True, slots=True)
class Bands:
    """What values of the bands are like in the training data, before the input transform.

    Attributes:
        mean: Of each band.
        std: Standard deviation of each band, above 0.
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]


def side_of(rng: np.random.Generator, side: int, scale: ScaleConfig | None) -> int:
    """Side of the window to read for one of ``side`` pixels.

    Args:
        rng: Of the window.
        side: Pixels that the network will see.
        scale: How other sizes are drawn; ``None`` for never.
    """
    if scale is None or rng.random() >= scale.share:
        return side
    low, high = np.log(scale.least), np.log(scale.most)
    return max(1, round(side * float(np.exp(rng.uniform(low, high)))))


def resized(patch: Patch, side: int) -> Patch:
    """A square window in another number of pixels; a pixel is valid where all that it is made of is.

    Args:
        patch: As it was read.
        side: Side wanted.

    Returns:
        The image in float32; the patch itself where it has that side.
    """
    if patch.labels.shape == (side, side):
        return patch
    antialias = patch.labels.shape[0] > side
    known = np.where(patch.valid, patch.image, 0).astype(np.float32)
    layers = torch.from_numpy(np.concatenate([known, patch.valid[None].astype(np.float32)]))[None]
    made = functional.interpolate(layers, (side, side), mode="bilinear", antialias=antialias)[0].numpy()
    valid = made[-1] > 1 - 1e-3
    labels = functional.interpolate(
        torch.from_numpy(patch.labels.copy())[None, None], (side, side), mode="nearest-exact"
    )
    return Patch(made[:-1], valid, np.where(valid, labels[0, 0].numpy(), np.uint8(IGNORE)))


def recoloured(
    rng: np.random.Generator, bands: Bands, config: AugmentConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Other light, another sensor: a factor and a constant for each band.

    Contrast is about the mean of a band, as displays do it; gain is about 0, as sun and sensors do it.

    Args:
        rng: Of the window.
        bands: What values are like.
        config: Spreads.

    Returns:
        (band,) each: value x factor + constant.
    """
    count = len(bands.mean)
    contrast = float(np.exp(config.contrast * rng.standard_normal()))
    gain = np.exp(config.gain * rng.standard_normal(count))
    shift = config.brightness * rng.standard_normal() + config.shift * rng.standard_normal(count)
    return contrast * gain, gain * bands.mean * (1 - contrast) + shift * bands.std


def holed(rng: np.random.Generator, valid: NDArray[np.bool_], config: AugmentConfig) -> NDArray[np.bool_]:
    """Where a window is to be believed, now and then without a strip at a side or a rectangle."""
    if rng.random() >= config.holes:
        return valid
    rows, cols = valid.shape
    valid = valid.copy()
    if rng.random() < 0.5:
        width = int(rng.integers(1, max(2, cols // 3)))
        if rng.random() < 0.5:
            valid[:, :width] = False
        else:
            valid[:width] = False
    else:
        height, width = (int(rng.integers(1, max(2, side // 3))) for side in (rows, cols))
        top, left = int(rng.integers(rows)), int(rng.integers(cols))
        valid[top : top + height, left : left + width] = False
    return valid


def turned(rng: np.random.Generator, patch: Patch) -> Patch:
    """One of the eight turns and mirrorings of a square, the same for image and labels; views, nothing is copied."""
    turns, mirror = int(rng.integers(4)), bool(rng.integers(2))

    def turn[T: np.generic](layers: NDArray[T]) -> NDArray[T]:
        result = np.rot90(layers, turns, (-2, -1))
        return result[..., ::-1] if mirror else result

    return Patch(turn(patch.image), turn(patch.valid), turn(patch.labels))
