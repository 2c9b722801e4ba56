"""What the training data are like: numbers of the input transform that a configuration leaves to be measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.labels import LabelSet
from geoseg.models.steps import Step
from geoseg.models.transform import Transform
from geoseg.training.augment import Bands
from geoseg.training.config import TrainingError, is_measured
from geoseg.training.sampler import grid
from geoseg.training.windows import Windows

_WINDOW_PX, _MOST_WINDOWS = 256, 256
#: minmax takes these percentiles: single pixels shall not decide.
_ENDS = (1.0, 99.0)
_LEAST_STD = 1e-6


def sample_values(labels: LabelSet, windows: Windows) -> NDArray[np.float32]:
    """Valid values of evenly spread windows, every fourth pixel of every fourth row.

    Returns:
        (band, pixels), in the quantity of the set; of all dates.

    Raises:
        TrainingError: If no pixel is valid.
    """
    parts = [part for part in _parts(labels, windows) if part.size]
    if not parts:
        raise TrainingError("training data without a valid pixel", "pixels that are not nodata", "look at the images")
    return np.concatenate(parts, axis=1)


def bands_of(values: NDArray[np.float32]) -> Bands:
    """Mean and standard deviation of each band."""
    std = values.std(axis=1, dtype=np.float64).clip(_LEAST_STD)
    return Bands(values.mean(axis=1, dtype=np.float64).astype(np.float32), std.astype(np.float32))


def measured_steps(documents: Sequence[dict[str, Any]], values: NDArray[np.float32]) -> tuple[Step, ...]:
    """The input steps, with numbers where the configuration has none.

    Args:
        documents: Steps as the configuration has them.
        values: (band, pixels), before the first step.

    Raises:
        ModelSpecError: If a step has a parameter that it does not take.
    """
    steps: list[Step] = []
    for document in documents:
        if not is_measured(document):
            steps.append(Step.from_json(document))
            continue
        seen = Transform(steps, len(values)).numpy(values[:, None])[:, 0].astype(np.float64)
        if document["op"] == "zscore":
            std = seen.std(axis=1).clip(_LEAST_STD)
            steps.append(Step.of("zscore", mean=_rounded(seen.mean(axis=1)), std=_rounded(std)))
        else:
            low, high = np.percentile(seen, _ENDS, axis=1)
            steps.append(Step.of("minmax", minimum=_rounded(low), maximum=_rounded(np.maximum(high, low + _LEAST_STD))))
    return tuple(steps)


def _parts(labels: LabelSet, windows: Windows) -> Iterator[NDArray[np.float32]]:
    for number, window in grid(labels.members, _WINDOW_PX, _MOST_WINDOWS):
        patch = windows.read(number, window)
        thinned = np.s_[2::4, 2::4]
        image = patch.image[(slice(None), *thinned)].astype(np.float32)
        seen = (image * np.float32(labels.scale) + np.float32(labels.offset))[:, patch.valid[thinned]]
        yield np.concatenate(np.split(seen, labels.dates), axis=1)


def _rounded(numbers: NDArray[np.float64]) -> list[float]:
    """Six significant digits: what an item can be read by."""
    return [float(f"{number:.6g}") for number in numbers]
