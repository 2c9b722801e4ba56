"""Two dates, changed or not: a detector that was fitted before the first tile, and no network."""

from __future__ import annotations

import numpy as np

from geoseg.change.detectors import Detector
from geoseg.heads.base import Chips, HeadOutput
from geoseg.models import ClassInfo

#: Classes of a map without from-to pairs.
CLASSES = (
    ClassInfo(0, "no change", "#e8e8e4"),
    ClassInfo(1, "change", "#c51b7d"),
)


class DetectorHead:
    """Change by a detector that needs no weights; takes and gives NumPy arrays.

    Args:
        detector: Fitted for the job.
    """

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    @property
    def class_table(self) -> tuple[ClassInfo, ...]:
        """No change, and change."""
        return CLASSES

    def __call__(self, chips: Chips) -> HeadOutput:
        """Scores of the two dates of the only input; NaN where either is masked.

        Raises:
            ValueError: If there are several inputs, or not two dates.
        """
        if len(chips.inputs) != 1:
            raise ValueError(f"one input expected, got {sorted(chips.inputs)}")
        (values,) = chips.inputs.values()
        if values.ndim != 5 or values.shape[1] != 2:
            raise ValueError(f"(b, 2, c, h, w) expected, got {tuple(values.shape)}")
        pairs = zip(values, chips.valid, strict=True)
        return HeadOutput(np.stack([self._detector.scores(before, after, ok) for (before, after), ok in pairs]))
