"""The results as a STAC API, in a tree of its own: ``/stac``."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlencode

import shapely
import shapely.geometry
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from shapely.errors import ShapelyError

from geoseg_api.access import Caller, CallerNow, ServiceNow, job_of, needs
from geoseg_api.documents import base_of, link
from geoseg_api.presenting import folder_of
from geoseg_api.problems import Problem
from geoseg_api.requests import parse_json
from geoseg_api.results import Folder
from geoseg_api.routes.features import box_of
from geoseg_api.routes.jobs import interval
from geoseg_api.service import Service
from geoseg_api.store import Job

router = APIRouter(prefix="/stac", tags=["stac"])

_GEOJSON = "application/geo+json"
RESULTS = "geoseg-results"
_API = "https://api.stacspec.org/v1.0.0/"
_FEATURES = "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/"
CONFORMS = [
    *(_API + name for name in ("core", "collections", "ogcapi-features", "item-search")),
    *(_FEATURES + name for name in ("core", "geojson")),
]
_MOST = 1000
_TIME = r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"
_TIMES = re.compile(rf"{_TIME}|{_TIME}/{_TIME}|(\.\.)?/{_TIME}|{_TIME}/(\.\.)?")
_SCANNED = 200  # jobs read from the store at a time
_ITEMS: dict[int | str, dict[str, Any]] = {200: {"content": {_GEOJSON: {}}, "description": "STAC items"}}


@router.get("", summary="STAC catalogue of the results")
def catalog(request: Request, caller: CallerNow) -> dict[str, Any]:
    """The root of the tree."""
    needs(caller, "read")
    base = f"{base_of(request)}/stac"
    return {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": "geoseg",
        "title": "geoseg",
        "description": "Maps that jobs of this service made.",
        "conformsTo": CONFORMS,
        "links": [
            link(base, "self"),
            link(base, "root"),
            link(f"{base}/conformance", "conformance"),
            link(f"{base}/collections", "data"),
            link(f"{base_of(request)}/openapi.json", "service-desc", "application/vnd.oai.openapi+json;version=3.1"),
            link(f"{base_of(request)}/docs", "service-doc", "text/html"),
            {**link(f"{base}/search", "search", _GEOJSON), "method": "GET"},
            {**link(f"{base}/search", "search", _GEOJSON), "method": "POST"},
            link(f"{base}/collections/{RESULTS}", "child"),
        ],
    }


@router.get("/conformance", summary="What the STAC part conforms to")
def conformance() -> dict[str, Any]:
    """Classes."""
    return {"conformsTo": CONFORMS}


@router.get("/collections", summary="STAC collections")
def collections(request: Request, caller: CallerNow) -> dict[str, Any]:
    """There is one."""
    needs(caller, "read")
    base = f"{base_of(request)}/stac"
    return {"collections": [_collection(base)], "links": [link(f"{base}/collections", "self"), link(base, "root")]}


@router.get("/collections/{collection_id}", summary="A STAC collection")
def collection(request: Request, collection_id: str, caller: CallerNow) -> dict[str, Any]:
    """Results of finished jobs."""
    needs(caller, "read")
    _check(collection_id)
    return _collection(f"{base_of(request)}/stac")


@router.get("/collections/{collection_id}/items", summary="STAC items", response_model=None, responses=_ITEMS)
def items(
    request: Request,
    collection_id: str,
    caller: CallerNow,
    service: ServiceNow,
    limit: Annotated[int, Query(ge=1)] = 10,
    bbox: str | None = None,
    datetime: str | None = None,
    before: Annotated[int | None, Query(ge=0, le=2**62)] = None,
) -> Response:
    """Results in pages, the newest first."""
    _check(collection_id)
    asked = {"limit": limit, "bbox": bbox, "datetime": datetime, "before": before}
    return _page(request, caller, service, f"/stac/collections/{RESULTS}/items", asked)


@router.get(
    "/collections/{collection_id}/items/{item_id}", summary="A STAC item", response_model=None, responses=_ITEMS
)
def item(request: Request, collection_id: str, item_id: str, caller: CallerNow, service: ServiceNow) -> Response:
    """The item of a job."""
    _check(collection_id)
    job = job_of(service, caller, item_id)
    found = _item(folder_of(service, job), job, base_of(request))
    if found is None:
        raise Problem(404, f"the item {item_id[:64]!r}", "one of the collection", "GET …/items lists them")
    return JSONResponse(found, media_type=_GEOJSON)


@router.get("/search", summary="Search STAC items", response_model=None, responses=_ITEMS)
def search(
    request: Request,
    caller: CallerNow,
    service: ServiceNow,
    limit: Annotated[int, Query(ge=1)] = 10,
    bbox: str | None = None,
    intersects: str | None = None,
    datetime: str | None = None,
    ids: str | None = None,
    collections: str | None = None,
    before: Annotated[int | None, Query(ge=0, le=2**62)] = None,
) -> Response:
    """Results that meet all conditions."""
    asked = {
        "limit": limit,
        "bbox": bbox,
        "intersects": None if intersects is None else parse_json(intersects.encode()),
        "datetime": datetime,
        "ids": None if ids is None else ids.split(","),
        "collections": None if collections is None else collections.split(","),
        "before": before,
    }
    return _page(request, caller, service, "/stac/search", asked)


@router.post(
    "/search",
    summary="Search STAC items",
    response_model=None,
    responses=_ITEMS,
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def search_by_body(request: Request, caller: CallerNow, service: ServiceNow) -> Response:
    """The same, with the conditions as a JSON object."""
    document = parse_json(await request.body() or b"{}")
    if not isinstance(document, dict):
        raise Problem(400, "a body that is no object", "an object of conditions", "correct it")
    asked = dict(document)
    good = {
        "limit": lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= 1,
        "before": lambda v: isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 2**62,
        "bbox": lambda v: isinstance(v, list),
        "datetime": lambda v: isinstance(v, str),
        "intersects": lambda v: isinstance(v, dict),
        "ids": lambda v: isinstance(v, list),
        "collections": lambda v: isinstance(v, list),
    }
    for name, value in asked.items():
        if value is not None and name in good and not good[name](value):
            raise Problem(
                400, f"the condition {name}", "a value of the kind that STAC says", "correct it", pointer=f"/{name}"
            )
    if asked.get("bbox") is not None:
        asked["bbox"] = ",".join(map(str, asked["bbox"]))
    return await run_in_threadpool(_page, request, caller, service, "/stac/search", asked)


def _check(name: str) -> None:
    if name != RESULTS:
        raise Problem(404, f"the collection {name[:64]!r}", RESULTS, "GET /stac/collections lists it")


def _collection(base: str) -> dict[str, Any]:
    here = f"{base}/collections/{RESULTS}"
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": RESULTS,
        "title": "Results",
        "description": "One item for each job that was successful.",
        "license": "other",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
        "links": [
            link(here, "self"),
            link(base, "root"),
            link(base, "parent"),
            link(f"{here}/items", "items", _GEOJSON),
        ],
    }


def _item(folder: Folder, job: Job, base: str) -> dict[str, Any] | None:
    """The item of a job with absolute addresses; ``None`` where it has none."""
    if not (folder.path / "item.json").is_file():
        return None
    found: dict[str, Any] = folder.read("item.json")
    files = f"{base}/jobs/{job.id}/files"
    for asset in found["assets"].values():
        asset["href"] = f"{files}/{asset['href'].removeprefix('./')}"
    stac = f"{base}/stac"
    here = f"{stac}/collections/{RESULTS}"
    own = {"self", "root", "parent", "collection"}
    found["id"], found["collection"] = job.id, RESULTS
    found["links"] = [
        link(f"{here}/items/{job.id}", "self", _GEOJSON),
        link(stac, "root"),
        link(here, "parent"),
        link(here, "collection"),
        link(f"{base}/jobs/{job.id}", "via"),
        *(one for one in found["links"] if one["rel"] not in own and "://" in str(one["href"])),
    ]
    return found


def _page(request: Request, caller: Caller, service: Service, path: str, asked: dict[str, Any]) -> Response:
    """Items that meet all conditions, and a link to the next ones."""
    needs(caller, "read")
    limit = min(asked.get("limit") or 10, _MOST)
    meets = _Meets(asked)
    base = base_of(request)
    features: list[dict[str, Any]] = []
    before, more = asked.get("before"), None
    while more is None:
        jobs = service.jobs.find(caller.sees, statuses=["successful"], before=before, limit=_SCANNED)
        for job in jobs:
            folder = Folder(service.settings.results / job.id)
            found = _item(folder, job, base)
            if found is None or not meets(found):
                continue
            if len(features) == limit:
                more = before
                break
            features.append(found)
            before = job.seq
        else:
            if len(jobs) < _SCANNED:
                break
            before = jobs[-1].seq
    links = [link(f"{base}{path}", "self", _GEOJSON), link(f"{base}/stac", "root")]
    if path.endswith("/items"):
        links.append(link(f"{base}{path.removesuffix('/items')}", "collection"))
    if more is not None:
        links.append(_next(request, f"{base}{path}", more))
    document = {"type": "FeatureCollection", "features": features, "links": links, "numberReturned": len(features)}
    return JSONResponse(document, media_type=_GEOJSON)


def _next(request: Request, here: str, before: int) -> dict[str, Any]:
    if request.method == "POST":
        return {**link(here, "next", _GEOJSON), "method": "POST", "body": {"before": before}, "merge": True}
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "before"]
    return {**link(f"{here}?{urlencode([*query, ('before', str(before))])}", "next", _GEOJSON), "method": "GET"}


class _Meets:
    """The conditions of a search."""

    def __init__(self, asked: dict[str, Any]) -> None:
        if asked.get("bbox") is not None and asked.get("intersects") is not None:
            raise Problem(400, "bbox and intersects", "one of the two", "drop one", pointer="/bbox")
        self._ids = asked.get("ids")
        self._here = asked.get("collections") is None or RESULTS in asked["collections"]
        self._low, self._high = interval(_times(asked.get("datetime")))
        self._area = _area(asked)

    def __call__(self, found: dict[str, Any]) -> bool:
        if not self._here or (self._ids is not None and found["id"] not in self._ids):
            return False
        times = found["properties"]
        start = interval(times.get("start_datetime") or times.get("datetime"))[0]
        end = interval(times.get("end_datetime") or times.get("datetime"))[0]
        if self._low is not None and end is not None and end < self._low:
            return False
        if self._high is not None and start is not None and start > self._high:
            return False
        if self._area is None:
            return True
        geometry = found.get("geometry")
        return geometry is not None and bool(shapely.intersects(shapely.geometry.shape(geometry), self._area))


def _times(text: str | None) -> str | None:
    """An instant or an interval with at least one end, as STAC wants them: whole, of RFC 3339, with a zone."""
    if text is not None and not _TIMES.fullmatch(text):
        words = "RFC 3339 with a zone, START/END, or .. for one of them"
        raise Problem(400, f"the time {text[:64]!r}", words, "correct it", pointer="/query/datetime")
    return None if text is None else text.upper()


def _area(asked: dict[str, Any]) -> Any:
    if asked.get("bbox") is not None:
        west, south, east, north = box_of(asked["bbox"])
        if west <= east:
            return shapely.box(west, south, east, north)
        return shapely.union(shapely.box(west, south, 180, north), shapely.box(-180, south, east, north))
    if asked.get("intersects") is None:
        return None
    try:
        area = shapely.geometry.shape(asked["intersects"])
        return area if shapely.is_valid(area) else shapely.make_valid(area)
    except (ShapelyError, TypeError, ValueError, KeyError, AttributeError, IndexError) as err:
        raise Problem(400, "intersects", "a GeoJSON geometry", "correct it", pointer="/intersects") from err
