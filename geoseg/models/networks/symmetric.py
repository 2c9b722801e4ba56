"""Any network of two dates as a detector of change: the same for both orders, and no change between equal images.

Networks that were made for pairs take the dates in an order and may see change in a pair of equal images. Neither is
mended by training alone, so it is mended by arithmetic, in prediction:

    m = (N(a, b) + N(b, a)) / 2        what the network says of the pair, whichever date comes first
    n = (N(a, a) + N(b, b)) / 2        what it says of each date with itself, where nothing changed
    f = m - max(0, n + rest)

Sums of two numbers do not depend on their order, to the bit, so f(a, b) = f(b, a). For equal images m = n, so
f = min(n, -rest): below 0, no change. Where a network knows by itself that a date did not change since that date
(n < -rest), nothing is taken off, and the answer is its own.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class Symmetric(nn.Module):
    """A network of two dates, asked in both orders, and about each date alone.

    In training it is asked once, in the order of the batch: dates change places at random there.

    Args:
        network: Takes the dates as ``(b, 2 x c, h, w)``, or as ``(b, 2, c, h, w)``; gives a logit of change, or logits
            of no change and of kinds of change.
        rest: How far below 0 the logit of change is held between equal images; above 0.
        apart: Whether the network takes dates on an axis of their own.
        classes: Outputs: 1, or as many as the network gives.
    """

    def __init__(self, network: nn.Module, *, rest: float = 1.0, apart: bool = False, classes: int = 2) -> None:
        super().__init__()
        if not rest > 0:
            raise ValueError(f"rest {rest!r}: a number above 0")
        self.network = network
        self.rest, self.apart, self.classes = float(rest), apart, classes

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Args:
            x: (b, 2 x c, h, w), normalised: the bands of the earlier date, then those of the later one.

        Returns:
            (b, classes, h, w); the first of several is 0 everywhere.
        """
        before, after = x.chunk(2, dim=1)
        if self.training:
            return self._outputs(self._asked(before, after))
        both = (self._asked(before, after) + self._asked(after, before)) / 2
        alone = (self._asked(before, before) + self._asked(after, after)) / 2
        return self._outputs(both - functional.relu(alone + self.rest))

    def _asked(self, first: Tensor, second: Tensor) -> Tensor:
        """How much more change than none the network sees: (b, kinds of change, h, w)."""
        pair = torch.stack([first, second], dim=1) if self.apart else torch.cat([first, second], dim=1)
        logits = cast(Tensor, self.network(pair))
        return logits if logits.shape[1] == 1 else logits[:, 1:] - logits[:, :1]

    def _outputs(self, change: Tensor) -> Tensor:
        return change if self.classes == 1 else torch.cat([torch.zeros_like(change[:, :1]), change], dim=1)
