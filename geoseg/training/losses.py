"""Losses per pixel, with class weights; a pixel without a label has a gradient of exactly zero in every one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from geoseg.labels import IGNORE
from geoseg.training.config import LossConfig

#: No class counts more than so many times the commonest.
_MOST_WEIGHT = 10.0

type Loss = Callable[[Tensor, Tensor], Tensor]


def loss_of(terms: Sequence[LossConfig], pixels: Sequence[int]) -> Loss:
    """The weighted sum of some terms.

    Args:
        terms: What to add up.
        pixels: Labelled pixels of each class in the training data.

    Returns:
        A function of logits (b, class, h, w) and labels (b, h, w), int64 with ``IGNORE`` where there is none. It gives 0
        where nothing is labelled.
    """
    parts = [(term.weight, _TERMS[term.name](term, _weights(term, pixels))) for term in terms]

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        labelled = labels != IGNORE
        # Whatever a network gives there, NaN included, it reaches neither the loss nor, through it, a weight.
        seen = torch.where(labelled[:, None], logits.float(), 0.0)
        if not bool(labelled.any()):
            return seen.sum()
        return torch.stack([weight * part(seen, labels) for weight, part in parts]).sum()

    return loss


def two_logits(logits: Tensor) -> Tensor:
    """Logits of two classes from one: the softmax of these is the sigmoid of that."""
    return torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits


def _weights(term: LossConfig, pixels: Sequence[int]) -> Tensor:
    """Weight of each class; a class that the data do not have weighs nothing."""
    if isinstance(term.class_weights, tuple):
        return torch.tensor(term.class_weights, dtype=torch.float32)
    counts = torch.tensor(pixels, dtype=torch.float64)
    power = {"equal": 0.0, "root": 0.5, "inverse": 1.0}[term.class_weights]
    weights = (counts.max() / counts.clamp(min=1)).pow(power).clamp(max=_MOST_WEIGHT)
    return torch.where(counts > 0, weights, 0.0).float()


def _cross_entropy(term: LossConfig, weights: Tensor) -> Loss:
    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        each = functional.cross_entropy(
            logits,
            labels,
            weights.to(logits.device),
            ignore_index=IGNORE,
            reduction="none",
            label_smoothing=term.smooth,
        )
        return _mean(each, _pixel_weights(labels, weights))

    return loss


def _focal(term: LossConfig, weights: Tensor) -> Loss:
    """Lin and others, 2017: pixels that are known already count less."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        each = functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
        weight = _pixel_weights(labels, weights)
        return _mean(weight * (1 - torch.exp(-each)).pow(term.gamma) * each, weight)

    return loss


def _ohem(term: LossConfig, weights: Tensor) -> Loss:
    """Shrivastava and others, 2016: of all labelled pixels of a batch, only the worst count."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        each = functional.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
        labelled = labels != IGNORE
        losses = each.detach()[labelled]
        kept = max(1, round(term.share * losses.numel()))
        threshold = losses.kthvalue(losses.numel() - kept + 1).values
        weight = _pixel_weights(labels, weights) * (labelled & (each.detach() >= threshold))
        return _mean(weight * each, weight)

    return loss


def _dice(_: LossConfig, weights: Tensor) -> Loss:
    """One minus the overlap of scores and labels, as a mean over the classes that a batch has."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        count = logits.shape[1]
        labelled = labels != IGNORE
        truth = functional.one_hot(labels.where(labelled, 0), count).movedim(-1, 1) * labelled[:, None]
        scores = torch.softmax(logits, dim=1) * labelled[:, None]
        overlap = (scores * truth).sum(dim=(0, 2, 3))
        size = scores.sum(dim=(0, 2, 3)) + truth.sum(dim=(0, 2, 3))
        weight = weights.to(logits.device) * truth.flatten(2).any(dim=2).any(dim=0)
        return _mean(weight * (1 - 2 * overlap / size.clamp(min=1e-6)), weight)

    return loss


_TERMS: dict[str, Callable[[LossConfig, Tensor], Loss]] = {
    "cross-entropy": _cross_entropy,
    "dice": _dice,
    "focal": _focal,
    "ohem": _ohem,
}


def _pixel_weights(labels: Tensor, weights: Tensor) -> Tensor:
    """Weight of each pixel's class, 0 where there is none."""
    table = torch.cat([weights, weights.new_zeros(IGNORE + 1 - len(weights))]).to(labels.device)
    return table[labels]


def _mean(weighted: Tensor, weights: Tensor) -> Tensor:
    """A weighted mean; 0 where nothing has a weight."""
    total = weights.sum()
    return weighted.sum() / torch.where(total > 0, total, 1.0)
