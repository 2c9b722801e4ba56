"""Who asks, and what that caller may do."""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from geoseg_api.problems import Problem, no_job
from geoseg_api.service import Service
from geoseg_api.store import Job

_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="geoseg"'}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        owner: Id of the key, or "" where keys are off.
        scopes: What it may do.
        km2_per_day: Quota.
        jobs_in_flight: Quota.
    """

    owner: str
    scopes: frozenset[str]
    km2_per_day: float
    jobs_in_flight: int

    @property
    def sees(self) -> str | None:
        """Whose jobs this caller sees; ``None``: everybody's."""
        return None if "admin" in self.scopes else self.owner


async def service_of(request: Request) -> Service:  # nothing to wait for, so no thread is taken for it
    """The state of the server."""
    return _service_of(request)


def _service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def caller_of(request: Request) -> Caller:
    """Who asks.

    Raises:
        Problem: 401 without a good key where one is needed; 429 where requests come too fast.
    """
    service = _service_of(request)
    settings = service.settings
    caller = Caller("", frozenset({"read", "run"}), settings.km2_per_day, settings.jobs_in_flight)
    name = request.client.host if request.client else ""
    if settings.is_private and not names_this_machine(request.headers.get("host", "")):
        raise Problem(
            403,
            f"a request to {request.headers['host'][:64]!r}, of a server without keys",
            "an address of this machine alone, such as http://127.0.0.1:8000",
            "GEOSEG_SERVICE_KEYS=true where others reach it by a proxy; false where that proxy asks who they are",
        )
    if settings.needs_keys:
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        given = text.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key", "")
        key = await run_in_threadpool(service.keys.check, given) if given else None
        if key is None:
            _slow_down(service, f"wrong {name}")
            raise Problem(
                401,
                "no API key, or one that is not good",
                "Authorization: Bearer KEY",
                "ask the operator for one",
                headers=_CHALLENGE,
            )
        km2 = settings.km2_per_day if key.km2_per_day is None else key.km2_per_day
        jobs = settings.jobs_in_flight if key.jobs_in_flight is None else key.jobs_in_flight
        caller = Caller(key.id, key.scopes, km2, jobs)
    _slow_down(service, caller.owner or name)
    request.state.owner = caller.owner
    return caller


def names_this_machine(host: str) -> bool:
    """Whether a header ``Host`` is what somebody on this machine writes, and no page or proxy of elsewhere.

    A public name that stands for this machine is how pages of others get at servers that have no keys.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return "." not in name or name.endswith(".localhost")


def _slow_down(service: Service, owner: str) -> None:
    wait_s = service.rates.take(owner)
    if wait_s:
        raise Problem(
            429,
            "too many requests",
            f"at most {service.settings.requests_per_minute} a minute",
            f"wait {math.ceil(wait_s)} s",
            headers={"Retry-After": str(math.ceil(wait_s))},
        )


def needs(caller: Caller, scope: str) -> None:
    """Refuse a caller whose key is not for this.

    Raises:
        Problem: 403.
    """
    if scope not in caller.scopes and "admin" not in caller.scopes:
        raise Problem(
            403, f"a key for {', '.join(sorted(caller.scopes))}", f"one for {scope}", "ask the operator for one"
        )


def job_of(service: Service, caller: Caller, job_id: str) -> Job:
    """A job that the caller may see.

    Raises:
        Problem: 404, whether there is none or it is somebody else's.
    """
    needs(caller, "read")
    fine = 0 < len(job_id) <= 64 and all(letter in "abcdefghijklmnopqrstuvwxyz0123456789-" for letter in job_id)
    job = service.jobs.get(job_id) if fine else None
    if job is None or (caller.sees is not None and job.owner != caller.sees):
        raise no_job(job_id)
    return job


type CallerNow = Annotated[Caller, Depends(caller_of)]
type ServiceNow = Annotated[Service, Depends(service_of)]
