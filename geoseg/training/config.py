"""The configuration of a training: every field, its default and what it means."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from geoseg.errors import GeosegError
from geoseg.labels.config import Strict, checked, read_yaml
from geoseg.models.steps import OPERATIONS

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: Steps whose numbers are measured from the training data where the configuration leaves them out.
MEASURED = {"zscore": ("mean", "std"), "minmax": ("minimum", "maximum")}
#: Steps before which means of squares are what they are after them.
_LINEAR = ("zscore",)

type Share = Annotated[float, Field(ge=0, le=1)]


class NetworkConfig(Strict):
    """Which network, by the names that a model's item uses."""

    architecture: str = Field(
        "geoseg:small-unet", description="geoseg:small-unet, geoseg:unet, smp:NAME or torchgeo:NAME."
    )
    hyperparameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Arguments of the network; bands and classes come from the data. reduce: N computes at 1/N of the resolution.",
    )
    start: str | None = Field(None, description="Model whose weights to start from: a name, a folder, an address.")


class LossConfig(Strict):
    """One term of the loss."""

    name: Literal["cross-entropy", "dice", "focal", "ohem"] = "cross-entropy"
    weight: float = Field(1.0, gt=0, description="Factor of this term.")
    class_weights: Literal["equal", "root", "inverse"] | tuple[float, ...] = Field(
        "equal",
        description="Weight of each class: equal, by the root of its rarity, by its rarity (both 10 times at most), or a list.",
    )
    gamma: float = Field(2.0, ge=0, description="focal: how much less pixels count that are known already.")
    share: float = Field(0.25, gt=0, le=1, description="ohem: share of the pixels, the worst ones, that count.")
    smooth: float = Field(0.0, ge=0, lt=1, description="cross-entropy: label smoothing.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.name == "dice" and self.class_weights != "equal" and not isinstance(self.class_weights, tuple):
            raise ValueError("equal or a list for dice, which counts every class alike")
        if isinstance(self.class_weights, tuple) and (
            min(self.class_weights, default=0) < 0 or not any(self.class_weights)
        ):
            raise ValueError("class_weights that are none below 0 and not all 0")
        return self


class ScaleConfig(Strict):
    """Windows of another pixel size."""

    least: float = Field(0.75, gt=0.1, le=1, description="Smallest window, relative to window_px.")
    most: float = Field(1.5, ge=1, le=4, description="Largest window, relative to window_px.")
    share: Share = Field(0.5, description="Share of the windows that are scaled.")


class AugmentConfig(Strict):
    """What is changed about each window, in values before the input transform. Spreads are in standard deviations of a band."""

    dihedral: bool = Field(True, description="Turn by right angles and mirror.")
    gain: float = Field(0.05, ge=0, le=1, description="Spread of a factor for each band.")
    contrast: float = Field(0.1, ge=0, le=1, description="Spread of a factor for all bands, about their means.")
    brightness: float = Field(0.1, ge=0, le=3, description="Spread of what is added to all bands.")
    shift: float = Field(0.05, ge=0, le=3, description="Spread of what is added to each band.")
    noise: float = Field(0.0, ge=0, le=3, description="Spread of what is added to each pixel.")
    holes: Share = Field(
        0.1, description="Share of the windows that lose a strip or a rectangle, as clouds and borders take them."
    )
    scale: ScaleConfig | None = Field(None, description="Windows of another pixel size; default none.")

    @field_validator("scale", mode="before")
    @classmethod
    def _yes(cls, value: object) -> object:
        return {} if value is True else None if value is False else value


class PairsConfig(Strict):
    """What is done to pairs of dates; without any where there is one date."""

    swap: Share = Field(0.5, description="Share of the windows whose dates change places.")
    same: Share = Field(
        0.3,
        description="Share of the windows that show one date twice, under two lights: nothing changed. Pairs without change in the data come on top.",
    )
    shift_px: float = Field(
        1.0, ge=0, le=4, description="Most by which the later date is moved, in any direction; from 0 on."
    )
    shade: Share = Field(0.3, description="Share of the windows in which one date has a soft shadow.")
    haze: Share = Field(0.3, description="Share of the windows in which one date lies under uneven haze.")
    mix: Share = Field(
        0.0,
        description="Share of the windows whose later date is a known mix of both: changed where more than half of it is the later one.",
    )


class SamplingConfig(Strict):
    """Where windows come from."""

    window_px: int = Field(256, ge=16, description="Side of a window; rounded up to what the network takes.")
    batch: int = Field(8, ge=1, description="Windows of a step.")
    classes: Share = Field(
        0.5, description="Share of the windows that are sought at a pixel of a class, each class as often."
    )
    groups: Share = Field(
        0.5, description="Share of the windows for which each group is as likely; else by its labelled pixels."
    )
    rim: float | None = Field(
        None,
        ge=0,
        le=0.5,
        description="How far windows may reach over the edges of their image, as a share of their side; longer ones are enlarged cut-outs. "
        "Default: into the image where they fit, about it where not.",
    )
    cache: str = Field("1GB", description="Memory for decoded images.")
    reduced: bool = Field(
        False,
        description="Learn at the resolution that reduce of the network computes at, from means of squares: quicker by far, with coarser edges.",
    )


class ScheduleConfig(Strict):
    """How long, and how fast."""

    steps: int = Field(1000, ge=1, description="Steps.")
    rate: float = Field(2e-3, gt=0, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(1e-2, ge=0, description="Of AdamW.")
    warmup: Share = Field(
        0.1, description="Share of the steps in which the rate rises; it falls to 0 as a cosine after that."
    )
    clip: float = Field(1.0, ge=0, description="Longest gradient; 0 for any.")
    ema: float = Field(0.99, ge=0, lt=1, description="Of the mean of weights that is kept; 0 keeps the last ones.")
    precision: Literal["auto", "float32", "bf16", "fp16"] = Field(
        "auto",
        description="Of the pass; weights and their sums stay float32. auto: bf16 where the processor computes with it, else float32.",
    )


class ValidationConfig(Strict):
    """How the held-out groups are looked at."""

    every: int = Field(200, ge=1, description="Steps between two looks, of which each writes a checkpoint.")
    windows: int = Field(64, ge=1, description="Most windows of a look, spread evenly over the held-out images.")
    patience: int | None = Field(
        None, ge=1, description="Stop after so many looks without a better mean IoU, and keep the best weights."
    )


class TrainConfig(Strict):
    """A training. ``data`` is what ``geoseg.labels.config`` reads."""

    name: str = Field(description="Name of the model.")
    title: str = Field("", description="One line for people.")
    data: Any = Field(description="Block of a reader, or a list of them.")
    network: NetworkConfig = Field(default_factory=NetworkConfig, description="Which network.")
    transform: tuple[dict[str, Any], ...] = Field(
        ({"op": "zscore"},),
        description="Input steps, as in a model's item; zscore and minmax without numbers are measured from the training data.",
    )
    loss: tuple[LossConfig, ...] = Field((LossConfig(),), min_length=1, description="Terms of the loss.")
    augment: AugmentConfig = Field(default_factory=AugmentConfig, description="What is changed about each window.")
    pairs: PairsConfig = Field(default_factory=PairsConfig, description="What is done to pairs of dates.")
    sampling: SamplingConfig = Field(default_factory=SamplingConfig, description="Where windows come from.")
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig, description="How long, and how fast.")
    validation: ValidationConfig = Field(
        default_factory=ValidationConfig, description="How held-out groups are looked at."
    )
    seed: int = Field(1, ge=0, description="Of weights, windows and augmentation.")
    notes: tuple[str, ...] = Field((), description="What a user of the model should know; sentences for its card.")
    evaluate: Any = Field(None, exclude=True, description="Block of geoseg evaluate; training leaves it alone.")

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("letters, digits, '.', '_' and '-'; 64 at most")
        return value

    @field_validator("loss", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        terms = value if isinstance(value, list | tuple) else [value]
        return [{"name": term} if isinstance(term, str) else term for term in terms]

    @field_validator("transform")
    @classmethod
    def _known_steps(cls, value: tuple[dict[str, Any], ...]) -> tuple[dict[str, Any], ...]:
        for step in value:
            if step.get("op") not in OPERATIONS:
                raise ValueError(f"steps whose op is one of {', '.join(OPERATIONS)}")
        return value

    @model_validator(mode="after")
    def _can_be_reduced(self) -> Self:
        if self.sampling.reduced and (self.factor == 1 or any(step["op"] not in _LINEAR for step in self.transform)):
            raise ValueError("sampling.reduced with reduce of the network and no input step but zscore")
        return self

    @property
    def factor(self) -> int:
        """Pixels of an image for each that is learned from, along a side."""
        return int(self.network.hyperparameters.get("reduce", 1)) if self.sampling.reduced else 1

    @classmethod
    def read(cls, path: Path) -> Self:
        """The configuration of a YAML file.

        Raises:
            RequestError: If the file is no YAML, or a field is unknown, missing or wrong.
        """
        return checked(cls, read_yaml(path), "")


def is_measured(step: dict[str, Any]) -> bool:
    """Whether a step's numbers come from the training data."""
    return set(step) == {"op"} and step["op"] in MEASURED


class TrainingError(GeosegError):
    """A training went wrong in its numbers, not in its configuration."""
