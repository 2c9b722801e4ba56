"""A network that tells the classes of two dates with the change: the same for both orders, no change of equal images.

Change is made of four answers as in :class:`geoseg.models.networks.symmetric.Symmetric`. The classes of a date are the mean of the
two answers in which it stood first and second: with the dates swapped they are the same, to the bit, in the other order.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional


class TellsClasses(Protocol):
    """What is asked of the inner network."""

    def answer(self, pair: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of change (b, 1, h, w), and of the classes of both dates (b, 2, k, h, w), of a pair (b, 2, c, h, w)."""
        ...


class FromTo(nn.Module):
    """Change and classes in one pass.

    Args:
        network: Has ``answer``, see ``TellsClasses``.
        rest: As of ``Symmetric``.
    """

    def __init__(self, network: nn.Module, *, rest: float = 1.0) -> None:
        super().__init__()
        if not rest > 0:
            raise ValueError(f"rest {rest!r}: a number above 0")
        self.network = network
        self.rest = float(rest)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Args:
            x: (b, 2 x c, h, w), normalised: the bands of the earlier date, then those of the later one.

        Returns:
            (b, 1 + 2 x k, h, w): of change, of the classes of the earlier date, of those of the later one.
        """
        before, after = x.chunk(2, dim=1)
        change, classes = self._asked(before, after)
        turned, swapped = self._asked(after, before)
        alone = (self._asked(before, before)[0] + self._asked(after, after)[0]) / 2
        both = (change + turned) / 2 - functional.relu(alone + self.rest)
        told = (classes + swapped.flip(1)) / 2
        return torch.cat([both, told[:, 0], told[:, 1]], dim=1)

    def _asked(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        inner: TellsClasses = self.network  # type: ignore[assignment]  # modules are not typed by what they have
        change, classes = inner.answer(torch.stack([first, second], dim=1))
        if classes.shape[2] == 1:  # one logit of two classes
            classes = torch.cat([torch.zeros_like(classes), classes], dim=2)
        return change, classes
