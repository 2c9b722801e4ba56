"""Trains geoseg's own text-image network on generated scenes, and says how."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from geoseg.demo.attributes import COLOURS, TEXTURES
from geoseg.demo.noise import Floats
from geoseg.models.networks.text_image.own import STRIDE, SmallWords

_LOG = logging.getLogger(__name__)

#: Constants per band of the shipped network: what reflectance is less, and divided by.
MEAN, STD = 0.10, 0.08
#: What cosines are divided by before they become probabilities.
TEMPERATURE = 0.07
IGNORED = 255

#: A scene: reflectance (3, rows, cols), truth (rows, cols), and the phrases of each value of the truth.
type Lesson = tuple[Floats, NDArray[np.uint8], Mapping[int, Sequence[str]]]


@dataclass(frozen=True, slots=True)
class WordsRecipe:
    """How long and on what to train.

    Attributes:
        steps: Gradient steps of the encoders.
        mixing_steps: Gradient steps of the mixing of classes, with the encoders as they are.
        batch: Chips per step.
        chip_px: Side of a chip.
        rate: Peak learning rate of the one-cycle schedule.
        dropped: Share of the prompts of a step that are not asked for, so that what they mean is to be left over.
        width: Of features and phrases.
        widths: Channels of the image network.
        tone_px: See ``SmallWords``.
        seed: Of weights, scenes and prompts.
    """

    steps: int = 400
    mixing_steps: int = 150
    batch: int = 6
    chip_px: int = 96
    rate: float = 4e-3
    dropped: float = 0.15
    width: int = 64
    widths: tuple[int, int] = field(default=(24, 64))
    tone_px: int = 8
    seed: int = 1


def pair_phrases(number: int) -> tuple[str, ...]:
    """All ways to name a pair of a colour and a texture."""
    colour, texture = divmod(number, len(TEXTURES))
    return tuple(f"{one} {other}" for one in list(COLOURS)[colour] for other in TEXTURES[texture])


def fit_words(
    network: SmallWords, lessons: Callable[[np.random.Generator], Iterator[Lesson]], recipe: WordsRecipe
) -> SmallWords:
    """Train a network, in place; the same recipe gives the same weights on the same machine.

    Each cell of the feature grid whose pixels are of one class is asked which of the prompts it is, or none: a softmax
    over their cosines and the null.

    Args:
        network: Freshly made.
        lessons: Endless scenes of at least the chip's size, from a source of randomness.
        recipe: How long and on what.

    Returns:
        The network, in evaluation mode.
    """
    rng = np.random.default_rng([recipe.seed, 32])
    scenes = lessons(rng)
    mixing = {id(parameter) for parameter in network.mixing.parameters()}
    encoders = [parameter for parameter in network.parameters() if id(parameter) not in mixing]
    _descend(network.train(), encoders, recipe.steps, scenes, rng, recipe)
    network.eval()
    for parameter in encoders:
        parameter.requires_grad = False
    _descend(network, list(network.mixing.parameters()), recipe.mixing_steps, scenes, rng, recipe, mixes=True)
    return network


def _descend(
    network: SmallWords,
    parameters: list[nn.Parameter],
    steps: int,
    scenes: Iterator[Lesson],
    rng: np.random.Generator,
    recipe: WordsRecipe,
    *,
    mixes: bool = False,
) -> None:
    """So many steps with some of the parameters; one by one."""
    if not steps:
        return
    optimizer = torch.optim.AdamW(parameters, lr=recipe.rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=steps, pct_start=0.2)
    running = 0.0
    for step in range(steps):
        batch = [next(scenes) for _ in range(recipe.batch)]
        images = torch.from_numpy(np.stack([(values - MEAN) / STD for values, _, _ in batch]).astype(np.float32))
        features = network(images)
        losses = [
            _loss(network, features[at], truth, names, rng, recipe, mixes=mixes)
            for at, (_, truth, names) in enumerate(batch)
        ]
        loss = torch.stack(losses).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        optimizer.step()
        schedule.step()
        running = float(loss.detach()) if step == 0 else 0.97 * running + 0.03 * float(loss.detach())
        if (step + 1) % 50 == 0:
            _LOG.info("step %d of %d: loss %.4f", step + 1, steps, running)


def cell_truth(truth: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Truth of the cells of the feature grid; ``IGNORED`` where several classes meet in one."""
    rows, cols = truth.shape
    cells = truth.reshape(rows // STRIDE, STRIDE, cols // STRIDE, STRIDE)
    low, high = cells.min(axis=(1, 3)), cells.max(axis=(1, 3))
    return np.where(low == high, low, IGNORED).astype(np.uint8)


def _loss(
    network: SmallWords,
    features: Tensor,
    truth: NDArray[np.uint8],
    names: Mapping[int, Sequence[str]],
    rng: np.random.Generator,
    recipe: WordsRecipe,
    *,
    mixes: bool,
) -> Tensor:
    asked = [number for number in names if rng.random() >= recipe.dropped] or list(names)
    phrases = network.phrases([names[number][int(rng.integers(len(names[number])))] for number in asked])
    target = np.zeros(256, np.int64)  # the null, for whatever is not asked for
    target[asked] = np.arange(1, len(asked) + 1)
    target[IGNORED] = -1
    cosines = torch.einsum("dij,kd->kij", features, phrases)
    if mixes and len(asked) > 1:
        cosines = cosines + network.mixing(cosines, features.permute(1, 2, 0), phrases)
    null = network.null.expand(1, *cosines.shape[1:])
    logits = torch.cat([null, cosines]) / TEMPERATURE
    wanted = torch.from_numpy(target[cell_truth(truth)])
    losses = functional.cross_entropy(logits[None], wanted[None], ignore_index=-1, reduction="none")[0]
    # Rare classes of a chip count more, by the root of their rarity. A chip under cloud has no cell that counts.
    counts = torch.bincount(wanted[wanted >= 0], minlength=len(logits)).clamp_min(1)
    weights = torch.where(wanted >= 0, counts.sqrt().reciprocal()[wanted.clamp_min(0)], 0.0)
    return (losses * weights).sum() / weights.sum().clamp_min(1e-6)
