"""The body of a request to a ``JobSpec``, or to a refusal that names the member."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

from geoseg.aoi import AOI
from geoseg.aoi.scan import refuse_bomb
from geoseg.errors import GeosegError, InvalidAOIError, RequestError
from geoseg.models.registry import named_folders
from geoseg.settings import Settings
from geoseg.spec import JobSpec
from geoseg_api.gate import RefusedAddressError, check_address, check_path
from geoseg_api.problems import NO_OUTPUT, Problem
from geoseg_api.processes import ECHO_SCHEMAS
from geoseg_api.results import OUTPUTS
from geoseg_api.settings import ServiceSettings

_MEMBERS = {"inputs", "outputs", "response", "subscriber", "priority"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]{0,127}")
_CRS = re.compile(r"[A-Za-z_0-9]{2,16}:[A-Za-z0-9]{1,16}")
_CRS84 = {None, "http://www.opengis.net/def/crs/OGC/1.3/CRS84", "urn:ogc:def:crs:OGC:1.3:CRS84", "EPSG:4326"}
_MOST_TEXT = 2000
_JOB_ID = re.compile(r"[a-z0-9-]{1,64}")
# Fields that are time ranges, START/END.
_RANGES = {"/inputs/datetime", "/inputs/before", "/inputs/after"}
_RANGE = re.compile(r"[0-9T:.Z+-]*/[0-9T:.Z+-]*")
# A dem that ends so is a file, for geoseg.pipeline.evidence.
_RASTERS = {".tif", ".tiff", ".vrt", ".img", ".asc", ".hgt", ".dt2", ".jp2"}
# Fields whose words are addresses or paths, each of which goes through the gate.
_PLACES = {"catalog", "scenes", "scenes_before", "scenes_after"}


@dataclass(frozen=True, slots=True)
class Execution:
    """A request to execute a process.

    Attributes:
        inputs: By name; for ``echo`` as they came, else fields of a job.
        outputs: Names of the outputs asked for, each ``value``, ``reference`` or ``None`` for what is usual;
            ``None`` where the request says nothing of outputs.
        response: ``raw`` or ``document``; ``None`` where the request says nothing of it.
        priority: Each step counts like ten minutes of waiting.
        digest: Hash of the whole.
    """

    inputs: dict[str, Any]
    outputs: dict[str, str | None] | None
    response: str | None
    priority: int
    digest: str


def parse_json(body: bytes) -> Any:
    """JSON from someone nobody knows.

    Raises:
        Problem: If it is none, or costs too much to parse.
    """
    try:
        refuse_bomb(body, "the body")
        return json.loads(body.decode("utf-8-sig"), parse_constant=_no_constant)
    except InvalidAOIError as err:
        raise Problem(413, err.given, err.expected, "send less, or a simpler region") from err
    except (ValueError, RecursionError) as err:
        raise Problem(400, f"a body that is no JSON: {err}", "a JSON object in UTF-8", "see /docs") from err


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"the number {name}")


def read_execution(document: Any, process_id: str) -> Execution:
    """The members of a body, checked one by one.

    Raises:
        Problem: With the place of what is wrong.
    """
    if not isinstance(document, dict):
        raise _bad("", f"a body that is a JSON {type(document).__name__}", 'an object {"inputs": {…}}')
    unknown = sorted(set(document) - _MEMBERS)
    if unknown:
        raise _bad(f"/{unknown[0]}", f"the member {unknown[0][:64]!r}", f"one of {', '.join(sorted(_MEMBERS))}")
    inputs = document.get("inputs", {})
    if not isinstance(inputs, dict):
        raise _bad("/inputs", "inputs that are no object", "an object with one member for each input")
    if process_id == "echo" and "inputs" not in document:
        raise _bad("/inputs", "no inputs", "an object with one member for each input")
    if "subscriber" in document:
        raise _bad("/subscriber", "a subscriber", "none: this service calls nobody back; read /jobs/ID/events")
    response = document.get("response")
    if response not in {None, "raw", "document"}:
        raise _bad("/response", f"the response {str(response)[:64]!r}", "raw or document")
    priority = document.get("priority", 0)
    if not isinstance(priority, int) or isinstance(priority, bool) or not -10 <= priority <= 10:
        raise _bad("/priority", f"the priority {str(priority)[:64]!r}", "a whole number from -10 to 10")
    known = set(ECHO_SCHEMAS) if process_id == "echo" else set(OUTPUTS)
    digest = hashlib.sha256(json.dumps([process_id, document], sort_keys=True).encode()).hexdigest()
    return Execution(inputs, _outputs(document.get("outputs"), known), response, priority, digest)


def _outputs(given: Any, known: set[str]) -> dict[str, str | None] | None:
    if given is None:
        return None
    if not isinstance(given, dict):
        raise _bad("/outputs", "outputs that are no object", "an object with one member for each output")
    found: dict[str, str | None] = {}
    for name, how in given.items():
        if name not in known:
            raise _bad(f"/outputs/{name}", f"the output {name[:64]!r}", f"one of {', '.join(sorted(known))}", NO_OUTPUT)
        mode = how.get("transmissionMode") if isinstance(how, dict) else None
        if not isinstance(how, dict) or mode not in {None, "value", "reference"}:
            raise _bad(f"/outputs/{name}", "a transmission mode", "value or reference")
        found[name] = mode
    return found


def _bad(pointer: str, given: str, expected: str, kind: str = "about:blank") -> Problem:
    return Problem(400, given, expected, "the description of the process has every name", kind, pointer)


def echo_inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs of ``echo``, checked against what it takes.

    Raises:
        Problem: With the place of what is wrong.
    """
    found = {}
    for name, value in inputs.items():
        if name not in ECHO_SCHEMAS:
            raise _bad(f"/inputs/{name}", f"the input {name[:64]!r}", f"one of {', '.join(ECHO_SCHEMAS)}")
        plain = _value_of(name, value)
        good = {
            "text": isinstance(plain, str) and "\0" not in plain,
            "object": isinstance(plain, dict),
            "bbox": _is_bbox(plain),
            "pause": isinstance(plain, int | float) and not isinstance(plain, bool) and 0 <= plain <= 60,
        }[name]
        if not good:
            raise _bad(f"/inputs/{name}", f"{name} of another kind", json.dumps(ECHO_SCHEMAS[name]))
        found[name] = plain
    return found


