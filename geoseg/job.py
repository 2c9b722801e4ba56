"""The output folder of a job: whose it is, and what a resumed run must not search again."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from geoseg.errors import OutputOccupiedError, RequestError
from geoseg.locks import LOCKS, locked
from geoseg.models.backends import Choice
from geoseg.outputs.files import output_error, remove_leftovers
from geoseg.scenes.packed import PackedDocument, Packer
from geoseg.spec import JobSpec, option_of
from geoseg.timerange import is_twelve_months

_FOLDER, _SPEC, _ITEMS, _BACKEND = "job", "spec.json", "items.json", "backend.json"
_LATER, _FITTED = "items-later.json", "fitted.json"  # of jobs of two dates
_SHOWN, _LONGEST = 3, 60  # differences of a job in a message, and characters of each


@dataclass(frozen=True, slots=True)
class JobFolder:
    """An output folder that may be used for a spec; nothing is written or removed before it is ``taken``.

    Attributes:
        out: The folder.
        spec: The job; with the dates of the one that is there, where it goes on with that.
        documents: STAC items frozen by an earlier run of the same spec, packed; empty where there are none.
        fresh: Whether what is there is to be replaced.
        forgotten: STAC items that were frozen and are searched anew.
        notes: What a person should know about the job, in plain words.
        backend: What an earlier run of the same spec computed with, or ``None``.
        later: Frozen items of the later of two dates.
        fitted: What an earlier run of the same spec fitted to two dates, or ``None``.
    """

    out: Path
    spec: JobSpec
    documents: tuple[Mapping[str, Any], ...]
    fresh: bool
    forgotten: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    backend: Choice | None = None
    later: tuple[Mapping[str, Any], ...] = ()
    fitted: Mapping[str, Any] | None = None

    @contextmanager
    def taken(
        self,
        documents: Sequence[Mapping[str, Any]],
        backend: Choice | None = None,
        later: Sequence[Mapping[str, Any]] | None = None,
        fitted: Mapping[str, Any] | None = None,
    ) -> Iterator[None]:
        """Have the folder to oneself; the job is known to be good by now.

        Removes what is to be replaced and what a killed run left, and keeps the items that the job works on and what
        it is computed with. A job that turns out to be refused as it begins leaves the folder to others.

        Args:
            documents: The items.
            backend: What it is computed with.
            later: The items of the later of two dates.
            fitted: What was fitted to two dates, as JSON.

        Raises:
            OutputOccupiedError: If another run has it.
            RequestError: If the folder cannot be written.
        """
        folder, lock = self.out / _FOLDER, ExitStack()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.enter_context(locked(folder, self.out))
        except OSError as err:
            raise RequestError(
                f"--out {self.out}: {err}", "a folder that can be written", "choose another --out"
            ) from err
        with lock:
            _check(self.out, self.spec, fresh=self.fresh)  # another run may have come and gone since ``open_job``
            if self.fresh:
                _clear(self.out)
            remove_leftovers(self.out)
            begins = self.fresh or not (folder / _SPEC).is_file()
            _write_json(folder / _SPEC, self.spec.model_dump(mode="json"))
            _write(folder / _ITEMS, _lines(documents))
            if later is not None:
                _write(folder / _LATER, _lines(later))
            if backend is not None:
                _write_json(folder / _BACKEND, asdict(backend))
            if fitted is not None:
                _write_json(folder / _FITTED, fitted)
            try:
                yield
            except RequestError:
                if begins:  # a job that nobody can do must not keep others out
                    for name in (_SPEC, _ITEMS, _LATER, _BACKEND, _FITTED):
                        (folder / name).unlink(missing_ok=True)
                raise


def _clear(out: Path) -> None:
    """Remove results, all but the folder that holds the lock."""
    for path in out.iterdir():
        if path.is_dir() and path.name != _FOLDER:
            shutil.rmtree(path)
        elif not path.is_dir():
            path.unlink()


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
    try:
        is_there = out.exists()
    except OSError as err:  # a name that is too long, or a loop of links
        raise RequestError(f"--out {out}: {err.strerror}", "a folder", "choose another --out") from err
    if is_there and not out.is_dir():
        raise RequestError(f"--out {out}, a file", "a folder", "choose another --out")
    _check_place(out, may_make_parents=out == default_out(spec))
    folder, asked = out / _FOLDER, spec
    try:
        spec = spec if fresh else _continued(out, spec)
        _check(out, spec, fresh=fresh)
        known = (folder / _SPEC).is_file()
        frozen, later = (() if fresh else _read_items(folder / name) for name in (_ITEMS, _LATER))
        backend = None if fresh else _backend_of(out)
        fitted = None if fresh or update else _read(folder / _FITTED)
    except OSError as err:
        raise RequestError(f"--out {out}: {err}", "a folder that can be read", "choose another --out") from err
    notes = []
    if spec.datetime != asked.datetime:
        notes.append(
            f"goes on with the unfinished job in {out}, of {spec.datetime}; the last twelve complete months are "
            f"{asked.datetime} by now: --fresh takes them"
        )
    if fresh and known and (words := _differences(_read(out / _FOLDER / _SPEC), spec)):
        notes.append(
            f"replaces the results of another job ({'; '.join(words)}); of its tiles those are used again that depend on "
            "nothing of this, the others are not"
        )
    forgotten = (*frozen, *later) if update else ()
    frozen, later = ((), ()) if update else (frozen, later)
    return JobFolder(out, spec, frozen, fresh and known, forgotten, tuple(notes), backend, later, fitted)


def _backend_of(out: Path) -> Choice | None:
    """What the job of a folder is computed with; ``None`` where that is not known."""
    path = out / _FOLDER / _BACKEND
    known = _read(path) if path.is_file() else None
    names = [field.name for field in fields(Choice)]
    if not isinstance(known, dict) or not all(isinstance(known.get(name), str) for name in names):
        return None
    return Choice(**{name: known[name] for name in names})


def job_of(out: Path) -> tuple[JobSpec, tuple[dict[str, Any], ...]]:
    """The job of a finished map, and the items that it was made from; of a map of one date those of that date.

    Of two dates it is the job of the later one.

    Args:
        out: Its output folder.

    Raises:
        RequestError: If they are not there.
    """
    home = out if (out / _FOLDER).is_dir() else out.absolute().parent
    try:
        spec = JobSpec.model_validate(json.loads((out / "report.json").read_text())["job"]["spec"])
        items = _LATER if spec.has_two_dates else _ITEMS
        documents = tuple(json.loads((home / _FOLDER / items).read_text()))
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise RequestError(f"{out}: {err}", "the output folder of a finished run", "name one") from err
    if spec.has_two_dates:
        return spec.of_date("after"), documents
    if home != out:
        documents = tuple(one for one in documents if str(one["properties"]["datetime"])[:10] == out.name)
    return spec, documents


def _continued(out: Path, spec: JobSpec) -> JobSpec:
    """The unfinished job of a folder, where only the calendar makes it another one than the job that is asked for."""
    known = _read(out / _FOLDER / _SPEC) if (out / _FOLDER / _SPEC).is_file() else None
    if not spec.moves_with_calendar or not isinstance(known, dict) or not is_twelve_months(known.get("datetime")):
        return spec
    same = {**known, "datetime": spec.datetime} == spec.model_dump(mode="json")
    return spec.model_copy(update={"datetime": known["datetime"]}) if same and not _is_finished(out) else spec


def _is_finished(out: Path) -> bool:
    """Whether a run came to its end here, without a hole."""
    if not any((out / name).is_file() for name in ("item.json", "collection.json")):
        return False
    report = _read(out / "report.json") if (out / "report.json").is_file() else {}
    pixels = report.get("pixels", {}) if isinstance(report, dict) else {}
    return not sum(pixels.get("failed", {}).values())


def _check_place(out: Path, *, may_make_parents: bool) -> None:
    """Refuse, before any read, a folder that could not be made or written; leaves no trace."""
    if not may_make_parents and not out.is_dir() and not out.parent.is_dir():
        raise RequestError(
            f"--out {out}, in a folder that does not exist",
            f"the folder {out.parent}",
            "make it, or choose another --out",
        )
    if (out / _FOLDER).is_symlink():  # whoever put it there chose where we would write
        raise RequestError(
            f"--out {out}, whose folder {_FOLDER} is a link",
            "a folder of its own",
            "choose another --out, or remove the link",
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
        known = _read(marker)
        if not fresh and known != spec.model_dump(mode="json"):
            raise _other_job(out, known if isinstance(known, dict) else {}, spec)
    elif out.is_dir() and _holds_foreign_files(out):
        raise OutputOccupiedError(
            f"--out {out} with files that geoseg did not write", "an empty folder", "choose another --out"
        )


def _other_job(out: Path, known: dict[str, Any], spec: JobSpec) -> OutputOccupiedError:
    """The refusal of a folder with another job, with what is different."""
    words, other = _differences(known, spec), _different(known, spec)
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    way = "choose another --out, or replace what is there with --fresh"
    if other and set(other) <= {"format", "min_area_m2", "simplify_m"}:
        way = (
            "replace what is there with --fresh (its tiles are kept: only files are made anew), or choose another --out"
        )
    if other == ["datetime"] and known.get("datetime"):
        way = f"go on with what is there with --datetime {known['datetime']}; {way}"
    return OutputOccupiedError(
        f"--out {out} with the results of another job{': ' + '; '.join(words[:_SHOWN]) if words else ''}{more}",
        "an empty folder, or the same job",
        way,
    )


def _different(known: Mapping[str, Any], spec: JobSpec) -> list[str]:
    """Fields in which a job that was read is another one."""
    now = spec.model_dump(mode="json")
    return [field for field in now if known and known.get(field) != now[field]]


def _differences(known: Any, spec: JobSpec) -> list[str]:
    """The same in words; ``known`` is whatever a file holds."""
    known = known if isinstance(known, dict) else {}
    now = spec.model_dump(mode="json")
    return [
        f"{option_of(field)} {_shown(known.get(field))} there, {_shown(now[field])} here"
        for field in _different(known, spec)
    ]


def _shown(value: Any) -> str:
    """A field of a spec, briefly; a region has no short name."""
    if isinstance(value, dict):
        return "another"
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return "none" if value is None or text == "" else text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _holds_foreign_files(out: Path) -> bool:
    """Whether anything is there but the lock of a run that was killed as it began."""
    ours = out / _FOLDER
    begun = [path.name for path in ours.iterdir()] if ours.is_dir() else []
    return any(path != ours for path in out.iterdir()) or any(
        name not in LOCKS and not name.startswith(".") for name in begun
    )


def _read(path: Path) -> Any:
    """Content of a JSON file; ``None`` where it is not there, or torn."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _lines(documents: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A list of items as JSON, one on each line: a hundred thousand of them are never one text, nor one object."""
    before = "[\n"
    for document in documents:
        yield before + json.dumps(dict(document), sort_keys=True)
        before = ",\n"
    yield "\n]" if before != "[\n" else "[\n]"


