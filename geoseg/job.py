"""The output folder of a job: whose it is, and what a resumed run must not search again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.errors import OutputError, OutputOccupiedError, RequestError
from geoseg.spec import JobSpec

_FOLDER, _SPEC, _ITEMS = "job", "spec.json", "items.json"


@dataclass(frozen=True, slots=True)
class JobFolder:
    """An output folder that may be used for a spec; nothing is written or removed before ``freeze``.

    Attributes:
        out: The folder.
        spec: The job.
        documents: STAC items frozen by an earlier run of the same spec; empty where there are none.
        fresh: Whether what is there is to be replaced.
    """

    out: Path
    spec: JobSpec
    documents: tuple[dict[str, Any], ...]
    fresh: bool

    def freeze(self, documents: Sequence[dict[str, Any]]) -> None:
        """Make the folder this job's, and keep the items that the job works on.

        Raises:
            RequestError: If the folder cannot be written.
        """
        folder = self.out / _FOLDER
        try:
            if self.fresh and self.out.is_dir():
                shutil.rmtree(self.out)
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise RequestError(
                f"--out {self.out}: {err}", "a folder that can be written", "choose another --out"
            ) from err
        _write(folder / _SPEC, self.spec.model_dump(mode="json"))
        _write(folder / _ITEMS, list(documents))


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
        RequestError: If it is a file or cannot be read.
    """
    if out.exists() and not out.is_dir():
        raise RequestError(f"--out {out}, a file", "a folder", "choose another --out")
    marker, items = out / _FOLDER / _SPEC, out / _FOLDER / _ITEMS
    try:
        if not marker.is_file():
            if out.is_dir() and any(out.iterdir()):
                raise OutputOccupiedError(
                    f"--out {out} with files that geoseg did not write", "an empty folder", "choose another --out"
                )
            return JobFolder(out, spec, (), fresh=False)
        if fresh:
            return JobFolder(out, spec, (), fresh=True)
        if _read(marker) != spec.model_dump(mode="json"):
            raise OutputOccupiedError(
                f"--out {out} with the results of another job",
                "an empty folder, or the same job",
                "choose another --out, or replace what is there with --fresh",
            )
        documents = () if update or not items.is_file() else tuple(_read(items) or ())
    except OSError as err:
        raise RequestError(f"--out {out}: {err}", "a folder that can be read", "choose another --out") from err
    return JobFolder(out, spec, documents, fresh=False)


def _read(path: Path) -> Any:
    """Content of a JSON file; ``None`` where it is torn."""
    try:
        return json.loads(path.read_text())
    except ValueError:
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
