"""The only module that imports torchgeo: it costs four seconds and 0.9 GB."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, cast

import segmentation_models_pytorch as smp
from torch import Tensor, nn
from torchgeo import models

from geoseg.models.steps import JSON

#: Segmentation networks; both are built without any pretrained part, which torchgeo would fetch.
ARCHITECTURES = ("unet", "fcn")

#: Networks of two dates, which they take as (b, 2, c, h, w); built without any pretrained part too.
OF_TWO_DATES = ("fcsiamdiff", "fcsiamconc", "changestar", "changestarfarseg", "changevit")

#: Those of them that tell the classes of both dates too.
OF_CLASSES = ("changestar", "changestarfarseg")


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


def build_of_two_dates(name: str, arguments: Mapping[str, JSON]) -> nn.Module:
    """A torchgeo network of two dates with random weights; it gives logits.

    Args:
        name: One of ``OF_TWO_DATES``.
        arguments: ``in_channels`` (of one date), ``classes`` and the architecture's own.
    """
    given: dict[str, Any] = dict(arguments)  # Any: a wrong argument raises TypeError, which build reports
    if name in {"fcsiamdiff", "fcsiamconc"}:
        return (models.FCSiamDiff if name == "fcsiamdiff" else models.FCSiamConc)(**{**given, "encoder_weights": None})
    if name == "changevit":
        given["num_classes"] = given.pop("classes")
        return models.ChangeViT(**{**given, "pretrained": False})
    if given.pop("classes") > 2:
        raise ValueError("ChangeStar knows change and no change")
    if name == "changestarfarseg":
        if given.pop("in_channels") != 3:
            raise ValueError("ChangeStarFarSeg takes three bands")
        given["classes"] = given.pop("seg_classes", 1)
        return ChangeLogit(models.ChangeStarFarSeg(**given))
    return ChangeLogit(_change_star(**given))


class ChangeLogit(nn.Module):
    """The logit of change of a ChangeStar, which gives several answers: in evaluation a probability.

    Args:
        star: Any ChangeStar.
    """

    def __init__(self, star: models.ChangeStar) -> None:
        super().__init__()
        # Its own parts, so that weights have the names that torchgeo gives them.
        self.dense_feature_extractor = star.dense_feature_extractor
        self.seg_classifier = star.seg_classifier
        self.changemixin = star.changemixin

    def forward(self, x: Tensor) -> Tensor:
        """(b, 1, h, w) of (b, 2, c, h, w): the mean of both orders of the dates."""
        return self._change(self._features(x))

    def answer(self, pair: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of change (b, 1, h, w), and of the classes of both dates (b, 2, k, h, w), of a pair (b, 2, c, h, w)."""
        features = self._features(pair)
        classes: Tensor = self.seg_classifier(features.flatten(0, 1))
        return self._change(features), classes.reshape(*pair.shape[:2], *classes.shape[1:])

    def _features(self, pair: Tensor) -> Tensor:
        features: Tensor = self.dense_feature_extractor(pair.flatten(0, 1))
        return features.reshape(*pair.shape[:2], *features.shape[1:])

    def _change(self, features: Tensor) -> Tensor:
        one, other = self.changemixin(features)
        return cast(Tensor, (one + other) / 2)


def _change_star(
    in_channels: int,
    encoder_name: str = "resnet18",
    decoder_channels: Sequence[int] = (64, 32, 16, 16, 8),
    inner_channels: int = 16,
    seg_classes: int = 1,
    **encoder: Any,  # of smp's U-Net
) -> models.ChangeStar:
    """ChangeStar around smp's U-Net, whose features have the resolution of the image."""
    features = smp.Unet(
        encoder_name,
        encoder_weights=None,
        encoder_depth=len(decoder_channels),
        decoder_channels=tuple(decoder_channels),
        in_channels=in_channels,
        **encoder,
    )
    features.segmentation_head = nn.Identity()
    last = decoder_channels[-1]
    mixin = models.ChangeMixin(2 * last, inner_channels, scale_factor=1.0)
    return models.ChangeStar(features, nn.Conv2d(last, seg_classes, 1), mixin, inference_mode="mean")


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
