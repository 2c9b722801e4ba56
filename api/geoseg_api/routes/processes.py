"""Processes: what there is, what a job would take, and its execution."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from geoseg.spec import JobSpec
from geoseg_api.access import Caller, CallerNow, ServiceNow, needs
from geoseg_api.documents import base_of, link, status_info
from geoseg_api.presenting import present
from geoseg_api.problems import NO_PROCESS, Problem
from geoseg_api.processes import EXECUTE, description, process_ids, summary
from geoseg_api.requests import Execution, build_spec, echo_inputs, parse_json, read_execution
from geoseg_api.service import Service
from geoseg_api.store import Job, NewJob

router = APIRouter(tags=["processes"])

_LOOK_S = 0.1
_MOST_KEY = 255
_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?(?=$|[,;\s])", re.IGNORECASE)
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "inputs": {"type": "object"},
                        "outputs": {"type": "object"},
                        "response": {"type": "string", "enum": ["raw", "document"]},
                        "priority": {"type": "integer", "minimum": -10, "maximum": 10},
                    },
                }
            }
        },
    }
}


@router.get("/processes", summary="List the processes")
def processes(
    request: Request,
    caller: CallerNow,
    service: ServiceNow,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10,
    after: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> dict[str, Any]:
    """Summaries of the processes, from the one at a position on."""
    needs(caller, "read")
    base = base_of(request)
    ids = process_ids(with_echo=service.settings.with_echo)
    found = [
        {
            **summary(name),
            "links": [link(f"{base}/processes/{name}", "self"), link(f"{base}/processes/{name}", "process")],
        }
        for name in ids[after : after + limit]
    ]
    here = f"{base}/processes?limit={limit}"
    links = [link(f"{here}&after={after}" if after else here, "self"), link(f"{base}/docs", "alternate", "text/html")]
    if len(ids) > after + limit:
        links.append(link(f"{here}&after={after + limit}", "next"))
    return {"processes": found, "links": links}


@router.get("/processes/{process_id}", summary="Describe a process")
def process(request: Request, process_id: str, caller: CallerNow, service: ServiceNow) -> dict[str, Any]:
    """Inputs and outputs. Inputs are the fields of a job; where it runs is the operator's matter."""
    needs(caller, "read")
    _check_process(process_id, service)
    here = f"{base_of(request)}/processes/{process_id}"
    links = [link(here, "self"), link(f"{here}/execution", EXECUTE, title="Execute"), link(f"{here}/plan", "plan")]
    return {**description(process_id), "links": links}


@router.post("/processes/{process_id}/plan", summary="What a job would take", openapi_extra=_BODY)
async def plan(request: Request, process_id: str, caller: CallerNow, service: ServiceNow) -> dict[str, Any]:
    """Grid, scenes, tiles, time, memory and cost of a job, which is not begun. The body is that of an execution."""
    needs(caller, "run")
    _check_process(process_id, service)
    execution = read_execution(await _body(request), process_id)
    if process_id == "echo":
        return {"km2": 0.0, "tiles": 0, "synchronous": True, "inputs": echo_inputs(execution.inputs)}
    spec, found = await service.planner.in_turn(partial(_planned, service, caller, process_id, execution))
    return {
        **found,
        "synchronous": _is_small(found, service),
        "inputs": spec.model_dump(mode="json", exclude={"catalog"}),
    }


@router.post(
    "/processes/{process_id}/execution",
    summary="Execute a process",
    openapi_extra=_BODY,
    response_model=None,
    responses={
        200: {"description": "The result", "content": {"application/geo+json": {}, "application/json": {}, "*/*": {}}},
        201: {"description": "The job", "content": {"application/json": {}}},
        204: {"description": "The result, by reference"},
    },
)
async def execute(request: Request, process_id: str, caller: CallerNow, service: ServiceNow) -> Response:
    """Answers with the result, which without `outputs` is the masks as GeoJSON; with `Prefer: respond-async` with a job."""
    needs(caller, "run")
    _check_process(process_id, service)
    execution = read_execution(await _body(request), process_id)
    prefer = request.headers.get("prefer", "")
    later = "respond-async" in prefer.lower()
    job = await run_in_threadpool(_asked_before, service, caller, request, execution)
    if job is None:
        new = await service.planner.in_turn(partial(_new_job, service, caller, process_id, execution, request))
        if not later and not _is_small(new.plan, service):
            raise Problem(
                413,
                f"a job of {new.plan['megapixels']:,.1f} megapixels",
                f"at most {service.settings.sync_megapixels:g} for an answer at once",
                "add the header Prefer: respond-async",
            )
        job = await run_in_threadpool(_added, service, caller, new)
    base, applied = base_of(request), "respond-async"
    if not later:
        told = _WAIT.search(prefer)
        wait_s = service.settings.sync_seconds if told is None else min(service.settings.sync_seconds, int(told[1]))
        applied = "" if told is None else f"wait={told[1]}"
        done = await _awaited(request, service, job, wait_s)
        if done is not None:
            answer = await run_in_threadpool(present, service, done, base, at_once=True)
            answer.headers.append("link", f'<{base}/jobs/{job.id}>; rel="monitor"')
            return answer
    headers = {"Location": f"{base}/jobs/{job.id}", **({"Preference-Applied": applied} if applied else {})}
    return JSONResponse(status_info(job, base), 201, headers)


