"""The forward network of Dynamic World, in plain torch.

References:
    Brown et al. 2022, Scientific Data, doi 10.1038/s41597-022-01307-4.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

#: The published network's own constant, added to the variance of every batch normalisation.
NORM_EPSILON = 1e-3

#: On the CPU the work at full size is done in strips whose largest array is about this large: arrays that stay in the
#: cache, and that the allocator hands out again, cost a third of those that are mapped anew for each layer.
_STRIP_BYTES = 4 * 2**20
_SLAB = 2**18


def _eager_cpu(values: torch.Tensor) -> bool:
    """Whether plain CPU inference is under way: then work may be cut; exporters want one graph of whole arrays."""
    exporting = torch.jit.is_tracing() or torch.compiler.is_compiling()  # type: ignore[attr-defined,no-untyped-call]  # torch's stubs
    return values.device.type == "cpu" and not torch.is_grad_enabled() and not exporting


class Mish(nn.Module):
    """``x * tanh(softplus(x))``, in place in plain CPU inference."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The activation of each element."""
        if not _eager_cpu(values):
            return functional.mish(values)
        memory = values.permute(0, 2, 3, 1)  # the order of channels_last
        if not memory.is_contiguous():
            memory = values.contiguous()
        # tanh(softplus(x)) = 1 - 2 / ((1 + e^x)^2 + 1): one exponential instead of three transcendental functions,
        # off by 1e-6 at most.
        for slab in torch.split(memory.view(-1), _SLAB):
            slab.addcmul_(slab, slab.exp().add_(1).square_().add_(1).reciprocal_(), value=-2)
        return values if memory.data_ptr() == values.data_ptr() else memory


class ConvNormMish(nn.Sequential):
    """Convolution with bias, stored-statistics normalisation, Mish.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel: Side of the kernel; zero padding keeps the size.
        depthwise: One kernel per channel.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, depthwise: bool = False) -> None:
        groups = inputs if depthwise else 1
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups),
            nn.BatchNorm2d(outputs, eps=NORM_EPSILON),
            Mish(),
        )


class Block(nn.Module):
    """Three times a 1x1 and a 3x3 depthwise convolution, and a 1x1 shortcut beside them, added."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(
                layer
                for first in (inputs, outputs, outputs)
                for layer in (ConvNormMish(first, outputs, 1), ConvNormMish(outputs, outputs, 3, depthwise=True))
            )
        )
        self.shortcut = ConvNormMish(inputs, outputs, 1)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """``(b, inputs, h, w)`` to ``(b, outputs, h, w)``."""
        total: torch.Tensor = self.body(values)
        return total.add_(self.shortcut(values)) if _eager_cpu(values) else total + self.shortcut(values)


class DynamicWorld(nn.Module):
    """Land cover logits from a Sentinel-2 image; a pixel depends on nothing farther than 22 pixels.

    Args:
        in_channels: Bands.
        classes: Logits.
    """

    def __init__(self, in_channels: int = 9, classes: int = 9) -> None:
        super().__init__()
        self.stem = ConvNormMish(in_channels, 64, 3)
        self.low = nn.Sequential(ConvNormMish(64, 48, 1), ConvNormMish(48, 48, 3, depthwise=True))
        self.block1 = Block(64, 96)
        self.block2 = Block(96, 144)
        self.block3 = Block(192, 144)
        self.head = nn.Conv2d(144, classes, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Normalised bands ``(b, in_channels, h, w)`` to logits ``(b, classes, h, w)``."""
        height, width = image.shape[-2:]
        if height % 2 or width % 2:
            # The published network takes odd sizes too; geoseg's own chips are even.
            half = functional.interpolate(
                self.stem(image), (height // 2, width // 2), mode="bilinear", antialias=True, align_corners=False
            )
            return self._classify(self._features(half), (height, width))
        if not _eager_cpu(image):
            return self._classify(self._features(_halve(self.stem(image))), (height, width))
        features = self._features(self._stem_in_strips(image))
        return self._classify_in_strips(features)

    def half_features(self, image: torch.Tensor) -> torch.Tensor:
        """What the classes are made from, at half the resolution: ``(b, 144, h / 2, w / 2)``; h and w are even."""
        return self._features(_halve(self.stem(image)))

    def _features(self, half: torch.Tensor) -> torch.Tensor:
        joined = torch.cat([self.block2(self.block1(half)), self.low(half)], dim=1)
        features: torch.Tensor = self.block3(joined)
        return features

    def _classify(self, features: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Features at half size to logits: doubled, brought to unit length, weighed."""
        doubled = functional.interpolate(features, size, mode="bilinear", align_corners=False)
        # The head is linear, so dividing nine logits is dividing 144 features, and sixteen times cheaper.
        length = torch.linalg.vector_norm(doubled, dim=1, keepdim=True).clamp_min(1e-12)
        assert self.head.bias is not None  # noqa: S101  # made with one
        logits: torch.Tensor = functional.conv2d(doubled, self.head.weight) / length
        return logits + self.head.bias.view(-1, 1, 1)

    def _stem_in_strips(self, image: torch.Tensor) -> torch.Tensor:
        """``_halve(stem(image))``, a few rows at a time."""
        rows = image.shape[2] // 2
        step = _strip_rows(image, channels=64 * 4)
        parts = []
        for start in range(0, rows, step):
            end = min(start + step, rows)
            # Halved row r needs stem rows 2r-1 ... 2r+2 and these one input row more to each side: two halved rows of
            # margin, which are cut off again, hold them.
            first, last = max(start - 2, 0), min(end + 2, rows)
            strip = _weigh(self.stem(image[:, :, 2 * first : 2 * last]))
            parts.append(strip[:, :, start - first : end - first])
        return _unit_borders(torch.cat(parts, dim=2))

    def _classify_in_strips(self, features: torch.Tensor) -> torch.Tensor:
        """``_classify``, a few rows at a time."""
        rows, columns = features.shape[2:]
        step = _strip_rows(features, channels=features.shape[1] * 8)
        parts = []
        for start in range(0, rows, step):
            end = min(start + step, rows)
            first, last = max(start - 1, 0), min(end + 1, rows)
            strip = self._classify(features[:, :, first:last], (2 * (last - first), 2 * columns))
            parts.append(strip[:, :, 2 * (start - first) : 2 * (end - first)])
        return torch.cat(parts, dim=2)


def _strip_rows(values: torch.Tensor, channels: int) -> int:
    """Rows of a strip whose arrays of so many channels have about ``_STRIP_BYTES``."""
    batch, _, _, width = values.shape
    return max(8, _STRIP_BYTES // (batch * width * channels * values.element_size()))


def _halve(values: torch.Tensor) -> torch.Tensor:
    """Half the (even) size, bilinear with antialiasing: a triangle over four pixels, 1 3 3 1."""
    return _unit_borders(_weigh(values))


def _weigh(values: torch.Tensor) -> torch.Tensor:
    """Weighted sums of 4 x 4 pixels at every other pixel; the weights outside the image are lost."""
    channels = values.shape[1]
    side = values.new_tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = torch.outer(side, side).expand(channels, 1, 4, 4)
    return functional.conv2d(values, kernel, stride=2, padding=1, groups=channels)


def _unit_borders(sums: torch.Tensor) -> torch.Tensor:
    """Divide by the weights that lie inside the image: 7/8 of them at its borders."""
    for axis in (2, 3):
        inside = sums.new_ones(sums.shape[axis])
        inside[0] -= 1 / 8
        inside[-1] -= 1 / 8
        sums = sums / inside.view((-1, 1) if axis == 2 else (1, -1))
    return sums
