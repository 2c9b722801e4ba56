"""What the operations of a network in OpenVINO look at, as ``geoseg.models.exports.flow`` wants to know it."""

from __future__ import annotations

from typing import Any

import numpy as np

from geoseg.models.exports.flow import Enlarging, PixelWise, Reach, Sliding, Span

ELEMENTWISE = frozenset(
    [
        "Abs",
        "Add",
        "Clamp",
        "Convert",
        "Divide",
        "Elu",
        "Equal",
        "Exp",
        "Gelu",
        "Greater",
        "HSigmoid",
        "HSwish",
        "IsFinite",
        "IsInf",
        "IsNaN",
        "Less",
        "LessEqual",
        "Log",
        "LogicalAnd",
        "LogicalNot",
        "LogicalOr",
        "Maximum",
        "Minimum",
        "Mish",
        "Multiply",
        "Negative",
        "NotEqual",
        "Power",
        "Relu",
        "Select",
        "Sigmoid",
        "SoftPlus",
        "Softsign",
        "Sqrt",
        "Subtract",
        "Swish",
        "Tanh",
    ]
)
_OVER_CHANNELS = frozenset(
    [
        "Concat",
        "LogSoftmax",
        "ReduceL2",
        "ReduceLogicalAnd",
        "ReduceLogicalOr",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceSum",
        "Softmax",
    ]
)
_CONVOLUTIONS = frozenset({"Convolution", "GroupConvolution"})
_WINDOW = ("strides", "dilations", "pads_begin")
_SHUFFLED = [0, 1, 4, 2, 5, 3]


class UnknownOperation(Exception):  # noqa: N818  # not an error: such a network runs on whole chips
    """An operation that cannot be streamed."""


def is_constant(output: Any) -> bool:
    """Whether what an operation takes is the same for every image."""
    return bool(output.get_node().get_type_name() == "Constant")


def sides(output: Any) -> Span:
    """(rows, columns) of what an operation gives."""
    shape = [int(size) for size in output.shape]
    if len(shape) < 3:  # channels, rows, columns
        raise UnknownOperation(f"a feature map of the shape {shape}")
    return shape[-2], shape[-1]


def reach_of(node: Any) -> Reach:
    """What an operation looks at.

    Raises:
        UnknownOperation: If that is not known.
    """
    kind, facts = node.get_type_name(), node.get_attributes()
    if kind in {"Parameter", "Result"} or kind in ELEMENTWISE:
        return PixelWise()
    if kind == "DepthToSpace":
        return Enlarging(int(facts["block_size"]))
    source, made = sides(node.input_value(0)), sides(node.output(0))
    if kind == "MaxPool" or kind in _CONVOLUTIONS:
        kernel = facts["kernel"] if kind == "MaxPool" else list(node.input_value(1).shape)[-2:]
        windows = [(int(rows), int(cols)) for rows, cols in (kernel, *(facts[word] for word in _WINDOW))]
        if facts["auto_pad"] != "explicit" or facts.get("rounding_type", "floor") != "floor":
            raise UnknownOperation(f"{kind} with {facts}")
        return Sliding(*windows)
    if kind == "Interpolate":
        return _enlarging(facts, source, made)
    is_pixel_wise = source == made and (kind == "Unsqueeze" or (kind in _OVER_CHANNELS and _over_channels(node, facts)))
    if is_pixel_wise:
        return PixelWise()
    raise UnknownOperation(kind)


def _over_channels(node: Any, facts: dict[str, Any]) -> bool:
    """Whether an operation that has an axis works along the second one, the channels."""
    if "axis" in facts:
        return bool(facts["axis"] == 1)
    axes = node.input_value(1)
    return is_constant(axes) and [int(axis) for axis in np.ravel(axes.get_node().data)] == [1]


def _enlarging(facts: dict[str, Any], source: Span, made: Span) -> Enlarging:
    factor = made[0] // source[0]
    if (made[0], made[1]) != (factor * source[0], factor * source[1]) or any(facts["pads_begin"] + facts["pads_end"]):
        raise UnknownOperation(f"Interpolate from {source} to {made}")
    where = facts["coordinate_transformation_mode"]
    if facts["mode"] == "nearest" and where == "asymmetric" and facts["nearest_mode"] == "floor":
        return Enlarging(factor)
    if facts["mode"] in {"linear", "linear_onnx"} and where in {"half_pixel", "pytorch_half_pixel"} and factor % 2 == 0:
        return Enlarging(factor, reach=1)
    raise UnknownOperation(f"Interpolate with {facts}")


def merge_shuffles(model: Any, ops: Any) -> None:
    """Say in one operation what a pixel shuffle says in three.

    Raises:
        UnknownOperation: If some other operation moves axes.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Transpose":
            continue
        before, after = node.input_value(0).get_node(), next(iter(node.output(0).get_target_inputs())).get_node()
        order, shape = node.input_value(1).get_node(), [int(size) for size in node.input_value(0).shape]
        is_shuffle = (
            (before.get_type_name(), after.get_type_name()) == ("Reshape", "Reshape")
            and [int(axis) for axis in order.data] == _SHUFFLED
            and shape[2] == shape[3]
            and sides(after.output(0)) == (shape[2] * shape[4], shape[3] * shape[5])
        )
        if not is_shuffle:
            raise UnknownOperation("Transpose")
        shuffle = ops.depth_to_space(before.input_value(0), "depth_first", shape[2])
        for target in list(after.output(0).get_target_inputs()):
            target.replace_source_output(shuffle.output(0))
