"""A head whose classes are told in another legend."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from geoseg.heads.base import Array, Chips, Head, HeadOutput
from geoseg.models import ClassInfo
from geoseg.models.legends import Legend


class LegendHead:
    """Sums the scores of classes that fuse, in their order, before anybody chooses among them.

    Args:
        head: Whose classes they are.
        legend: What they become.
    """

    def __init__(self, head: Head, legend: Legend) -> None:
        self._head = head
        self._legend = legend

    @property
    def class_table(self) -> tuple[ClassInfo, ...]:
        """Classes by index."""
        return self._legend.classes

    def __call__(self, chips: Chips) -> HeadOutput:
        """Scores of a batch of chips, in the legend."""
        output = self._head(chips)
        sums: list[Array] = [None] * len(self._legend.classes)
        for number, index in enumerate(self._legend.sources):
            score = output.scores[:, number]
            sums[index] = score if sums[index] is None else sums[index] + score
        return replace(output, scores=_stacked(sums))


def _stacked(sums: list[Array]) -> Array:
    if isinstance(sums[0], np.ndarray):
        return np.stack(sums, axis=1)
    import torch  # noqa: PLC0415  # loaded with the network

    return torch.stack(sums, dim=1)
