"""The two databases behind one small face: named parameters, rows as mappings, transactions that are tried again.

Leases are counted by a clock that nobody sets: that of the machine since it started, with SQLite, whose users are all on
one machine; that of the server with PostgreSQL.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import psutil
import stamina

from geoseg.errors import GeosegError, RequestError
from geoseg.remote import redacted
from geoseg_api.store.schema import migrate

_WAIT_S = 10.0
_TRIES = 8
_NETWORK = ("nfs", "cifs", "smb", "fuse.sshfs", "9p", "ceph", "glusterfs", "lustre", "afs")
_MIGRATING = 7_365_001  # number of the lock under which a store is brought to another version


class StoreUnavailableError(GeosegError):
    """The job store is locked or cannot be reached."""


class _TransientError(Exception):
    """What may go well when it is tried again."""


class Connection(ABC):
    """One connection. Statements name parameters as ``:name``."""

    words: ClassVar[Mapping[str, str]]

    @abstractmethod
    def rows(self, statement: str, **values: Any) -> list[Mapping[str, Any]]:
        """All rows that a statement gives."""

    @abstractmethod
    def lock_for_migration(self) -> None:
        """Let nobody else change tables in this transaction."""

    @abstractmethod
    def transaction(self) -> Any:
        """Context of a transaction that writes; an error undoes it."""

    @abstractmethod
    def snapshot(self) -> Any:
        """Context of a transaction that only reads, and waits for nobody who writes."""

    @abstractmethod
    def close(self) -> None:
        """Close it."""

    def run(self, statement: str, **values: Any) -> None:
        """A statement whose rows nobody wants."""
        self.rows(statement, **values)

    def one(self, statement: str, **values: Any) -> Mapping[str, Any] | None:
        """The first row, or ``None``."""
        rows = self.rows(statement, **values)
        return rows[0] if rows else None


class Database(ABC):
    """A database, with the connections that are not in use."""

    #: Words of SQL that differ: ``{now}`` lease clock, ``{wall}`` seconds since 1970, ``{later}`` the later of two times.
    words: ClassVar[Mapping[str, str]]

    def __init__(self) -> None:
        self._idle: list[Connection] = []
        self._lock = threading.Lock()
        self.boot = ""

    @abstractmethod
    def connect(self) -> Connection:
        """A new connection."""

    @abstractmethod
    def is_transient(self, err: Exception) -> bool:
        """Whether a fault may pass."""

    @property
    @abstractmethod
    def skip_locked(self) -> str:
        """What a claim says to pass over rows that somebody else is claiming."""

    def do[T](self, work: Callable[[Connection], T]) -> T:
        """Do something in one transaction; again where the database is busy, or was away for a moment.

        ``work`` must bear to be done twice: a connection may be lost after the commit and before its answer.

        Raises:
            StoreUnavailableError: If it does not go well for some seconds.
        """
        return self._tried(work, writes=True)

    def read[T](self, work: Callable[[Connection], T]) -> T:
        """The same for work that changes nothing: it never waits for a transaction that writes.

        Raises:
            StoreUnavailableError: If it does not go well for some seconds.
        """
        return self._tried(work, writes=False)

    def _tried[T](self, work: Callable[[Connection], T], *, writes: bool) -> T:
        try:
            for attempt in stamina.retry_context(on=_TransientError, attempts=_TRIES, timeout=_WAIT_S, wait_max=1.0):
                with attempt:
                    return self._once(work, writes=writes)
        except _TransientError as err:
            raise StoreUnavailableError(
                f"the job store: {err}", "a database that answers", "try again in some seconds"
            ) from err
        raise AssertionError  # the last try raises

    def _once[T](self, work: Callable[[Connection], T], *, writes: bool) -> T:
        try:
            connection = self._taken()
            try:
                with connection.transaction() if writes else connection.snapshot():
                    result = work(connection)
            except Exception:
                with suppress(Exception):
                    connection.close()  # whatever state it is in
                raise
        except Exception as err:
            if self.is_transient(err):
                raise _TransientError(type(err).__name__) from err
            raise
        with self._lock:
            self._idle.append(connection)
        return result

    def _taken(self) -> Connection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self.connect()

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    def sql(self, statement: str) -> str:
        """A statement with the dialect's words."""
        return statement.format_map(self.words)


class _SqliteConnection(Connection):
    words: ClassVar[Mapping[str, str]] = {"serial": "INTEGER PRIMARY KEY AUTOINCREMENT", "real": "REAL"}

    def __init__(self, path: Path, clock: Callable[[], float], wall: Callable[[], float]) -> None:
        self._raw = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
        self._raw.row_factory = sqlite3.Row
        for name, function in (("now_s", clock), ("wall_s", wall)):
            self._raw.create_function(name, 0, function)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._raw.execute(f"PRAGMA {pragma}").fetchall()

    def rows(self, statement: str, **values: Any) -> list[Mapping[str, Any]]:
        return [dict(row) for row in self._raw.execute(statement, values).fetchall()]

    def transaction(self) -> Any:
        return self._between("BEGIN IMMEDIATE")

    def snapshot(self) -> Any:
        return self._between("BEGIN")  # in WAL mode whoever reads takes no lock that a writer has

    @contextmanager
    def _between(self, begin: str) -> Iterator[None]:
        self._raw.execute(begin)
        try:
            yield
            self._raw.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._raw.execute("ROLLBACK")
            raise

    def lock_for_migration(self) -> None:
        pass  # BEGIN IMMEDIATE has it

    def close(self) -> None:
        self._raw.close()


