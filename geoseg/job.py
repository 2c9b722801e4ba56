"""The output folder of a job: whose it is, and what a resumed run must not search again."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from geoseg.errors import OutputOccupiedError, RequestError
from geoseg.outputs.files import output_error, remove_leftovers
from geoseg.spec import JobSpec

_FOLDER, _SPEC, _ITEMS, _LOCK = "job", "spec.json", "items.json", "lock"


@dataclass(frozen=True, slots=True)
class JobFolder:
    """An output folder that may be used for a spec; nothing is written or removed before it is ``taken``.

    Attributes:
        out: The folder.
        spec: The job.
        documents: STAC items frozen by an earlier run of the same spec; empty where there are none.
        fresh: Whether what is there is to be replaced.
        forgotten: STAC items that were frozen and are searched anew.
    """

    out: Path
    spec: JobSpec
    documents: tuple[dict[str, Any], ...]
    fresh: bool
    forgotten: tuple[dict[str, Any], ...] = ()

    @contextmanager
    def taken(self, documents: Sequence[dict[str, Any]]) -> Iterator[None]:
        """Have the folder to oneself; the job is known to be good by now.

        Removes what is to be replaced and what a killed run left, and keeps the items that the job works on.

        Raises:
            OutputOccupiedError: If another run has it.
            RequestError: If the folder cannot be written.
        """
        folder = self.out / _FOLDER
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = _locked(folder / _LOCK, self.out)
        except OSError as err:
            raise RequestError(
                f"--out {self.out}: {err}", "a folder that can be written", "choose another --out"
            ) from err
        with closing(lock):
            _check(self.out, self.spec, fresh=self.fresh)  # another run may have come and gone since ``open_job``
            if self.fresh:
                _clear(self.out)
            remove_leftovers(self.out)
            _write(folder / _SPEC, self.spec.model_dump(mode="json"))
            _write(folder / _ITEMS, list(documents))
            yield


def _clear(out: Path) -> None:
    """Remove results, all but the folder that holds the lock."""
    for path in out.iterdir():
        if path.is_dir() and path.name != _FOLDER:
            shutil.rmtree(path)
        elif not path.is_dir():
            path.unlink()


def _locked(path: Path, out: Path) -> TextIO:
    """The lock file, locked. The system lets go of it when the process ends, however it ends.

    Raises:
        OutputOccupiedError: If a living process has it.
    """
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        lock.seek(0)
        owner = lock.read().strip() or "another process"
        lock.close()
        raise OutputOccupiedError(
            f"--out {out}, where {owner} is at work", "a folder of one run at a time", "wait, or choose another --out"
        ) from err
    lock.truncate(0)
    lock.write(f"process {os.getpid()} on {socket.gethostname()}")
    lock.flush()
    return lock


def default_out(spec: JobSpec) -> Path:
    """Where results go unless told: a folder named after the workflow and the job."""
    return Path.cwd() / "geoseg-out" / f"{spec.workflow}-{spec.key[:10]}"


def open_job(out: Path, spec: JobSpec, *, fresh: bool, update: bool) -> JobFolder:
    """Look whether an output folder can be used for a job.

    Changes nothing: a job that is refused later, because no scene was found or the memory is too small, leaves the
    folder as it was.

    Args:
        out: The folder; need not exist.
        spec: The job.
        fresh: Replace the results of whatever job is there.
        update: Forget the frozen items.

    Raises:
        OutputOccupiedError: If the folder holds something else.
        RequestError: If it is a file, cannot be read or written, or lies in a folder that does not exist.
    """
    if out.exists() and not out.is_dir():
        raise RequestError(f"--out {out}, a file", "a folder", "choose another --out")
    _check_place(out, may_make_parents=out == default_out(spec))
    items = out / _FOLDER / _ITEMS
    try:
        _check(out, spec, fresh=fresh)
        known = (out / _FOLDER / _SPEC).is_file()
        frozen = () if fresh or not items.is_file() else tuple(_read(items) or ())
    except OSError as err:
        raise RequestError(f"--out {out}: {err}", "a folder that can be read", "choose another --out") from err
    return JobFolder(out, spec, () if update else frozen, fresh and known, frozen if update else ())


def _check_place(out: Path, *, may_make_parents: bool) -> None:
    """Refuse, before any read, a folder that could not be made or written; leaves no trace."""
    if not may_make_parents and not out.is_dir() and not out.parent.is_dir():
        raise RequestError(
            f"--out {out}, in a folder that does not exist",
            f"the folder {out.parent}",
            "make it, or choose another --out",
        )
    nearest = next(folder for folder in (out, *out.parents) if folder.is_dir())
    try:
        with tempfile.TemporaryFile(dir=nearest):  # permissions alone say little of a disk that is mounted read-only
            pass
    except OSError as err:
        raise RequestError(
            f"--out {out}: nothing can be written to {nearest}: {err.strerror}",
            "a folder that can be written",
            "choose another --out",
        ) from err


def _check(out: Path, spec: JobSpec, *, fresh: bool) -> None:
    """Refuse a folder of another job, unless it is to be replaced, and a folder that is not geoseg's in any case."""
    marker = out / _FOLDER / _SPEC
    if marker.is_file():
        if not fresh and _read(marker) != spec.model_dump(mode="json"):
            raise OutputOccupiedError(
                f"--out {out} with the results of another job",
                "an empty folder, or the same job",
                "choose another --out, or replace what is there with --fresh",
            )
    elif out.is_dir() and _holds_foreign_files(out):
        raise OutputOccupiedError(
            f"--out {out} with files that geoseg did not write", "an empty folder", "choose another --out"
        )


def _holds_foreign_files(out: Path) -> bool:
    """Whether anything is there but the lock of a run that was killed as it began."""
    ours = out / _FOLDER
    begun = [path.name for path in ours.iterdir()] if ours.is_dir() else []
    return any(path != ours for path in out.iterdir()) or any(
        name != _LOCK and not name.startswith(".") for name in begun
    )


def _read(path: Path) -> Any:
    """Content of a JSON file; ``None`` where it is torn."""
    try:
        return json.loads(path.read_text())
    except ValueError:
        return None


def _write(path: Path, content: object) -> None:
    """Write JSON under a temporary name, then rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    text = json.dumps(content, indent=1, sort_keys=True).encode()
    try:
        temporary.write_bytes(text)
        temporary.replace(path)
    except OSError as err:
        with suppress(OSError):  # what stopped the write may stop this too
            temporary.unlink()
        raise output_error(path, err.strerror or str(err), needed_bytes=len(text), code=err.errno) from err
