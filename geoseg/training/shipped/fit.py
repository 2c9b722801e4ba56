"""The training loop: chips from generated samples, augmented, one network out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoseg.demo.noise import Floats
from geoseg.models.networks.small_unet import SmallUNet
from geoseg.training.shipped.samples import INVALID, Sample

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and on what to train.

    Attributes:
        steps: Gradient steps.
        batch: Chips per step.
        chip_px: Side of a chip, a multiple of the network's stride.
        rate: Peak learning rate of the one-cycle schedule.
        gain: Spread of the random factor per band.
        seed: Of weights, chips and augmentation.
    """

    steps: int = 900
    batch: int = 8
    chip_px: int = 192
    rate: float = 4e-3
    gain: float = 0.04
    seed: int = 1


def normalise(values: Floats, mean: Sequence[float], std: Sequence[float]) -> Floats:
    """Z-scores per band, 0 where any band is NaN.

    Args:
        values: (band, rows, cols) in the sensor's units.
        mean: Per band, same units.
        std: Per band, same units.
    """
    centre, spread = (np.array(v, np.float32)[:, None, None] for v in (mean, std))
    scores = (values - centre) / spread
    scores[:, ~np.isfinite(values).all(axis=0)] = 0
    return np.asarray(scores, dtype=np.float32)


def fit(
    network: SmallUNet, samples: Sequence[Sample], mean: Sequence[float], std: Sequence[float], recipe: Recipe
) -> SmallUNet:
    """Train a network on samples, in place; the same recipe gives the same weights on the same machine.

    Args:
        network: Freshly made.
        samples: Images with truth, at least as large as a chip.
        mean: Constants of :func:`normalise`.
        std: Constants of :func:`normalise`.
        recipe: How long and on what.

    Returns:
        The network, in evaluation mode.
    """
    rng = np.random.default_rng([recipe.seed, 7])
    network = network.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=recipe.steps, pct_start=0.2)
    loss_of = nn.CrossEntropyLoss(weight=_class_weights(samples, network.classes), ignore_index=INVALID)
    running = 0.0
    for step in range(recipe.steps):
        inputs, truth = _batch(rng, samples, mean, std, recipe)
        optimizer.zero_grad()
        loss = loss_of(network(inputs), truth)
        loss.backward()
        optimizer.step()
        schedule.step()
        running = float(loss.detach()) if step == 0 else 0.98 * running + 0.02 * float(loss.detach())
        if (step + 1) % 50 == 0:
            _LOG.info("step %d of %d: loss %.4f", step + 1, recipe.steps, running)
    return network.eval()


def predict(network: nn.Module, values: Floats, mean: Sequence[float], std: Sequence[float]) -> NDArray[np.int64]:
    """Class of each pixel of an image, in strips with enough context.

    Args:
        network: Trained.
        values: (band, rows, cols) in the sensor's units, NaN where nothing is seen.
        mean: Constants of :func:`normalise`.
        std: Constants of :func:`normalise`.

    Returns:
        (rows, cols), class indices.
    """
    scores = normalise(values, mean, std)
    rows, cols = scores.shape[1:]
    halo, strip = 64, 512
    bottom = -rows % 8
    padded = np.pad(scores, ((0, 0), (halo, halo + bottom), (halo, halo + (-cols % 8))))
    parts = []
    with torch.inference_mode():
        for top in range(0, rows, strip):
            part = padded[:, top : top + strip + 2 * halo]
            logits = network(torch.from_numpy(part[None]).contiguous(memory_format=torch.channels_last))
            parts.append(logits[0, :, halo : halo + strip, halo : halo + cols].argmax(dim=0).numpy())
    return np.concatenate(parts)[:rows]


def _class_weights(samples: Sequence[Sample], classes: int) -> Tensor:
    """Rare classes count more, by the root of their rarity, at most four times the commonest."""
    counts = np.sum([np.bincount(sample.truth.ravel(), minlength=256)[:classes] for sample in samples], axis=0)
    weights = np.sqrt(counts.max() / np.maximum(counts, 1)).clip(1, 4)
    return torch.from_numpy(weights.astype(np.float32))


def _batch(
    rng: np.random.Generator, samples: Sequence[Sample], mean: Sequence[float], std: Sequence[float], recipe: Recipe
) -> tuple[Tensor, Tensor]:
    inputs, truths = [], []
    for _ in range(recipe.batch):
        sample = samples[int(rng.integers(len(samples)))]
        rows, cols = sample.truth.shape
        top, left = (int(rng.integers(side - recipe.chip_px + 1)) for side in (rows, cols))
        window = np.s_[top : top + recipe.chip_px, left : left + recipe.chip_px]
        values, truth = sample.values[(slice(None), *window)].copy(), sample.truth[window].copy()
        _augment(rng, values, recipe.gain)
        scores = normalise(values, mean, std)
        truth[~np.isfinite(values).all(axis=0)] = INVALID
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        inputs.append(_turned(scores, turns, flip))
        truths.append(_turned(truth, turns, flip))
    images = torch.from_numpy(np.stack(inputs)).contiguous(memory_format=torch.channels_last)
    return images, torch.from_numpy(np.stack(truths).astype(np.int64))


def _augment(rng: np.random.Generator, values: Floats, gain: float) -> None:
    """Random factor per band, and now and then a strip or a rectangle without data."""
    values *= (1 + gain * rng.standard_normal((len(values), 1, 1))).astype(np.float32)
    side = values.shape[-1]
    if rng.random() < 0.25:
        cut = int(rng.integers(1, side // 2))
        values[:, :cut] = np.nan
    if rng.random() < 0.25:
        top, left = rng.integers(0, side, 2)
        height, width = rng.integers(4, side // 3, 2)
        values[:, top : top + height, left : left + width] = np.nan


def _turned[T: np.generic](layers: NDArray[T], turns: int, flip: bool) -> NDArray[T]:
    turned = np.rot90(layers, turns, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if flip else turned)
