"""API keys: shown once, kept as hashes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from geoseg_api.store.dialects import Database

SCOPES = ("read", "run", "admin")
_PREFIX = "geoseg"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, without what makes it one.

    Attributes:
        id: Names it in lists; owner of the jobs that it asks for.
        name: For people.
        scopes: ``read`` (status and results), ``run`` (jobs), ``admin`` (everybody's jobs).
        created: Seconds since 1970.
        revoked: Since when it is good for nothing, or ``None``.
        km2_per_day: Its own quota, or ``None``.
        jobs_in_flight: Its own quota, or ``None``.
    """

    id: str
    name: str
    scopes: frozenset[str]
    created: float
    revoked: float | None
    km2_per_day: float | None
    jobs_in_flight: int | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """A row of the table."""
        known = {name: row[name] for name in cls.__dataclass_fields__}
        return cls(**{**known, "scopes": frozenset(str(row["scopes"]).split())})


class KeyStore:
    """The API keys of a service.

    Args:
        database: Where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        name: str,
        scopes: Sequence[str] = ("read", "run"),
        km2_per_day: float | None = None,
        jobs_in_flight: int | None = None,
    ) -> str:
        """Make a key. The text that is returned is nowhere else."""
        identity, secret = secrets.token_hex(6), secrets.token_hex(32)
        self._database.do(
            lambda connection: connection.run(
                self._database.sql(
                    "INSERT INTO apikey (id, digest, name, scopes, created, km2_per_day, jobs_in_flight) "
                    "VALUES (:id, :digest, :name, :scopes, {wall}, :km2_per_day, :jobs_in_flight) "
                    "ON CONFLICT (id) DO NOTHING"
                ),
                id=identity,
                digest=_digest(secret),
                name=name,
                scopes=" ".join(sorted(set(scopes))),
                km2_per_day=km2_per_day,
                jobs_in_flight=jobs_in_flight,
            )
        )
        return f"{_PREFIX}_{identity}_{secret}"

    def check(self, text: str) -> ApiKey | None:
        """The key that a text is, if it is one that is good."""
        prefix, _, rest = text.partition("_")
        identity, _, secret = rest.partition("_")
        row = self._database.read(lambda c: c.one("SELECT * FROM apikey WHERE id = :id", id=identity[:64]))
        # As much work for a key that does not exist as for a wrong one.
        known = _digest("") if row is None else str(row["digest"])
        fits = hmac.compare_digest(known, _digest(secret))
        if row is None or not fits or prefix != _PREFIX or row["revoked"] is not None:
            return None
        return ApiKey.of(row)

    def list(self) -> list[ApiKey]:
        """All keys, the oldest first."""
        return [
            ApiKey.of(row) for row in self._database.read(lambda c: c.rows("SELECT * FROM apikey ORDER BY created"))
        ]

    def revoke(self, identity: str) -> bool:
        """Make a key good for nothing; whether there was one."""
        row = self._database.do(
            lambda connection: connection.one(
                self._database.sql("UPDATE apikey SET revoked = COALESCE(revoked, {wall}) WHERE id = :id RETURNING id"),
                id=identity,
            )
        )
        return row is not None


def _digest(secret: str) -> str:
    """Keys are long random numbers: a plain hash cannot be guessed from."""
    return hashlib.sha256(secret.encode()).hexdigest()
