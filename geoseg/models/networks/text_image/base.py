"""What all text-image networks share: physical values to what the image network sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoseg.models.network import network_input
from geoseg.models.spec import ModelSpec
from geoseg.models.transform import Transform

type Floats = NDArray[np.float32]


class Windows:
    """Puts windows into the form that a model's spec asks for.

    Args:
        spec: The model's facts.
        module: The network; put into eval mode and on the device.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, spec: ModelSpec, module: nn.Module, device: str) -> None:
        self.spec = spec
        self.device = torch.device(device)
        self.module: Any = module.eval().requires_grad_(requires_grad=False).to(self.device)
        self._transform = Transform(spec.transform, len(spec.bands))
        self._fill = torch.tensor(spec.fill, dtype=torch.float32, device=self.device).view(1, -1, 1, 1)

    @property
    def stride_px(self) -> int:
        """Side of a cell of the feature grid."""
        return self.spec.stride_px

    def seen(self, values: Tensor, valid: Tensor) -> Tensor:
        """What the image network is given: transformed values, and the fill where there are none."""
        own = values.to(self.device, torch.float32, copy=True)
        return network_input(own, valid[:, None].to(self.device), self._transform, self._fill).contiguous()


def array(tensor: Tensor) -> Floats:
    """A tensor in memory."""
    made: Floats = tensor.detach().float().cpu().numpy()
    return made
