"""The only module that imports torchgeo: it costs four seconds and 0.9 GB."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn
from torchgeo import models

from geoseg.models.steps import JSON

#: Segmentation networks; both are built without any pretrained part, which torchgeo would fetch.
ARCHITECTURES = ("unet", "fcn")


def build(name: str, arguments: Mapping[str, JSON]) -> nn.Module:
    """A torchgeo network with random weights.

    Args:
        name: One of ``ARCHITECTURES``.
        arguments: ``in_channels``, ``classes`` and the architecture's own.
    """
    if name == "unet":
        fixed = {"weights": None, "activation": None}
        network: nn.Module = models.unet(**{**arguments, **fixed})  # type: ignore[arg-type]  # its signature is open
        return network
    return models.FCN(**arguments)  # type: ignore[arg-type]  # a wrong argument raises TypeError, which build reports
