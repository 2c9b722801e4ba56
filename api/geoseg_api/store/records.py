"""What the job store knows of a job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

Status = Literal["accepted", "running", "successful", "failed", "dismissed"]
FINAL = frozenset({"successful", "failed", "dismissed"})
LIVE = ("accepted", "running")


@dataclass(frozen=True, slots=True)
class NewJob:
    """A request that was found good.

    Attributes:
        id: Random.
        process: Name of the process.
        run_key: Hash of what to make; equal for equal jobs.
        owner: Id of the key that asked; "" where keys are off.
        request: The body of the request, as far as results depend on it (outputs, response).
        spec: What to make, as JSON; empty for ``echo``.
        plan: What it takes, as far as it is known.
        km2: Area that counts against the quota.
        priority: Each step counts like ten minutes of waiting.
        idempotency: Key of the client, or ``None``.
        digest: Hash of the request, by which a repeated one is told from another one.
    """

    id: str
    process: str
    run_key: str
    owner: str
    request: dict[str, Any]
    spec: dict[str, Any]
    plan: dict[str, Any] = field(default_factory=dict)
    km2: float = 0.0
    priority: int = 0
    idempotency: str | None = None
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. Times are seconds since 1970 by the store's clock."""

    id: str
    process: str
    run_key: str
    owner: str
    request: dict[str, Any]
    spec: dict[str, Any]
    plan: dict[str, Any]
    km2: float
    status: Status
    created: float
    started: float | None
    finished: float | None
    updated: float
    progress: int
    message: str
    problem: dict[str, Any] | None
    attempt: int
    epoch: int
    expires: float | None
    digest: str
    seq: int

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to it."""
        return self.status in FINAL

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """A row of the table."""
        known = {name: row[name] for name in cls.__dataclass_fields__}
        for name in ("request", "spec", "plan", "problem"):
            known[name] = None if known[name] is None else json.loads(known[name])
        return cls(**known)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job, as long as signs of life come and nobody else has it.

    Attributes:
        job: The job as it was claimed.
        epoch: Number of this lease; each claim of the job has a larger one.
        worker: Who has it.
    """

    job: Job
    epoch: int
    worker: str


@dataclass(frozen=True, slots=True)
class Beat:
    """The answer to a sign of life.

    Attributes:
        holds: Whether the lease is still good; if not, stop at once.
        cancel: Whether the job was dismissed.
    """

    holds: bool
    cancel: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to a new job.

    Attributes:
        job: The job; an earlier one where the same request had come before.
        is_new: Whether it was made now.
        refusal: Why it was not accepted: ``queue``, ``in-flight``, ``km2`` or ``other-request``; then nothing was made.
        left: What is left of the quota.
    """

    job: Job | None
    is_new: bool = False
    refusal: str = ""
    left: float = 0.0
