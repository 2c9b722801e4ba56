"""Reads a verified weights file into tensors and puts them into a network, key by key."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file
from torch import nn

from geoseg.errors import ModelMismatchError, WeightsError
from geoseg.models.spec import WeightsRef

_SHOWN = 6
#: What reading a damaged or hostile pickle raises; nothing of it has run then.
_PICKLE_ERRORS = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError)
#: Number of training steps that a normalisation has seen: in the file or not, it never reaches a pixel.
_COUNTER = "num_batches_tracked"
#: Where networks that are wrapped keep what they wrap: published weights are those of the network alone.
_INNER = "network."


def read_state(path: Path, weights: WeightsRef, folder: Path) -> dict[str, torch.Tensor]:
    """Tensors of a weights file as float32 (integers as they are).

    Args:
        path: The file, already verified.
        weights: What the spec says about it.
        folder: The model folder, for the layout of raw files.

    Raises:
        WeightsError: If the file cannot be read as its format, or holds numbers that are not finite.
    """
    if weights.format == "safetensors":
        try:
            state = load_file(path)
        except (safetensors.SafetensorError, ValueError) as err:
            raise _unreadable(path, err) from err
    elif weights.format == "raw-float32":
        state = _read_raw(path, weights, folder)
    else:
        state = _read_pickle(path)
    result = {}
    for key, tensor in state.items():
        values = tensor.float() if tensor.is_floating_point() else tensor
        if not torch.isfinite(values).all():
            raise WeightsError(
                f"{path}: {key} holds NaN or infinity", "finite numbers", "get the weights from their publisher"
            )
        result[key] = values
    return result


def put_state(module: nn.Module, state: Mapping[str, torch.Tensor], name: str) -> None:
    """Load tensors into a network; every key and shape must agree.

    Raises:
        ModelMismatchError: Listing what does not.
    """
    wanted = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items() if not key.endswith(_COUNTER)}
    if all(key.startswith(_INNER) for key in wanted) and not any(key.startswith(_INNER) for key in state):
        state = {_INNER + key: tensor for key, tensor in state.items()}
    found = {key: tuple(tensor.shape) for key, tensor in state.items() if not key.endswith(_COUNTER)}
    problems = [
        *_listed("missing", sorted(wanted.keys() - found.keys())),
        *_listed("not of this network", sorted(found.keys() - wanted.keys())),
        *_listed(
            "of another shape",
            [
                f"{key} {list(found[key])} instead of {list(wanted[key])}"
                for key in sorted(wanted.keys() & found.keys())
                if wanted[key] != found[key]
            ],
        ),
    ]
    if problems:
        raise ModelMismatchError(
            f"weights of the model {name!r}: {'; '.join(problems)}",
            "exactly the arrays of the network that its item describes",
            "correct mlm:architecture, mlm:hyperparameters, bands or classes in item.json, or take the right weights",
        )
    with torch.no_grad():
        for key, tensor in module.state_dict().items():
            if not key.endswith(_COUNTER):
                tensor.copy_(state[key])


def _listed(what: str, entries: Iterable[str]) -> list[str]:
    names = list(entries)
    if not names:
        return []
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [f"{what}: {', '.join(names[:_SHOWN])}{more}"]


def _read_raw(path: Path, weights: WeightsRef, folder: Path) -> dict[str, torch.Tensor]:
    """Arrays of a file of plain float32 numbers, by the layout in the model folder."""
    assert weights.layout is not None  # noqa: S101  # ModelSpec checks it
    text = (folder / weights.layout).read_bytes()
    if hashlib.sha256(text).hexdigest() != weights.layout_sha256:
        raise WeightsError(
            f"{folder / weights.layout}, which was altered",
            f"SHA-256 {weights.layout_sha256}",
            "restore the file from the model's publisher",
        )
    layout = json.loads(text)
    numbers = np.fromfile(path, dtype=layout["dtype"])
    state = {}
    for entry in layout["tensors"]:
        start = entry["offset"] // numbers.itemsize
        array = numbers[start : start + math.prod(entry["shape"])].reshape(entry["shape"])
        if "axes" in entry:
            array = array.transpose(entry["axes"])
        state[entry["key"]] = torch.from_numpy(array.astype(np.float32))
    return state


def _read_pickle(path: Path) -> dict[str, torch.Tensor]:
    """A state dict, or the one inside a Lightning checkpoint; weights_only is the second line of defence."""
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
    except _PICKLE_ERRORS as err:
        raise _unreadable(path, err) from err
    state = document.get("state_dict", document) if isinstance(document, dict) else {}
    if not state or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise _unreadable(path, TypeError("no state dict in it"))
    if all(key.startswith("model.") for key in state):
        state = {key.removeprefix("model."): tensor for key, tensor in state.items()}
    return state


def _unreadable(path: Path, err: Exception) -> WeightsError:
    return WeightsError(
        f"{path}: {str(err).splitlines()[0][:200] if str(err) else type(err).__name__}",
        "a weights file of the format that the model's item states",
        "get the file again, or correct mlm:artifact_type",
    )