def _check_process(process_id: str, service: Service) -> None:
    known = process_ids(with_echo=service.settings.with_echo)
    if process_id not in known:
        given = f"the process {process_id[:64]!r}"
        raise Problem(404, given, f"one of {', '.join(known)}", "GET /processes lists them", NO_PROCESS)


async def _body(request: Request) -> Any:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {"application/json", "application/geo+json"}:
        raise Problem(415, f"a body of type {kind[:64]!r}", "application/json", "set the header Content-Type")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "a compressed body", "one that is not compressed", "drop the header Content-Encoding")
    return await run_in_threadpool(parse_json, await request.body())


class _LikeOf:
    """Finished jobs of a caller."""

    def __init__(self, service: Service, caller: Caller) -> None:
        self._service, self._caller = service, caller

    def __call__(self, job_id: str) -> str | None:
        job = self._service.jobs.get(job_id)
        if job is None or job.status != "successful" or self._caller.sees not in {None, job.owner}:
            return None
        return str(self._service.settings.results / job.id)


def _planned(service: Service, caller: Caller, process_id: str, execution: Execution) -> tuple[JobSpec, dict[str, Any]]:
    like = _LikeOf(service, caller)
    spec = build_spec(process_id, execution.inputs, service.settings, like, service.demo.make)
    return spec, service.planner.plan(spec)


def _is_small(plan: dict[str, Any], service: Service) -> bool:
    return bool(plan.get("megapixels", 0.0) <= service.settings.sync_megapixels)


def _asked_before(service: Service, caller: Caller, request: Request, execution: Execution) -> Job | None:
    """The job of an earlier request with the same key: nothing is planned again, and nothing has to be there for it."""
    key = _key_of(request)
    job = None if key is None else service.jobs.asked_before(caller.owner, key)
    if job is not None and job.digest != execution.digest:
        raise _other_request()
    return job


def _key_of(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and (not 0 < len(key) <= _MOST_KEY or not key.isprintable()):
        raise Problem(400, "an Idempotency-Key", f"1 to {_MOST_KEY} printable characters", "use a random UUID")
    return key


def _other_request() -> Problem:
    return Problem(422, "an Idempotency-Key of another request", "a new one", "use a key only for one request")


def _new_job(service: Service, caller: Caller, process_id: str, execution: Execution, request: Request) -> NewJob:
    """A job that can be accepted; everything that can be known now is checked."""
    asked = {"outputs": execution.outputs, "response": execution.response}
    more: dict[str, Any] = {"idempotency": _key_of(request), "digest": execution.digest, "priority": execution.priority}
    job_id = str(uuid.uuid4())
    if process_id == "echo":
        inputs = echo_inputs(execution.inputs)
        return NewJob(job_id, process_id, "", caller.owner, asked, inputs, **more)
    spec, plan = _planned(service, caller, process_id, execution)
    content = json.loads(spec.model_dump_json())
    kept = {name: plan[name] for name in ("km2", "tiles", "megapixels", "forecast")}
    return NewJob(job_id, process_id, spec.key, caller.owner, asked, content, kept, float(plan["km2"]), **more)


def _added(service: Service, caller: Caller, new: NewJob) -> Job:
    """Put a job into the store, or say why not."""
    accepted = service.jobs.add(
        new,
        most_queued=service.settings.max_queued,
        in_flight=caller.jobs_in_flight,
        km2_per_day=caller.km2_per_day,
    )
    wait = {"Retry-After": "30"}
    match accepted.refusal:
        case "queue":
            raise Problem(
                503, "one more job", f"at most {service.settings.max_queued} in the queue", "wait", headers=wait
            )
        case "in-flight":
            given = f"at most {caller.jobs_in_flight} unfinished jobs at once"
            raise Problem(429, "one more job", given, "wait for one of yours", headers=wait)
        case "km2":
            words = (f"a job of {new.km2:,.1f} km2", f"at most {accepted.left:,.1f} km2 more today (UTC)")
            raise Problem(429, *words, "ask for less, or tomorrow", headers={"Retry-After": "3600"})
        case "other-request":
            raise _other_request()
    assert accepted.job is not None  # noqa: S101  # refusals were raised
    return accepted.job


async def _awaited(request: Request, service: Service, job: Job, wait_s: float) -> Job | None:
    """The job once it is finished; ``None`` where that takes too long. A caller who goes away leaves a job behind."""
    clock = asyncio.get_running_loop().time
    end = clock() + wait_s
    while clock() < end and not service.stopping.is_set():
        now = await run_in_threadpool(service.jobs.get, job.id)
        if now is None or now.is_final:
            return now
        if await request.is_disconnected():
            return None
        await asyncio.sleep(_LOOK_S)
    return None
