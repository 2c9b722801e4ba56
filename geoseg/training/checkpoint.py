"""What a training needs to go on: one file, whole or absent."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from geoseg.errors import RequestError
from geoseg.outputs.files import whole_file
from geoseg.training.scores import Confusion, Look

_VERSION = 1


@dataclass
class History:
    """What happened so far: rows of ``metrics.csv``.

    Attributes:
        losses: (step, mean loss since the row before, learning rate).
        looks: At the held-out groups.
    """

    losses: list[tuple[int, float, float]] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)

    def look_at(self, step: int | None = None) -> Look | None:
        """The look at a step, or the last one; ``None`` where there is none."""
        found = [look for look in self.looks if step in {None, look.step}]
        return found[-1] if found else None

    def to_document(self) -> dict[str, Any]:  # Any: numbers and tensors
        """What a checkpoint holds."""
        looks = [(look.step, torch.from_numpy(look.confusion.counts)) for look in self.looks]
        return {"losses": self.losses, "looks": looks}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:  # Any: see above
        """The inverse of ``to_document``."""
        looks = [Look(step, Confusion(counts.numpy())) for step, counts in document["looks"]]
        return cls([tuple(row) for row in document["losses"]], looks)


@dataclass
class Checkpoint:
    """The state of a training between two steps.

    Attributes:
        key: Of configuration and data; another training's checkpoint is refused.
        step: Steps done.
        network: Weights.
        mean: Mean of weights.
        optimizer: State of the optimiser.
        schedule: State of the learning rate.
        scaler: State of mixed precision's scale; empty where there is none.
        rng: Torch's generator. Every step seeds it anew, so nothing depends on it; it is what a debugger wants.
        history: See there.
        best: Mean IoU, step and weights of the best look; empty where none is kept.
        since_best: Looks since then.
        threads: Of the machine's torch: sums in another order differ in their last bits.
        done: Whether the training is over.
    """

    key: str
    step: int
    network: dict[str, Tensor]
    mean: dict[str, Tensor]
    optimizer: dict[str, Any]  # Any: torch's
    schedule: dict[str, Any]
    scaler: dict[str, Any]
    rng: Tensor
    history: History
    best: dict[str, Any]
    since_best: int
    threads: int
    done: bool

    def write(self, path: Path) -> None:
        """Write under a temporary name, force to the disk, rename.

        Raises:
            OutputError: If it cannot be written.
        """
        document = {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            "history": self.history.to_document(),
        }
        with whole_file(path) as temporary:
            torch.save({"version": _VERSION, **document}, temporary)

    @classmethod
    def read(cls, path: Path, key: str) -> Checkpoint:
        """The state that was written.

        Args:
            path: File.
            key: Of the training that wants to go on.

        Raises:
            RequestError: If it is no checkpoint, or that of another training.
        """
        todo = "start anew with --fresh, or name another folder with --out"
        try:
            if not zipfile.is_zipfile(path):  # the reader of old formats stumbles over what is none of them
                raise RequestError(f"{path}, torn or of another program", "a checkpoint of geoseg train", todo)
            document = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as err:
            raise RequestError(f"{path}: {err}", "a checkpoint of geoseg train", todo) from err
        if not isinstance(document, dict) or document.pop("version", None) != _VERSION:
            raise RequestError(f"{path}", f"a checkpoint of version {_VERSION}", todo)
        if document.get("key") != key:
            raise RequestError(
                f"{path}, of another configuration or of other data", "the training that it was written by", todo
            )
        history = document.pop("history")
        return cls(**document, history=History.from_document(history))
