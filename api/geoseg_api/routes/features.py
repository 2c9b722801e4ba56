"""OGC API - Features: the polygons of each finished job are a collection."""

from __future__ import annotations

import math
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from geoseg_api.access import Caller, CallerNow, ServiceNow, job_of, needs
from geoseg_api.clocks import rfc3339
from geoseg_api.documents import base_of, link
from geoseg_api.polygons import Box, Polygons
from geoseg_api.presenting import folder_of
from geoseg_api.problems import Problem
from geoseg_api.routes.jobs import interval
from geoseg_api.service import Service
from geoseg_api.store import Job

router = APIRouter(tags=["features"])

_GEOJSON = "application/geo+json"
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_MOST = 10_000
_ITEMS: dict[int | str, dict[str, Any]] = {200: {"content": {_GEOJSON: {}}, "description": "GeoJSON"}}


@router.get("/collections", summary="Collections of polygons")
def collections(
    request: Request,
    caller: CallerNow,
    service: ServiceNow,
    limit: Annotated[int, Query(ge=1, le=_MOST)] = 100,
    before: Annotated[int | None, Query(ge=0, le=2**62)] = None,
) -> dict[str, Any]:
    """One for each finished job of the caller, the newest first."""
    needs(caller, "read")
    base = base_of(request)
    done = service.jobs.find(caller.sees, statuses=["successful"], before=before, limit=limit + 1)
    found = [made for job in done[:limit] if (made := _described(service, job, base)) is not None]
    links = [link(f"{base}/collections", "self")]
    if len(done) > limit:
        links.append(link(f"{base}/collections?{urlencode({'limit': limit, 'before': done[limit - 1].seq})}", "next"))
    return {"collections": found, "links": links}


@router.get("/collections/{collection_id}", summary="A collection of polygons")
def collection(request: Request, collection_id: str, caller: CallerNow, service: ServiceNow) -> dict[str, Any]:
    """The polygons of a job, described."""
    job, _ = _polygons(service, caller, collection_id)
    found = _described(service, job, base_of(request))
    if found is None:
        raise _none(collection_id)
    return found


@router.get("/collections/{collection_id}/items", summary="Polygons", response_model=None, responses=_ITEMS)
def items(
    request: Request,
    collection_id: str,
    caller: CallerNow,
    service: ServiceNow,
    limit: Annotated[int, Query(ge=1)] = 10,
    bbox: str | None = None,
    datetime: str | None = None,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
) -> Response:
    """Polygons in pages, each of them once; a larger limit than 10,000 counts as that."""
    _refuse_unknown(request, {"limit", "bbox", "datetime", "after"})
    job, polygons = _polygons(service, caller, collection_id)
    box = None if bbox is None else box_of(bbox)
    limit = min(limit, _MOST)
    base = base_of(request)
    here = f"{base}/collections/{job.id}/items"
    if datetime is not None and not _lies_within(job, datetime):
        features, after_next, total = [], None, None
    else:
        page = polygons.page(after, limit, box)
        features, after_next, total = page.features, page.after, page.total
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "after"]
    links = [
        link(f"{here}?{request.url.query}" if request.url.query else here, "self", _GEOJSON),
        link(f"{base}/jobs/{job.id}/results/polygons", "alternate", "application/vnd.apache.parquet"),
        link(f"{base}/collections/{job.id}", "collection"),
    ]
    if after_next is not None:
        links.append(link(f"{here}?{urlencode([*query, ('after', str(after_next))])}", "next", _GEOJSON))
    document = {
        "type": "FeatureCollection",
        "features": features,
        "links": links,
        "timeStamp": rfc3339(job.finished or job.updated),
        "numberReturned": len(features),
        **({} if total is None else {"numberMatched": total}),
    }
    return JSONResponse(document, media_type=_GEOJSON)


@router.get(
    "/collections/{collection_id}/items/{feature_id}", summary="A polygon", response_model=None, responses=_ITEMS
)
def item(request: Request, collection_id: str, feature_id: str, caller: CallerNow, service: ServiceNow) -> Response:
    """One polygon by its id."""
    job, polygons = _polygons(service, caller, collection_id)
    found = (
        polygons.one(int(feature_id))
        if feature_id.isascii() and feature_id.isdigit() and len(feature_id) < 19
        else None
    )
    if found is None:
        raise Problem(404, f"the polygon {feature_id[:64]!r}", "one of the collection", "GET …/items lists them")
    base = f"{base_of(request)}/collections/{job.id}"
    links = [link(f"{base}/items/{feature_id}", "self", _GEOJSON), link(base, "collection")]
    return JSONResponse({**found, "links": links}, media_type=_GEOJSON)


def box_of(text: str) -> Box:
    """A box of degrees from a request.

    Raises:
        Problem: If it is none.
    """
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 6:
        numbers = [numbers[0], numbers[1], numbers[3], numbers[4]]
    good = len(numbers) == 4 and all(math.isfinite(one) for one in numbers)
    if not good or numbers[1] > numbers[3] or not all(-90 <= numbers[n] <= 90 for n in (1, 3)):
        words = "west,south,east,north in degrees, south <= north"
        raise Problem(400, f"the box {text[:100]!r}", words, "correct it", pointer="/query/bbox")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def _refuse_unknown(request: Request, known: set[str]) -> None:
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        raise Problem(400, f"the parameter {unknown[0][:64]!r}", f"one of {', '.join(sorted(known))}", "leave it out")


def _none(name: str) -> Problem:
    return Problem(404, f"the collection {name[:64]!r}", "one of your finished jobs", "GET /collections lists them")


def _polygons(service: Service, caller: Caller, name: str) -> tuple[Job, Polygons]:
    job = job_of(service, caller, name)
    if job.status != "successful" or job.process == "echo":
        raise _none(name)
    path = folder_of(service, job).path / "polygons.parquet"
    if not path.is_file():
        raise _none(name)
    polygons = Polygons(path)
    if polygons.crs is None:
        raise _none(name)
    return job, polygons


def _described(service: Service, job: Job, base: str) -> dict[str, Any] | None:
    path = service.settings.results / job.id / "polygons.parquet"
    if job.process == "echo" or not path.is_file():
        return None
    polygons = Polygons(path)
    if polygons.crs is None:
        return None
    here = f"{base}/collections/{job.id}"
    return {
        "id": job.id,
        "title": f"{job.process} of {rfc3339(job.created)}",
        "description": f"Polygons of the classes; {polygons.count:,} of them.",
        "itemType": "feature",
        "crs": [_CRS84],
        "extent": {
            "spatial": {"bbox": [list(polygons.bounds)], "crs": _CRS84},
            "temporal": {"interval": [list(_times(job))]},
        },
        "links": [
            link(here, "self"),
            link(f"{here}/items", "items", _GEOJSON),
            link(f"{base}/jobs/{job.id}/results/polygons", "enclosure", "application/vnd.apache.parquet"),
        ],
    }


def _times(job: Job) -> tuple[str | None, str | None]:
    """Time range of the imagery, as far as the job states one."""
    start, _, end = str(job.spec.get("datetime") or "/").partition("/")
    whole = [f"{start}T00:00:00Z" if len(start) == 10 else None, f"{end}T23:59:59Z" if len(end) == 10 else None]
    return whole[0], whole[1]


def _lies_within(job: Job, text: str) -> bool:
    """Whether the imagery's time range and the one that is asked for have something in common."""
    low, high = interval(text)
    start, end = (interval(part)[0] if part else None for part in _times(job))
    return not (
        (low is not None and end is not None and end < low) or (high is not None and start is not None and start > high)
    )
