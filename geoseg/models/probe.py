"""Measures by experiment what a network looks at: nothing that a model folder declares is believed.

A column of NaN is put into an image; the outputs that become NaN are those that depend on it. That is structural: it
finds a dependence whatever the weights are. It is done in float64 on long thin images, in both directions, and for
every phase of the stride. Images grow until the support ends inside them; if it never does, or if no stride makes the
network equivariant to shifts, the network is *global*.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geoseg.models.spec import Kind

LENGTHS_PX = (256, 512, 1024, 2048, 4096)
STRIDES_PX = (1, 2, 4, 8, 16, 32, 64, 128)
#: Thin sides that are tried, and squares for networks that take nothing else.
_THIN_PX = (32, 64, 128)
_SQUARES_PX = (224, 256, 512)
#: Two evaluations in float64 of the same numbers in another order differ by less.
_EQUAL = 1e-9
#: What networks raise for a size that they cannot take.
_REFUSALS = (RuntimeError, ValueError, AssertionError)


@dataclass(frozen=True)
class Neighbourhood:
    """What was measured.

    Attributes:
        kind: Finite or global.
        stride_px: Smallest shift to which the network is equivariant; for global networks the smallest step of its
            input size.
        radius_px: Top, left, bottom, right; zeros for global networks.
        deterministic: Twice the same input gave the same output.
        batch_independent: An image's output does not depend on the other images of its batch.
        outputs: Output channels.
        reason: Why a network is global, in words; empty for finite ones.
    """

    kind: Kind
    stride_px: int
    radius_px: tuple[int, int, int, int]
    deterministic: bool
    batch_independent: bool
    outputs: int
    reason: str = ""


class _Strip:
    """A network seen along one axis: long images whose other side is thin."""

    def __init__(self, module: nn.Module, channels: int, thin_px: int, *, rows: bool) -> None:
        self._module, self._channels, self._thin, self._rows = module, channels, thin_px, rows

    def image(self, length: int, seed: int = 0) -> Tensor:
        """Random image ``(1, c, thin, length)``, always seen as if its long side were the columns."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(1, self._channels, self._thin, length, dtype=torch.float64, generator=generator)

    def output(self, image: Tensor) -> Tensor:
        """The network's output ``(1, k, thin, length)``."""
        result: Tensor = self._module(image.transpose(2, 3).contiguous() if self._rows else image)
        return result.transpose(2, 3) if self._rows else result

    def touched(self, start: int, end: int, length: int) -> tuple[int, int] | None:
        """First and last output column that depends on input columns ``start ... end - 1``."""
        image = self.image(length)
        image[..., start:end] = torch.nan
        columns = torch.isnan(self.output(image)).flatten(0, 2).any(dim=0).nonzero().flatten()
        return (int(columns[0]), int(columns[-1])) if len(columns) else None

    def changed(self, start: int, end: int, length: int) -> tuple[int, int] | None:
        """The same by changing the numbers: catches networks that swallow NaN."""
        image = self.image(length)
        other = image.clone()
        other[..., start:end] = self.image(length, seed=1)[..., start:end] * 3
        difference = (self.output(image) != self.output(other)).flatten(0, 2).any(dim=0).nonzero().flatten()
        return (int(difference[0]), int(difference[-1])) if len(difference) else None


@torch.inference_mode()
def measure_neighbourhood(module: nn.Module, channels: int) -> Neighbourhood:
    """Kind, stride and radius of a network.

    Args:
        module: The network with its weights; it is copied, not changed.
        channels: Input channels.

    Raises:
        ValueError: If the network takes none of the image sizes that are tried.
    """
    network = copy.deepcopy(module).to(device="cpu", dtype=torch.float64).eval()
    accepted = _accepted_sizes(network, channels)
    if accepted is None:
        raise ValueError("the network takes none of the image sizes that are tried")
    height, width = accepted
    facts = _steadiness(network, channels, height, width)
    if height == width:
        return Neighbourhood("global", _size_step(network, channels, height), (0, 0, 0, 0), *facts, "fixed image size")
    strips = [_Strip(network, channels, height, rows=rows) for rows in (True, False)]
    sides, strides = [], []
    for strip in strips:
        measured = _measure_axis(strip)
        if isinstance(measured, str):
            step = _size_step(network, channels, LENGTHS_PX[0])
            return Neighbourhood("global", step, (0, 0, 0, 0), *facts, measured)
        stride, before, after = measured
        sides.append((before, after))
        strides.append(stride)
    (top, bottom), (left, right) = sides
    return Neighbourhood("finite", max(strides), (top, left, bottom, right), *facts)


