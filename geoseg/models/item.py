"""Model specs from STAC items with the Machine Learning Model extension (v1.6).

The item is read and obeyed: what cannot be obeyed is refused, never ignored. Facts that MLM has no place for are
hyperparameters whose names start with ``geoseg.``; the other hyperparameters are arguments of the network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, get_args

from geoseg.errors import ModelSpecError
from geoseg.models.spec import SEMANTIC, ClassInfo, ModelSpec, Quantity, WeightsFormat, WeightsRef
from geoseg.models.steps import Step, steps_from_value_scaling

PREFIX = "geoseg."
STEPS_FORMAT = "geoseg:steps"

_ARTIFACTS: Mapping[str, WeightsFormat] = {
    "safetensors.torch.save_file": "safetensors",
    "safetensors.torch.save_model": "safetensors",
    "geoseg:raw-float32": "raw-float32",
    "torch.save": "pickle",
}
_HEAD = "head."
_HYPERPARAMETER_NAME = re.compile(r"[0-9a-zA-Z_.-]+")

type Document = Mapping[str, Any]  # Any: parsed JSON whose shape is checked field by field below


class _Reader:
    """Takes fields out of an item and says which one is wrong."""

    def __init__(self, item: Document) -> None:
        properties = item.get("properties")
        self.name = str(item.get("id") or "")
        self.properties: Document = properties if isinstance(properties, Mapping) else {}
        if not self.name or not self.properties:
            raise self.error("no id or no properties", "a STAC item with the MLM extension")
        hyperparameters = self.properties.get("mlm:hyperparameters") or {}
        if bad := [key for key in hyperparameters if not _HYPERPARAMETER_NAME.fullmatch(key)]:
            raise self.error(f"hyperparameter {bad[0]!r}", "letters, digits, '_', '.' and '-' only")
        self.own = {key[len(PREFIX) :]: value for key, value in hyperparameters.items() if key.startswith(PREFIX)}
        self.network = {key: value for key, value in hyperparameters.items() if not key.startswith(PREFIX)}

    def error(self, given: str, expected: str) -> ModelSpecError:
        return ModelSpecError(f"model item {self.name!r}: {given}", expected, "correct the model's item.json")

    def text(self, value: object, place: str) -> str:
        if not isinstance(value, str) or not value:
            raise self.error(f"{place} = {value!r}", "a text")
        return value

    def single(self, place: str) -> Document:
        """The only entry of ``mlm:input`` or ``mlm:output``."""
        entries = self.properties.get(place)
        if not isinstance(entries, Sequence) or len(entries) != 1 or not isinstance(entries[0], Mapping):
            raise self.error(f"{place} = {entries!r}", "exactly one entry")
        return entries[0]

    def measured(self, key: str) -> Any:  # Any: a JSON value, checked by the caller or by ModelSpec
        """A fact that ``geoseg models check`` measures."""
        if key not in self.own:
            raise ModelSpecError(
                f"model item {self.name!r} without the hyperparameter {PREFIX}{key}",
                "a measured fact about the network",
                "run: geoseg models check --write FOLDER",
            )
        return self.own[key]

    def integer(self, value: object, place: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(f"{place} = {value!r}", "a whole number")
        return value

    def number(self, value: object, place: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"{place} = {value!r}", "a number")
        return float(value)

    def numbers(self, value: object, place: str) -> tuple[float, ...]:
        values = value if isinstance(value, list) else [value]
        return tuple(self.number(entry, place) for entry in values)


def spec_from_item(item: Document) -> ModelSpec:
    """The spec that an item describes.

    Args:
        item: Parsed ``item.json``.

    Raises:
        ModelSpecError: If a needed fact is missing, contradictory, or cannot be obeyed.
    """
    try:
        return _spec_of(item)
    except (AttributeError, TypeError, LookupError, ValueError, OverflowError) as err:  # a list where an object belongs
        raise ModelSpecError(
            f"an item with a value of another kind than its name says: {err}",
            "an item of the STAC MLM extension, each member of the kind that it describes",
            "correct item.json",
        ) from err


def _spec_of(item: Document) -> ModelSpec:
    reader = _Reader(item)
    properties, own = reader.properties, reader.own
    bands, dates, transform = _read_input(reader)
    architecture = reader.text(properties.get("mlm:architecture"), "mlm:architecture")
    resolution_range = own.get("resolution_range_m")
    radius = reader.measured("radius_px")
    spec = ModelSpec(
        name=reader.name,
        title=str(properties.get("title") or properties.get("mlm:name") or reader.name),
        licence=reader.text(properties.get("license"), "license"),
        attribution=str(properties.get("geoseg:attribution") or ""),
        source=_link(item, "via"),
        bands=bands,
        quantity=_quantity(reader),
        resolution_m=None if own.get("resolution_m") is None else reader.number(own["resolution_m"], "resolution_m"),
        resolution_range_m=None if resolution_range is None else _pair(reader, resolution_range),
        transform=transform,
        fill=reader.numbers(own.get("fill", 0.0), "fill"),
        classes=_read_classes(reader),
        kind=reader.measured("kind"),
        stride_px=reader.integer(reader.measured("stride_px"), "stride_px"),
        radius_px=_sides(reader, radius),
        cell_px=reader.integer(own.get("cell_px", 256), "cell_px"),
        chip_px=None if own.get("chip_px") is None else reader.integer(own["chip_px"], "chip_px"),
        chip_step_px=None if own.get("chip_step_px") is None else reader.integer(own["chip_step_px"], "chip_step_px"),
        workspace_bytes_per_px=reader.number(reader.measured("workspace_bytes_per_px"), "workspace_bytes_per_px"),
        expects=own.get("expects"),
        notes=tuple(properties.get("geoseg:notes") or ()),
        temperature=reader.number(own.get("temperature", 1.0), "temperature"),
        temperatures=reader.numbers(own.get("temperatures", []), "temperatures"),
        head=reader.text(own.get("head", SEMANTIC), PREFIX + "head"),
        head_settings={key[len(_HEAD) :]: value for key, value in own.items() if key.startswith(_HEAD)},
        architecture=architecture,
        hyperparameters=reader.network,
        weights=_read_weights(reader, item),
        dates=dates,
    )
    _check_input_size(reader, spec)
    return spec


def _read_input(reader: _Reader) -> tuple[tuple[str, ...], int, tuple[Step, ...]]:
    """Bands, dates and transform of the only input."""
    entry = reader.single("mlm:input")
    bands = tuple(
        reader.text(band.get("name") if isinstance(band, Mapping) else band, "mlm:input bands")
        for band in entry.get("bands") or ()
    )
    if any(isinstance(band, Mapping) and band.get("expression") is not None for band in entry.get("bands") or ()):
        raise reader.error("a band that is an expression", "bands that the scenes have")
    structure = entry.get("input") or {}
    order, shape = list(structure.get("dim_order") or ()), list(structure.get("shape") or ())
    if [name for name in order if name != "time"] not in (
        ["batch", "bands", "height", "width"],
        ["batch", "channel", "height", "width"],
    ) or "time" in (order[:1] + order[2:]):
        raise reader.error(f"input dim_order {order}", "batch, time (of two dates), bands, height, width")
    dates = reader.integer(shape[1], "dates of the input shape") if "time" in order and len(shape) == 5 else 1
    if len(shape) != len(order) or shape[-3] != len(bands):
        raise reader.error(f"input shape {shape} for {len(bands)} bands", f"[-1, {len(bands)}, -1, -1]")
    if structure.get("data_type") != "float32":
        raise reader.error(f"input data_type {structure.get('data_type')!r}", "float32")
    if entry.get("resize_type") not in {None, "pad", "crop"}:
        raise reader.error(f"resize_type {entry['resize_type']!r}", "null, pad or crop: chips are never resampled")
    return bands, dates, _read_transform(reader, entry, len(bands))


def _read_transform(reader: _Reader, entry: Document, bands: int) -> tuple[Step, ...]:
    """Steps from value_scaling or from a geoseg:steps expression."""
    scaling, function = entry.get("value_scaling"), entry.get("pre_processing_function")
    if function is None:
        return steps_from_value_scaling(scaling, bands)
    if scaling:
        raise reader.error("value_scaling and pre_processing_function", "one of the two")
    if not isinstance(function, Mapping) or function.get("format") != STEPS_FORMAT:
        raise reader.error(
            f"a pre_processing_function {function!r}", f"the format {STEPS_FORMAT!r}; no code of a model folder is run"
        )
    expression = function.get("expression")
    if not isinstance(expression, list):
        raise reader.error(f"the steps {expression!r}", "a list of steps")
    return tuple(Step.from_json(step) for step in expression)


def _read_classes(reader: _Reader) -> tuple[ClassInfo, ...]:
    entry = reader.single("mlm:output")
    if entry.get("post_processing_function") is not None:
        raise reader.error("a post_processing_function", "none: the network's output is taken as logits")
    result = entry.get("result") or {}
    order, shape = list(result.get("dim_order") or ()), list(result.get("shape") or ())
    if len(order) != 4 or order[1] not in {"class", "channel", "bands"} or order[2:] != ["height", "width"]:
        raise reader.error(f"output dim_order {order}", "batch, class, height, width")
    classes = tuple(_read_class(reader, row) for row in entry.get("classification:classes") or ())
    allowed = {len(classes), 1} if len(classes) == 2 else {len(classes)}
    if len(shape) != 4 or shape[1] not in allowed:
        raise reader.error(f"output shape {shape} for {len(classes)} classes", f"[-1, {len(classes)}, -1, -1]")
    return tuple(sorted(classes, key=lambda info: info.index))


def _read_class(reader: _Reader, row: Document) -> ClassInfo:
    colour = str(row.get("color_hint") or "808080").removeprefix("#").lower()
    return ClassInfo(
        index=reader.integer(row.get("value"), "class value"),
        name=reader.text(row.get("title") or row.get("name") or row.get("description"), "class name"),
        colour=f"#{colour}",
        code=row.get("geoseg:code"),
        description=str(row.get("description") or ""),
    )


def _read_weights(reader: _Reader, item: Document) -> WeightsRef:
    """The asset that holds the weights: safetensors when several are offered."""
    assets: Mapping[str, Document] = item.get("assets") or {}
    offered = [
        (order, asset)
        for asset in assets.values()
        if {"mlm:model", "mlm:weights"} & set(asset.get("roles") or ())
        for order, artifact in enumerate(_ARTIFACTS)
        if asset.get("mlm:artifact_type") == artifact
    ]
    if not offered:
        raise reader.error(
            f"no weights among the assets {sorted(assets)}",
            f"an asset with the role mlm:weights and mlm:artifact_type one of {', '.join(_ARTIFACTS)}",
        )
    asset = min(offered, key=lambda pair: pair[0])[1]
    href = reader.text(asset.get("href"), "weights href")
    layout = assets.get("layout") if asset["mlm:artifact_type"] == "geoseg:raw-float32" else None
    size = asset.get("file:size")
    return WeightsRef(
        file_name=str(asset.get("geoseg:file_name") or PurePosixPath(href.split("?")[0]).name),
        sha256=_sha256(reader, asset),
        size_bytes=None if size is None else reader.integer(size, "file:size"),
        href=href,
        format=_ARTIFACTS[asset["mlm:artifact_type"]],
        layout=None if layout is None else reader.text(layout.get("href"), "layout href"),
        layout_sha256=None if layout is None else _sha256(reader, layout),
    )


def multihash(sha256: str) -> str:
    """A SHA-256 as the file extension writes it: code 0x12, length in bytes, digest."""
    return f"12{len(sha256) // 2:02x}{sha256}"


def _sha256(reader: _Reader, asset: Document) -> str:
    checksum = reader.text(asset.get("file:checksum"), "file:checksum")
    if not checksum.startswith("12") or multihash(checksum[4:]) != checksum:
        raise reader.error(f"file:checksum {checksum!r}", "a SHA-256 multihash: 1220 and 64 hex digits")
    return checksum[4:]


def _link(item: Document, relation: str) -> str:
    return next((str(link.get("href")) for link in item.get("links") or () if link.get("rel") == relation), "")


def _quantity(reader: _Reader) -> Quantity:
    quantity: Quantity
    for quantity in get_args(Quantity):
        if reader.own.get("quantity") == quantity:
            return quantity
    raise reader.error(
        f"the hyperparameter {PREFIX}quantity = {reader.own.get('quantity')!r}",
        "reflectance (0 ... 1) or digital-number: the values that the transform starts from",
    )


def _pair(reader: _Reader, value: object) -> tuple[float, float]:
    numbers = reader.numbers(value, "resolution_range_m")
    if len(numbers) != 2:
        raise reader.error(f"resolution_range_m = {value!r}", "two numbers")
    return numbers[0], numbers[1]


def _sides(reader: _Reader, value: object) -> tuple[int, int, int, int]:
    sides = [reader.integer(side, "radius_px") for side in value] if isinstance(value, list) else []
    if len(sides) != 4:
        raise reader.error(f"radius_px = {value!r}", "four whole numbers: top, left, bottom, right")
    return sides[0], sides[1], sides[2], sides[3]


def _check_input_size(reader: _Reader, spec: ModelSpec) -> None:
    """A fixed height and width must be the chip's."""
    size = list(reader.single("mlm:input")["input"]["shape"])[-2:]
    if size not in ([-1, -1], [spec.chip_px, spec.chip_px]):
        raise reader.error(
            f"an input of {size[0]} x {size[1]} px, kind {spec.kind}, chip_px {spec.chip_px}",
            "-1 x -1, or the chip of a global model",
        )
