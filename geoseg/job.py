"""The output folder of a job: whose it is, and what a resumed run must not search again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.errors import OutputError, OutputOccupiedError, RequestError
from geoseg.spec import JobSpec

_FOLDER, _SPEC, _ITEMS = "job", "spec.json", "items.json"


@dataclass(frozen=True, slots=True)
class JobFolder:
    """An output folder that belongs to one spec.

    Attributes:
        out: The folder.
        documents: STAC items frozen by an earlier run of the same spec; empty where there are none.
    """

    out: Path
    documents: tuple[dict[str, Any], ...]

    def freeze(self, documents: Sequence[dict[str, Any]]) -> None:
        """Keep the items that the job works on."""
        _write(self.out / _FOLDER / _ITEMS, list(documents))


def default_out(spec: JobSpec) -> Path:
    """Where results go unless told: a folder named after the workflow and the job."""
    return Path.cwd() / "geoseg-out" / f"{spec.workflow}-{spec.key[:10]}"


def open_job(out: Path, spec: JobSpec, *, fresh: bool, update: bool) -> JobFolder:
    """Take the output folder for a job.

    Args:
        out: The folder; made where it does not exist.
        spec: The job.
        fresh: Replace the results of whatever job is there.
        update: Forget the frozen items.

    Raises:
        OutputOccupiedError: If the folder holds something else.
        RequestError: If it is a file or cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise RequestError(f"--out {out}, a file", "a folder", "choose another --out")
    marker = out / _FOLDER / _SPEC
    content = spec.model_dump(mode="json")
    try:
        if marker.is_file():
            if json.loads(marker.read_text()) != content:
                if not fresh:
                    raise OutputOccupiedError(
                        f"--out {out} with the results of another job",
                        "an empty folder, or the same job",
                        "choose another --out, or replace what is there with --fresh",
                    )
                fresh = True
            if fresh:
                shutil.rmtree(out)
        elif out.is_dir() and any(out.iterdir()):
            raise OutputOccupiedError(
                f"--out {out} with files that geoseg did not write", "an empty folder", "choose another --out"
            )
        marker.parent.mkdir(parents=True, exist_ok=True)
        _write(marker, content)
    except OSError as err:
        raise RequestError(f"--out {out}: {err}", "a folder that can be written", "choose another --out") from err
    items = out / _FOLDER / _ITEMS
    if update or not items.is_file():
        return JobFolder(out, ())
    return JobFolder(out, tuple(json.loads(items.read_text())))


def _write(path: Path, content: object) -> None:
    """Write JSON under a temporary name, then rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True))
        temporary.replace(path)
    except OSError as err:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{path}: {err}", "room for it", "free space, then run the same command") from err
