"""The input transform of a model, as data.

A step is a named operation with one number for all bands or one number per band. Steps come from a model's STAC item,
either from ``value_scaling`` or from a ``geoseg:steps`` expression; nothing here runs code that a model folder names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from geoseg.errors import ModelSpecError

type JSON = dict[str, JSON] | list[JSON] | str | int | float | bool | None

#: Operation -> its parameters; a parameter marked "?" may be left out.
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "multiply": ("by",),
    "divide": ("by",),
    "add": ("by",),
    "subtract": ("by",),
    "affine": ("scale", "offset"),
    "zscore": ("mean", "std"),
    "minmax": ("minimum", "maximum"),
    "clip": ("minimum?", "maximum?"),
    "log1p": ("scale?",),
    "exp": (),
    "logistic": (),
}

_LEFT_OUT = {"minimum": -math.inf, "maximum": math.inf, "scale": 1.0}


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of an input transform, applied to every pixel alone.

    Attributes:
        op: Name of the operation, a key of ``OPERATIONS``.
        parameters: (name, numbers) in the order of ``OPERATIONS``; one number for all bands or one per band. ``clip``
            has infinities where a side is open.
    """

    op: str
    parameters: tuple[tuple[str, tuple[float, ...]], ...] = ()

    def __getitem__(self, name: str) -> tuple[float, ...]:
        """The numbers of a parameter."""
        return dict(self.parameters)[name]

    @classmethod
    def of(cls, op: str, **parameters: float | Sequence[float]) -> Self:
        """A step from keywords: ``Step.of("zscore", mean=[0.1, 0.2], std=0.05)``.

        Raises:
            ModelSpecError: If the operation or a parameter is unknown, or one is missing.
        """
        document: dict[str, JSON] = {"op": op}
        for name, value in parameters.items():
            document[name] = value if isinstance(value, int | float) else [float(number) for number in value]
        return cls.from_json(document)

    @classmethod
    def from_json(cls, document: JSON) -> Self:
        """A step from ``{"op": "zscore", "mean": [...], "std": [...]}``.

        Raises:
            ModelSpecError: If the operation or a parameter is unknown, one is missing, or a number would make the
                step useless (a divisor of zero, an empty interval).
        """
        if not isinstance(document, dict) or document.get("op") not in OPERATIONS:
            raise ModelSpecError(
                f"an input step {document!r}",
                f"an object whose 'op' is one of {', '.join(OPERATIONS)}",
                "write the model's input transform with these operations",
            )
        op = str(document["op"])
        names = {name.rstrip("?"): name.endswith("?") for name in OPERATIONS[op]}
        if unknown := sorted(document.keys() - names.keys() - {"op"}):
            raise _bad(op, f"parameter {unknown[0]!r}", f"the parameters {', '.join(names) or '(none)'}")
        numbers: list[tuple[str, tuple[float, ...]]] = []
        for name, optional in names.items():
            if name not in document and not optional:
                raise _bad(op, f"no {name!r}", "one number for all bands or one per band")
            numbers.append((name, _numbers(op, name, document.get(name), optional)))
        step = cls(op, tuple(numbers))
        step._check()
        return step

    def to_json(self) -> dict[str, JSON]:
        """The inverse of ``from_json``."""
        document: dict[str, JSON] = {"op": self.op}
        for name, numbers in self.parameters:
            if f"{name}?" not in OPERATIONS[self.op] or any(number != _LEFT_OUT[name] for number in numbers):
                document[name] = _to_json(numbers)
        return document

    def check_bands(self, bands: int) -> None:
        """Raise ``ModelSpecError`` unless every parameter has one number or one per band."""
        for name, numbers in self.parameters:
            if len(numbers) not in {1, bands}:
                raise _bad(self.op, f"{len(numbers)} numbers in {name!r}", f"1 or {bands}, the number of bands")

    def _check(self) -> None:
        """Refuse divisors of zero and empty intervals."""
        values = dict(self.parameters)
        if self.op == "divide" and 0 in values["by"]:
            raise _bad("divide", "a divisor of 0", "numbers other than 0")
        if self.op == "zscore" and min(values["std"]) <= 0:
            raise _bad("zscore", "a 'std' of 0 or less", "positive numbers")
        if self.op in {"minmax", "clip"}:
            low, high = values["minimum"], values["maximum"]
            size = max(len(low), len(high))
            pairs = zip(low * (size // len(low)), high * (size // len(high)), strict=False)
            if any(first >= second for first, second in pairs):
                raise _bad(self.op, "a minimum that is not below the maximum", "minimum < maximum")


def steps_from_value_scaling(entries: JSON, bands: int) -> tuple[Step, ...]:
    """The steps that an MLM ``value_scaling`` list asks for.

    Args:
        entries: The list: one entry for all bands, or one entry (or null) per band.
        bands: Number of bands.

    Returns:
        At most one affine and one clip step; a z-score stays a ``zscore`` step when every band has one.

    Raises:
        ModelSpecError: If the number of entries does not fit, or an entry cannot be obeyed.
    """
    if entries is None or entries == []:
        return ()
    if not isinstance(entries, list) or len(entries) not in {1, bands}:
        count = len(entries) if isinstance(entries, list) else entries
        raise _bad("value_scaling", f"{count} entries for {bands} bands", f"1 entry for all bands, or {bands}")
    steps = [_scaling_step(entry) for entry in entries]
    kinds = {step.op for step in steps if step is not None}
    if len(kinds) == 1 and None not in steps:
        op = kinds.pop()
        whole = [step for step in steps if step is not None]
        names = [name for name, _ in whole[0].parameters]
        joined = tuple((name, tuple(step[name][0] for step in whole)) for name in names)
        return (Step(op, joined),)
    return _mixed(steps)


def value_scaling_from_steps(steps: Sequence[Step]) -> list[JSON] | None:
    """The ``value_scaling`` list that says the same, or ``None`` where only ``geoseg:steps`` can."""
    if not steps:
        return []
    if len(steps) > 1:
        return None
    (step,) = steps
    writers = {
        "zscore": ("z-score", {"mean": "mean", "stddev": "std"}),
        "minmax": ("min-max", {"minimum": "minimum", "maximum": "maximum"}),
        "subtract": ("offset", {"value": "by"}),
        "divide": ("scale", {"value": "by"}),
    }
    if step.op not in writers:
        return None
    kind, fields = writers[step.op]
    size = max(len(numbers) for _, numbers in step.parameters)
    rows: list[JSON] = []
    for index in range(size):
        row: dict[str, JSON] = {"type": kind}
        for field, name in fields.items():
            numbers = step[name]
            row[field] = numbers[index if len(numbers) > 1 else 0]
        rows.append(row)
    return rows


def _scaling_step(entry: JSON) -> Step | None:
    """One entry of ``value_scaling`` as a step with one number per parameter."""
    if entry is None:
        return None
    readers = {
        "z-score": ("zscore", {"mean": "mean", "std": "stddev"}),
        "min-max": ("minmax", {"minimum": "minimum", "maximum": "maximum"}),
        "clip": ("clip", {"minimum": "minimum", "maximum": "maximum"}),
        "clip-min": ("clip", {"minimum": "minimum"}),
        "clip-max": ("clip", {"maximum": "maximum"}),
        "offset": ("subtract", {"by": "value"}),
        "scale": ("divide", {"by": "value"}),
    }
    kind = entry.get("type") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or kind not in readers:
        raise _bad(
            "value_scaling",
            f"an entry {entry!r}",
            f"an object whose 'type' is one of {', '.join(readers)}, or a geoseg:steps pre_processing_function",
        )
    op, fields = readers[str(kind)]
    if missing := [field for field in fields.values() if field not in entry]:
        raise _bad("value_scaling", f"a {kind} entry without {missing[0]!r}", f"{', '.join(fields.values())}")
    return Step.from_json({"op": op, **{name: entry[field] for name, field in fields.items()}})


def _mixed(steps: Sequence[Step | None]) -> tuple[Step, ...]:
    """Different operations on different bands, as one affine and one clip over all bands."""
    scale, offset, low, high = [], [], [], []
    for step in steps:
        if step is None or step.op == "clip":
            factor, constant = 1.0, 0.0
        else:
            factor, constant = linear_form(step, 0)
        scale.append(factor)
        offset.append(constant)
        low.append(step["minimum"][0] if step is not None and step.op == "clip" else -math.inf)
        high.append(step["maximum"][0] if step is not None and step.op == "clip" else math.inf)
    result = []
    if set(scale) != {1.0} or set(offset) != {0.0}:
        result.append(Step("affine", (("scale", tuple(scale)), ("offset", tuple(offset)))))
    if set(low) != {-math.inf} or set(high) != {math.inf}:
        result.append(Step("clip", (("minimum", tuple(low)), ("maximum", tuple(high)))))
    return tuple(result)


def linear_form(step: Step, band: int) -> tuple[float, float]:
    """Factor and constant of a linear step for one band: ``x -> factor * x + constant``.

    Raises:
        KeyError: If the step is not linear.
    """
    first, *rest = (numbers[band if len(numbers) > 1 else 0] for _, numbers in step.parameters)
    second = rest[0] if rest else 0.0
    return {
        "multiply": lambda: (first, 0.0),
        "divide": lambda: (1.0 / first, 0.0),
        "add": lambda: (1.0, first),
        "subtract": lambda: (1.0, -first),
        "affine": lambda: (first, second),
        "zscore": lambda: (1.0 / second, -first / second),
        "minmax": lambda: (1.0 / (second - first), -first / (second - first)),
    }[step.op]()


def _numbers(op: str, name: str, value: JSON, optional: bool) -> tuple[float, ...]:
    """Read one parameter."""
    values = value if isinstance(value, list) else [value]
    result = []
    for number in values:
        if number is None and optional:
            result.append(_LEFT_OUT[name])
        elif isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise _bad(op, f"{name} = {value!r}", "one finite number for all bands or one per band")
        else:
            result.append(float(number))
    if not result:
        raise _bad(op, f"an empty {name!r}", "one number for all bands or one per band")
    return tuple(result)


def _to_json(numbers: tuple[float, ...]) -> JSON:
    """Numbers of one parameter; an open side of a clip is null."""
    values: list[JSON] = [number if math.isfinite(number) else None for number in numbers]
    return values[0] if len(values) == 1 else values


def _bad(op: str, given: str, expected: str) -> ModelSpecError:
    return ModelSpecError(f"{given} in the input step {op!r}", expected, "correct the model's item.json")
