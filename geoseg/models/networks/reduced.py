"""Any network at a fraction of the resolution: means of squares of pixels go in, scores come out for every pixel.

The factor is part of the network, not of how it is run: a model that was trained at half the resolution then maps the
pixels that it is given, in prediction as in training, and stays as exact under tiling as the network within.
"""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional


class Reduced(nn.Module):
    """A network on means of ``factor`` x ``factor`` pixels, its logits interpolated back.

    Args:
        network: Takes (b, c, h / factor, w / factor).
        factor: 2 or more.
    """

    def __init__(self, network: nn.Module, factor: Any) -> None:  # Any: out of an item
        super().__init__()
        if not isinstance(factor, int) or isinstance(factor, bool) or not 2 <= factor <= 16:
            raise ValueError(f"reduce {factor!r}: a whole number from 2 to 16")
        self.network = network
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Args:
            x: (b, c, h, w), normalised; h and w are multiples of the factor times what the network takes.

        Returns:
            (b, class, h, w).
        """
        logits = cast(Tensor, self.network(functional.avg_pool2d(x, self.factor)))
        return functional.interpolate(logits, scale_factor=float(self.factor), mode="bilinear", align_corners=False)
