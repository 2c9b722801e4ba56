"""Applies a model's input transform to pixels: a few passes over the array, whatever the number of steps.

Runs of linear steps are folded into one multiplication and one addition per band (folded in float64), so a chain such
as scale, logarithm, z-score, logistic costs four passes. It works on NumPy arrays and on torch tensors; torch is
imported only by the caller that has one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from geoseg.models.steps import Step, linear_form

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

type Pass = Literal["linear", "clip", "log1p", "exp", "logistic"]


@dataclass(frozen=True)
class _Operation:
    """One pass: two numbers per band, which only ``linear`` (factor, constant) and ``clip`` (low, high) read."""

    name: Pass
    first: NDArray[np.float64]
    second: NDArray[np.float64]

    def repeated(self, dates: int) -> _Operation:
        """The same for several images, one behind the other."""
        return _Operation(self.name, np.tile(self.first, dates), np.tile(self.second, dates))


class Transform:
    """The input transform of a model, ready to be applied.

    Args:
        steps: Steps in order.
        bands: Number of bands.
        dates: How many images of these bands lie one behind the other in what is transformed.
    """

    def __init__(self, steps: Iterable[Step], bands: int, dates: int = 1) -> None:
        self.bands = bands
        self._operations = [operation.repeated(dates) for operation in _fold(steps, bands)]

    def numpy(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Transformed copy of an array whose third axis from the end is the band (``band, y, x`` or more axes)."""
        result = np.array(values, dtype=np.float32)
        for operation in self._operations:
            first = operation.first.astype(np.float32)[:, None, None]
            second = operation.second.astype(np.float32)[:, None, None]
            if operation.name == "linear":
                result *= first
                result += second
            elif operation.name == "clip":
                np.clip(result, first, second, out=result)
            elif operation.name == "log1p":
                np.log1p(result, out=result)
            elif operation.name == "exp":
                np.exp(result, out=result)
            else:
                np.negative(result, out=result)
                with np.errstate(
                    over="ignore"
                ):  # below about -88 exp(-x) is infinite in float32, and 1 / inf is the 0 meant
                    np.exp(result, out=result)
                result += np.float32(1)
                np.reciprocal(result, out=result)
        return result

    def torch_(self, values: torch.Tensor) -> torch.Tensor:
        """Transform a float32 tensor ``(b, c, h, w)`` in place, and return it."""
        for operation in self._operations:
            if operation.name == "log1p":
                values.log1p_()
            elif operation.name == "exp":
                values.exp_()
            elif operation.name == "logistic":
                values.sigmoid_()
            else:
                first = values.new_tensor(operation.first).view(-1, 1, 1)
                second = values.new_tensor(operation.second).view(-1, 1, 1)
                if operation.name == "linear":
                    values.mul_(first).add_(second)
                else:
                    values.clamp_(first, second)
        return values


def _fold(steps: Iterable[Step], bands: int) -> list[_Operation]:
    """Steps as passes, with runs of linear steps folded into one."""
    identity = np.ones(bands), np.zeros(bands)
    operations: list[_Operation] = []
    factor, constant = identity
    for step in steps:
        if step.op == "log1p":
            scale = np.broadcast_to(step["scale"], (bands,))
            factor, constant = factor * scale, constant * scale
        if step.op in {"clip", "log1p", "exp", "logistic"}:
            _append_linear(operations, factor, constant)
            factor, constant = identity
            operations.append(_nonlinear(step, bands))
        else:
            pairs = np.array([linear_form(step, band) for band in range(bands)])
            factor, constant = factor * pairs[:, 0], constant * pairs[:, 0] + pairs[:, 1]
    _append_linear(operations, factor, constant)
    return operations


def _append_linear(operations: list[_Operation], factor: NDArray[np.float64], constant: NDArray[np.float64]) -> None:
    if (factor != 1).any() or (constant != 0).any():
        operations.append(_Operation("linear", factor, constant))


def _nonlinear(step: Step, bands: int) -> _Operation:
    if step.op == "clip":
        low = np.broadcast_to(np.asarray(step["minimum"]), (bands,))
        return _Operation("clip", low, np.broadcast_to(np.asarray(step["maximum"]), (bands,)))
    names: dict[str, Pass] = {"log1p": "log1p", "exp": "exp", "logistic": "logistic"}
    return _Operation(names[step.op], np.ones(bands), np.zeros(bands))
