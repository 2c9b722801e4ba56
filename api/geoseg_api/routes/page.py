"""The map page and what it loads: a few files of this package, and nothing from anywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter
from fastapi.responses import FileResponse

from geoseg_api.access import ServiceNow
from geoseg_api.problems import Problem

router = APIRouter(tags=["page"], include_in_schema=False)

FOLDER = Path(__file__).resolve().parent.parent / "page"
_LIBRARY = FOLDER / "vendor" / "maplibre-gl.mjs"
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".txt": "text/plain",
}


def is_built() -> bool:
    """Whether the library that draws the map is there; a checkout has it after ``make page``."""
    return _LIBRARY.is_file()


def policy(basemap: str) -> str:
    """What the page may load: its own host's files, and a basemap where the operator names one.

    Args:
        basemap: Address of the basemap's tiles, or "".
    """
    parts = urlsplit(basemap)
    other = f" {parts.scheme}://{parts.netloc}" if parts.netloc else ""
    return (
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; "
        f"img-src 'self' data: blob:{other}; connect-src 'self'{other}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def page(basemap: str) -> FileResponse:
    """The page itself.

    Args:
        basemap: See `policy`.
    """
    headers = {"Cache-Control": "no-cache", "Vary": "Accept", "Content-Security-Policy": policy(basemap)}
    return FileResponse(FOLDER / "index.html", media_type=_TYPES[".html"], headers=headers)


@router.get("/page/config.json")
def config(service: ServiceNow) -> dict[str, Any]:
    """What the page has to know before it asks for anything: whether it is whole, whether it needs a key."""
    settings = service.settings
    basemap = {"tiles": settings.basemap, "credit": settings.basemap_credit} if settings.basemap else None
    return {"built": is_built(), "keys": settings.needs_keys, "basemap": basemap}


@router.get("/page/{name:path}")
def file(name: str) -> FileResponse:
    """A file of the page; the library's change with the version of the service, like all others."""
    known = {path.relative_to(FOLDER).as_posix(): path for path in FOLDER.rglob("*") if path.suffix in _TYPES}
    if name not in known:
        raise Problem(404, f"the file {name[:64]!r} of the page", "one that the page loads", "see /")
    path = known[name]
    return FileResponse(path, media_type=_TYPES[path.suffix], headers={"Cache-Control": "no-cache"})
