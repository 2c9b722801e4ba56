"""A small network of two dates: one encoder for both, and a decoder that sees nothing but how their features differ.

The same for both orders of the dates and no change between equal images by construction, not by training:

- Features of the dates enter as |fa - fb|, weighed by a number that a sum fa + fb decides. Both are the same for (b, a),
  to the bit; so that nothing else differs, the encoder sees one date at a time in prediction.
- Where fa = fb everything after is a product with 0: the decoder has no constants, neither biases nor means. The logit
  of change is then exactly ``-rest``.

As with the other networks of geoseg's own, a score depends on a bounded neighbourhood and on nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Siamese(nn.Module):
    """Features at 1/2, 1/4 and 1/8 of the resolution, their differences joined by sums from coarse to fine.

    Args:
        in_channels: Bands of one date.
        classes: No change, and kinds of change.
        widths: Channels at 1/2, 1/4 and 1/8.
        rest: How far below 0 the logits of change are where both dates look the same; above 0.
    """

    def __init__(
        self, in_channels: int, classes: int = 2, widths: Sequence[int] = (24, 48, 64), rest: float = 4.0
    ) -> None:
        super().__init__()
        if not rest > 0 or classes < 2:
            raise ValueError(f"rest {rest!r}, classes {classes!r}: a number above 0, and two classes or more")
        half, quarter, eighth = widths
        self.rest = float(rest)
        self.stem = nn.Sequential(_block(in_channels, half, stride=2), _block(half, half))
        self.down1 = nn.Sequential(_block(half, quarter, stride=2), _block(quarter, quarter))
        self.down2 = nn.Sequential(_block(quarter, eighth, stride=2), _block(eighth, eighth))
        self.weigh = nn.ModuleList(nn.Conv2d(width, width, 1) for width in (half, quarter, eighth))
        self.low = _plain(eighth, eighth)
        self.lift2 = nn.Conv2d(eighth, quarter, 1, bias=False)
        self.up1 = _plain(quarter, quarter)
        self.lift1 = nn.Conv2d(quarter, half, 1, bias=False)
        self.up0 = nn.Sequential(_plain(half, half), _plain(half, half))
        self.head = nn.Conv2d(half, 4 * (classes - 1), 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch.

        Args:
            x: (b, 2 x in_channels, h, w), normalised: the bands of the earlier date, then those of the later one; h and
                w are multiples of 8.

        Returns:
            (b, classes, h, w); the first is 0 everywhere.
        """
        half, quarter, eighth = (self._differ(*level) for level in zip(self.weigh, *self._both(x), strict=True))
        quarter = self.up1(quarter + _doubled(self.lift2(self.low(eighth))))
        half = self.up0(half + _doubled(self.lift1(quarter)))
        change = functional.pixel_shuffle(self.head(half), 2) - self.rest
        return torch.cat([torch.zeros_like(change[:, :1]), change], dim=1)

    def _both(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Features of both dates."""
        before, after = x.chunk(2, dim=1)
        if not self.training:
            return self._features(before), self._features(after)
        # Norms learn from both dates together: apart, they would take off what light does to one of them.
        levels = [level.chunk(2) for level in self._features(torch.cat([before, after]))]
        return [first for first, _ in levels], [second for _, second in levels]

    def _features(self, image: Tensor) -> list[Tensor]:
        levels = [self.stem(image)]
        for down in (self.down1, self.down2):
            levels.append(down(levels[-1]))
        return levels

    def _differ(self, weigh: nn.Module, before: Tensor, after: Tensor) -> Tensor:
        return (before - after).abs() * torch.sigmoid(weigh(before + after))


def _block(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


def _plain(inside: int, outside: int) -> nn.Sequential:
    """Without constants: zeros stay zeros."""
    return nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.ReLU(inplace=True))


def _doubled(x: Tensor) -> Tensor:
    # Nearest, because its reach is the smallest.
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
