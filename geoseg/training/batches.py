"""Batches by number of the step: the same step gives the same numbers, whatever was asked for before."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from geoseg.grid import Window
from geoseg.labels import IGNORE, LabelSet
from geoseg.models.network import network_input
from geoseg.models.transform import Transform
from geoseg.training.augment import Bands, holed, recoloured, resized, side_of, turned
from geoseg.training.config import AugmentConfig, PairsConfig
from geoseg.training.pair_windows import repaired, weathered
from geoseg.training.sampler import Sampler
from geoseg.training.windows import Patch, Windows

#: Pixels about a window of validation that the network sees and that are not counted.
MARGIN_PX = 64


@dataclass(frozen=True)
class Preparing:
    """From numbers of a file to what the network sees: the objects that prediction uses.

    Attributes:
        labels: What numbers of the files mean.
        transform: Input transform of the model.
        fill: (1, band, 1, 1), what invalid pixels enter as.
    """

    labels: LabelSet
    transform: Transform
    fill: Tensor

    def values(self, patch: Patch) -> Tensor:
        """(band, rows, cols), float32: values of the set's quantity."""
        values = torch.from_numpy(np.ascontiguousarray(patch.image.astype(np.float32)))
        return values.mul_(self.labels.scale).add_(self.labels.offset)

    def input(self, values: Tensor, valid: Tensor) -> Tensor:
        """(b, band, rows, cols) for the network; ``values`` are overwritten.

        Args:
            values: (b, band, rows, cols).
            valid: (b, rows, cols).
        """
        return network_input(values, valid[:, None], self.transform, self.fill)


@dataclass(frozen=True)
class Training:
    """Everything that a batch is made of.

    Attributes:
        windows: Images.
        sampler: Where their windows lie.
        preparing: See there.
        bands: What values are like.
        augment: What is changed.
        side: Pixels of a window.
        batch: Windows of a batch.
        pairs: What is done to two dates.
    """

    windows: Windows
    sampler: Sampler
    preparing: Preparing
    bands: Bands
    augment: AugmentConfig
    side: int
    batch: int
    pairs: PairsConfig = field(default_factory=PairsConfig)

    @property
    def dates(self) -> int:
        """Images of a window."""
        return self.preparing.labels.dates

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of a step.

        Returns:
            (b, band, rows, cols), float32, as the network sees it, and (b, rows, cols), int64: labels.
        """
        bands = len(self.bands.mean) * self.dates
        values = np.empty((self.batch, bands, self.side, self.side), np.float32)
        valid = np.empty((self.batch, self.side, self.side), bool)
        labels = np.empty((self.batch, self.side, self.side), np.int64)
        for place in range(self.batch):
            self._one(step, place, values[place], valid[place], labels[place])
        return self.preparing.input(torch.from_numpy(values), torch.from_numpy(valid)), torch.from_numpy(labels)

    def _one(
        self, step: int, place: int, values: NDArray[np.float32], valid: NDArray[np.bool_], labels: NDArray[np.int64]
    ) -> None:
        """One window of a batch, written where it belongs; in numpy, whose small steps wait for no other thread."""
        rng, augment = self.sampler.rng(step, place), self.augment
        side = side_of(rng, self.side, augment.scale)
        patch = resized(self.windows.read(*self.sampler.window(rng, side, self.windows.members)), self.side)
        patch = turned(rng, patch) if augment.dihedral else patch
        patch = repaired(rng, patch, self.pairs) if self.dates == 2 else patch
        drawn = [recoloured(rng, self.bands, augment) for _ in range(self.dates)]
        factor, constant = (np.concatenate(numbers) for numbers in zip(*drawn, strict=True))
        seen = holed(rng, patch.valid, augment)
        scale, offset = self.preparing.labels.scale, self.preparing.labels.offset
        np.multiply(patch.image, _column(factor * scale), out=values, casting="unsafe")
        values += _column(factor * offset + constant)
        if self.dates == 2:
            weathered(rng, values, self.bands, self.pairs)
        if augment.noise:
            spread = np.tile(augment.noise * self.bands.std, self.dates)
            values += _column(spread) * rng.standard_normal(values.shape, np.float32)
        valid[:] = seen
        labels[:] = np.where(seen, patch.labels, np.uint8(IGNORE))


class Steps(Dataset[tuple[Tensor, Tensor]]):
    """The batches of some steps, in order, for a loader that makes no batches of its own.

    Args:
        training: See there.
        first: First step.
        last: Step after the last.
    """

    def __init__(self, training: Training, first: int, last: int) -> None:
        self._training, self._first, self._last = training, first, last

    def __len__(self) -> int:
        return self._last - self._first

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self._training.at(self._first + number)


@dataclass(frozen=True)
class HeldOut:
    """Windows of the held-out images, with a margin that is seen and not counted.

    Attributes:
        windows: Images.
        places: Place of the image, and window.
        preparing: See there.
        stride: What sides of an input are multiples of.
    """

    windows: Windows
    places: tuple[tuple[int, Window], ...]
    preparing: Preparing
    stride: int

    def __len__(self) -> int:
        return len(self.places)

    def at(self, number: int) -> tuple[Tensor, tuple[slice, slice], Patch]:
        """One window: the input (1, band, rows, cols), where in it the window lies, and the window itself."""
        member, core = self.places[number]
        rows, cols = core.shape
        below, right = (MARGIN_PX + -(side + 2 * MARGIN_PX) % self.stride for side in (rows, cols))
        outer = core.padded(MARGIN_PX, MARGIN_PX, below, right)
        patch = self.windows.read(member, outer)
        valid = torch.from_numpy(patch.valid)
        part = core.within(outer)
        inside = Patch(patch.image[:, *part], patch.valid[part], patch.labels[part])
        return self.preparing.input(self.preparing.values(patch)[None], valid[None]), part, inside


def _column(numbers: NDArray[np.floating]) -> NDArray[np.float32]:
    return numbers.astype(np.float32)[:, None, None]
