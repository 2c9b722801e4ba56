"""The processes: one for each shipped workflow, and ``echo`` for conformance tests."""

from __future__ import annotations

from functools import cache
from typing import Any

from geoseg import __version__
from geoseg.spec import JobSpec, list_workflows, load_workflow
from geoseg_api.problems import naming_inputs
from geoseg_api.results import COG, OUTPUTS

EXECUTE = "http://www.opengis.net/def/rel/ogc/1.0/execute"
_GEOJSON = "application/geo+json"


def process_ids(*, with_echo: bool) -> list[str]:
    """Names of the processes."""
    return [*list_workflows(), *(["echo"] if with_echo else [])]


@cache
def summary(process_id: str) -> dict[str, Any]:
    """What a list says of a process."""
    found = {
        "id": process_id,
        "version": __version__,
        "jobControlOptions": ["sync-execute", "async-execute", "dismiss"],
        "outputTransmission": ["reference", "value"],
    }
    if process_id == "echo":
        return {
            **found,
            "title": "Echo",
            "description": "Gives back what it gets, after a pause; for tests of clients.",
        }
    words = _words(process_id)
    return {**found, "title": words["title"], "description": words["description"]}


@cache
def description(process_id: str) -> dict[str, Any]:
    """Everything of a process but its links."""
    if process_id == "echo":
        return {**summary(process_id), "inputs": _ECHO_INPUTS, "outputs": _ECHO_OUTPUTS}
    return {**summary(process_id), "inputs": _inputs(process_id), "outputs": _outputs()}


def _words(process_id: str) -> dict[str, str]:
    import yaml  # noqa: PLC0415

    from geoseg.spec import workflow_folder  # noqa: PLC0415

    document = yaml.safe_load((workflow_folder() / f"{process_id}.yaml").read_text(encoding="utf-8"))
    title, said = str(document.get("title", process_id)), str(document.get("description", ""))
    return {"title": title, "description": naming_inputs(said)}


def _inputs(process_id: str) -> dict[str, Any]:
    """Every field of a job; what the workflow states is the default."""
    fixed = load_workflow(process_id)
    schema = JobSpec.model_json_schema()
    found = {}
    for name, field in JobSpec.model_fields.items():
        shape = {key: value for key, value in schema["properties"][name].items() if key not in {"title", "description"}}
        if name == "aoi":
            shape = _AOI
        elif name == "workflow":
            shape = {"type": "string", "enum": [process_id], "default": process_id}
        elif name in fixed:
            shape = {**shape, "default": fixed[name]}
        shape = _as_published(shape)
        is_list = _is_list(shape)
        found[name] = {
            "title": name.replace("_", " "),
            "description": naming_inputs(field.description or ""),
            "schema": shape["items"] if is_list and "items" in shape else shape,
            "minOccurs": 0,
            "maxOccurs": "unbounded" if is_list else 1,
        }
    return found


def _as_published(shape: dict[str, Any]) -> dict[str, Any]:
    """A JSON Schema in the words of OpenAPI 3.0, which are those of the standard's ``schema.yaml``: no null, no const."""
    options = [option for option in shape.get("anyOf", []) if option.get("type") != "null"]
    if len(options) == 1:
        shape = {name: value for name, value in shape.items() if name != "anyOf"} | options[0] | {"nullable": True}
    found: dict[str, Any] = {}
    for name, value in shape.items():
        if name == "const":
            found["enum"] = [value]
        elif name in {"exclusiveMinimum", "exclusiveMaximum"}:
            found |= {name.removeprefix("exclusive").lower(): value, name: True}
        elif name in {"anyOf", "oneOf", "allOf"}:
            found[name] = [_as_published(one) for one in value]
        elif name == "items":
            found[name] = _as_published(value)
        elif (name, value) != ("default", None):
            found[name] = value
    return found


def _is_list(shape: dict[str, Any]) -> bool:
    return shape.get("type") == "array"


_AOI = {
    "description": "GeoJSON in longitude and latitude (a geometry, Feature or FeatureCollection), or a box.",
    "oneOf": [
        {"allOf": [{"format": "geojson-geometry"}, {"type": "object", "required": ["type"]}]},
        {"allOf": [{"format": "ogc-bbox"}, {"type": "object", "required": ["bbox"]}]},
        {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4},
    ],
}


def _outputs() -> dict[str, Any]:
    return {
        name: {
            "title": kind.title,
            "description": kind.title,
            "schema": _schema_of(kind.media_type),
        }
        for name, kind in OUTPUTS.items()
    }


def _schema_of(media_type: str) -> dict[str, Any]:
    if media_type in {_GEOJSON, "application/json"}:
        return {"type": "object", "contentMediaType": media_type}
    binary = {} if media_type.startswith("text/") else {"contentEncoding": "binary"}
    return {"type": "string", "contentMediaType": COG if media_type == COG else media_type, **binary}


def _echo_input(title: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "description": title, "schema": schema, "minOccurs": 0, "maxOccurs": 1}


ECHO_SCHEMAS: dict[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "object": {"type": "object"},
    "bbox": {
        "type": "object",
        "required": ["bbox"],
        "properties": {
            "bbox": {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 6},
            "crs": {"type": "string"},
        },
        "format": "ogc-bbox",
    },
    "pause": {"type": "number", "minimum": 0, "maximum": 60, "default": 0},
}
_ECHO_INPUTS = {name: _echo_input(name, schema) for name, schema in ECHO_SCHEMAS.items()}
_ECHO_OUTPUTS = {
    name: {"title": name, "description": f"the input {name}", "schema": schema} for name, schema in ECHO_SCHEMAS.items()
}
