"""Results of a job: as it was asked for, output by output, file by file."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from geoseg_api.access import CallerNow, ServiceNow, job_of
from geoseg_api.documents import base_of, file_links
from geoseg_api.presenting import file_answer, folder_of, no_output, present
from geoseg_api.problems import NO_OUTPUT, Problem
from geoseg_api.results import OUTPUTS, Kind, media_type_of

router = APIRouter(tags=["results"])

_ANY: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {}, "*/*": {}}, "description": "The result"},
    204: {"description": "By reference, in the header Link"},
    206: {"content": {"*/*": {}}, "description": "The range of bytes that was asked for"},
    416: {"content": {"*/*": {}}, "description": "A range that the file does not have"},
}


@router.get("/jobs/{job_id}/results", summary="Results of a job", response_model=None, responses=_ANY)
def job_results(request: Request, job_id: str, caller: CallerNow, service: ServiceNow) -> Response:
    """What the request asked for; without `outputs` all there are, as links."""
    return present(service, job_of(service, caller, job_id), base_of(request), at_once=False)


@router.api_route(
    "/jobs/{job_id}/results/{output}", methods=["GET"], summary="One output", response_model=None, responses=_ANY
)
def job_output(job_id: str, output: str, caller: CallerNow, service: ServiceNow) -> Response:
    """An output as it is; with ranges of bytes, so that GIS programs read a GeoTIFF from afar."""
    job = job_of(service, caller, job_id)
    folder = folder_of(service, job)
    if output not in OUTPUTS or job.process == "echo":
        raise Problem(400, f"the output {output[:64]!r}", f"one of {', '.join(OUTPUTS)}", "see /results", NO_OUTPUT)
    kind = folder.present().get(output)
    if kind is None:
        raise no_output(job, output)
    return file_answer(folder, kind)


@router.head("/jobs/{job_id}/results/{output}", include_in_schema=False)
def job_output_head(job_id: str, output: str, caller: CallerNow, service: ServiceNow) -> Response:
    """Size and kind of an output."""
    return job_output(job_id, output, caller, service)


@router.get("/jobs/{job_id}/files", summary="All files of a job")
def job_files(request: Request, job_id: str, caller: CallerNow, service: ServiceNow) -> dict[str, Any]:
    """Links to them."""
    job = job_of(service, caller, job_id)
    return {"links": file_links(job, folder_of(service, job), base_of(request))}


@router.get("/jobs/{job_id}/files/{name:path}", summary="A file of a job", response_model=None, responses=_ANY)
def job_file(job_id: str, name: str, caller: CallerNow, service: ServiceNow) -> Response:
    """A file by its name in the output folder."""
    job = job_of(service, caller, job_id)
    folder = folder_of(service, job)
    if folder.file(name) is None:
        raise Problem(404, f"the file {name[:64]!r}", "one that the job has", "GET /jobs/ID/files lists them")
    return file_answer(folder, Kind(name, media_type_of(name), name))


@router.head("/jobs/{job_id}/files/{name:path}", include_in_schema=False)
def job_file_head(job_id: str, name: str, caller: CallerNow, service: ServiceNow) -> Response:
    """Size and kind of a file."""
    return job_file(job_id, name, caller, service)
