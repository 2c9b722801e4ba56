"""A network that OpenVINO runs: physical values in, scores out, NumPy all the way. Importing this module imports no torch.

Chips have few shapes, and a network that is compiled for one shape needs half the memory of one that takes them all
(measured: 277 against 589 bytes per pixel for a U-Net with a ResNet-18, 720 against 1,454 for Dynamic World). So each
shape is compiled when it comes up, and those of which there is no room any more are dropped.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import WeightsError
from geoseg.models.exports.flow import Span
from geoseg.models.exports.record import Export
from geoseg.models.exports.streaming import Streaming
from geoseg.models.spec import ModelSpec

MODEL = "model.xml"
ONNX = "model.onnx"
# Each compiled shape has its own copy of the weights.
MOST_SHAPES = 2
# One thread at a time: copies of a network share its constants, and two threads that changed theirs have been seen to
# wait for each other for ever, one for the interpreter's lock and one for OpenVINO's.
_BUILDING = threading.Lock()
# So many pixels of small chips may stay compiled beside what the memory is planned for, the largest chip.
_SMALL_PX = 200_000


def openvino() -> Any:
    """The package. It reports every import to its makers unless its reporter is missing, so that one is hidden."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is how Python marks what must not be found
    import openvino as ov  # noqa: PLC0415  # an extra

    return ov


class OpenVinoNetwork:
    """An exported model that is ready to be run; each thread that calls it has a pass of its own.

    Args:
        spec: The model's facts.
        export: Its export.
        threads: Threads of a pass.

    Raises:
        WeightsError: If a file of the export is missing or altered.
    """

    def __init__(self, spec: ModelSpec, export: Export, *, threads: int = 1) -> None:
        self.spec = spec
        self._classes = len(spec.classes)
        core = openvino().Core()
        for name in export.files:
            export.file(name)
        self._core = core
        path = export.path / (MODEL if MODEL in export.files else ONNX)
        try:
            self._model = core.read_model(path)
        except RuntimeError as err:
            raise WeightsError(
                f"{path}: {str(err).splitlines()[0]}",
                "a network that OpenVINO reads",
                "make it again: geoseg models export",
            ) from err
        self._settings = {
            # Left to itself OpenVINO takes bfloat16 where the processor has it.
            "INFERENCE_PRECISION_HINT": "bf16" if export.profile == "bf16" else "f32",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # reading and writing want the same cores
        }
        self._own = threading.local()

    def scores(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Probabilities of every class.

        Args:
            values: ``(1, c, h, w)``: physical values in the spec's quantity and order of bands. Height and width are
                multiples of the spec's stride.
            valid: ``(1, h, w)``: where ``values`` are to be believed. The rest enters the network as the spec's fill.

        Returns:
            ``(1, class, h, w)``; NaN where the network gives none.
        """
        result = np.empty((1, self._classes, *values.shape[2:]), "float32")
        request = self._request(values.shape)
        request.set_output_tensor(openvino().Tensor(result, shared_memory=True))
        request.infer([np.ascontiguousarray(values), np.ascontiguousarray(valid)], share_inputs=True)
        return result

    def strips(
        self, values: NDArray[np.float32], valid: NDArray[np.bool_], rows: Span, cols: Span
    ) -> Iterator[tuple[int, NDArray[np.float32]]] | None:
        """The same scores of a large area strip by strip, in which nothing is computed twice.

        Args:
            values: ``(c, h, w)``, as for ``scores``; they may be a view into a larger array.
            valid: ``(h, w)``.
            rows: First row whose scores are wanted, and the one behind the last: as far from the edges as the radius.
            cols: The same for columns.

        Returns:
            First row of a part and its scores ``(class, h, w)``, which the next overwrites; ``None`` if this network
            can only be run on whole chips.
        """
        own, shape = self._own, (values.shape[-1], cols)
        if getattr(own, "shape", None) != shape:
            own.shape, own.streaming = None, None  # its memory before that of the next
            stride = self.spec.stride_px
            with _BUILDING:
                own.streaming = Streaming.of(self._core, self._model, self._settings, stride, *shape)
            own.shape = shape
        streaming: Streaming | None = own.streaming
        return None if streaming is None else streaming.strips(values, valid, rows)

    def _request(self, shape: tuple[int, ...]) -> Any:
        """This thread's request for chips of a shape."""
        if not hasattr(self._own, "compiled"):
            self._own.compiled = _Compiled(self._core, self._model, self._settings)
        compiled: _Compiled = self._own.compiled
        return compiled.request(shape)


class _Compiled:
    """A network compiled for the shapes that came up last, with as much memory as the largest of them needs.

    Args:
        core: OpenVINO.
        model: The network for any shape.
        settings: How it is compiled.
    """

    def __init__(self, core: Any, model: Any, settings: dict[str, Any]) -> None:
        self._core, self._model, self._settings = core, model, settings
        self._requests: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._most_px = 0

    def request(self, shape: tuple[int, ...]) -> Any:
        """What runs chips of a shape; those of other shapes are dropped where there is no room beside it."""
        if shape not in self._requests:
            kept_px = shape[2] * shape[3]
            self._most_px = max(self._most_px, kept_px)
            for other in reversed(list(self._requests)):
                kept_px += other[2] * other[3]
                if kept_px > self._most_px + _SMALL_PX or len(self._requests) >= MOST_SHAPES:
                    del self._requests[other]
            with _BUILDING:
                model = self._model.clone()
                model.reshape({model.input(0): list(shape), model.input(1): [shape[0], *shape[2:]]})
                self._requests[shape] = self._core.compile_model(model, "CPU", self._settings).create_infer_request()
        self._requests.move_to_end(shape)
        return self._requests[shape]
