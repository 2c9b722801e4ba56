"""Records in an object store that all workers reach, through fsspec: ``s3://bucket/prefix`` and the like.

An object appears whole or not at all, but there are no locks. Where the store knows conditions (S3), a record replaces
the very one whose cells it holds, or another try is made; elsewhere it is read again after it was written, and a writer
that finds its cells gone writes once more. Two writers within the same moment may then still lose the cells of one of
them: they are computed again, never wrong.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from functools import cache
from typing import Any

from geoseg.errors import OutputError, RequestError
from geoseg.store.record import TileRecord, decode, encode, is_whole

_TRIES = 8
_WITH_CONDITIONS = frozenset({"s3", "s3a"})
_HOW_ON = "see that the address and the credentials are right, then run the same command: finished tiles are kept"


@dataclass(frozen=True, slots=True)
class _Bucket:
    """What reads and writes objects.

    Attributes:
        files: An ``fsspec`` file system.
        root: Path of the prefix in it.
        has_conditions: Whether it takes the conditions of S3.
        errors: What it raises.
    """

    files: Any  # Any: fsspec's file systems ship no types
    root: str
    has_conditions: bool
    errors: tuple[type[Exception], ...]


@cache
def _bucket(url: str) -> _Bucket:
    """The bucket of an address; one for a process.

    Raises:
        RequestError: If nothing installed reads such addresses.
    """
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415  # an extra

        errors: tuple[type[Exception], ...] = (OSError,)
        has_conditions = url.partition("://")[0] in _WITH_CONDITIONS
        if has_conditions:
            from botocore.exceptions import BotoCoreError  # noqa: PLC0415  # an extra

            errors = (OSError, BotoCoreError)
        files, root = url_to_fs(url, use_listings_cache=False)
    except ImportError as err:
        raise RequestError(
            f"--store {url}: {err}", "the library that reads such addresses", "pip install 'geoseg[cluster]'"
        ) from err
    except ValueError as err:
        raise RequestError(
            f"--store {url}: {err}", "a folder, or an address such as s3://bucket/prefix", "correct the address"
        ) from err
    return _Bucket(files, root.rstrip("/"), has_conditions, errors)


@dataclass(frozen=True)
class ObjectStore:
    """Tile records under a prefix, two levels deep, shared by all jobs.

    Attributes:
        url: The prefix, such as ``s3://bucket/tiles``. Credentials come from the environment of each process.
    """

    url: str

    def __post_init__(self) -> None:
        _bucket(self.url)  # refused now, not at the first tile

    def __str__(self) -> str:
        return self.url

    def path(self, key: str) -> str:
        """Where a record lies or would lie, as the file system names it."""
        return f"{_bucket(self.url).root}/{key[:2]}/{key[2:4]}/{key}.zip"

    def get(self, key: str) -> TileRecord | None:
        """The record under a key, or ``None`` where there is none that is whole.

        Raises:
            OutputError: If the store does not answer.
        """
        body = self.read(self.path(key))
        return decode(body) if body is not None and is_whole(body) else None

    def add(self, key: str, record: TileRecord) -> TileRecord:
        """Write a record together with the cells that are there by now, perhaps by another run.

        Returns:
            What was written.

        Raises:
            OutputError: If it cannot be written, or reads back differently.
        """
        path = self.path(key)
        for _ in range(_TRIES):
            version = self._version(path)
            older = self.get(key)
            if older is not None and older.covers(record):
                return older
            whole = record.with_cells_of(older)
            body = encode(whole)
            if not self._replace(path, body, version):
                continue
            if self.read(path) == body:
                return whole
            now = self.get(key)  # another run's by now: does it hold our cells?
            if now is not None and not (record.cells & ~now.cells).any():
                return now
        raise self._error(path, "it reads back differently each time")

    def read(self, path: str) -> bytes | None:
        """An object, or ``None`` where there is none.

        Raises:
            OutputError: If the store does not answer.
        """
        bucket = _bucket(self.url)
        try:
            body: bytes = bucket.files.cat_file(path)
        except (FileNotFoundError, PermissionError, IsADirectoryError):
            return None  # S3 refuses what is not there to those who may not list; who may not write either, hears of it
        except bucket.errors as err:
            raise self._error(path, err) from err
        return body

    def leave(self, name: str, body: bytes) -> None:
        """Write a small object beside the records, for others to find.

        Raises:
            OutputError: If it cannot be written.
        """
        path = f"{_bucket(self.url).root}/{name}"
        if not self._replace(path, body, None, conditional=False):
            raise self._error(path, "it cannot be written")

    def found(self, name: str) -> bytes | None:
        """What was left under a name."""
        return self.read(f"{_bucket(self.url).root}/{name}")

    def forget(self, name: str) -> None:
        """Remove what was left under a name."""
        bucket = _bucket(self.url)
        try:
            bucket.files.rm_file(f"{bucket.root}/{name}")
        except FileNotFoundError:
            return
        except bucket.errors as err:
            raise self._error(name, err) from err

    def _version(self, path: str) -> str | None:
        """What tells an object from the one that takes its place; ``None`` where there is none, or nothing tells."""
        bucket = _bucket(self.url)
        if not bucket.has_conditions:
            return None
        try:
            return str(bucket.files.info(path)["ETag"])
        except (FileNotFoundError, PermissionError):
            return None
        except bucket.errors as err:
            raise self._error(path, err) from err

    def _replace(self, path: str, body: bytes, version: str | None, *, conditional: bool = True) -> bool:
        """Put an object in the place of a version; whether that was still there.

        Raises:
            OutputError: If it cannot be written.
        """
        bucket = _bucket(self.url)
        is_guarded = conditional and bucket.has_conditions
        condition = ({"IfNoneMatch": "*"} if version is None else {"IfMatch": version}) if is_guarded else {}
        try:
            bucket.files.pipe_file(path, body, **condition)
        except bucket.errors as err:
            if condition and getattr(err, "errno", None) == errno.ENOSYS:  # a server that knows no conditions
                return self._replace(path, body, version, conditional=False)
            if condition and self._version(path) != version:
                return False
            raise self._error(path, err) from err
        return True

    def _error(self, path: str, cause: object) -> OutputError:
        return OutputError(
            f"the tile store {self.url}: {path}: {cause}", "a store that can be read and written", _HOW_ON
        )
