"""Runs a loaded network on noise, the way a job would: what it must not do there, it must not do on a map."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geoseg.models.network import Network
from geoseg.models.spec import ModelSpec

_SIDE_PX = 256
#: Scores of an image alone and in a batch may differ by what sums in another order do.
_CLOSE = 1e-4
_MOST_NUMBER = 4000.0
_UNSEEN = 0.1


def try_scores(network: Network) -> list[str]:
    """What is wrong with a network's scores on noise, in words; nothing where they are fit for a map.

    Args:
        network: With its weights; its device is used.
    """
    images, valid = noise(network.spec)
    first, again = network.scores(images[:1], valid[:1]), network.scores(images[:1], valid[:1])
    together = network.scores(images, valid)
    problems = []
    if not bool(torch.isfinite(together).all()):
        problems.append("it gives scores that are no numbers")
    if not torch.equal(first, again):
        problems.append("the same image gives two different results")
    if float((first - together[:1]).abs().max()) > _CLOSE:
        problems.append("an image's result depends on the other images of its batch")
    return problems


def noise(spec: ModelSpec, side_px: int = _SIDE_PX) -> tuple[Tensor, Tensor]:
    """Two images (b, c, h, w) in a model's own quantity, and where they are to be believed.

    Args:
        spec: The model's facts; a global model's chips are as large as it wants them.
        side_px: About so large.
    """
    side = spec.chip_px or max(1, round(side_px / spec.stride_px)) * spec.stride_px
    generator = torch.Generator().manual_seed(5)
    images = torch.rand(2, spec.channels, side, side, generator=generator)
    if spec.quantity == "digital-number":  # 8 bits or 16: every order of magnitude
        images = torch.exp(images * math.log(_MOST_NUMBER))
    return images, torch.rand(2, side, side, generator=generator) > _UNSEEN
