"""Progress of a job as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from geoseg_api.access import CallerNow, ServiceNow, job_of
from geoseg_api.documents import base_of, status_info
from geoseg_api.service import Service
from geoseg_api.store import StoreUnavailableError

router = APIRouter(tags=["jobs"])

_LOOK_S = 0.5
_ALIVE_S = 15.0


@router.get(
    "/jobs/{job_id}/events",
    summary="Progress of a job, as it happens",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Events `status`; the last one is final"}},
)
def job_events(request: Request, job_id: str, caller: CallerNow, service: ServiceNow) -> StreamingResponse:
    """Events of the name `status` whose data is the status of the job, at once and after each change, until it ends."""
    job_of(service, caller, job_id)
    stream = _events(service, job_id, base_of(request))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


async def _events(service: Service, job_id: str, base: str) -> AsyncIterator[str]:
    clock = asyncio.get_running_loop().time
    seen, told = "", clock()
    yield "retry: 2000\n\n"
    while not service.stopping.is_set():
        try:
            job = await run_in_threadpool(service.jobs.get, job_id)
        except StoreUnavailableError:
            return  # the client asks again
        if job is None:
            return
        now = f"{job.status} {job.progress} {job.message}"
        if now != seen:
            seen, told = now, clock()
            yield f"event: status\ndata: {json.dumps(status_info(job, base))}\n\n"
        elif clock() - told > _ALIVE_S:
            told = clock()
            yield ": alive\n\n"
        if job.is_final:
            return
        await asyncio.sleep(_LOOK_S)
