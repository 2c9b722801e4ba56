"""Tables, and how an older store becomes a newer one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geoseg.errors import GeosegError

if TYPE_CHECKING:
    from geoseg_api.store.dialects import Connection

# One entry for each version; {serial} and {real} are the dialect's words. Entries never change once they were released.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE job (
            seq {serial}, id TEXT NOT NULL UNIQUE, process TEXT NOT NULL, run_key TEXT NOT NULL, owner TEXT NOT NULL,
            request TEXT NOT NULL, spec TEXT NOT NULL, plan TEXT NOT NULL, km2 {real} NOT NULL,
            priority INTEGER NOT NULL, idempotency TEXT, digest TEXT NOT NULL,
            status TEXT NOT NULL
                CHECK (status IN ('accepted', 'running', 'successful', 'failed', 'dismissed')),
            created {real} NOT NULL, started {real}, finished {real}, updated {real} NOT NULL,
            progress INTEGER NOT NULL DEFAULT 0, message TEXT NOT NULL DEFAULT '', problem TEXT, expires {real},
            attempt INTEGER NOT NULL DEFAULT 0, epoch INTEGER NOT NULL DEFAULT 0,
            worker TEXT NOT NULL DEFAULT '', lease_until {real} NOT NULL DEFAULT 0, lease_boot TEXT NOT NULL DEFAULT '',
            UNIQUE (owner, idempotency))""",
        "CREATE TABLE event (seq {serial}, job TEXT NOT NULL, at {real} NOT NULL, status TEXT NOT NULL, message TEXT NOT NULL)",
        "CREATE TABLE used (owner TEXT NOT NULL, day TEXT NOT NULL, km2 {real} NOT NULL, PRIMARY KEY (owner, day))",
        """CREATE TABLE apikey (id TEXT PRIMARY KEY, digest TEXT NOT NULL, name TEXT NOT NULL, scopes TEXT NOT NULL,
            created {real} NOT NULL, revoked {real}, km2_per_day {real}, jobs_in_flight INTEGER)""",
    ),
    (
        "CREATE INDEX job_status ON job (status, seq)",
        "CREATE INDEX job_owner ON job (owner, status)",
        "CREATE INDEX event_job ON event (job, seq)",
    ),
)
VERSION = len(MIGRATIONS)


def migrate(connection: Connection) -> None:
    """Bring a store to this version, in one transaction that others wait for.

    Raises:
        GeosegError: If the store is of a newer version; it is left as it is.
    """
    with connection.transaction():
        connection.lock_for_migration()
        connection.run("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        row = connection.one("SELECT value FROM meta WHERE name = 'schema_version'")
        there = 0 if row is None else int(row["value"])
        if there > VERSION:
            raise GeosegError(
                f"a job store of version {there}",
                f"version {VERSION} or older, which this geoseg knows",
                "start the newer geoseg that wrote it, or name another folder with --data",
            )
        for number in range(there, VERSION):
            for statement in MIGRATIONS[number]:
                connection.run(statement.format_map(connection.words))
        connection.run("DELETE FROM meta WHERE name = 'schema_version'")
        connection.run("INSERT INTO meta (name, value) VALUES ('schema_version', :version)", version=str(VERSION))