def _read_items(path: Path) -> tuple[Mapping[str, Any], ...]:
    """Frozen items, where there are any, one after the other as `_lines` has them, or all at once as older versions wrote them.

    Returns:
        None at all where the file is torn.
    """
    if not path.is_file():
        return ()
    packer = Packer()
    documents: list[Mapping[str, Any]] = []
    with path.open(encoding="utf-8") as lines:
        is_ours = next(lines, "") == "[\n"
        for line in lines if is_ours else ():
            if line == "]":
                return tuple(documents)
            try:
                document = json.loads(line.rstrip("\n").removesuffix(","))
            except ValueError:
                break
            if not isinstance(document, dict):
                break
            documents.append(PackedDocument(document, packer=packer))
    packer, whole = Packer(), _read(path)
    return tuple(PackedDocument(document, packer=packer) for document in whole) if isinstance(whole, list) else ()


def _write_json(path: Path, content: object) -> None:
    _write(path, [json.dumps(content, indent=1, sort_keys=True)])


def _write(path: Path, parts: Iterable[str]) -> None:
    """Write a text under a temporary name, then rename."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    size = 0
    try:
        with temporary.open("wb") as stream:
            for part in parts:
                text = part.encode()
                size += len(text)
                stream.write(text)
        temporary.replace(path)
    except OSError as err:
        with suppress(OSError):  # what stopped the write may stop this too
            temporary.unlink()
        raise output_error(path, err.strerror or str(err), needed_bytes=size, code=err.errno) from err
