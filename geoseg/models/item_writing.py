"""Writes a model spec as a STAC item with the Machine Learning Model extension; ``geoseg.models.item`` reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from geoseg.models.item import PREFIX, STEPS_FORMAT, multihash
from geoseg.models.spec import SEMANTIC, ModelSpec, WeightsRef
from geoseg.models.steps import JSON, value_scaling_from_steps

_EXTENSIONS = (
    "https://stac-extensions.github.io/mlm/v1.6.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
)
_ARTIFACT_OF: Mapping[str, str] = {
    "safetensors": "safetensors.torch.save_file",
    "raw-float32": "geoseg:raw-float32",
    "pickle": "torch.save",
}


def item_from_spec(spec: ModelSpec) -> dict[str, Any]:  # Any: a JSON document
    """The item that describes a spec. It has no place and no time: ``spec_from_item`` reads it back equal."""
    properties: dict[str, Any] = {
        "title": spec.title,
        "license": spec.licence,
        "datetime": None,
        # STAC wants a time; a network is not bound to one, so the range is the extension's own way to say "any".
        "start_datetime": "1900-01-01T00:00:00Z",
        "end_datetime": "9999-12-31T23:59:59Z",
        "bands": [{"name": band} for band in spec.bands],
        "mlm:name": spec.name,
        "mlm:architecture": spec.architecture,
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": "pytorch",
        "mlm:pretrained": True,
        "mlm:accelerator_constrained": False,
        "mlm:input": [_write_input(spec)],
        "mlm:output": [_write_output(spec)],
        "mlm:hyperparameters": {**spec.hyperparameters, **_own_hyperparameters(spec)},
    }
    if spec.attribution:
        properties["geoseg:attribution"] = spec.attribution
    if spec.notes:
        properties["geoseg:notes"] = list(spec.notes)
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(_EXTENSIONS),
        "id": spec.name,
        "geometry": None,
        "properties": properties,
        "links": [{"rel": "via", "href": spec.source}] if spec.source else [],
        "assets": _write_assets(spec.weights),
    }


def measured_hyperparameters(spec: ModelSpec) -> dict[str, JSON]:
    """The hyperparameters that ``geoseg models check`` measures, as they stand in an item."""
    document: dict[str, JSON] = {
        "kind": spec.kind,
        "stride_px": spec.stride_px,
        "radius_px": list(spec.radius_px),
        "cell_px": spec.cell_px,
        "workspace_bytes_per_px": spec.workspace_bytes_per_px,
    }
    if spec.kind == "global":
        document |= {"chip_px": spec.chip_px, "chip_step_px": spec.chip_step_px}
    return {PREFIX + key: value for key, value in document.items()}


def _own_hyperparameters(spec: ModelSpec) -> dict[str, JSON]:
    document: dict[str, JSON] = {"quantity": spec.quantity, "fill": list(spec.fill)}
    if spec.resolution_m is not None:
        document["resolution_m"] = spec.resolution_m
    if spec.resolution_range_m is not None:
        document["resolution_range_m"] = list(spec.resolution_range_m)
    if spec.expects is not None:
        document["expects"] = spec.expects
    if spec.temperature != 1:
        document["temperature"] = spec.temperature
    if spec.temperatures:
        document["temperatures"] = list(spec.temperatures)
    if spec.head != SEMANTIC:
        document |= {"head": spec.head, **{f"head.{key}": value for key, value in spec.head_settings.items()}}
    return {**{PREFIX + key: value for key, value in document.items()}, **measured_hyperparameters(spec)}


def _write_input(spec: ModelSpec) -> dict[str, Any]:  # Any: a JSON document
    document: dict[str, Any] = {
        "name": "image",
        "bands": list(spec.bands),
        "input": {
            "shape": [-1, *([spec.dates] if spec.dates > 1 else []), len(spec.bands), -1, -1],
            "dim_order": ["batch", *(["time"] if spec.dates > 1 else []), "bands", "height", "width"],
            "data_type": "float32",
        },
        "resize_type": None,
    }
    scaling = value_scaling_from_steps(spec.transform)
    if scaling is None:
        steps = [step.to_json() for step in spec.transform]
        document["pre_processing_function"] = {"format": STEPS_FORMAT, "expression": steps}
    elif scaling:
        document["value_scaling"] = scaling
    return document


def _write_output(spec: ModelSpec) -> dict[str, Any]:  # Any: a JSON document
    classes = []
    for info in spec.classes:
        row: dict[str, JSON] = {
            "value": info.index,
            "name": re.sub(r"[^0-9A-Za-z]+", "-", info.name).strip("-"),
            "title": info.name,
            "color_hint": info.colour[1:].upper(),
        }
        if info.description:
            row["description"] = info.description
        if info.code is not None:
            row["geoseg:code"] = info.code
        classes.append(row)
    channels = 1 if spec.hyperparameters.get("classes") == 1 else len(classes)
    return {
        "name": "classes",
        "tasks": ["semantic-segmentation"],
        "result": {
            "shape": [-1, channels, -1, -1],
            "dim_order": ["batch", "class", "height", "width"],
            "data_type": "float32",
        },
        "classification:classes": classes,
        "post_processing_function": None,
    }


def _write_assets(weights: WeightsRef) -> dict[str, Any]:  # Any: a JSON document
    asset: dict[str, Any] = {
        "href": weights.href,
        "roles": ["mlm:model", "mlm:weights"],
        "type": "application/octet-stream",
        "mlm:artifact_type": _ARTIFACT_OF[weights.format],
        "file:checksum": multihash(weights.sha256),
    }
    if weights.size_bytes is not None:
        asset["file:size"] = weights.size_bytes
    if PurePosixPath(weights.href.split("?")[0]).name != weights.file_name:
        asset["geoseg:file_name"] = weights.file_name
    assets = {"weights": asset}
    if weights.layout is not None and weights.layout_sha256 is not None:
        assets["layout"] = {
            "href": weights.layout,
            "roles": ["metadata"],
            "type": "application/json",
            "file:checksum": multihash(weights.layout_sha256),
        }
    return assets
