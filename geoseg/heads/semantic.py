"""One class per pixel, of one image or of two dates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from geoseg.heads.base import Chips, HeadOutput
from geoseg.models import ClassInfo

if TYPE_CHECKING:
    from geoseg.models.backends import AnyNetwork


class SemanticHead:
    """Land cover, change and the like: the classes are those of the network, and so is the number of dates.

    Args:
        network: A loaded model.
    """

    def __init__(self, network: AnyNetwork) -> None:
        self.network = network

    @property
    def class_table(self) -> tuple[ClassInfo, ...]:
        """Classes by index."""
        return self.network.spec.classes

    def __call__(self, chips: Chips) -> HeadOutput:
        """Scores of the dates of the only input.

        Raises:
            ValueError: If there are several inputs, or not as many dates as the network takes.
        """
        if len(chips.inputs) != 1:
            raise ValueError(f"one input expected, got {sorted(chips.inputs)}")
        (values,) = chips.inputs.values()
        dates = self.network.spec.dates
        if values.ndim != 5 or values.shape[1] != dates:
            raise ValueError(f"(b, {dates}, c, h, w) expected, got {tuple(values.shape)}")
        batch, _, bands, *sides = values.shape
        return HeadOutput(self.network.scores(values.reshape(batch, dates * bands, *sides), chips.valid))

    def strips(
        self, values: Any, valid: Any, rows: tuple[int, int], cols: tuple[int, int]
    ) -> Iterator[tuple[int, Any]] | None:
        """Scores of an area strip by strip, where the network can do that; see ``OpenVinoNetwork.strips``."""
        strips = getattr(self.network, "strips", None)
        made: Iterator[tuple[int, Any]] | None = None if strips is None else strips(values, valid, rows, cols)
        return made
