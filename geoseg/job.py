"""The output folder of a job: whose it is, and what a resumed run must not search again."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from geoseg.errors import OutputError, OutputOccupiedError, RequestError
from geoseg.outputs.files import remove_leftovers
from geoseg.spec import JobSpec

_FOLDER, _SPEC, _ITEMS, _LOCK = "job", "spec.json", "items.json", "lock"


@dataclass(frozen=True, slots=True)
class JobFolder:
    """An output folder that belongs to one spec, for as long as this process lives or until it is released.

    Attributes:
        out: The folder.
        spec: The job.
        documents: STAC items frozen by an earlier run of the same spec; empty where there are none.
        replace: Whether results of another job are there, to be removed when this one begins.
        lock: Open file that holds the folder's lock.
    """

    out: Path
    spec: JobSpec
    documents: tuple[dict[str, Any], ...]
    replace: bool
    lock: TextIO

    def begin(self, documents: Sequence[dict[str, Any]]) -> None:
        """The job is known to be good: remove what is to be replaced, keep the items that it works on.

        Raises:
            OutputError: If the folder cannot be written.
        """
        if self.replace:
            for path in self.out.iterdir():
                if path.name != _FOLDER:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        remove_leftovers(self.out)  # of a run that was killed; the lock says that none is alive
        _write(self.out / _FOLDER / _SPEC, self.spec.model_dump(mode="json"))
        _write(self.out / _FOLDER / _ITEMS, list(documents))


def default_out(spec: JobSpec) -> Path:
    """Where results go unless told: a folder named after the workflow and the job."""
    return Path.cwd() / "geoseg-out" / f"{spec.workflow}-{spec.key[:10]}"


def open_job(out: Path, spec: JobSpec, *, fresh: bool, update: bool) -> JobFolder:
    """Take the output folder for a job. Nothing that is there is changed before ``JobFolder.begin``.

    Args:
        out: The folder; made where it does not exist.
        spec: The job.
        fresh: Replace the results of whatever job is there.
        update: Forget the frozen items.

    Raises:
        OutputOccupiedError: If the folder holds something else, or another run has it.
        RequestError: If it is a file or cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise RequestError(f"--out {out}, a file", "a folder", "choose another --out")
    folder = out / _FOLDER
    try:
        if out.is_dir() and any(out.iterdir()) and not folder.is_dir():
            raise OutputOccupiedError(
                f"--out {out} with files that geoseg did not write", "an empty folder", "choose another --out"
            )
        folder.mkdir(parents=True, exist_ok=True)
        lock = _locked(folder / _LOCK, out)
    except OSError as err:
        raise RequestError(f"--out {out}: {err}", "a folder that can be written", "choose another --out") from err
    known = _read(folder / _SPEC)
    same = known == spec.model_dump(mode="json")
    if (folder / _SPEC).exists() and not same and not fresh:
        lock.close()
        raise OutputOccupiedError(
            f"--out {out} with the results of another job",
            "an empty folder, or the same job",
            "choose another --out, or replace what is there with --fresh",
        )
    documents = None if fresh or update or not same else _read(folder / _ITEMS)
    return JobFolder(out, spec, tuple(documents or ()), fresh, lock)


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
            f"--out {out}, where {owner} is at work",
            "a folder of one run at a time",
            "wait for it, or choose another --out",
        ) from err
    lock.truncate(0)
    lock.write(f"process {os.getpid()} on {socket.gethostname()}")
    lock.flush()
    return lock


def _read(path: Path) -> Any:  # JSON, or None where there is none that is whole
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _write(path: Path, content: object) -> None:
    """Write JSON under a temporary name, then rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True))
        temporary.replace(path)
    except OSError as err:
        with suppress(OSError):  # what stopped the write may stop this too
            temporary.unlink()
        raise OutputError(f"{path}: {err}", "room for it", "free space, then run the same command") from err
