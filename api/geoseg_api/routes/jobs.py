"""Jobs: their list, their status, their end."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request

from geoseg_api.access import CallerNow, ServiceNow, job_of, needs
from geoseg_api.clocks import rfc3339
from geoseg_api.documents import base_of, link, status_info
from geoseg_api.problems import Problem, no_job
from geoseg_api.worker import remove_folder

router = APIRouter(tags=["jobs"])

_STATUSES = {"accepted", "running", "successful", "failed", "dismissed"}


@router.get("/jobs", summary="List jobs")
def jobs(
    request: Request,
    caller: CallerNow,
    service: ServiceNow,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10,
    status: Annotated[list[str] | None, Query()] = None,
    process_id: Annotated[list[str] | None, Query(alias="processID")] = None,
    kind: Annotated[list[str] | None, Query(alias="type")] = None,
    datetime: str | None = None,
    least: Annotated[float | None, Query(alias="minDuration", ge=0, le=1e12, allow_inf_nan=False)] = None,
    most: Annotated[float | None, Query(alias="maxDuration", ge=0, le=1e12, allow_inf_nan=False)] = None,
    before: Annotated[int | None, Query(ge=0, le=2**62)] = None,
) -> dict[str, Any]:
    """Jobs of the caller, the newest first. Filters: values of one are alternatives, several filters hold together."""
    needs(caller, "read")
    statuses, processes, kinds = (_split(names) for names in (status, process_id, kind))
    wrong = [name for name in statuses if name not in _STATUSES] or [name for name in kinds if name != "process"]
    if wrong:
        raise Problem(
            400, f"the filter {wrong[0][:64]!r}", f"type=process, status {', '.join(sorted(_STATUSES))}", "correct it"
        )
    if any("\0" in name for name in processes):
        raise Problem(400, "the filter processID", "names of processes", "correct it")
    found = service.jobs.find(
        caller.sees,
        processes=processes,
        statuses=statuses,
        created=interval(datetime),
        durations=(least, most),
        before=before,
        limit=limit + 1,
    )
    base = base_of(request)
    links = [link(f"{base}/jobs", "self"), link(f"{base}/docs", "alternate", "text/html")]
    if len(found) > limit:
        query = [(name, value) for name, value in request.query_params.multi_items() if name != "before"]
        more = urlencode([*query, ("before", str(found[limit - 1].seq))])
        links.append(link(f"{base}/jobs?{more}", "next"))
    return {"jobs": [status_info(job, base) for job in found[:limit]], "links": links}


def _split(names: list[str] | None) -> list[str]:
    return [part for name in names or [] for part in name.split(",") if part][:100]


def interval(text: str | None) -> tuple[float | None, float | None]:
    """An instant or an interval of RFC 3339, open with ``..``, as seconds since 1970.

    Raises:
        Problem: If it is none.
    """
    if text is None:
        return None, None
    start, slash, end = text.partition("/")
    ends = (start, end if slash else start)
    if slash and ends in {("..", ".."), ("", "")}:
        return None, None
    try:
        low, high = (None if part in {"", ".."} and slash else _instant(part) for part in ends)
    except (ValueError, OverflowError) as err:
        raise Problem(
            400, f"the time {text[:64]!r}", "RFC 3339, START/END or ..", "correct it", pointer="/query/datetime"
        ) from err
    if low is not None and high is not None and low > high:
        raise Problem(400, f"the time {text[:64]!r}", "a start before the end", "swap them", pointer="/query/datetime")
    return low, high


def _instant(text: str) -> float:
    moment = dt.datetime.fromisoformat(text)
    return moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp()


@router.get("/jobs/{job_id}", summary="Status of a job")
def job_status(request: Request, job_id: str, caller: CallerNow, service: ServiceNow) -> dict[str, Any]:
    """Where a job stands."""
    return status_info(job_of(service, caller, job_id), base_of(request))


@router.delete("/jobs/{job_id}", summary="Dismiss a job")
def dismiss(request: Request, job_id: str, caller: CallerNow, service: ServiceNow) -> dict[str, Any]:
    """Stops a job that runs, and removes the results of one that is finished. Again and again is fine."""
    job_of(service, caller, job_id)
    needs(caller, "run")
    job = service.jobs.dismiss(job_id, service.settings.kept_s)
    if job is None:
        raise no_job(job_id)
    remove_folder(service.settings.results / job.id)
    return status_info(job, base_of(request))


@router.get("/jobs/{job_id}/log", summary="What happened to a job")
def log(job_id: str, caller: CallerNow, service: ServiceNow) -> dict[str, Any]:
    """Changes of its status, the oldest first."""
    job = job_of(service, caller, job_id)
    return {"events": [{**event, "at": rfc3339(event["at"])} for event in service.jobs.events(job.id)]}
