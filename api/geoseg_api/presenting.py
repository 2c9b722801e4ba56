"""The results of a job as an answer: one output as it is, several as a document."""

from __future__ import annotations

from typing import Any

from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response

from geoseg_api.documents import results_document
from geoseg_api.problems import NO_OUTPUT, NOT_READY, Problem
from geoseg_api.results import Folder, Kind
from geoseg_api.service import Service
from geoseg_api.store import Job

_PAGE = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox"


def folder_of(service: Service, job: Job) -> Folder:
    """The files of a job that came to a good end.

    Raises:
        Problem: If it did not, or has not yet.
    """
    if not job.is_final:
        words = (f"the results of a job that is {job.status}", "a job that is successful")
        raise Problem(404, *words, "wait until its status says so", NOT_READY)
    if job.status == "dismissed":
        raise Problem(410, "the results of a job that was dismissed", "a job that is successful", "ask for it again")
    if job.status == "failed":
        raise _failure(job.problem or {})
    folder = Folder(service.settings.results / job.id)
    if not folder.path.is_dir():
        raise Problem(410, "results that are no longer kept", "a younger job", "ask for it again")
    return folder


def _failure(told: dict[str, Any]) -> Problem:
    """The refusal of a failed job's results is its failure."""
    first = (told.get("errors") or [{}])[0]
    given = first.get("given") or told.get("detail") or "a job that failed"
    status = int(told.get("status", 500))
    kind = str(told.get("type", "about:blank"))
    return Problem(status, given, first.get("expected", ""), first.get("hint", told.get("hint", "")), kind)


def present(service: Service, job: Job, base: str, *, at_once: bool) -> Response:
    """What a finished job answers with.

    Args:
        service: The server.
        job: The job.
        base: Address of the service.
        at_once: Whether it is the answer to the request itself: then masks are the default, not the list of all outputs.

    Raises:
        Problem: If there are no results.
    """
    folder = folder_of(service, job)
    wanted: dict[str, str | None] | None = job.request.get("outputs")
    response: str | None = job.request.get("response")
    if job.process == "echo":
        return _echoed(folder, wanted, response)
    present_now = folder.present()
    if at_once and wanted is None:
        wanted = {"masks": "value"} if "masks" in present_now else None
    elif wanted is None:
        response = "document"
    if wanted is not None and len(wanted) == 1 and response != "document":
        name = next(iter(wanted))
        if name not in present_now:
            raise no_output(job, name)
        kind, by_reference = present_now[name], wanted[name] == "reference"
        if by_reference:
            href = f"{base}/jobs/{job.id}/results/{name}"
            return Response(status_code=204, headers={"Link": f'<{href}>; rel="related"; type="{kind.media_type}"'})
        return file_answer(folder, kind)
    value_bytes = service.settings.value_bytes
    return JSONResponse(results_document(job, folder, base, wanted, value_bytes))


def no_output(job: Job, name: str) -> Problem:
    """A job without an output of that name."""
    hint = (
        "masks are written up to 20,000 polygons: use polygons, or /collections" if name == "masks" else "see /results"
    )
    return Problem(404, f"the output {name[:64]!r} of the job {job.id}", "an output that it has", hint, NO_OUTPUT)


def file_answer(folder: Folder, kind: Kind) -> Response:
    """A file, whole or in ranges; what a browser could run is not run."""
    headers = {"Cache-Control": "private, max-age=3600"}
    if kind.media_type == "text/html":
        headers["Content-Security-Policy"] = _PAGE
    inline = "json" in kind.media_type or kind.media_type in {"text/html", "image/png"}
    return FileResponse(
        folder.path / kind.file,
        media_type=kind.media_type,
        headers=headers,
        filename=kind.file.rpartition("/")[2],
        content_disposition_type="inline" if inline else "attachment",
    )


def _echoed(folder: Folder, wanted: dict[str, str | None] | None, response: str | None) -> Response:
    inputs = folder.read("echo.json")
    found = {name: value for name, value in inputs.items() if wanted is None or name in wanted}
    if len(found) == 1 and response != "document":
        value = next(iter(found.values()))
        return PlainTextResponse(value) if isinstance(value, str) else JSONResponse(value)
    return JSONResponse({name: {"value": v} if isinstance(v, dict) else v for name, v in found.items()})
