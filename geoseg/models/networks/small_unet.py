"""A small plain U-Net for the shipped demo models: local, quick on a CPU, and exact under tiling.

No squeeze-and-excite, attention, instance norm or pooling over the image: a score depends on a bounded
neighbourhood and on nothing else. It works at half resolution and below, where a CPU computes best; the last layer
gives each pixel of a 2 x 2 block its own scores.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

STRIDE = 8


class SmallUNet(nn.Module):
    """Three levels at 1/2, 1/4 and 1/8 of the resolution, joined by sums.

    Args:
        in_channels: Bands.
        classes: Scores per pixel.
        widths: Channels at 1/2, 1/4 and 1/8.
    """

    def __init__(self, in_channels: int, classes: int, widths: tuple[int, int, int] = (32, 64, 96)) -> None:
        super().__init__()
        half, quarter, eighth = widths
        self.classes = classes
        self.stem = nn.Sequential(_block(in_channels, half, stride=2), _block(half, half))
        self.down1 = nn.Sequential(_block(half, quarter, stride=2), _block(quarter, quarter))
        self.down2 = nn.Sequential(_block(quarter, eighth, stride=2), _block(eighth, eighth))
        self.lift2 = nn.Conv2d(eighth, quarter, 1)
        self.up1 = _block(quarter, quarter)
        self.lift1 = nn.Conv2d(quarter, half, 1)
        self.up0 = nn.Sequential(_block(half, half), _block(half, half))
        self.head = nn.Conv2d(half, 4 * classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Args:
            x: (b, in_channels, h, w), normalised; h and w are multiples of 8.

        Returns:
            (b, classes, h, w).
        """
        half = self.stem(x)
        quarter = self.down1(half)
        eighth = self.down2(quarter)
        quarter = self.up1(quarter + _doubled(self.lift2(eighth)))
        half = self.up0(half + _doubled(self.lift1(quarter)))
        return functional.pixel_shuffle(cast(Tensor, self.head(half)), 2)


def _block(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


def _doubled(x: Tensor) -> Tensor:
    # Nearest, because its reach is the smallest.
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
