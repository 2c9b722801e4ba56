"""What is changed about a window before the input transform sees it. Every number comes from the window's own generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from geoseg.labels import IGNORE
from geoseg.training.config import AugmentConfig, ScaleConfig


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


def resized(values: Tensor, valid: Tensor, labels: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """A window in another number of pixels; a pixel is valid where all that it is made of is.

    Args:
        values: (band, n, n), float32.
        valid: (n, n).
        labels: (n, n), uint8.
        side: Side wanted.
    """
    if values.shape[-1] == side:
        return values, valid, labels
    smaller = values.shape[-1] > side
    known = torch.where(valid, values, 0.0)
    values = functional.interpolate(known[None], (side, side), mode="bilinear", antialias=smaller)[0]
    share = functional.interpolate(valid[None, None].float(), (side, side), mode="bilinear", antialias=smaller)[0, 0]
    labels = functional.interpolate(labels[None, None], (side, side), mode="nearest-exact")[0, 0]
    valid = share > 1 - 1e-3
    return values, valid, torch.where(valid, labels, IGNORE)


def recoloured(rng: np.random.Generator, values: Tensor, bands: Bands, config: AugmentConfig) -> Tensor:
    """Other light, another sensor: a factor and a constant for each band, and noise.

    Args:
        rng: Of the window.
        values: (band, rows, cols), float32.
        bands: What they are like.
        config: Spreads.

    Returns:
        (band, rows, cols), float32.
    """
    count = len(bands.mean)
    contrast = float(np.exp(config.contrast * rng.standard_normal()))
    gain = np.exp(config.gain * rng.standard_normal(count))
    shift = config.brightness * rng.standard_normal() + config.shift * rng.standard_normal(count)
    factor = contrast * gain
    # About the mean for contrast, about 0 for gain: gain is what sensors and sun do, contrast what display does.
    constant = gain * bands.mean * (1 - contrast) + shift * bands.std
    result = values * _column(factor) + _column(constant)
    if config.noise:
        noise = torch.from_numpy(rng.standard_normal(tuple(values.shape), dtype=np.float32))
        result += config.noise * _column(bands.std) * noise
    return result


def holed(rng: np.random.Generator, valid: Tensor, config: AugmentConfig) -> Tensor:
    """Where a window is to be believed, now and then without a strip at a side or a rectangle."""
    if rng.random() >= config.holes:
        return valid
    rows, cols = valid.shape
    valid = valid.clone()
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


def turned(rng: np.random.Generator, *layers: Tensor) -> tuple[Tensor, ...]:
    """The same one of the eight turns and mirrorings of a square for every layer, whose last two axes are rows and columns."""
    turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
    result = tuple(torch.rot90(layer, turns, (-2, -1)) for layer in layers)
    return tuple(layer.flip(-1) for layer in result) if mirror else result


def _column(numbers: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.asarray(numbers, np.float32)).view(-1, 1, 1)
