"""Jobs from their acceptance to their end, and who works on them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from geoseg_api.store.dialects import Connection, Database
from geoseg_api.store.records import Accepted, Beat, Job, Lease, NewJob

_ALL = "SELECT * FROM job"
_OF_KEY = f"{_ALL} WHERE owner = :owner AND idempotency = :idempotency"
# What waits longer comes first, and a step of priority is worth ten minutes: nothing waits for ever.
_ORDER = "ORDER BY created - 600.0 * priority, seq"
# A lease that ends later than any that could have been given now is of a clock that was set back.
_FREE = (
    "(status = 'accepted' OR (status = 'running' AND "
    "(lease_boot <> :boot OR lease_until < {now} OR lease_until > {now} + :lease_s)))"
)

_CLAIM = """
    UPDATE job SET status = 'running', worker = :worker, epoch = epoch + 1, attempt = attempt + 1,
        lease_until = {{now}} + :lease_s, lease_boot = :boot,
        started = COALESCE(started, {{later}}(created, {{wall}})), updated = {{later}}(updated, {{wall}}),
        message = CASE WHEN attempt = 0 THEN 'started' WHEN attempt >= :attempts THEN message
            ELSE 'begun again: the worker before was lost; finished tiles are kept' END
    WHERE id = (SELECT id FROM job WHERE {free} {order} LIMIT 1 {skip}) RETURNING *
