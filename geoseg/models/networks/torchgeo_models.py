"""The only module that imports torchgeo: it costs four seconds and 0.9 GB."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from torch import nn
from torchgeo import models

from geoseg.models.steps import JSON

#: Segmentation networks; both are built without any pretrained part, which torchgeo would fetch.
ARCHITECTURES = ("unet", "fcn")


@dataclass(frozen=True)
class UnetFacts:
    """What torchgeo says about one of its U-Net weights.

    Attributes:
        href: Where the file is published.
        file_name: Its name.
        sha256_prefix: First digits of its SHA-256, or empty where its name has none.
        encoder: Name of smp's encoder.
        classes: Number of classes.
        licence: Licence of the weights.
        source: Page or paper.
    """

    href: str
    file_name: str
    sha256_prefix: str
    encoder: str
    classes: int
    licence: str
    source: str


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


def unet_facts() -> dict[str, UnetFacts]:
    """Torchgeo's U-Net weights by name. Nothing is fetched."""
    facts = {}
    for entry in models.Unet_Weights.__members__.values():
        href = str(entry.url)
        file_name = PurePosixPath(href).name
        digits = re.search(r"-([0-9a-f]{8})\.pth$", file_name)
        meta = entry.meta
        facts[entry.name] = UnetFacts(
            href=href,
            file_name=file_name,
            sha256_prefix=digits[1] if digits else "",
            encoder=str(meta["encoder"]),
            classes=int(meta["num_classes"]),
            licence=str(meta.get("license", "not stated")),
            source=str(meta.get("repo") or meta.get("publication") or href),
        )
    return facts
