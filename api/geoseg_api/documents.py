"""JSON documents of the standards: links, status of a job, results."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import Request

from geoseg_api.clocks import rfc3339
from geoseg_api.results import Folder, media_type_of
from geoseg_api.service import Service
from geoseg_api.store import Job

_REL = "http://www.opengis.net/def/rel/ogc/1.0/"


def base_of(request: Request) -> str:
    """Address of the service, as the caller knows it, without a slash at the end."""
    service: Service = request.app.state.service
    return (service.settings.public_url or str(request.base_url)).rstrip("/")


def link(href: str, rel: str, media_type: str = "application/json", title: str = "") -> dict[str, str]:
    """A link."""
    return {"href": href, "rel": rel, "type": media_type, **({"title": title} if title else {})}


def status_info(job: Job, base: str) -> dict[str, Any]:
    """The status of a job: what version 1.0 of the standard requires, and what the draft of 2.0 does."""
    here = f"{base}/jobs/{job.id}"
    links = [link(here, "self"), link(here, "monitor"), link(f"{here}/events", "events", "text/event-stream")]
    if job.status == "successful":
        links.append(link(f"{here}/results", f"{_REL}results", title="Results"))
        if job.process != "echo":
            links.append(link(f"{base}/collections/{job.id}", "collection", title="Polygons"))
            links.append(link(f"{here}/files/report.html", "related", "text/html", "Report"))
    if job.status == "failed":
        links.append(link(f"{here}/results", f"{_REL}exceptions", "application/problem+json"))
    times = {"created": job.created, "started": job.started, "finished": job.finished, "updated": job.updated}
    forecast = job.plan.get("forecast", {})
    return {
        "jobID": job.id,
        "id": job.id,
        "processID": job.process,
        "type": "process",
        "processingEntityType": "ogc-api-processes",
        "status": job.status,
        "message": job.message,
        "progress": job.progress,
        **{name: rfc3339(value) for name, value in times.items() if value is not None},
        **({} if job.expires is None else {"expires": rfc3339(job.expires)}),
        **({"exception": job.problem} if job.problem else {}),
        "runKey": job.run_key,
        "plan": {
            name: value
            for name, value in {
                "km2": job.km2,
                "tiles": job.plan.get("tiles"),
                "megapixels": job.plan.get("megapixels"),
                "seconds": forecast.get("wall_s"),
                "cost": forecast.get("cost"),
            }.items()
            if value is not None
        },
        "links": links,
    }


def results_document(
    job: Job, folder: Folder, base: str, wanted: dict[str, str | None] | None, value_bytes: int
) -> dict[str, Any]:
    """Outputs by name: links, or GeoJSON and JSON by value where that was asked for and they are small.

    Args:
        job: The job.
        folder: Its files.
        base: Address of the service.
        wanted: Output to ``value``, ``reference`` or ``None``; ``None``: all there are, by reference.
        value_bytes: Largest file that comes by value.
    """
    present = folder.present()
    found: dict[str, Any] = {}
    for name in present if wanted is None else wanted:
        if name not in present:
            continue
        kind, by_value = present[name], wanted is not None and wanted[name] == "value"
        is_json = "json" in kind.media_type
        if by_value and is_json and (folder.path / kind.file).stat().st_size <= value_bytes:
            found[name] = {"value": folder.read(kind.file), "mediaType": kind.media_type}
        else:
            href = f"{base}/jobs/{job.id}/results/{name}"
            found[name] = {"href": href, "type": kind.media_type, "title": kind.title}
    return found


def file_links(job: Job, folder: Folder, base: str) -> list[dict[str, str]]:
    """All files of a job."""
    return [
        link(f"{base}/jobs/{job.id}/files/{quote(name)}", "enclosure", media_type_of(name), name)
        for name in folder.files()
    ]
