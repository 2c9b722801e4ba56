"""A network that ONNX Runtime runs: physical values in, scores out. Importing this module imports no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import WeightsError
from geoseg.models.exports.record import Export
from geoseg.models.spec import ModelSpec

_MODEL = "model.onnx"


class OnnxNetwork:
    """An exported model that is ready to be run; several threads may call it, each with a pass of its own.

    Args:
        spec: The model's facts.
        export: Its export.
        threads: Threads of a pass.

    Raises:
        WeightsError: If the file of the export is missing or altered, or none that ONNX Runtime reads.
    """

    def __init__(self, spec: ModelSpec, export: Export, *, threads: int = 1) -> None:
        import onnxruntime  # noqa: PLC0415  # an extra

        self.spec = spec
        path = export.file(_MODEL)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # Its arena keeps the most that passes ever took together, which is not planned for; without it each pass gives
        # back what it took, and is up to a quarter slower. See docs/decisions/019-backends.md.
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        options.log_severity_level = 3  # errors, which are raised too
        self._memory_errors = (onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException,)
        try:
            self._session: Any = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except _refusals(onnxruntime) as err:
            raise WeightsError(
                f"{path}: {str(err).splitlines()[0]}",
                "a network that ONNX Runtime reads",
                "make it again: geoseg models export MODEL --format onnx",
            ) from err

    def scores(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Probabilities of every class.

        Args:
            values: ``(1, c, h, w)``: physical values in the spec's quantity and order of bands. Height and width are
                multiples of the spec's stride.
            valid: ``(1, h, w)``: where ``values`` are to be believed. The rest enters the network as the spec's fill.

        Returns:
            ``(1, class, h, w)``; NaN where the network gives none.

        Raises:
            MemoryError: If there is no room for the pass.
        """
        try:
            (scores,) = self._session.run(
                ["scores"], {"values": np.ascontiguousarray(values), "valid": np.ascontiguousarray(valid)}
            )
        except self._memory_errors as err:
            if "alloc" in str(err).lower():
                raise MemoryError(str(err)) from err
            raise
        made: NDArray[np.float32] = scores
        return made


def _refusals(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """What it raises of a file that it cannot use."""
    known = onnxruntime.capi.onnxruntime_pybind11_state
    names = ("Fail", "InvalidGraph", "InvalidProtobuf", "InvalidArgument", "NotImplemented", "RuntimeException")
    return tuple(getattr(known, name) for name in names)
