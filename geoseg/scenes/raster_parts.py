"""The files that a virtual raster is made of, and what is wrong with them that GDAL does not say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree as ET

from geoseg.scenes.raster_ends import cut_short

_NAMES = ("SourceFilename", "SourceDataset")  # of a mosaic, and of what is warped
_VIRTUAL = re.compile(rb"(\xef\xbb\xbf)?\s*<VRTDataset")
_FIRST_BYTES = 64
# Names that only GDAL understands: its virtual folders, and its drivers' names of parts of files.
_GDAL_NAME = re.compile(r"(^|/)(vsi[a-z0-9_]+/|[A-Za-z][A-Za-z0-9_]+:[^/]*)")


def is_gdal_name(text: str) -> bool:
    """Whether a name is one of GDAL's own, and no path."""
    return _GDAL_NAME.search(text) is not None


def missing_parts(path: str) -> list[Path]:
    """Files of this machine that a VRT, or one that it is made of, names and that do not exist."""
    return [part for part in _parts(Path(path), set()) if not part.exists()]


def cut_part(path: str) -> tuple[str, str]:
    """The first file of a raster that lacks its end: its path, and what it is in words; "" where all are whole.

    Args:
        path: Of the raster; where it is virtual, the files that it is made of are looked at.
    """
    if (words := _cut(path)) or not _is_virtual(Path(path)):
        return (path, words) if words else ("", "")
    for part in _parts(Path(path), set()):
        if words := _cut(str(part)):
            return str(part), words
    return "", ""


def _parts(path: Path, seen: set[Path]) -> Iterator[Path]:
    """Each file once, those that exist and those that do not."""
    seen.add(path)
    try:
        status = path.stat()
        named = _named(str(path), status.st_size, status.st_mtime_ns)
    except OSError:
        return
    for file in named:
        if file not in seen:
            seen.add(file)
            yield file
            if _is_virtual(file):
                yield from _parts(file, seen)


@lru_cache(maxsize=256)
def _named(path: str, size: int, mtime_ns: int) -> tuple[Path, ...]:
    """What a VRT names, in the version of that size and time; nothing for other files."""
    del size, mtime_ns
    try:
        document = ET.parse(path)  # noqa: S314  # GDAL reads it too, and expat bounds entities
    except ET.ParseError:
        return ()
    texts = [(name.text or "", name.get("relativeToVRT") == "1") for tag in _NAMES for name in document.iter(tag)]
    return tuple(
        Path(path).parent / text if relative else Path(text)
        for text, relative in texts
        if text and "://" not in text and not is_gdal_name(text)
    )


def _is_virtual(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return _VIRTUAL.match(stream.read(_FIRST_BYTES)) is not None
    except OSError:
        return False


def _cut(path: str) -> str:
    try:
        status = Path(path).stat()
        return _cut_file(path, status.st_size, status.st_mtime_ns) if Path(path).is_file() else ""
    except OSError:  # GDAL has better words
        return ""


@lru_cache(maxsize=4096)
def _cut_file(path: str, size: int, mtime_ns: int) -> str:
    """Whether a file lacks its end in the version of that size and time: mosaics of many files are opened often."""
    del mtime_ns
    with Path(path).open("rb") as stream:
        return cut_short(lambda start, stop: _between(stream, start, stop), size)


def _between(stream: BinaryIO, start: int, stop: int) -> bytes:
    stream.seek(max(0, start))
    return stream.read(stop - max(0, start))
