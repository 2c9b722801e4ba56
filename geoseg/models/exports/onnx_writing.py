"""Networks as ONNX: for others, and as what int8 is made of. Importing this module imports torch."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoseg.errors import ModelMismatchError, RequestError
from geoseg.models.exports.openvino_network import ONNX
from geoseg.models.network import Network
from geoseg.models.spec import ModelSpec

type Image = tuple[NDArray[np.float32], NDArray[np.bool_]]

_EXAMPLE_PX = 128
#: The oldest that has every operation of the networks that were tried; others can read it.
_OPSET = 17
_INPUTS, _OUTPUTS = ("values", "valid"), ("scores",)


class Road(nn.Module):
    """The way from values to scores as one module.

    Args:
        network: A loaded network.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.module, self._network = network.module, network

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """See ``Network.traced_scores``."""
        return self._network.traced_scores(values, valid)


def example_of(spec: ModelSpec) -> tuple[Tensor, Tensor]:
    """Values (1, band, y, x) and valid (1, y, x) that a network can be traced with."""
    side = spec.chip_px or max(1, round(_EXAMPLE_PX / spec.stride_px)) * spec.stride_px
    return torch.rand(1, spec.channels, side, side), torch.ones(1, side, side, dtype=torch.bool)


def cannot_export(spec: ModelSpec, err: Exception) -> ModelMismatchError:
    """What to say of a network that has no equivalent."""
    return ModelMismatchError(
        f"the network of {spec.name!r}: {str(err).splitlines()[0] if str(err) else type(err).__name__}",
        "a network that can be exported",
        "use --backend torch",
    )


def write_onnx(network: Network, path: Path) -> None:
    """Write a network as ONNX: inputs ``values`` and ``valid``, output ``scores``; any height and width.

    Raises:
        RequestError: If the packages are not installed.
        ModelMismatchError: If ONNX has no equivalent of what the network does.
    """
    if find_spec("onnx") is None:
        raise RequestError(
            "an export to ONNX without the package onnx", "the extra export", "pip install 'geoseg[export]'"
        )
    spec = network.spec
    free = {
        "values": {2: "height", 3: "width"},
        "valid": {1: "height", 2: "width"},
        "scores": {2: "height", 3: "width"},
    }
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of sizes taken as constants, and of the way by tracing, which is going out
            torch.onnx.export(
                Road(network),
                example_of(spec),
                str(path),
                dynamo=False,  # its successor gave networks that fail at other sizes
                opset_version=_OPSET,
                input_names=list(_INPUTS),
                output_names=list(_OUTPUTS),
                dynamic_axes=None if spec.chip_px else free,
            )
    except (RuntimeError, TypeError, ValueError) as err:
        raise cannot_export(spec, err) from err


def write_int8(network: Network, folder: Path, images: Sequence[Image]) -> None:
    """Write a network whose convolutions compute in int8, with ranges that real pixels showed (static quantisation).

    Weights have a scale for each output channel. What the network does beside convolutions stays float32, and so do the
    first and the last of these: the one sees bands of very different ranges, the other decides.

    Args:
        network: The network.
        folder: Where to.
        images: Pixels to calibrate on (band, y, x) with those to be believed (y, x).

    Raises:
        RequestError: If the packages are not installed.
        ModelMismatchError: If ONNX has no equivalent of what the network does.
    """
    if find_spec("onnxruntime") is None:
        raise RequestError(
            "an export to int8 without the package onnxruntime", "the extra export", "pip install 'geoseg[export]'"
        )
    import onnx  # noqa: PLC0415  # an extra
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static  # noqa: PLC0415

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # the package ships no types
        """Hands out one image after the other."""

        def __init__(self, chips: Iterator[dict[str, Any]]) -> None:
            self._chips = chips

        def get_next(self) -> dict[str, Any] | None:
            """The next one, or nothing."""
            return next(self._chips, None)

    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        plain = Path(scratch) / ONNX
        write_onnx(network, plain)
        convolutions = [
            node.name for node in onnx.load(plain, load_external_data=False).graph.node if node.op_type == "Conv"
        ]
        quantize_static(
            str(plain),
            str(folder / ONNX),
            Reader({"values": values[None], "valid": valid[None]} for values, valid in images),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[convolutions[0], convolutions[-1]],
        )
