"""What runs an export: OpenVINO or ONNX Runtime. Importing this module imports neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geoseg.models.exports.record import Export, has_onnxruntime
from geoseg.models.spec import ModelSpec

if TYPE_CHECKING:
    from geoseg.models.exports.onnx_network import OnnxNetwork
    from geoseg.models.exports.openvino_network import OpenVinoNetwork


def run_export(spec: ModelSpec, export: Export, *, threads: int = 1) -> OpenVinoNetwork | OnnxNetwork:
    """An exported network, ready to be run. OpenVINO reads ONNX too, where ONNX Runtime is not installed.

    Args:
        spec: The model's facts.
        export: Its export.
        threads: Threads of a pass.

    Raises:
        WeightsError: If a file of the export is missing, altered or none.
    """
    if export.backend == "onnx" and has_onnxruntime():
        from geoseg.models.exports.onnx_network import OnnxNetwork  # noqa: PLC0415  # an extra

        return OnnxNetwork(spec, export, threads=threads)
    from geoseg.models.exports.openvino_network import OpenVinoNetwork  # noqa: PLC0415  # an extra

    return OpenVinoNetwork(spec, export, threads=threads)
