"""One process at a time in a folder."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import psutil

from geoseg.errors import OutputOccupiedError

_LOCK = "lock"
_HELD = "lock.held"  # where the file system knows no locks
#: Files that may stay behind.
LOCKS = frozenset({_LOCK, _HELD})
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


@contextmanager
def locked(folder: Path, out: Path) -> Iterator[None]:
    """Hold the folder's lock. The system lets go of it when the process ends, however it ends.

    Args:
        folder: Where the lock lies.
        out: What it is the lock of, for messages.

    Raises:
        OutputOccupiedError: If a living process has it.
        OSError: If it cannot be had at all.
    """
    owner = f"process {os.getpid()} on {socket.gethostname()}"
    with (folder / _LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            lock.seek(0)
            raise _occupied(out, lock.read().strip()) from err
        except OSError as err:
            if err.errno not in _NO_LOCKS:
                raise
            knows_locks = False
        else:
            knows_locks = True
            lock.truncate(0)
            lock.write(owner)
            lock.flush()
        with nullcontext() if knows_locks else _held(folder / _HELD, owner, out):
            yield


def _occupied(out: Path, owner: str, way: str = "wait, or choose another --out") -> OutputOccupiedError:
    return OutputOccupiedError(
        f"--out {out}, where {owner or 'another process'} is at work", "a folder of one run at a time", way
    )


@contextmanager
def _held(path: Path, owner: str, out: Path) -> Iterator[None]:
    """A file that only one process can make, for file systems without locks (some network mounts).

    It stays behind when the process is killed: on its own machine the next run sees that and takes over, on another one
    a person has to.
    """
    if path.exists() and _is_stale(said := path.read_text()):
        taken = path.with_name(f".{path.name}.{os.getpid()}.part")
        with suppress(FileNotFoundError):  # another run was faster
            path.rename(taken)
            if taken.read_text() != said and not path.exists():
                taken.rename(path)  # it was that run's own by then
            taken.unlink(missing_ok=True)
    try:
        with path.open("x") as stream:
            stream.write(owner)
    except FileExistsError as err:
        way = f"wait, or choose another --out; if that process is no longer there, remove {path}"
        raise _occupied(out, path.read_text().strip(), way) from err
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _is_stale(said: str) -> bool:
    """Whether the process that a lock names was one of this machine and has ended."""
    match = re.fullmatch(r"process (\d+) on (.+)", said.strip())
    return match is not None and match[2] == socket.gethostname() and not psutil.pid_exists(int(match[1]))
