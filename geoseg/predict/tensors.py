"""Torch tensors on a device. Importing this module imports torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geoseg.errors import RequestError
from geoseg.pixels import NO_CONFIDENCE
from geoseg.predict.arrays import Decision


def pick_device(wanted: str) -> str:
    """``cpu`` or ``cuda``: what was asked for, or the better one that is there for ``auto``.

    Raises:
        RequestError: If CUDA is asked for and absent.
    """
    if wanted != "cpu" and torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise RequestError("--device cuda without a GPU that torch can use", "a CUDA device", "use --device cpu")
    return "cpu"


class Tensors:
    """Tensors on one device; implements ``geoseg.predict.arrays.Arrays``.

    Args:
        device: ``cpu`` or ``cuda``.
    """

    memory_errors: tuple[type[Exception], ...] = (torch.OutOfMemoryError,)

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)

    def start_thread(self, threads: int) -> None:
        """Bounds the threads of the passes of this thread, in which no gradient is wanted."""
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)

    def put(self, array: NDArray[Any]) -> Tensor:
        """A tensor; on a GPU copied from pinned memory, so that the copy waits for nothing."""
        tensor = torch.from_numpy(array)
        if self._device.type != "cuda":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def get(self, array: Tensor) -> NDArray[Any]:
        """An array in memory."""
        back: NDArray[Any] = array.cpu().numpy()
        return back

    def are_finite(self, scores: Tensor) -> Tensor:
        """See ``Arrays``."""
        return torch.isfinite(scores).all(dim=0)

    def decide(self, scores: Tensor) -> Decision:
        """See ``Arrays``; what leaves the device are bytes."""
        best, index = scores.max(dim=0)
        finite = self.are_finite(scores)
        percent = torch.where(finite, torch.round(best * 100), float(NO_CONFIDENCE)).to(torch.uint8)
        classes = torch.where(finite, index, 0).to(torch.uint8)
        return Decision(np.asarray(self.get(classes)), np.asarray(self.get(percent)))

    def free(self) -> None:
        """Empties the GPU's cache."""
        torch.cuda.empty_cache()
