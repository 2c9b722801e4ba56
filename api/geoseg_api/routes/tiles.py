"""Map tiles of finished jobs, in the usual square tiles of the web."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from geoseg_api.access import CallerNow, ServiceNow, job_of
from geoseg_api.documents import base_of
from geoseg_api.presenting import folder_of
from geoseg_api.problems import Problem

router = APIRouter(tags=["tiles"])

#: Layer to its file.
LAYERS = {
    "classes": "classes.tif",
    "confidence": "confidence.tif",
    "imagery": "imagery.tif",
    "before": "before.tif",
    "after": "after.tif",
    "entropy": "entropy.tif",
    "margin": "margin.tif",
}
_PICTURES = {"imagery", "before", "after"}
_MOST_ZOOM = 24
_PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {}}, "description": "256 x 256 pixels"},
    204: {"description": "Nothing of the map is there"},
}
_HEADERS = {"Cache-Control": "private, max-age=3600"}
type Number = Annotated[int, Path(ge=0, lt=2**_MOST_ZOOM)]


@router.get("/jobs/{job_id}/tiles", summary="Layers of map tiles")
def layers(request: Request, job_id: str, caller: CallerNow, service: ServiceNow) -> dict[str, Any]:
    """The layers that a job has, each with its template, box in degrees, and the zooms that make sense."""
    from rio_tiler.io import Reader  # noqa: PLC0415  # rasterio

    folder = folder_of(service, job_of(service, caller, job_id))
    found = []
    for name, file in LAYERS.items():
        path = folder.path / file
        if not path.is_file():
            continue
        with Reader(str(path)) as reader:
            if reader.crs is None:
                continue
            bounds = [float(side) for side in reader.get_geographic_bounds("OGC:CRS84")]
            zooms = {"minzoom": max(0, reader.minzoom - 4), "maxzoom": min(_MOST_ZOOM, reader.maxzoom + 1)}
        template = f"{base_of(request)}/jobs/{job_id}/tiles/{name}/{{z}}/{{x}}/{{y}}.png"
        found.append({"id": name, "tiles": [template], "bounds": bounds, **zooms})
    return {"layers": found}


@router.get(
    "/jobs/{job_id}/tiles/{layer}/{z}/{x}/{y}.png",
    summary="A map tile",
    response_class=Response,
    responses=_PNG,
)
def tile(
    job_id: str,
    layer: str,
    z: Annotated[int, Path(ge=0, le=_MOST_ZOOM)],
    x: Number,
    y: Number,
    caller: CallerNow,
    service: ServiceNow,
) -> Response:
    """A PNG of a layer in Web Mercator; transparent where there is no class."""
    job = job_of(service, caller, job_id)
    folder = folder_of(service, job)
    path = folder.path / LAYERS.get(layer, "none")
    if layer not in LAYERS or not path.is_file():
        raise Problem(404, f"the layer {layer[:64]!r}", "one that the job has", "GET /jobs/ID/tiles lists them")
    if x >= 2**z or y >= 2**z:
        raise Problem(404, f"the tile {z}/{x}/{y}", f"columns and rows below {2**z}", "correct them")
    body = _drawn(path, layer, z, x, y)
    return Response(status_code=204, headers=_HEADERS) if body is None else Response(body, 200, _HEADERS, "image/png")


@lru_cache(maxsize=256)
def _drawn(path: FilePath, layer: str, z: int, x: int, y: int) -> bytes | None:
    """A tile as PNG; ``None`` where it lies beside the map. Finished files never change."""
    from rio_tiler.errors import TileOutsideBounds  # noqa: PLC0415  # rasterio
    from rio_tiler.io import Reader  # noqa: PLC0415

    with Reader(str(path)) as reader:
        if reader.crs is None:
            return None
        try:
            if layer in _PICTURES:
                return bytes(reader.tile(x, y, z, indexes=(1, 2, 3)).render(img_format="PNG"))
            image = reader.tile(x, y, z, indexes=1, resampling_method="nearest")
        except TileOutsideBounds:
            return None
        colours = reader.colormap if layer == "classes" else _ramp()
        return bytes(image.render(img_format="PNG", colormap=colours))


def _ramp() -> dict[int, tuple[int, int, int, int]]:
    """Percent from dark violet over green to yellow; evenly brighter, so that it reads without colour too."""
    ends = [(68, 1, 84), (33, 145, 140), (253, 231, 37)]
    found = {}
    for percent in range(101):
        low, share = divmod(percent * 2, 100) if percent < 100 else (1, 100)
        mixed = [round(a + (b - a) * share / 100) for a, b in zip(ends[low], ends[low + 1], strict=True)]
        found[percent] = (mixed[0], mixed[1], mixed[2], 255)
    return found
