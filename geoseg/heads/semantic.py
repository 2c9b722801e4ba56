"""One image, one class per pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geoseg.heads.base import Chips, HeadOutput
from geoseg.models import ClassInfo

if TYPE_CHECKING:
    from geoseg.models.backends import AnyNetwork


class SemanticHead:
    """Land cover and the like: the classes are those of the network.

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
        """Scores of the only image of the only input.

        Raises:
            ValueError: If there are several inputs or several dates.
        """
        if len(chips.inputs) != 1:
            raise ValueError(f"one input expected, got {sorted(chips.inputs)}")
        (values,) = chips.inputs.values()
        if values.ndim != 5 or values.shape[1] != 1:
            raise ValueError(f"(b, 1, c, h, w) expected, got {tuple(values.shape)}")
        return HeadOutput(self.network.scores(values[:, 0], chips.valid))
