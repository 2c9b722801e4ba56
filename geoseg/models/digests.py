"""SHA-256 of files, counted once for each large file of a process: a run asks for that of its weights several times."""

from __future__ import annotations

import functools
import hashlib
import time
from pathlib import Path

#: Smaller files are read again each time: it costs nothing.
_LARGE_BYTES = 16 * 2**20
#: A file that was touched less long ago may change again without its times telling.
_AT_REST_NS = 2 * 10**9


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file in hexadecimal.

    Args:
        path: The file. A large one that has been at rest is not read again while its size, times and place on the disk
            are the same.

    Raises:
        OSError: If it cannot be read.
    """
    facts = path.stat()
    if facts.st_size < _LARGE_BYTES or time.time_ns() - facts.st_ctime_ns < _AT_REST_NS:
        return _read(path)
    return _remembered(path, (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns))


@functools.lru_cache(maxsize=32)
def _remembered(path: Path, facts: tuple[int, ...]) -> str:
    del facts  # of the key
    return _read(path)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
