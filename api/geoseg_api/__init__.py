"""The geoseg service over HTTP: so far its door, and a sign of life.

`create_app()` needs the extra `api` (FastAPI); importing this module does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geoseg import __version__

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["create_app"]

LANDING = f"""geoseg {__version__}: satellite and UAV scenes to maps.

/health         is the service up
/docs           the operations, to read and try
/openapi.json   the same for programs

Jobs are run with the command line for now: geoseg run --help
"""


def create_app() -> FastAPI:
    """Build the service: the landing text at `/`, its state at `/health`.

    Returns:
        An application that an ASGI server runs, e.g. `uvicorn --factory geoseg_api:create_app`.

    Raises:
        ImportError: The extra `api` is not installed.
    """
    from fastapi import FastAPI  # noqa: PLC0415  # an import of geoseg_api alone must not need the extra
    from fastapi.responses import PlainTextResponse  # noqa: PLC0415

    app = FastAPI(title="geoseg", summary="Satellite and UAV scenes to maps.", version=__version__)

    @app.get("/", summary="What this is", response_class=PlainTextResponse)
    def landing() -> str:
        return LANDING

    @app.get("/health", summary="Is the service up?")
    def health() -> dict[str, str]:
        return {"status": "ok", "version": __version__}

    return app
