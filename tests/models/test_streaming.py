"""Networks that go on where the strip before ended give what one pass over the whole area gives."""

from __future__ import annotations

import numpy as np
import pytest

from geoseg.composite import Composite
from geoseg.heads import SemanticHead
from geoseg.models import resolve
from geoseg.models.exports import find_export
from geoseg.models.exports.openvino_network import OpenVinoNetwork
from geoseg.models.exports.streaming import STRIP_PX, Streaming
from geoseg.pixels import Reason
from geoseg.predict import NumpyArrays, Predictor
from geoseg.tiles import ChipPlan, Tile, finite_halo

ov = pytest.importorskip("openvino")
ops = pytest.importorskip("openvino.opset13")


def area(bands: int, rows: int, cols: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise of which some is not to be believed, here and there and in one large piece."""
    rng = np.random.default_rng(seed)
    values, valid = rng.random((bands, rows, cols), "float32"), rng.random((rows, cols)) > 0.05
    valid[rows // 3 : rows // 2, cols // 4 : cols // 2] = False
    values[:, ~valid] = np.nan
    return values, valid


def streamed(parts, classes: int, rows: int, cols: int, halo: int) -> np.ndarray:
    made = np.full((classes, rows, cols), np.nan, "float32")
    for row, scores in parts:
        made[:, row - halo : row - halo + scores.shape[1]] = scores
    return made


@pytest.mark.parametrize("name", ["demo-landcover", "demo-uav"])
@pytest.mark.parametrize(("rows", "cols"), [(136, 72), (40, 200)])
def test_strips_of_a_shipped_network_are_those_of_the_whole_area(name, rows, cols):
    folder = resolve(name, models_dirs=(), cache=None)
    export = find_export(folder, "openvino", "exact")
    network, halo = OpenVinoNetwork(folder.spec, export), 32
    values, valid = area(len(folder.spec.bands), rows + 2 * halo, cols + 2 * halo)
    if folder.spec.quantity == "digital-number":
        values *= 255
    whole = network.scores(values[None], valid[None])[0, :, halo:-halo, halo:-halo]
    for _ in range(2):  # the second area finds nothing of the first
        parts = network.strips(values, valid, (halo, halo + rows), (halo, halo + cols))
        assert parts is not None
        assert np.array_equal(streamed(parts, len(folder.spec.classes), rows, cols, halo), whole)


def weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(0, 0.4, shape).astype("float32")


def conv(source, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: bool = False):
    inputs = source.output(0).partial_shape[1].get_length()
    pad = [(kernel - 1) * dilation // 2] * 2
    if groups:
        return ops.group_convolution(
            source, weights(inputs, 1, 1, kernel, kernel), [stride] * 2, pad, pad, [dilation] * 2
        )
    return ops.convolution(source, weights(outputs, inputs, kernel, kernel), [stride] * 2, pad, pad, [dilation] * 2)


def enlarged(source, mode: str):
    how = {"mode": mode, "shape_calculation_mode": "scales"}
    where = "asymmetric" if mode == "nearest" else "pytorch_half_pixel"
    return ops.interpolate(
        source,
        np.array([2, 2], "float32"),
        axes=np.array([2, 3]),
        coordinate_transformation_mode=where,
        nearest_mode="floor",
        **how,
    )


def small(tail: str) -> object:
    """A network with shortcuts of several lengths, and the operation that is tried."""
    values = ops.parameter([1, 3, -1, -1], np.float32, "values")
    valid = ops.parameter([1, -1, -1], bool, "valid")
    clean = ops.select(ops.unsqueeze(valid, 1), values, np.zeros((1, 1, 1, 1), "float32"))
    top = ops.relu(conv(clean, 8, 3))
    half = ops.relu(conv(top, 12, 3, stride=2))
    pooled = ops.relu(ops.max_pool(half, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0))
    deep = ops.relu(conv(ops.relu(ops.add(pooled, np.float32(0.1))), 12, 3, dilation=2))
    deep = ops.add(deep, conv(pooled, 12, 1)) if tail == "shortcut" else deep
    deep = conv(deep, 12, 3, groups=True) if tail == "groups" else deep
    deep = conv(deep, 12, 3, dilation=20) if tail == "far" else deep
    up = enlarged(deep, "linear_onnx" if tail == "linear" else "nearest")
    mixed = conv(ops.concat([up, half], 1), 8, 3)
    last = conv(ops.concat([enlarged(mixed, "nearest"), top], 1), 4, 3)
    if tail == "mean":  # of the whole image: not to be had strip by strip
        last = ops.subtract(last, ops.reduce_mean(last, np.array([2, 3]), True))
    return ov.Model([ops.softmax(last, 1)], [values, valid], "small")


@pytest.mark.parametrize("tail", ["plain", "shortcut", "groups", "linear", "far"])
@pytest.mark.parametrize(("rows", "cols"), [(STRIP_PX * 2 + 12, 40), (20, 92)])
def test_strips_of_many_operations_are_those_of_the_whole_area(tail, rows, cols):
    core, model, halo = ov.Core(), small(tail), 128 if tail == "far" else 48
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    values, valid = area(3, rows + 2 * halo, cols + 2 * halo)
    streaming = Streaming.of(core, model, settings, 4, cols + 2 * halo, (halo, halo + cols))
    assert streaming is not None
    parts = streaming.strips(values, valid, (halo, halo + rows))
    whole = core.compile_model(model, "CPU", settings)([values[None], valid[None]])[0]
    made = streamed(parts, 4, rows, cols, halo)
    # Wide dilations differ by 6e-5, which is taken for another order of sums; a row in a wrong place differs by tenths.
    close = 1e-3 if tail == "far" else 1e-6
    assert np.abs(made - whole[0, :, halo:-halo, halo:-halo]).max() < close


def test_a_network_that_looks_at_the_whole_image_is_left_as_it_is():
    assert Streaming.of(ov.Core(), small("mean"), {}, 4, 128, (48, 80)) is None


@pytest.mark.parametrize("column_px", [64, 96, 128])
def test_a_tile_taken_strip_by_strip_is_the_tile_taken_in_chips(column_px):
    folder = resolve("demo-landcover", models_dirs=(), cache=None)
    network = OpenVinoNetwork(folder.spec, find_export(folder, "openvino", "exact"))
    tile, spec = Tile(-1, 0, 4, 32), folder.spec
    cells = np.ones((4, 4), bool)
    cells[3, 2:] = False
    window = tile.window.padded(*finite_halo(spec.radius_px, spec.stride_px))
    values, valid = area(len(spec.bands), *window.shape)
    valid[:, -70:] = False  # the data end here
    image = Composite(np.where(valid, values, np.nan), np.where(valid, 0, Reason.FAILED).astype("uint8"), {}, {})
    made = []
    for column in (0, column_px):
        plan = ChipPlan(spec.radius_px, spec.stride_px, None, None, 2, column)
        with Predictor(SemanticHead(network), plan, NumpyArrays(), 10.0, passes=2, layers=("scores",)) as predictor:
            made.append(predictor.predict(tile, cells, image, window))
            assert predictor.predict(tile, cells, image, window, lambda: True) is None
    chips, columns = made
    for name in ("classes", "confidence", "reason"):
        assert np.array_equal(getattr(chips, name), getattr(columns, name)), name
    assert all(np.array_equal(layer, columns.layers[name]) for name, layer in chips.layers.items())
    assert len(np.unique(chips.classes)) > 3
