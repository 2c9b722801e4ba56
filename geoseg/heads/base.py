"""What a head takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from geoseg.models import ClassInfo

#: A tensor of torch, or a NumPy array where the network runs outside torch.
type Array = Any


@dataclass(frozen=True)
class Chips:
    """A batch of chips.

    Attributes:
        inputs: Name of an input (``image``, ``dem``) to its physical values, float32 ``(b, t, c, h, w)``.
        valid: Boolean ``(b, h, w)``: where all inputs are to be believed.
        times: When each of the ``t`` images was taken (UTC); empty where it is not known.
        gsd_m: Pixel size in metres on the ground.
        lonlat: Longitude and latitude of the chips' centres in degrees, ``(b, 2)``, or ``None`` without georeference.
    """

    inputs: Mapping[str, Array]
    valid: Array
    times: tuple[datetime, ...] = ()
    gsd_m: float | None = None
    lonlat: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class HeadOutput:
    """What a head says about a batch.

    Attributes:
        scores: Probabilities, float32 ``(b, class, h, w)``; NaN where there is no answer.
        layers: Further uint8 or uint16 layers ``(b, h, w)`` by name.
    """

    scores: Array
    layers: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """What blended scores say of pixels, where a head chooses by itself.

    Attributes:
        classes: uint8 ``(h, w)``.
        percent: uint8 ``(h, w)``: probability of the class; 255 where a score is no finite number.
        probabilities: float32 ``(class, h, w)``; NaN where there is no answer.
        layers: Further uint8 layers ``(h, w)``, those of ``FinishingHead.further``.
    """

    classes: NDArray[np.uint8]
    percent: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    layers: Mapping[str, NDArray[np.uint8]]


class Head(Protocol):
    """Anything that turns chips into scores."""

    @property
    def class_table(self) -> tuple[ClassInfo, ...]:
        """Classes by index."""
        ...

    def __call__(self, chips: Chips) -> HeadOutput:
        """Scores of a batch of chips."""
        ...


@runtime_checkable
class FinishingHead(Head, Protocol):
    """A head whose scores are no probabilities: chips are blended first, then it chooses, pixel by pixel."""

    @property
    def channels(self) -> int:
        """Maps of scores that it gives; not one for each class."""
        ...

    @property
    def further(self) -> tuple[str, ...]:
        """Layers that it adds to every record."""
        ...

    def finish(self, scores: Array) -> Finished:
        """The choice, from scores ``(channel, h, w)``; of each pixel by itself."""
        ...
