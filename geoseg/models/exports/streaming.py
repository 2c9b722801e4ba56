"""A network that is rebuilt to take an area strip by strip, in which no feature is computed twice but at its sides.

Between strips it keeps the last rows of its feature maps; what a shortcut hands to a later layer waits beside it. Scores
are those of one pass over the whole area with its halo: the same sums in the same order. What the first rows lack,
which have nothing above them, lies in the halo, as does what a pass over the whole area pads there.

Networks with an operation that is not known here are left as they are: ``Streaming.of`` says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.models.exports.flow import Enlarging, Flow, PixelWise, Sliding, Span, Step, flow_of
from geoseg.models.exports.reaches import ELEMENTWISE, UnknownOperation, is_constant, merge_shuffles, reach_of, sides

#: Rows of a strip; more where the stride is larger.
STRIP_PX = 64


class _Kept:
    """Rows of a feature map that wait for the next strips.

    Args:
        given: The network's input for them.
        made: Its output: the new state, or the newest rows where ``strip_rows`` is set.
        shape: Of the input.
        older: For a delay: how many rows before the newest the input starts.
        strip_rows: For a delay: rows of each strip. 0 for a state, which the next strip takes as it is.
    """

    def __init__(self, given: Any, made: Any, shape: list[int], older: int = 0, strip_rows: int = 0) -> None:
        self.given, self.made = given, made
        self._shape, self._older, self._rows = shape, older, strip_rows

    def open(self, tensor: Any) -> None:
        """Take the memory."""
        shape = [*self._shape[:-2], self._rows or self._shape[-2], self._shape[-1]]
        count = 2 if not self._rows else -(-self._older // self._rows) + 1
        self._slots = [np.zeros(shape, "float32") for _ in range(count)]
        self._tensors = [tensor(slot, shared_memory=True) for slot in self._slots]
        if self._rows:
            self._wanted = np.zeros(self._shape, "float32")
            self._tensor = tensor(self._wanted, shared_memory=True)

    def clear(self) -> None:
        """Forget: another area begins."""
        for slot in self._slots:
            slot.fill(0)

    def tensors(self, strip: int) -> tuple[Any, Any]:
        """What a strip is given, and where it puts what it makes."""
        count = len(self._slots)
        if self._rows:
            first, got = strip * self._rows - self._older, 0
            while got < self._shape[-2]:
                number, at = divmod(first + got, self._rows)
                some = min(self._rows - at, self._shape[-2] - got)
                self._wanted[..., got : got + some, :] = self._slots[number % count][..., at : at + some, :]
                got += some
            return self._tensor, self._tensors[strip % count]
        return self._tensors[strip % 2], self._tensors[(strip + 1) % 2]


class _Rebuilt:
    """Changes a network of one strip to one that goes on where the strip before ended.

    Args:
        model: With static shapes; it is changed.
        ops: OpenVINO's operations.
        wanted: Columns of the scores that are wanted.

    Raises:
        UnknownOperation: If it has operations that are not known.
    """

    def __init__(self, model: Any, ops: Any, wanted: Span) -> None:
        self._ops = ops
        merge_shuffles(model, ops)
        nodes = [node for node in model.get_ordered_ops() if node.get_type_name() != "Constant"]
        if len(model.get_results()) != 1:
            raise UnknownOperation("several results")
        steps = [self._step(node) for node in nodes]
        self._steps = {step.name: step for step in steps}
        self.inputs = [parameter.get_name() for parameter in model.get_parameters()]
        self.flow: Flow = flow_of(steps, wanted)
        self.kept: list[_Kept] = []
        self._made: dict[str, Any] = {}
        self._shared: dict[tuple[str, int, int, Span], Any] = {}
        for node in nodes:
            if node.get_name() in self.flow.cols:
                self._rebuild(node)
        model.add_parameters([kept.given for kept in self.kept])
        model.add_results([kept.made for kept in self.kept])
        model.validate_nodes_and_infer_types()

    def _step(self, node: Any) -> Step:
        kind, sources = node.get_type_name(), {}
        for number, source in enumerate(node.input_values()):
            if source.get_index() > 0:
                raise UnknownOperation("a second output")
            if not is_constant(source):
                sources[number] = str(source.get_node().get_name())
            elif kind == "Concat":
                raise UnknownOperation("a constant beside feature maps")
        rows, cols = sides(node.input_value(0) if kind == "Result" else node.output(0))
        return Step(node.get_name(), sources, reach_of(node), rows, cols, is_input=kind == "Parameter")

    def _rebuild(self, node: Any) -> None:
        name, kind = node.get_name(), node.get_type_name()
        step, span = self._steps[name], self.flow.cols[name]
        rows = step.rows + self.flow.again[name]
        if kind == "Parameter":
            shape = [int(size) for size in node.output(0).shape]
            node.set_partial_shape(_partial([*shape[:-2], rows, span[1] - span[0]]))
            node.constructor_validate_and_infer_types()
            self._made[name] = node.output(0)
            return
        width = {number: self._steps[source].cols for number, source in step.sources.items()}
        for number, source in enumerate(node.input_values()):
            if number in step.sources:
                node.input(number).replace_source_output(self._fetched(name, number, step))
            elif isinstance(step.reach, PixelWise) and kind in ELEMENTWISE:
                self._cut_constant(node, number, source, step, span)
        if isinstance(step.reach, Sliding):
            left, right = step.reach.padding(span, width[0])
            node.set_attribute("pads_begin", [0, left])
            node.set_attribute("pads_end", [0, right])
        elif kind == "Interpolate":
            seen = self.flow.wishes[name, 0].cols
            height = int(node.input(0).get_source_output().partial_shape[-2].get_length())
            sizes = [step.reach.factor * height, step.reach.factor * (seen[1] - seen[0])]  # type: ignore[attr-defined]
            node.set_attribute("shape_calculation_mode", "sizes")
            node.input(1).replace_source_output(self._ops.constant(np.array(sizes)).output(0))
        node.constructor_validate_and_infer_types()
        if kind != "Result":
            self._made[name] = self._trimmed(node, step) if isinstance(step.reach, Enlarging) else node.output(0)

    def _trimmed(self, node: Any, step: Step) -> Any:
        """What was enlarged, without the rows and columns at its edges that nobody wants."""
        assert isinstance(step.reach, Enlarging)  # noqa: S101  # the caller has looked
        wish, factor, name = self.flow.wishes[step.name, 0], step.reach.factor, step.name
        again, span = self.flow.again[name], self.flow.cols[name]
        first = -factor * (wish.older + self.flow.lag[step.sources[0]])
        top, height = -self.flow.lag[name] - again - first, int(node.output(0).partial_shape[-2].get_length())
        seen = factor * wish.cols[0], factor * wish.cols[1]
        return self._cut(node.output(0), (top, top + again + step.rows), height, span, seen)

    def _cut_constant(self, node: Any, number: int, source: Any, step: Step, span: Span) -> None:
        """Numbers that differ from column to column are cut; those that differ from row to row do so at the rim only.

        Raises:
            UnknownOperation: If they do not.
        """
        shape = list(source.shape)
        by_row = len(shape) > 1 and shape[-2] == step.rows > 1
        by_col = len(shape) > 0 and shape[-1] == step.cols > 1
        if not by_row and not by_col:
            return
        values = np.array(source.get_node().data)
        if by_row:
            middle = values.shape[-2] // 2
            inner = values[..., middle // 2 : middle + middle // 2, :]
            if (inner != inner[..., :1, :]).any():
                raise UnknownOperation("numbers that differ from row to row")
            values = inner[..., :1, :]
        if by_col:
            values = values[..., span[0] : span[1]]
        node.input(number).replace_source_output(self._ops.constant(np.ascontiguousarray(values)).output(0))

    def _fetched(self, name: str, number: int, step: Step) -> Any:
        """The rows and columns that an operation wants of a source."""
        source, wish = step.sources[number], self.flow.wishes[name, number]
        again, rows, made = self.flow.again[source], self._steps[source].rows, self._made[source]
        spare = 0 if isinstance(step.reach, Sliding) else wish.spare  # a window stops before rows that do not fill it
        if not wish.kept:
            span = again - wish.older, again + rows - spare
            return self._cut(made, span, again + rows, wish.cols, self.flow.cols[source])
        key = source, wish.older, spare, wish.cols
        if key not in self._shared:
            new = self._cut(made, (again, again + rows), again + rows, wish.cols, self.flow.cols[source])
            self._shared[key] = self._delayed(new, wish.older, spare, rows)
        return self._shared[key]

    def _delayed(self, new: Any, older: int, spare: int, rows: int) -> Any:
        """New rows with older ones before them, and without the newest that are spare."""
        shape = [int(size.get_length()) for size in new.partial_shape]
        given_rows = older if spare < rows else older + rows - spare
        given_shape = [*shape[:-2], given_rows, shape[-1]]
        given = self._ops.parameter(given_shape, new.element_type)
        if spare >= rows:  # none of the new ones: they wait outside
            self.kept.append(_Kept(given, self._ops.result(new), given_shape, older, rows))
            return given.output(0)
        both = self._ops.concat([given.output(0), new], axis=len(shape) - 2).output(0)
        last = (both, (rows, rows + older), rows + older) if older > rows else (new, (rows - older, rows), rows)
        self.kept.append(_Kept(given, self._ops.result(self._cut(*last)), given_shape))
        return self._cut(both, (0, older + rows - spare), older + rows)

    def _cut(self, made: Any, rows: Span, height: int, cols: Span = (0, 1), seen: Span = (0, 1)) -> Any:
        """Rows of ``height``, and columns of those that are seen."""
        rank = len(made.partial_shape)
        cuts = []
        if rows != (0, height):
            cuts.append((rows[0], rows[1], rank - 2))
        if cols != seen:
            cuts.append((cols[0] - seen[0], cols[1] - seen[0], rank - 1))
        if not cuts:
            return made
        start, stop, axes = (np.array(numbers) for numbers in zip(*cuts, strict=True))
        return self._ops.slice(made, start, stop, np.ones_like(start), axes).output(0)


def _partial(shape: list[int]) -> Any:
    import openvino as ov  # noqa: PLC0415  # an extra

    return ov.PartialShape(shape)


class Streaming:
    """A network over columns of a fixed width, for any number of rows.

    Args:
        compiled: The rebuilt network, compiled.
        rebuilt: What is known of it.
        tensor: OpenVINO's class of that name.
        strip_px: Rows of a strip.
    """

    def __init__(self, compiled: Any, rebuilt: _Rebuilt, tensor: Any, strip_px: int) -> None:
        self._request, self._tensor, self._strip = compiled.create_infer_request(), tensor, strip_px
        self._kept, flow = rebuilt.kept, rebuilt.flow
        # Inputs and outputs keep their order: those of the network first, then what is kept.
        self._lag = next(reversed(flow.lag.values()))
        self._seen = [(flow.again[name], flow.cols[name]) for name in rebuilt.inputs]
        self._scores = np.empty([int(size) for size in compiled.outputs[0].shape], "float32")
        for kept in self._kept:
            kept.open(tensor)

    @classmethod
    def of(
        cls, core: Any, model: Any, settings: dict[str, Any], stride_px: int, width: int, wanted: Span
    ) -> Streaming | None:
        """A network rebuilt for a width.

        Args:
            core: OpenVINO's.
            model: Of any shape, from values and what is to be believed of them to scores; it is not changed.
            settings: How it is compiled.
            stride_px: Of the network.
            width: Columns of an area with its halo.
            wanted: Those whose scores are wanted.

        Returns:
            ``None`` if it does something that is not known to work strip by strip.
        """
        from openvino import Tensor, opset13  # noqa: PLC0415  # an extra
        from openvino.passes import ConstantFolding, Manager  # noqa: PLC0415

        strip = model.clone()
        bands = strip.input(0).partial_shape[1].get_length()
        rows = -(-STRIP_PX // stride_px) * stride_px
        strip.reshape({strip.input(0): [1, bands, rows, width], strip.input(1): [1, rows, width]})
        folding = Manager()
        folding.register_pass(ConstantFolding())
        folding.run_passes(strip)
        try:
            rebuilt = _Rebuilt(strip, opset13, wanted)
        except UnknownOperation:
            return None
        return cls(core.compile_model(strip, "CPU", settings), rebuilt, Tensor, rows)

    def strips(
        self, values: NDArray[np.float32], valid: NDArray[np.bool_], rows: Span
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Scores of the wanted columns, strip by strip.

        Args:
            values: ``(c, h, w)``: physical values of the area with its halo.
            valid: ``(h, w)``: where they are to be believed.
            rows: First row whose scores are wanted, and the one behind the last.

        Yields:
            First row of a part, and its scores ``(class, h, w)``, which are overwritten by the next.
        """
        first, end = rows
        inputs: list[NDArray[Any]] = []
        for image, (again, span) in zip((values, valid), self._seen, strict=True):
            shape = (1, *image.shape[:-2], self._strip + again, span[1] - span[0])
            inputs.append(np.zeros(shape, image.dtype))
        for number, array in enumerate(inputs):
            self._request.set_input_tensor(number, self._tensor(array, shared_memory=True))
        self._request.set_output_tensor(0, self._tensor(self._scores, shared_memory=True))
        for kept in self._kept:
            kept.clear()
        for strip in range(-(-(end + self._lag) // self._strip)):
            for image, array, (again, span) in zip((values, valid), inputs, self._seen, strict=True):
                _rows_into(array[0], image[..., span[0] : span[1]], strip * self._strip - again)
            for number, kept in enumerate(self._kept):
                given, made = kept.tensors(strip)
                self._request.set_input_tensor(number + len(inputs), given)
                self._request.set_output_tensor(number + 1, made)
            self._request.infer()
            made_first = strip * self._strip - self._lag
            top, bottom = max(made_first, first), min(made_first + self._strip, end)
            if top < bottom:
                yield top, self._scores[0, :, top - made_first : bottom - made_first]


def _rows_into(target: NDArray[Any], image: NDArray[Any], first: int) -> None:
    """Copy rows from ``first`` on; those that there are not are not to be believed."""
    rows, height = target.shape[-2], image.shape[-2]
    top, bottom = min(max(first, 0), height), min(max(first + rows, 0), height)
    target[..., : max(top - first, 0), :] = 0
    target[..., max(bottom - first, 0) :, :] = 0
    target[..., max(top - first, 0) : max(bottom - first, 0), :] = image[..., top:bottom, :]
