"""The application: routes, what surrounds them, and how refusals look."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from geoseg import __version__
from geoseg_api.metrics import Metrics
from geoseg_api.middleware import Guard
from geoseg_api.problems import MEDIA_TYPE, NO_PROCESS, Problem, no_job
from geoseg_api.routes import events, features, jobs, landing, page, processes, results, stac, tiles
from geoseg_api.service import Service
from geoseg_api.settings import ServiceSettings
from geoseg_api.store import StoreUnavailableError

_PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "hint": {"type": "string"},
        "instance": {"type": "string"},
        "errors": {"type": "array", "items": {"type": "object"}},
    },
}


def create_app(settings: ServiceSettings | None = None) -> FastAPI:
    """Build the service. It starts no worker: ``geoseg serve`` does, or ``geoseg worker`` beside it.

    Args:
        settings: Of the service; from the environment where they are not given.

    Returns:
        An application that an ASGI server runs, e.g. ``uvicorn --factory geoseg_api:create_app``.

    Raises:
        GeosegError: If the job store cannot be used.
    """
    settings = settings or ServiceSettings.with_options()
    service, metrics = Service(settings), Metrics()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.stopping.set()
        service.planner.close()

    app = FastAPI(
        title="geoseg",
        summary="Satellite and UAV scenes to maps.",
        version=__version__,
        docs_url=None,  # its page comes from another host
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
    )
    app.state.service, app.state.metrics = service, metrics
    for part in (landing, processes, jobs, events, results, tiles, features, stac, page):
        app.include_router(part.router)
    _refuse_in_one_way(app)
    app.openapi = _described(app)  # type: ignore[method-assign]  # how FastAPI wants it
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.origins),
            allow_methods=["GET", "HEAD", "POST", "DELETE"],
            allow_headers=["authorization", "content-type", "idempotency-key", "prefer", "range", "x-api-key"],
            expose_headers=["location", "link", "preference-applied", "retry-after"],
        )
    app.add_middleware(Guard, max_body=settings.max_body, metrics=metrics, shared=bool(settings.origins))
    return app


def problem_response(request: Request, problem: Problem) -> Response:
    """A refusal as an answer."""
    body = json.dumps(problem.document(request.url.path))
    return Response(body, problem.status, {**problem.headers}, MEDIA_TYPE)


def _refuse_in_one_way(app: FastAPI) -> None:
    async def on_problem(request: Request, err: Exception) -> Response:
        assert isinstance(err, Problem)  # noqa: S101  # it is registered for it
        return problem_response(request, err)

    async def on_http(request: Request, err: Exception) -> Response:
        assert isinstance(err, HTTPException)  # noqa: S101
        words = {404: f"the path {request.url.path[:200]!r}", 405: f"{request.method} of {request.url.path[:200]!r}"}
        given = words.get(err.status_code, HTTPStatus(err.status_code).phrase)
        problem = Problem(err.status_code, given, "one of the paths of /openapi.json", "see /docs")
        if err.status_code == 404 and request.url.path.startswith("/processes/"):
            problem.type = NO_PROCESS
        if err.status_code in words and b"%2f" in request.scope.get("raw_path", b"").lower().partition(b"/jobs/")[2]:
            problem = no_job(request.url.path.removeprefix("/jobs/"))  # an id with slashes in it
        problem.headers = dict(err.headers or {})
        return problem_response(request, problem)

    async def on_invalid(request: Request, err: Exception) -> Response:
        assert isinstance(err, RequestValidationError)  # noqa: S101
        first = err.errors()[0]
        place = [str(part) for part in first["loc"]]
        problem = Problem(400, f"{place[-1]} {str(first.get('input'))[:64]!r}", str(first["msg"]), "correct it")
        problem.pointer = "/" + "/".join(place)
        return problem_response(request, problem)

    async def on_store(request: Request, err: Exception) -> Response:
        assert isinstance(err, StoreUnavailableError)  # noqa: S101
        problem = Problem(503, err.given, err.expected, err.todo, headers={"Retry-After": "5"})
        return problem_response(request, problem)

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(StoreUnavailableError, on_store)


def _described(app: FastAPI) -> Callable[[], dict[str, Any]]:
    """The OpenAPI document, with the refusals that every operation can give."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        schemas["Problem"] = _PROBLEM_SCHEMA
        refusal = {"content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                answers = operation["responses"]
                if "422" in answers and answers["422"].get("description") == "Validation Error":
                    del answers["422"]
                for status in _refusals(path, method):
                    answers.setdefault(str(status), {"description": HTTPStatus(status).phrase, **refusal})
        if app.state.service.settings.needs_keys:
            document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            document["security"] = [{"key": []}]
        app.openapi_schema = document
        return document

    return describe


def _refusals(path: str, method: str) -> list[int]:
    statuses = {400, 401, 403, 429, 500, 503}
    if "{" in path:
        statuses |= {404, 410}
    if method in {"post", "put"}:
        statuses |= {404, 413, 415, 422, 502, 504}
    return sorted(statuses)