def _is_bbox(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("crs", ""), str) or set(value) - {"bbox", "crs"}:
        return False
    numbers = value.get("bbox")
    return isinstance(numbers, list) and len(numbers) in {4, 6} and all(_is_number(one) for one in numbers)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _value_of(name: str, value: Any) -> Any:
    """An input as it is meant, inline or qualified."""
    if isinstance(value, dict) and "href" in value and name != "object":
        raise _bad(
            f"/inputs/{name}", "an input by reference", "its value: this service fetches nothing for a request's inputs"
        )
    if (
        isinstance(value, dict)
        and "value" in value
        and set(value) <= {"value", "mediaType", "encoding", "schema", "format"}
    ):
        return value["value"]
    return value


def build_spec(
    process_id: str,
    inputs: Mapping[str, Any],
    settings: ServiceSettings,
    like: LikeOf,
    make_demo: Callable[[], object],
) -> JobSpec:
    """The job that a request asks for.

    Args:
        process_id: Name of a workflow.
        inputs: Fields of a job.
        settings: Limits and the gate.
        like: Gives the folder of a finished job of the caller by its id.
        make_demo: Writes the scenes of the process demo where they are not there yet; called when they are needed.

    Raises:
        Problem: With the place of what is wrong.
    """
    fields: dict[str, Any] = {}
    for name, given in inputs.items():
        if name not in JobSpec.model_fields:
            raise _bad(f"/inputs/{name}", f"the input {name[:64]!r}", f"one of {', '.join(JobSpec.model_fields)}")
        value = _value_of(name, given)
        if value is not None:
            fields[name] = _checked(name, value, process_id, settings, like)
    if process_id == "demo" and not fields.get("scenes"):
        make_demo()
        fields.setdefault("catalog", str(settings.demo / "catalog.json"))
        if "aoi" not in fields:
            fields["aoi"] = json.loads((settings.demo / "region.geojson").read_text(encoding="utf-8"))
    fields["workflow"] = process_id
    try:
        spec = JobSpec.build(default_catalog=Settings().catalog, **fields)
    except RequestError as err:
        raise _of_error(err, inputs) from err
    except (TypeError, ValueError) as err:
        raise _bad(
            "/inputs", f"inputs that make no job ({type(err).__name__})", "values of the kinds described"
        ) from err
    _check_size(spec, settings)
    return spec


def _of_error(err: GeosegError, inputs: Mapping[str, Any]) -> Problem:
    """A refusal of geoseg, with the input that it names."""
    if isinstance(err, InvalidAOIError):
        return Problem(400, err.given, err.expected, err.todo, "urn:geoseg:InvalidAOIError", "/inputs/aoi")
    named = [name for name in inputs if f"--{name.replace('_', '-')}" in err.given or f"{name} " in err.given]
    pointer = f"/inputs/{named[0]}" if named else "/inputs"
    return Problem(400, err.given, err.expected, err.todo, f"urn:geoseg:{type(err).__name__}", pointer)


class LikeOf(Protocol):
    """Where finished jobs of the caller lie."""

    def __call__(self, job_id: str) -> str | None:
        """Folder of a finished job; ``None`` where there is none of that id."""


def _checked(name: str, value: Any, process_id: str, settings: ServiceSettings, like: LikeOf) -> Any:
    """A value that may go into a job: no path, no address and no name that is not allowed."""
    where = f"/inputs/{name}"
    try:
        if name == "aoi":
            return _aoi(value, settings)
        if name == "workflow" and value != process_id:
            raise _bad(where, "another workflow than the process", process_id)
        if name in _PLACES:
            many = value if isinstance(value, list) else [value]
            for one in many:
                _check_place(one, settings, where)
            return tuple(many) if name != "catalog" else value
        if name in _RULES and not _RULES[name](str(value), settings):
            raise _bad(where, f"{name} {str(value)[:64]!r}", _EXPECTED[name])
        if name == "like":
            return _like(value, like, where)
        if name == "dem" and isinstance(value, str) and not _is_collection(value):
            _check_place(value, settings, where)
            return value
    except RefusedAddressError as err:
        raise Problem(403, err.given, err.expected, err.todo, "urn:geoseg:refused-address", where) from err
    if name not in {"dem", *_RULES}:
        _check_words(value, where)
    return tuple(value) if isinstance(value, list) else value


