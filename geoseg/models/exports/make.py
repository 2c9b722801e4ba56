"""From a torch module to a network of OpenVINO or ONNX, held against the original. Importing this module imports torch.

What is exported is the whole way from physical values to scores: transform, fill, network and probabilities.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from geoseg.errors import ModelMismatchError, RequestError
from geoseg.models.exports.agreement import compare
from geoseg.models.exports.onnx_writing import Image, Road, cannot_export, example_of, write_int8, write_onnx
from geoseg.models.exports.openvino_network import MODEL, ONNX, openvino
from geoseg.models.exports.record import (
    MOST_BOUNDARY_LOSS,
    MOST_CLASS_LOSS,
    Agreement,
    Export,
    Profile,
    sha256_of,
)
from geoseg.models.exports.running import run_export
from geoseg.models.folder import ModelFolder
from geoseg.models.network import Network, load_network
from geoseg.models.spec import ModelSpec
from geoseg.models.trial import noise

#: Sides of the images of noise that an exact export is tried on; none is the one that it was made with.
_TRIAL_PX = (256, 320)
_LIBRARIES = ("openvino", "onnx", "onnxruntime", "torch")


class ScoringNetwork(Protocol):
    """A loaded model, whatever runs it."""

    def scores(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Probabilities (1, class, y, x) of values (1, band, y, x), believed where valid (1, y, x)."""
        ...


class InTorch:
    """A network of torch with NumPy at its doors.

    Args:
        network: The network.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    def scores(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """See ``ScoringNetwork``."""
        made = self._network.scores(torch.from_numpy(values), torch.from_numpy(valid))
        back: NDArray[np.float32] = made.cpu().numpy()
        return back


def make_export(
    folder: ModelFolder,
    profile: Profile,
    images: Sequence[Image] = (),
    source: str = "",
    *,
    backend: str = "openvino",
    device: str = "cpu",
    made: Path,
    allow_pickle: bool = False,
) -> Export:
    """Export a model, unless it would not be the same model any more.

    Args:
        folder: The model.
        profile: ``exact``, ``bf16`` or ``int8``.
        images: Pixels of real scenes (band, y, x) with those to be believed (y, x), to calibrate and to compare on.
            Noise where there are none, which is enough for ``exact`` alone.
        source: Where they are from, in words.
        backend: ``openvino``; ``onnx``, for others too; or ``torch`` to measure only, what the profile loses on a device.
        device: ``cpu``, or ``cuda`` for ``torch``.
        made: Empty folder for its files.
        allow_pickle: As for ``load_network``.

    Returns:
        The export; its workspace is not measured yet.

    Raises:
        RequestError: If a profile that rounds loses more than it may, or there is nothing to hold it against.
        ModelMismatchError: If the exported network gives other classes.
    """
    network = load_network(folder, device, allow_pickle=allow_pickle)
    if not images:
        images, source = _noise(folder.spec), "noise"
    if backend == "torch":
        pass  # its weights are the model's own
    elif profile == "int8":
        write_int8(network, made, images)
    elif backend == "onnx":
        write_onnx(network, made / ONNX)
    else:
        _write_openvino(network, made)
    files = {path.name: sha256_of(path) for path in sorted(made.iterdir())}
    nothing = Agreement(0, 0.0, 1.0, 1.0, 1.0, "nothing")
    export = Export(made, backend, profile, folder.spec.digest, files, nothing, 0.0, _versions(device))
    other: ScoringNetwork
    if backend == "torch":
        other = InTorch(load_network(folder, device, allow_pickle=allow_pickle, bfloat16=profile == "bf16"))
    else:
        other = run_export(folder.spec, export)
    agreement = _agreement(InTorch(network), other, images, source)
    _judge(folder.spec, profile, agreement)
    return replace(export, agreement=agreement)


def _noise(spec: ModelSpec) -> list[Image]:
    """Images (band, y, x) of several sizes, with what is to be believed of them."""
    found = []
    for side in _TRIAL_PX:
        images, valid = noise(spec, side)
        found += [(image.numpy(), mask.numpy()) for image, mask in zip(images, valid, strict=True)]
    return found


def _write_openvino(network: Network, folder: Path) -> None:
    """Write ``model.xml`` and ``model.bin``: any height and width, one image at a time.

    Raises:
        ModelMismatchError: If OpenVINO has no equivalent of what the network does.
    """
    ov = openvino()
    spec = network.spec
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that sizes which were asked for are taken as constants: compared below
            model = ov.convert_model(Road(network), example_input=example_of(spec))
        height, width = (spec.chip_px, spec.chip_px) if spec.chip_px else (-1, -1)
        model.reshape({model.input(0): [1, spec.channels, height, width], model.input(1): [1, height, width]})
    except (RuntimeError, TypeError, ValueError) as err:  # what tracing and conversion raise, OpenVINO's own errors too
        raise cannot_export(spec, err) from err
    ov.save_model(model, folder / MODEL, compress_to_fp16=False)


def _agreement(one: ScoringNetwork, other: ScoringNetwork, images: Sequence[Image], source: str) -> Agreement:
    pairs = (
        (one.scores(values[None], valid[None])[0], other.scores(values[None], valid[None])[0])
        for values, valid in images
    )
    return compare(pairs, source)


def _judge(spec: ModelSpec, profile: Profile, agreement: Agreement) -> None:
    """Refuse an export that is not the model any more.

    Raises:
        RequestError: If a profile that rounds loses more than it may.
        ModelMismatchError: If one that does not round gives other classes.
    """
    if profile == "exact":
        if agreement.sure_classes < 1 or not np.isfinite(agreement.largest_difference):
            raise ModelMismatchError(
                f"the exported network of {spec.name!r}: {agreement.describe()}",
                "the classes of the original wherever it is sure",
                "use --backend torch",
            )
        return
    if 1 - agreement.classes > MOST_CLASS_LOSS or 1 - agreement.boundaries > MOST_BOUNDARY_LOSS:
        raise RequestError(
            f"the profile {profile} of {spec.name!r}: {agreement.describe()}",
            f"at least {1 - MOST_CLASS_LOSS:.1%} of the classes and {1 - MOST_BOUNDARY_LOSS:.0%} of the boundaries",
            "this model loses too much by rounding: use --profile exact, or bf16 instead of int8",
        )


def _versions(device: str) -> dict[str, str]:
    found = {"gpu": torch.cuda.get_device_name()} if device == "cuda" else {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
