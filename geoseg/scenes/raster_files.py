"""From what the user named to the files that make up each scene: folders, and scenes with a file for each band."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import RasterioError

from geoseg.errors import RequestError
from geoseg.plainfiles import check_plain
from geoseg.remote import unsigned
from geoseg.scenes.raster_bands import band_described, name_in_path
from geoseg.scenes.raster_checks import is_address, refuse_unnamed

# Opens a file or an address; files on servers come through the job's own reader, see ``geoseg.load``.
type Opener = Callable[[str], AbstractContextManager[Any]]

_SUFFIXES = {".tif", ".tiff", ".jp2", ".img", ".vrt"}
_OF_BANDS = re.compile(r"R\d{2}m", re.IGNORECASE)  # folders of one resolution within a Sentinel-2 product


@dataclass(frozen=True, slots=True)
class RasterGroup:
    """Files that make up one scene.

    Attributes:
        paths: The files.
        bands: For several files: the name of each file's only band. For one file: names of its bands as they were
            given, or nothing.
        origin: Where the names of several files come from.
        found: Whether the files were found in a folder and not named one by one: then others may do without them.
    """

    paths: tuple[str, ...]
    bands: tuple[str, ...] = ()
    origin: str = ""
    found: bool = False


@dataclass(frozen=True, slots=True)
class _Peek:
    path: str
    count: int
    pixel: float
    name: str
    rest: str
    found: bool


def group_files(
    paths: Sequence[str], bands: Sequence[str], wanted: Sequence[str], opener: Opener = rasterio.open
) -> list[RasterGroup]:
    """What was named, folders opened, as scenes.

    Args:
        paths: Files, folders and addresses.
        bands: Names that the user gave: of the bands of each file, or of as many files of one band.
        wanted: Bands that the model reads.
        opener: Opens a file or an address.

    Raises:
        RequestError: If a folder holds no raster, or two files of a scene say that they are the same band.
    """
    files = [(file, found) for path in paths for file, found in _opened(path)]
    peeks = [_peek(path, found, wanted, opener) for path, found in files]
    if 1 < len(bands) == len(peeks) and all(peek.count == 1 for peek in peeks):
        return [RasterGroup(tuple(peek.path for peek in peeks), tuple(bands), "named by --bands")]
    scenes: dict[tuple[str, str], list[_Peek]] = {}
    for number, peek in enumerate(peeks):
        alone = bool(bands) or len(wanted) == 1 or peek.count != 1 or not peek.name
        key = (str(number), "") if alone else (str(home_of(peek.path)), peek.rest)
        scenes.setdefault(key, []).append(peek)
    return [_group(members, bands) for members in scenes.values()]


def _opened(path: str) -> list[tuple[str, bool]]:
    """The rasters of a folder; of a Sentinel-2 product those of its bands."""
    if is_address(path):
        return [(path, False)]
    try:
        check_plain(path)
    except OSError as err:
        raise refuse_unnamed(path, err) from err
    if not Path(path).is_dir():
        return [(path, False)]
    inside = sorted(p for p in Path(path).rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
    inside = [p for p in inside if "IMG_DATA" in p.parts] or inside
    if not inside:
        raise RequestError(
            f"--scenes {path}, a folder without a raster",
            f"files that end with {', '.join(sorted(_SUFFIXES))}",
            "name a folder that holds rasters, or the files themselves",
        )
    return [(str(p), True) for p in inside]


def _peek(path: str, found: bool, wanted: Sequence[str], opener: Opener) -> _Peek:
    name, rest = name_in_path(unsigned(path), wanted)
    try:
        with opener(path) as source:
            described = (source.descriptions[0] or "") if source.count == 1 else ""
            pixel = abs(source.transform.determinant)
            return _Peek(path, source.count, pixel, band_described(described, wanted) or name, rest, found)
    except RasterioError:
        return _Peek(path, 0, 0.0, "", "", found)  # refused, with the reason, when it is described


def home_of(path: str) -> Path:
    """The folder in which the other bands of the scene lie."""
    folder = Path(path).parent
    return folder.parent if _OF_BANDS.fullmatch(folder.name) else folder


def _group(members: Sequence[_Peek], bands: Sequence[str]) -> RasterGroup:
    if len(members) == 1:
        return RasterGroup((members[0].path,), tuple(bands), "", members[0].found)
    finest: dict[str, _Peek] = {}
    for peek in sorted(members, key=lambda peek: (peek.pixel, peek.path)):
        first = finest.setdefault(peek.name, peek)
        if first is not peek and first.pixel == peek.pixel:
            raise RequestError(
                f"--scenes {first.path} and {peek.path}, both of the band {peek.name}",
                "one file for each band of a scene",
                "name the files to use one by one, with their bands in --bands",
            )
    chosen = sorted(finest.values(), key=lambda peek: peek.name)
    paths, names = tuple(peek.path for peek in chosen), tuple(peek.name for peek in chosen)
    return RasterGroup(paths, names, "a file for each band, named by the files' names", members[0].found)