def _check_place(value: Any, settings: ServiceSettings, where: str) -> None:
    if not isinstance(value, str) or not value or len(value) > _MOST_TEXT:
        raise _bad(where, "no address", "an http(s) address")
    if value.startswith(("http://", "https://")):
        check_address(value, settings.allow_hosts, where)
    else:
        check_path(value, (*settings.allow_paths, settings.demo), where)


def _is_collection(text: str) -> bool:
    """Whether it can only be the name of a collection, and of no file in the folder that a process happens to run in."""
    is_file = Path(text).exists() or Path(text).suffix.lower() in _RASTERS
    return _NAME.fullmatch(text) is not None and not is_file


def _check_words(value: Any, where: str) -> None:
    """Refuse what looks like a path or an address where only words are wanted, and a file where its content is."""
    if where == "/inputs/example" and not isinstance(value, dict):
        raise _bad(
            where, "examples that are no GeoJSON", "outlined polygons as GeoJSON, which are sent and never named"
        )
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, str):
            continue
        if len(one) > _MOST_TEXT or any(ord(letter) < 32 for letter in one):
            raise _bad(where, "a text with control characters, or too long", f"at most {_MOST_TEXT} letters")
        free = where == "/inputs/prompt" or (where in _RANGES and _RANGE.fullmatch(one))
        if not free and re.search(r"[/\\]|://|^[.~]", one):
            raise _bad(where, "a path or an address", "a name")


def _like(value: Any, like: LikeOf, where: str) -> str:
    name = str(value).removeprefix("job:")
    folder = like(name) if _JOB_ID.fullmatch(name) else None
    if folder is None:
        raise _bad(where, f"like {str(value)[:64]!r}", "the id of one of your finished jobs")
    return folder


def _is_model(text: str, settings: ServiceSettings) -> bool:
    if any(text.startswith(prefix) for prefix in settings.allow_models):
        return True
    where = Settings()
    return any(name == text for name, _ in named_folders(where.models, where.cache))


_RULES: dict[str, Callable[[str, ServiceSettings], bool]] = {
    "model": _is_model,
    "crs": lambda text, _: _CRS.fullmatch(text) is not None,
    "evidence": lambda text, _: text == "landslide",
    "comment": lambda text, settings: text in settings.allow_comments,
    "sensor": lambda text, _: _NAME.fullmatch(text) is not None,
    "collection": lambda text, _: _NAME.fullmatch(text) is not None,
}
_EXPECTED = {
    "model": "the name of a model of this service (geoseg models list)",
    "crs": "an authority and a code, such as EPSG:32633",
    "evidence": "landslide",
    "comment": "a plug-in that the operator allows",
    "sensor": "the name of a sensor",
    "collection": "the name of a collection",
}


def _aoi(value: Any, settings: ServiceSettings) -> Any:
    """A region that was sent, never one that is named."""
    where = "/inputs/aoi"
    if isinstance(value, dict) and "bbox" in value and "type" not in value:
        if value.get("crs") not in _CRS84:
            raise _bad(where, "a box in another CRS", "longitude and latitude (CRS84)")
        value = value["bbox"]
    if isinstance(value, list):
        if len(value) != 4 or not all(_is_number(one) for one in value):
            raise _bad(where, "a box", "four numbers: west, south, east, north")
        return ",".join(repr(float(one)) for one in value)
    if not isinstance(value, dict):
        raise _bad(where, f"a region that is a {type(value).__name__}", "GeoJSON, or a box of four numbers")
    vertices = json.dumps(value).count("[")
    if vertices > settings.max_vertices:
        raise Problem(
            413,
            f"a region of some {vertices:,} vertices",
            f"at most {settings.max_vertices:,}",
            "simplify it",
            pointer=where,
        )
    try:
        AOI.from_geojson(value, "aoi")
    except InvalidAOIError as err:
        raise Problem(400, err.given, err.expected, err.todo, "urn:geoseg:InvalidAOIError", where) from err
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, RecursionError) as err:
        raise _bad(where, "a region that is no GeoJSON", "GeoJSON in longitude and latitude") from err
    return value


def _check_size(spec: JobSpec, settings: ServiceSettings) -> None:
    region = spec.region
    if region is not None and region.area_km2 > settings.max_area_km2:
        raise Problem(
            413,
            f"a region of {region.area_km2:,.0f} km2",
            f"at most {settings.max_area_km2:,.0f} km2",
            "ask for parts of it, one after the other",
            pointer="/inputs/aoi",
        )
