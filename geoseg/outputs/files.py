"""Files that are whole or absent."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from geoseg.errors import OutputError

_MARK = ".part-"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a finished file.

    Attributes:
        size_bytes: Its length.
        sha256: Checksum of its bytes, 64 hexadecimal digits.
    """

    size_bytes: int
    sha256: str


class WholeFile:
    """A file in the making, for writers that stay open between calls; see `whole_file` for the short form.

    Args:
        path: Final name. Its folder must exist.

    Attributes:
        path: Final name.
        temporary: Where to write until `commit`; same folder and same ending as the final name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_name(f".{path.stem}{_MARK}{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")

    def commit(self) -> None:
        """Force the bytes to the disk, then give the file its final name.

        Raises:
            OSError: If the disk refuses; nothing is renamed then.
        """
        _sync(self.temporary)
        self.temporary.replace(self.path)
        _sync(self.path.parent)

    @contextlib.contextmanager
    def writing(self, needed_bytes: int | None = None) -> Iterator[None]:
        """Turns an `OSError` of the block into an `OutputError` that names the path and the room that it takes."""
        try:
            yield
        except OSError as err:
            if needed_bytes is None:
                with contextlib.suppress(OSError):
                    needed_bytes = self.temporary.stat().st_size + 1
            raise output_error(self.path, err.strerror or str(err), needed_bytes=needed_bytes, code=err.errno) from err

    def discard(self) -> None:
        """Remove the temporary file, and what a driver put beside it under names that start the same."""
        for leftover in self.temporary.parent.glob(f"{glob.escape(self.temporary.stem)}*"):
            leftover.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_file(path: Path, *, needed_bytes: int | None = None) -> Iterator[Path]:
    """Gives a temporary sibling of ``path`` that is renamed when the block ends well, and removed when it does not.

    Args:
        path: Final name. Its folder must exist.
        needed_bytes: About how much room the file takes, for the message when the disk is full.

    Raises:
        OutputError: If the operating system refuses a write, with path, bytes needed and bytes free.
    """
    file = WholeFile(path)
    try:
        with file.writing(needed_bytes):
            yield file.temporary
            file.commit()
    finally:
        file.discard()


@contextlib.contextmanager
def output_errors(path: Path, *, needed_bytes: int | None = None) -> Iterator[None]:
    """Turns an `OSError` of the block into an `OutputError` that names the path and the room on its disk."""
    try:
        yield
    except OSError as err:
        raise output_error(path, err.strerror or str(err), needed_bytes=needed_bytes, code=err.errno) from err


def output_error(path: Path, reason: str, *, needed_bytes: int | None = None, code: int | None = None) -> OutputError:
    """The error for a file that could not be written whole.

    Args:
        path: The file's final name.
        reason: What went wrong, as the system or the check said it.
        needed_bytes: About how much room the file takes, where known.
        code: ``errno`` of the system, where there was one.
    """
    needed = "enough room" if needed_bytes is None else f"room for {needed_bytes:,} bytes or more"
    todo = "free some space, or choose another --out, and run again: finished tiles are kept"
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        todo = "make the folder writable, or choose another --out"
    return OutputError(f"{path}: {reason}", f"{needed}; {_free_bytes(path.parent)}", todo)


def remove_leftovers(folder: Path) -> list[Path]:
    """Removes temporary files that a killed run left in ``folder``, and says which. The caller holds the folder's lock."""
    leftovers = sorted(p for p in folder.glob(f".*{_MARK}*") if p.is_file())
    for path in leftovers:
        path.unlink(missing_ok=True)
    return leftovers


def file_facts(path: Path) -> FileFacts:
    """Length and checksum of a finished file, read in chunks."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return FileFacts(size, digest.hexdigest())


def _free_bytes(folder: Path) -> str:
    try:
        return f"{shutil.disk_usage(folder).free:,} bytes are free there"
    except OSError:
        return "the room that is left cannot be told"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
