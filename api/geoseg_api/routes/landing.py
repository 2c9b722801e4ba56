"""What this is, what it conforms to, whether it is well."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from markupsafe import Markup, escape

from geoseg import __version__
from geoseg_api.access import ServiceNow
from geoseg_api.documents import base_of, link
from geoseg_api.routes.page import page

router = APIRouter(tags=["service"])

_PROCESSES = "http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/"
_FEATURES = "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/"
CONFORMS = [
    *(_PROCESSES + name for name in ("core", "ogc-process-description", "json", "job-list", "dismiss")),
    *(_FEATURES + name for name in ("core", "geojson")),
]
_REL = "http://www.opengis.net/def/rel/ogc/1.0/"
_OPENAPI = "application/vnd.oai.openapi+json;version=3.1"


def wants_html(request: Request) -> bool:
    """Whether the caller would rather have a page: a browser, which names HTML before anything else."""
    accept = request.headers.get("accept", "")
    return "text/html" in accept and "application/json" not in accept.partition("text/html")[0]


@router.get("/", summary="What this is", response_model=None)
def landing(request: Request) -> Response:
    """Links to everything as JSON; the map page for browsers."""
    if wants_html(request):
        return page(request.app.state.service.settings.basemap)
    base = base_of(request)
    document = {
        "title": "geoseg",
        "description": "Satellite and UAV scenes to maps.",
        "version": __version__,
        "links": [
            link(f"{base}/", "self"),
            link(f"{base}/", "alternate", "text/html"),
            link(f"{base}/openapi.json", "service-desc", _OPENAPI),
            link(f"{base}/docs", "service-doc", "text/html"),
            *(link(f"{base}/conformance", rel) for rel in ("conformance", f"{_REL}conformance")),
            *(link(f"{base}/processes", rel) for rel in ("processes", f"{_REL}processes")),
            *(link(f"{base}/jobs", rel) for rel in ("job-list", f"{_REL}job-list")),
            link(f"{base}/collections", "data"),
            link(f"{base}/stac", "related", title="STAC catalogue of the results"),
            link(f"{base}/health", "related", title="Health"),
        ],
    }
    return JSONResponse(document, headers={"Vary": "Accept"})


@router.get("/conformance", summary="What this conforms to")
def conformance() -> dict[str, Any]:
    """Classes of the standards; only those that are tested."""
    return {"conformsTo": CONFORMS}


@router.get("/health", summary="Is the service up?")
def health(service: ServiceNow) -> dict[str, Any]:
    """Asks the job store."""
    counts = service.jobs.counts()
    return {
        "status": "ok",
        "version": __version__,
        "queued": counts.get("accepted", 0),
        "running": counts.get("running", 0),
    }


@router.get("/metrics", summary="Numbers for Prometheus", response_class=Response)
def metrics(request: Request, service: ServiceNow) -> Response:
    """Requests by route and status, their times, and jobs by status; nothing of anybody's job."""
    body = request.app.state.metrics.text(service.jobs.counts())
    return Response(body, media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/openapi.json", summary="The operations, for programs", include_in_schema=False)
def openapi(request: Request) -> Response:
    """The OpenAPI document."""
    base = base_of(request)
    return JSONResponse(
        {**request.app.openapi(), "servers": [{"url": base}]}, media_type="application/vnd.oai.openapi+json;version=3.1"
    )


@router.get("/docs", summary="The operations, for people", include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    """A plain page of the operations."""
    rows = [
        Markup("<tr><td>{}</td><td><code>{}</code></td><td>{}</td></tr>").format(
            method.upper(), path, operation.get("summary", "")
        )
        for path, operations in request.app.openapi()["paths"].items()
        for method, operation in operations.items()
    ]
    page = Markup(
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>geoseg</title>"
        "<meta name='viewport' content='width=device-width'>"
        "<style>body{{font-family:sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}}"
        "td{{padding:.2rem .8rem .2rem 0;vertical-align:top}}</style>"
        "<h1>geoseg {}</h1><p>Every operation, with its parameters, is in <a href='openapi.json'>openapi.json</a>.</p>"
        "<table>{}</table></html>"
    ).format(escape(__version__), Markup("").join(rows))
    return HTMLResponse(str(page))