"""


class JobStore:
    """The jobs of a service.

    Args:
        database: Where they are.
        lease_s: How long a lease is good without a sign of life.
        attempts: How often a job is begun before it is given up.
    """

    def __init__(self, database: Database, lease_s: float = 30.0, attempts: int = 5) -> None:
        self._database = database
        self._lease_s = lease_s
        self._attempts = attempts

    def _do[T](self, work: Callable[[Connection], T]) -> T:
        return self._database.do(work)

    def _read[T](self, work: Callable[[Connection], T]) -> T:
        return self._database.read(work)

    def _sql(self, text: str) -> str:
        return self._database.sql(text)

    # What clients ask

    def add(self, new: NewJob, *, most_queued: int, in_flight: int, km2_per_day: float) -> Accepted:
        """Accept a job, and count it against the limits, in one transaction.

        Args:
            new: The job.
            most_queued: Unfinished jobs of all callers.
            in_flight: Unfinished jobs of this caller.
            km2_per_day: Area of this caller in a day.
        """

        def work(connection: Connection) -> Accepted:
            if self._database.skip_locked:  # others insert at the same time; with SQLite nobody does
                connection.run("SELECT pg_advisory_xact_lock(7365002)")
            known = self._known(connection, new)
            if known is not None:
                is_other = known.digest != new.digest
                return Accepted(known, refusal="other-request" if is_other else "")
            refusal, left = self._refusal(connection, new, most_queued, in_flight, km2_per_day)
            if refusal:
                return Accepted(None, refusal=refusal, left=left)
            row = connection.one(
                self._sql(
                    "INSERT INTO job (id, process, run_key, owner, request, spec, plan, km2, priority, idempotency, "
                    "digest, status, created, updated) VALUES (:id, :process, :run_key, :owner, :request, :spec, :plan, "
                    ":km2, :priority, :idempotency, :digest, 'accepted', {wall}, {wall}) RETURNING *"
                ),
                **{name: getattr(new, name) for name in ("id", "process", "run_key", "owner", "km2", "priority")},
                **{name: getattr(new, name) for name in ("idempotency", "digest")},
                **{name: json.dumps(getattr(new, name)) for name in ("request", "spec", "plan")},
            )
            assert row is not None  # noqa: S101  # an insert gives its row
            self._tell(connection, new.id, "accepted", "")
            connection.run(
                "INSERT INTO used (owner, day, km2) VALUES (:owner, :day, :km2) "
                "ON CONFLICT (owner, day) DO UPDATE SET km2 = used.km2 + excluded.km2",
                owner=new.owner,
                day=_day(row["created"]),
                km2=new.km2,
            )
            return Accepted(Job.of(row), is_new=True)

        return self._do(work)

    def _known(self, connection: Connection, new: NewJob) -> Job | None:
        """The same job, from an earlier request or from an earlier try of this one."""
        row = connection.one(f"{_ALL} WHERE id = :id", id=new.id)
        if row is None and new.idempotency is not None:
            row = connection.one(_OF_KEY, owner=new.owner, idempotency=new.idempotency)
        return None if row is None else Job.of(row)

    def _refusal(
        self, connection: Connection, new: NewJob, most_queued: int, in_flight: int, km2_per_day: float
    ) -> tuple[str, float]:
        counts = connection.one(
            "SELECT COUNT(*) AS everyone, COALESCE(SUM(CASE WHEN owner = :owner THEN 1 ELSE 0 END), 0) AS own "
            "FROM job WHERE status IN ('accepted', 'running')",
            owner=new.owner,
        ) or {"everyone": 0, "own": 0}
        if counts["everyone"] >= most_queued:
            return "queue", 0.0
        if counts["own"] >= in_flight:
            return "in-flight", 0.0
        now = connection.one(self._sql("SELECT {wall} AS wall")) or {"wall": 0.0}
        used = connection.one(
            "SELECT km2 FROM used WHERE owner = :owner AND day = :day", owner=new.owner, day=_day(now["wall"])
        )
        left = km2_per_day - (0.0 if used is None else float(used["km2"]))
        return ("km2", max(0.0, left)) if new.km2 > left else ("", left)

    def get(self, job_id: str) -> Job | None:
        """A job."""
        row = self._read(lambda connection: connection.one(f"{_ALL} WHERE id = :id", id=job_id))
        return None if row is None else Job.of(row)

    def asked_before(self, owner: str, idempotency: str) -> Job | None:
        """The job that a caller asked for under this key."""
        row = self._read(lambda connection: connection.one(_OF_KEY, owner=owner, idempotency=idempotency))
        return None if row is None else Job.of(row)

    def find(
        self,
        owner: str | None,
        *,
        processes: Sequence[str] = (),
        statuses: Sequence[str] = (),
        created: tuple[float | None, float | None] = (None, None),
        durations: tuple[float | None, float | None] = (None, None),
        before: int | None = None,
        limit: int = 10,
    ) -> list[Job]:
        """Jobs, the newest first.

        Args:
            owner: Whose; ``None``: everybody's.
            processes: Of these processes; empty: of all.
            statuses: With these statuses; empty: with any.
            created: Not before the first and not after the second, in seconds since 1970.
            durations: From start to end, or to now, in seconds.
            before: Older than the job of this number.
            limit: Most jobs.
        """
        where, values = ["1 = 1"], dict[str, Any]()

        def add(condition: str, **more: Any) -> None:
            where.append(condition)
            values.update(more)

        if owner is not None:
            add("owner = :owner", owner=owner)
        for column, names in (("process", processes), ("status", statuses)):
            if names:
                keys = {
                    f"{column}_{'abcdefghijklmnopqrstuvwxyz'[i % 26] * (i // 26 + 1)}": n for i, n in enumerate(names)
                }
                add(f"{column} IN ({', '.join(':' + key for key in keys)})", **keys)
        lasted = "started IS NOT NULL AND COALESCE(finished, {wall}) - started"
        bounds = {"since": created[0], "until": created[1], "least": durations[0], "most": durations[1]}
        conditions = {
            "since": "created >= :since",
            "until": "created <= :until",
            "least": f"{lasted} >= :least",
            "most": f"{lasted} <= :most",
        }
        for name, bound in bounds.items():
            if bound is not None:
                add(conditions[name], **{name: bound})
        if before is not None:
            add("seq < :before", before=before)
        conditions_met = " AND ".join(where)  # of words above; what callers give are parameters
        statement = self._sql(f"{_ALL} WHERE {conditions_met} ORDER BY seq DESC LIMIT {int(limit)}")
        return [Job.of(row) for row in self._read(lambda connection: connection.rows(statement, **values))]

    def dismiss(self, job_id: str, keep_s: float | None = None) -> Job | None:
        """Dismiss a job, finished or not; a worker that has it notices. Gives the job as it then stands."""

        def work(connection: Connection) -> Mapping[str, Any] | None:
            row = connection.one(
                self._sql(
                    "UPDATE job SET status = 'dismissed', finished = COALESCE(finished, {later}(updated, {wall})), "
                    "updated = {later}(updated, {wall}), expires = {wall} + :keep_s, message = 'dismissed' "
                    "WHERE id = :id AND status <> 'dismissed' RETURNING *"
                ),
                id=job_id,
                keep_s=keep_s,
            )
            if row is not None:
                self._tell(connection, job_id, "dismissed", "dismissed")
            return row or connection.one(f"{_ALL} WHERE id = :id", id=job_id)

        row = self._do(work)
        return None if row is None else Job.of(row)

    def events(self, job_id: str) -> list[Mapping[str, Any]]:
        """What happened to a job: ``at``, ``status``, ``message``, the oldest first."""
        return self._read(
            lambda connection: connection.rows(
                "SELECT at, status, message FROM event WHERE job = :job ORDER BY seq", job=job_id
            )
        )

    def counts(self) -> dict[str, int]:
        """Number of jobs by status."""
        rows = self._read(lambda connection: connection.rows("SELECT status, COUNT(*) AS n FROM job GROUP BY status"))
        return {row["status"]: int(row["n"]) for row in rows}

    # What workers do

    def claim(self, worker: str, keep_s: float | None = None) -> Lease | None:
        """The job that has waited longest, as far as there is one that nobody has.

        A job that was begun too often without an end is given up on the way.

        Args:
            worker: Who asks.
            keep_s: How long a job that is given up is kept; ``None``: for ever.
        """
        clock = {"boot": self._database.boot, "lease_s": self._lease_s}
        look = self._sql(f"{_ALL} WHERE {_FREE} LIMIT 1")
        if self._read(lambda connection: connection.one(look, **clock)) is None:
            return None  # an idle worker writes nothing
        statement = self._sql(_CLAIM.format(free=_FREE, order=_ORDER, skip=self._database.skip_locked))

        def work(connection: Connection) -> Mapping[str, Any] | None:
            while True:
                row = connection.one(statement, worker=worker, attempts=self._attempts, **clock)
                if row is None or row["attempt"] <= self._attempts:
                    break
                self._end(connection, row["id"], row["epoch"], "failed", _given_up(row, self._attempts), keep_s)
            if row is not None:
                self._tell(connection, row["id"], "running", row["message"])
            return row

        row = self._do(work)
        return None if row is None else Lease(Job.of(row), row["epoch"], worker)

    def beat(self, lease: Lease, progress: int | None = None, message: str | None = None) -> Beat:
        """A sign of life: the lease is good from now on, and what was done so far is told."""
        row = self._do(
            lambda connection: connection.one(
                self._sql(
                    "UPDATE job SET lease_until = {now} + :lease_s, lease_boot = :boot, "
                    "updated = {later}(updated, {wall}), "
                    "progress = CASE WHEN :progress > progress THEN :progress ELSE progress END, "
                    "message = COALESCE(:message, message) "
                    "WHERE id = :id AND epoch = :epoch AND status = 'running' RETURNING id"
                ),
                id=lease.job.id,
                epoch=lease.epoch,
                boot=self._database.boot,
                lease_s=self._lease_s,
                progress=min(99, progress or 0),
                message=message,
            )
        )
        if row is not None:
            return Beat(holds=True, cancel=False)
        job = self.get(lease.job.id)
        return Beat(holds=False, cancel=job is not None and job.status == "dismissed")

    def finish(self, lease: Lease, status: str, problem: dict[str, Any] | None, keep_s: float | None) -> bool:
        """End a job. Does nothing where the lease is no longer good.

        Args:
            lease: The lease.
            status: ``successful`` or ``failed``.
            problem: Why it failed.
            keep_s: How long its results are kept; ``None``: for ever.

        Returns:
            Whether it was this lease that ended it.
        """
        return self._do(lambda c: self._end(c, lease.job.id, lease.epoch, status, problem, keep_s))

    def _end(
        self,
        connection: Connection,
        job_id: str,
        epoch: int,
        status: str,
        problem: dict[str, Any] | None,
        keep_s: float | None,
    ) -> bool:
        message = "done" if problem is None else str(problem["detail"])
        row = connection.one(
            self._sql(
                "UPDATE job SET status = :status, finished = {later}(updated, {wall}), "
                "updated = {later}(updated, {wall}), problem = :problem, message = :message, "
                "progress = CASE WHEN :status = 'successful' THEN 100 ELSE progress END, "
                "expires = {wall} + :keep_s WHERE id = :id AND epoch = :epoch AND status = 'running' RETURNING id"
            ),
            id=job_id,
            epoch=epoch,
            status=status,
            problem=None if problem is None else json.dumps(problem),
            message=message,
            keep_s=keep_s,
        )
        if row is not None:
            self._tell(connection, job_id, status, message)
            return True
        now = connection.one("SELECT status, epoch FROM job WHERE id = :id", id=job_id)
        return now is not None and (now["status"], now["epoch"]) == (status, epoch)  # an earlier try of this one did it

    def give_back(self, lease: Lease) -> None:
        """Let another worker have the job at once; this attempt does not count."""

        def work(connection: Connection) -> None:
            row = connection.one(
                self._sql(
                    "UPDATE job SET status = 'accepted', attempt = attempt - 1, lease_until = 0, worker = '', "
                    "updated = {later}(updated, {wall}), message = 'given back by a worker that was stopped' "
                    "WHERE id = :id AND epoch = :epoch AND status = 'running' RETURNING id"
                ),
                id=lease.job.id,
                epoch=lease.epoch,
            )
            if row is not None:
                self._tell(connection, lease.job.id, "accepted", "given back")

        self._do(work)

    def free_lost(self, is_lost: Callable[[str], bool]) -> int:
        """Free the jobs of workers that are known to be gone.

        Args:
            is_lost: Whether a worker is.

        Returns:
            How many jobs were freed.
        """
        held = "SELECT id, epoch, worker FROM job WHERE status = 'running' AND lease_until > 0"
        lost = [row for row in self._read(lambda c: c.rows(held)) if is_lost(row["worker"])]

        def work(connection: Connection) -> int:
            for row in lost:
                connection.run(
                    "UPDATE job SET lease_until = 0 WHERE id = :id AND epoch = :epoch AND status = 'running'",
                    id=row["id"],
                    epoch=row["epoch"],
                )
            return len(lost)

        return self._do(work) if lost else 0

    def expired(self) -> list[Job]:
        """Finished jobs whose time is over."""
        rows = self._read(lambda c: c.rows(self._sql(f"{_ALL} WHERE expires IS NOT NULL AND expires < {{wall}}")))
        return [Job.of(row) for row in rows]

    def forget(self, job_id: str) -> None:
        """Remove a finished job."""

        def work(connection: Connection) -> None:
            live = "('accepted', 'running')"
            if connection.one(f"DELETE FROM job WHERE id = :id AND status NOT IN {live} RETURNING id", id=job_id):  # noqa: S608  # a constant
                connection.run("DELETE FROM event WHERE job = :job", job=job_id)

        self._do(work)

    def _tell(self, connection: Connection, job_id: str, status: str, message: str) -> None:
        connection.run(
            self._sql("INSERT INTO event (job, at, status, message) VALUES (:job, {wall}, :status, :message)"),
            job=job_id,
            status=status,
            message=message,
        )


def _day(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).date().isoformat()


def _given_up(row: Mapping[str, Any], attempts: int) -> dict[str, Any]:
    return {
        "type": "urn:geoseg:poison",
        "title": "Internal Server Error",
        "status": 500,
        "detail": f"the job was begun {attempts} times and its worker was lost each time; last: {row['message']}",
        "hint": "ask for a smaller region, or tell the operator the id of the job",
    }