def _accepted_sizes(network: nn.Module, channels: int) -> tuple[int, int] | None:
    """(thin side, length), or a square, that the network takes without complaint."""
    for thin in _THIN_PX:
        if all(_runs(network, channels, *size) for size in ((thin, LENGTHS_PX[0]), (LENGTHS_PX[0], thin))):
            return thin, LENGTHS_PX[0]
    return next(((side, side) for side in _SQUARES_PX if _runs(network, channels, side, side)), None)


def _runs(network: nn.Module, channels: int, height: int, width: int) -> bool:
    try:
        shape = network(torch.zeros(1, channels, height, width, dtype=torch.float64)).shape
    except _REFUSALS:
        return False
    return tuple(shape[2:]) == (height, width)


def _size_step(network: nn.Module, channels: int, side: int) -> int:
    """Smallest step in size that the network takes; 32 for those with one size only."""
    return next((step for step in STRIDES_PX if _runs(network, channels, side + step, side + step)), 32)


def _steadiness(network: nn.Module, channels: int, height: int, width: int) -> tuple[bool, bool, int]:
    """Deterministic, independent of the batch, output channels."""
    generator = torch.Generator().manual_seed(2)
    pair = torch.randn(2, channels, height, width, dtype=torch.float64, generator=generator)
    first, again = network(pair[:1]), network(pair[:1])
    together = network(pair)[:1]
    return torch.equal(first, again), _differ(first, together) <= _EQUAL, int(first.shape[1])


def _measure_axis(strip: _Strip) -> tuple[int, int, int] | str:
    """(stride, radius before, radius after) along one axis, or why there is none."""
    for length in LENGTHS_PX:
        reach = _reach(strip, length, phases=1)
        if reach is None:
            continue
        stride = _stride(strip, length, max(reach))
        if stride is None:
            continue  # a longer image leaves more interior to compare
        full = _reach(strip, length, phases=stride, half_planes=True)
        if full is not None:
            return stride, *full
    if reach is None:
        return f"a pixel depends on others more than {LENGTHS_PX[-1] // 2} px away"
    return f"no stride of up to {STRIDES_PX[-1]} px makes it equivariant to shifts"


def _reach(strip: _Strip, length: int, phases: int, *, half_planes: bool = False) -> tuple[int, int] | None:
    """How far an output looks before and after itself; ``None`` if that reaches the border of the image."""
    middle = length // 2
    spans: list[tuple[int, int, int]] = []  # (first column set, last column set, probe result lies around them)
    probes: list[tuple[Callable[[int, int, int], tuple[int, int] | None], int, int]] = [
        (strip.touched, middle + phase, middle + phase + 1) for phase in range(phases)
    ]
    if half_planes:
        probes += [(strip.changed, middle, middle + phases)]
    before = after = 0
    for probe, start, end in probes:
        span = probe(start, end, length)
        if span is None:
            continue
        first, last = span
        if first == 0 or last == length - 1:
            return None
        # Output `last` looks back to column `end - 1` at least; output `first` looks ahead to column `start`.
        before, after = max(before, last - (end - 1)), max(after, start - first)
        spans.append((start, first, last))
    return before, after


def _stride(strip: _Strip, length: int, radius: int) -> int | None:
    """The smallest shift to which the network is equivariant in the interior, or ``None``."""
    margin = radius + STRIDES_PX[-1]
    if length - 2 * margin < STRIDES_PX[-1]:
        return None
    image = strip.image(length + STRIDES_PX[-1])
    base = strip.output(image[..., :length])
    for stride in STRIDES_PX:
        shifted = strip.output(image[..., stride : stride + length])
        inner = slice(margin, length - margin)
        if _differ(base[..., stride:][..., inner], shifted[..., : length - stride][..., inner]) <= _EQUAL:
            return stride
    return None


def _differ(first: Tensor, second: Tensor) -> float:
    """Largest difference, relative to the size of the numbers; infinite where one is not a number."""
    scale = max(float(first.abs().max()), float(second.abs().max()), 1.0)
    difference = float((first - second).abs().max()) / scale
    return difference if difference == difference else float("inf")  # noqa: PLR0124  # NaN
