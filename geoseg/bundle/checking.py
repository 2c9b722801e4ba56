"""Whether a bundle is whole: every file of its manifest is there, byte for byte, and no other."""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from geoseg.bundle.manifest import MANIFEST, MAX_FILES, MAX_MANIFEST_BYTES, FileEntry, Manifest, is_inside
from geoseg.errors import BundleError, RequestError

_CHUNK_BYTES = 2**20
_SHOWN = 5  # problems in a message
# Weights and rasters hardly shrink when they are packed, texts twentyfold: what would grow more is made to fill memory or time.
_MOST_FOLD, _SMALL_BYTES = 200, 10 * 2**20
# What reading a member of a damaged or unusual archive raises.
_UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError)


@dataclass(frozen=True)
class _Contents:
    """Files of a folder or an archive.

    Attributes:
        place: Folder or archive.
        files: Name to length and to what opens it.
        problems: What is no plain file below the bundle's folder, in words.
    """

    place: Path
    files: Mapping[str, tuple[int, Callable[[], IO[bytes]]]]
    problems: list[str] = field(default_factory=list)


def check_bundle(place: Path) -> Manifest:
    """Read every byte of a bundle; nothing is unpacked.

    Args:
        place: The bundle's folder, or its ZIP file.

    Returns:
        What it holds.

    Raises:
        RequestError: If it is no bundle.
        BundleError: If a file is missing, altered, or not in the manifest, or lies elsewhere than below the folder.
    """
    with _contents(place) as found:
        manifest = _manifest(found)
        problems = list(found.problems)
        problems += [f"{name} is missing" for name in sorted(manifest.files.keys() - found.files.keys())]
        for name in sorted(found.files.keys() - {MANIFEST}):
            entry = manifest.files.get(name)
            problem = _judge(entry, *found.files[name]) if entry else "is not in the manifest"
            problems += [f"{name} {problem}"] if problem else []
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise BundleError(
            f"the bundle {place}: {'; '.join(problems[:_SHOWN])}{more}",
            f"the {len(manifest.files)} files of its {MANIFEST}, byte for byte, and no other",
            "get the bundle again, or keep what runs write outside of it",
        )
    return manifest


def _judge(entry: FileEntry, size: int, opened: Callable[[], IO[bytes]]) -> str:
    """What is wrong with a file, or ""; no more is read than it may have."""
    if size != entry.bytes:
        return f"has {size:,} bytes instead of {entry.bytes:,}"
    digest, left = hashlib.sha256(), entry.bytes
    try:
        with opened() as stream:
            while left >= 0 and (chunk := stream.read(min(_CHUNK_BYTES, left + 1))):
                digest.update(chunk)
                left -= len(chunk)
    except _UNREADABLE as err:
        return f"cannot be read ({str(err) or type(err).__name__})"
    return "" if left == 0 and digest.hexdigest() == entry.sha256 else "is altered: its SHA-256 is another"


def _manifest(found: _Contents) -> Manifest:
    if MANIFEST not in found.files:
        raise RequestError(
            f"{found.place} without a {MANIFEST}", "a bundle: the folder or the ZIP file that geoseg bundle made",
            "name the folder that holds manifest.json, or the ZIP file",
        )  # fmt: skip
    _, opened = found.files[MANIFEST]
    try:  # a longer one is cut, and so no JSON
        with opened() as stream:
            return Manifest.model_validate_json(stream.read(MAX_MANIFEST_BYTES))
    except (*_UNREADABLE, ValueError) as err:  # a ValidationError is a ValueError
        first = err.errors()[0]["msg"] if isinstance(err, ValidationError) else err
        raise BundleError(
            f"{MANIFEST} of {found.place}: {first}", "the manifest of a bundle of version 1", "get the bundle again"
        ) from err


@contextmanager
def _contents(place: Path) -> Iterator[_Contents]:
    if place.is_dir():
        yield _of_folder(place)
        return
    try:
        with zipfile.ZipFile(place) as archive:
            yield _of_archive(place, archive)
    except (zipfile.BadZipFile, OSError) as err:
        raise RequestError(
            f"{place}: {err}", "a bundle: the folder or the ZIP file that geoseg bundle made", "check the path"
        ) from err


def _of_folder(folder: Path) -> _Contents:
    found = _Contents(folder, files := {})
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(root, name)
            place, mode = path.relative_to(folder).as_posix(), path.lstat()
            if stat.S_ISREG(mode.st_mode):
                files[place] = (mode.st_size, lambda path=path: path.open("rb"))
            elif not stat.S_ISDIR(mode.st_mode):
                found.problems.append(f"{place} is no plain file")
        if len(files) > MAX_FILES:
            found.problems.append(f"there are more than {MAX_FILES:,} files")
            break
    return found


def _of_archive(place: Path, archive: zipfile.ZipFile) -> _Contents:
    """Members below the one folder that an archive has; where they claim to lie is looked at before anything is read."""
    members = archive.infolist()
    found = _Contents(place, files := {})
    if len(members) > MAX_FILES:
        found.problems.append(f"there are more than {MAX_FILES:,} members")
        members = []
    for member in members:
        _, _, name = member.filename.partition("/")
        if not is_inside(member.filename.removesuffix("/")):
            found.problems.append(f"the member {member.filename!r} lies outside")
        elif stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            found.problems.append(f"{member.filename} is no plain file")
        elif member.is_dir():
            continue
        elif member.file_size > max(_SMALL_BYTES, _MOST_FOLD * member.compress_size):
            found.problems.append(
                f"{member.filename} would grow more than {_MOST_FOLD}-fold, to {member.file_size:,} bytes"
            )
        elif not name or name in files:
            found.problems.append(f"{member.filename} is {'there twice' if name else 'in no folder'}")
        else:
            files[name] = (member.file_size, lambda member=member: archive.open(member))
    if len({member.filename.partition("/")[0] for member in members}) > 1:
        found.problems.append("there is more than one folder")
    return found
