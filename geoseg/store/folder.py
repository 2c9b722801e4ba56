"""Records in a folder: written under a temporary name, read back, and renamed; a lock for each folder of them."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from geoseg.errors import OutputError
from geoseg.store.record import TileRecord, decode, encode, is_whole

_HOW_ON = "free space or set GEOSEG_CACHE, then run the same command: finished tiles are kept"
_TWO_LEVELS = "/".join(["[0-9a-f][0-9a-f]"] * 2)
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


class TileStore:
    """Tile records in a folder, two levels deep, shared by all jobs.

    Args:
        folder: Where; made on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def path(self, key: str) -> Path:
        """Where a record lies or would lie."""
        return self._folder / key[:2] / key[2:4] / f"{key}.zip"

    def get(self, key: str) -> TileRecord | None:
        """The record under a key, or ``None`` where there is none that is whole."""
        try:
            body = self.path(key).read_bytes()
        except OSError:
            return None
        return decode(body) if is_whole(body) else None

    def add(self, key: str, record: TileRecord) -> TileRecord:
        """Write a record together with the cells that are there by now, perhaps by another run.

        A worker that was given up and finishes after all comes too late: what is there stays.

        Returns:
            What is there now.

        Raises:
            OutputError: See ``put``.
        """
        with self._alone(key):
            older = self.get(key)
            if older is not None and older.covers(record):
                return older
            record = record.with_cells_of(older)
            self.put(key, record)
        return record

    def leave(self, name: str, body: bytes) -> None:
        """Write a small file beside the records, for others to find.

        Raises:
            OutputError: If it cannot be written.
        """
        path = self._folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        except OSError as err:
            raise OutputError(f"the tile store {self._folder}: {err}", "a folder that can be written", _HOW_ON) from err

    def found(self, name: str) -> bytes | None:
        """What was left under a name."""
        try:
            return (self._folder / name).read_bytes()
        except OSError:
            return None

    def forget(self, name: str) -> None:
        """Remove what was left under a name."""
        with suppress(OSError):
            (self._folder / name).unlink()

    def clear(self) -> None:
        """Remove every record, and nothing else that lies in the folder.

        Raises:
            OutputError: If one stays.
        """
        for folder in self._folder.glob(_TWO_LEVELS):
            if folder.is_symlink() or not folder.is_dir():
                continue
            shutil.rmtree(folder, ignore_errors=True)  # a run may write there meanwhile
            with suppress(OSError):  # one that is not empty is wanted
                folder.parent.rmdir()
        left = next(self._folder.glob(f"{_TWO_LEVELS}/*.zip"), None)
        if left is not None:
            raise OutputError(
                f"the tile record {left}, which cannot be removed", "a folder that can be written", "see who owns it"
            )

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Hold the lock of a key's folder; it goes with the process, so a killed one leaves nothing behind."""
        folder = self.path(key).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / ".lock").open("w")
        except OSError as err:
            raise OutputError(
                f"the tile store {folder}: {err}", f"a folder that can be written; {_free(folder)}", _HOW_ON
            ) from err
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError as err:
                if err.errno not in _NO_LOCKS:  # a network mount without locks: cells may be lost, and are made again
                    raise
            yield

    def put(self, key: str, record: TileRecord) -> None:
        """Write a record whole, in place of an older one.

        Raises:
            OutputError: If it cannot be written, or reads back differently.
        """
        path = self.path(key)
        body = encode(record)
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            if temporary.read_bytes() == body:
                temporary.replace(path)
                return
            problem: object = "it reads back differently"
            cause = None
        except OSError as err:
            problem, cause = err, err
        with suppress(OSError):  # what stopped the write may stop this too
            temporary.unlink()
        raise OutputError(
            f"the tile record {path}: {problem}",
            f"room for {len(body):,} bytes in the tile store; {_free(path.parent)}",
            _HOW_ON,
        ) from cause


def _free(folder: Path) -> str:
    """Room on the disk of a folder, which may not be there yet."""
    with suppress(OSError):
        here = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
        return f"{shutil.disk_usage(here).free:,} bytes are free there"
    return "the room that is left cannot be told"
