"""A plain U-Net of any depth: for objects that are larger than what the small one sees, at few parameters.

Encoder and decoder are those of Ronneberger and others, 2015, with batch norm and padding. As with the small one, a score
depends on a bounded neighbourhood and on nothing else: no pooling over the image, no attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class UNet(nn.Module):
    """Two convolutions at every level, joined by concatenation.

    Args:
        in_channels: Bands.
        classes: Scores per pixel.
        widths: Channels at full resolution, at 1/2, at 1/4, and so on; 2 to 7 levels.
        dropout: Share of the channels of the lowest level that a step of training does without.
    """

    def __init__(
        self, in_channels: int, classes: int, widths: Sequence[int] = (16, 32, 64, 128, 128), dropout: float = 0.0
    ) -> None:
        super().__init__()
        if not 2 <= len(widths) <= 7:
            raise ValueError(f"widths of {len(widths)} levels: 2 to 7")
        self.down = nn.ModuleList(_twice(inside, outside) for inside, outside in pairwise((in_channels, *widths)))
        self.up = nn.ModuleList(_twice(below + here, here) for here, below in pairwise(widths))
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Args:
            x: (b, in_channels, h, w), normalised; h and w are multiples of 2 to the number of levels less one.

        Returns:
            (b, classes, h, w).
        """
        levels = []
        for at, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if at else x)
            levels.append(x)
        x = self.dropout(levels.pop())
        for block in reversed(self.up):
            # Nearest, because its reach is the smallest.
            lifted = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([lifted, levels.pop()], dim=1))
        return cast(Tensor, self.head(x))


def _twice(inside: int, outside: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (inside, outside):
        layers += [
            nn.Conv2d(channels, outside, 3, padding=1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)
