"""Bodies as the standards require them, in JSON Schema.

Written from the tables of OGC API - Processes 1.0 (18-062r2) and the draft of 2.0, and OGC API - Features 1.0: what is
required, and of what kind. Members that the standards do not name are free in both.
"""

from __future__ import annotations

from typing import Any

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_TIME = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$",
}
LINK = {
    "type": "object",
    "required": ["href"],
    "properties": {name: {"type": "string"} for name in ("href", "rel", "type", "hreflang", "title")},
}
LINKS = {"type": "array", "items": LINK}


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties}


LANDING = _object("links", title=_TEXT, description=_TEXT, links={**LINKS, "minItems": 5})
CONFORMANCE = _object(
    "conformsTo", conformsTo={"type": "array", "items": {"type": "string", "format": "uri"}, "minItems": 1}
)
EXCEPTION = _object(
    "type", type=_TEXT, title={"type": "string"}, status={"type": "integer"}, detail={"type": "string"}, instance=_TEXT
)
_SUMMARY = {
    "id": _TEXT,
    "version": _TEXT,
    "title": {"type": "string"},
    "description": {"type": "string"},
    "jobControlOptions": {"type": "array", "items": {"enum": ["sync-execute", "async-execute", "dismiss"]}},
    "outputTransmission": {"type": "array", "items": {"enum": ["value", "reference"]}},
    "links": LINKS,
}
PROCESS_LIST = _object(
    "processes links", processes={"type": "array", "items": _object("id version", **_SUMMARY)}, links=LINKS
)
_SCHEMA = {
    "type": "object",
    "properties": {"type": {"enum": ["array", "boolean", "integer", "number", "object", "string"]}},
}
_OCCURS = {"minOccurs": {"type": "integer"}, "maxOccurs": {"oneOf": [{"type": "integer"}, {"enum": ["unbounded"]}]}}
PROCESS = _object(
    "id version inputs outputs",
    **_SUMMARY,
    inputs={"type": "object", "additionalProperties": _object("schema", schema=_SCHEMA, title=_TEXT, **_OCCURS)},
    outputs={"type": "object", "additionalProperties": _object("schema", schema=_SCHEMA, title=_TEXT)},
)
STATUS = _object(
    "jobID id status type processID processingEntityType",
    jobID=_TEXT,
    id=_TEXT,
    processID=_TEXT,
    type={"enum": ["process"]},
    processingEntityType={"enum": ["ogc-api-processes"]},
    status={"enum": ["accepted", "running", "successful", "failed", "dismissed"]},
    message={"type": "string"},
    created=_TIME,
    started=_TIME,
    finished=_TIME,
    updated=_TIME,
    progress={"type": "integer", "minimum": 0, "maximum": 100},
    exception=EXCEPTION,
    links=LINKS,
)
JOB_LIST = _object("jobs links", jobs={"type": "array", "items": STATUS, "minItems": 1}, links=LINKS)
_QUALIFIED = _object("value", value={}, mediaType=_TEXT)
RESULTS = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [{"type": ["string", "number", "integer", "boolean", "array"]}, _QUALIFIED, LINK],
        "not": {"type": "object", "required": ["href", "value"]},
    },
}
FEATURES = _object(
    "type features links timeStamp numberReturned",
    type={"enum": ["FeatureCollection"]},
    features={
        "type": "array",
        "items": _object(
            "type id geometry properties",
            type={"enum": ["Feature"]},
            geometry=_object("type coordinates", type={"enum": ["Polygon", "MultiPolygon"]}),
        ),
    },
    links=LINKS,
    timeStamp=_TIME,
    numberReturned={"type": "integer", "minimum": 0},
    numberMatched={"type": "integer", "minimum": 0},
)
_BOX = {"type": "array", "minItems": 4, "maxItems": 6, "items": {"type": "number"}}
_COLLECTION = _object(
    "id links",
    id=_TEXT,
    links=LINKS,
    itemType={"enum": ["feature"]},
    crs={"type": "array", "items": _TEXT},
    extent=_object(
        "spatial",
        spatial=_object("bbox", bbox={"type": "array", "minItems": 1, "items": _BOX}),
        temporal=_object(
            "interval", interval={"type": "array", "items": {"type": "array", "minItems": 2, "maxItems": 2}}
        ),
    ),
)
COLLECTIONS = _object("collections links", collections={"type": "array", "items": _COLLECTION}, links=LINKS)