class SqliteDatabase(Database):
    """A file of this machine.

    Args:
        path: The file.
        clock: Seconds of a clock that never goes back and is the same for all processes of the machine.
        wall: Seconds since 1970.

    Raises:
        RequestError: If it cannot be a folder, or lies on a file system of another machine, where SQLite's shared
            memory does not work.
    """

    words: ClassVar[Mapping[str, str]] = {"now": "now_s()", "wall": "wall_s()", "later": "max"}

    def __init__(
        self, path: Path, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise RequestError(
                f"--data {path.parent}: {err.strerror}", "a folder that can be written", "choose another one"
            ) from err
        kind = _file_system_of(path.parent)
        if kind.startswith(_NETWORK):
            raise RequestError(
                f"--data {path.parent}, on a file system of kind {kind}",
                "a disk of this machine, for SQLite",
                "choose another folder, or give --database postgresql://…",
            )
        self._path, self._clock, self._wall = path, clock, wall
        self.boot = _boot_id()

    def connect(self) -> Connection:
        """A new connection."""
        return _SqliteConnection(self._path, self._clock, self._wall)

    def is_transient(self, err: Exception) -> bool:
        """Whether a fault may pass."""
        return isinstance(err, sqlite3.OperationalError) and any(
            word in str(err) for word in ("locked", "busy", "unable to open", "disk I/O", "disk is full")
        )

    @property
    def skip_locked(self) -> str:
        """What a claim says to pass over rows that somebody else is claiming."""
        return ""


_NAMED = re.compile(r"(?<!:):([a-z][a-z0-9_]*)")


class _PostgresConnection(Connection):
    words: ClassVar[Mapping[str, str]] = {"serial": "BIGSERIAL PRIMARY KEY", "real": "DOUBLE PRECISION"}

    def __init__(self, url: str) -> None:
        import psycopg  # noqa: PLC0415  # only where it is asked for
        from psycopg.rows import dict_row  # noqa: PLC0415

        self._raw = psycopg.connect(url, autocommit=True, row_factory=dict_row, connect_timeout=5)

    def rows(self, statement: str, **values: Any) -> list[Mapping[str, Any]]:
        cursor = self._raw.execute(_NAMED.sub(r"%(\1)s", statement.replace("%", "%%")), values)
        return list(cursor.fetchall()) if cursor.description else []

    def transaction(self) -> Any:
        return self._raw.transaction()

    def snapshot(self) -> Any:
        return self._raw.transaction()  # readers never wait for writers here

    def lock_for_migration(self) -> None:
        self._raw.execute("SELECT pg_advisory_xact_lock(%s)", (_MIGRATING,))

    def close(self) -> None:
        self._raw.close()


class PostgresDatabase(Database):
    """A PostgreSQL server.

    Args:
        url: ``postgresql://user@host/name``.
    """

    words: ClassVar[Mapping[str, str]] = {
        "now": "extract(epoch from clock_timestamp())::float8",
        "wall": "extract(epoch from clock_timestamp())::float8",
        "later": "greatest",
    }

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def connect(self) -> Connection:
        """A new connection."""
        return _PostgresConnection(self._url)

    def is_transient(self, err: Exception) -> bool:
        """Whether a fault may pass."""
        import psycopg  # noqa: PLC0415

        return isinstance(err, psycopg.OperationalError | psycopg.InterfaceError)

    @property
    def skip_locked(self) -> str:
        """What a claim says to pass over rows that somebody else is claiming."""
        return "FOR UPDATE SKIP LOCKED"


def open_database(data: Path, url: str | None = None) -> Database:
    """The database of a service, with its tables.

    Args:
        data: The service's folder.
        url: ``postgresql://…``, or ``None`` for SQLite in the folder.

    Raises:
        RequestError: If it is none that can be used.
        StoreUnavailableError: If it does not answer.
        GeosegError: If its tables are those of a newer version.
    """
    if url is None:
        database: Database = SqliteDatabase(data / "service.db")
    elif url.startswith(("postgresql://", "postgres://")):
        try:
            import psycopg  # noqa: F401, PLC0415  # an extra
        except ImportError as err:
            raise RequestError(
                "--database postgresql://…", "the package psycopg", "pip install 'geoseg[service]'"
            ) from err
        database = PostgresDatabase(url)
    else:
        raise RequestError("--database with another scheme", "postgresql://…", "correct it, or leave it out for SQLite")
    place = f"--data {data}" if url is None else f"--database {redacted(url)}"
    try:
        for attempt in stamina.retry_context(on=database.is_transient, attempts=_TRIES, timeout=_WAIT_S):
            with attempt:
                connection = database.connect()
                try:
                    migrate(connection)
                finally:
                    connection.close()
    except Exception as err:
        words = redacted(" ".join(str(err).split()))
        if database.is_transient(err):
            raise StoreUnavailableError(
                f"{place}: {words}", "a job store that answers", "see that it is up and has room, and start again"
            ) from err
        if isinstance(err, sqlite3.DatabaseError):
            raise RequestError(
                f"{place}: service.db there: {words}", "a job store of geoseg", "choose another folder with --data"
            ) from err
        raise
    return database


def _file_system_of(folder: Path) -> str:
    """Kind of the file system that a folder lies on, such as ``ext4``."""
    place = folder.resolve()
    mounts = [part for part in psutil.disk_partitions(all=True) if place.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else ""


def _boot_id() -> str:
    """Which start of the machine its clock counts from."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"
