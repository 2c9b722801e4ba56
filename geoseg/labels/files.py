"""Files of pixels, opened for one window at a time, with failures in our words."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.windows
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geoseg.errors import AssetReadError, RequestError
from geoseg.grid import Window

RGB = ("red", "green", "blue")

# Beside rasters lie what GDAL writes, tables and read-me files.
_SHOWN = 20
_ASIDE = (".aux.xml", ".ovr", ".msk", ".md", ".txt", ".csv", ".json", ".jsonl", ".geojson", ".prj", ".tfw", ".pgw")


@contextmanager
def opened(path: Path) -> Iterator[rasterio.DatasetReader]:
    """A raster of this machine, for as long as a window takes.

    Raises:
        AssetReadError: If it cannot be opened, or what is done with it cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # most chips have no place, and need none
            source = rasterio.open(path)
        with source:
            yield source
    except RasterioError as err:
        raise AssetReadError(f"{path}: {err}", "a raster that GDAL reads", "repair or remove the file") from err


def part(window: Window) -> rasterio.windows.Window:
    """A window in rasterio's words."""
    rows, cols = window.shape
    return rasterio.windows.Window(window.col0, window.row0, cols, rows)


def grid_of(source: rasterio.DatasetReader) -> GeoBox:
    """The pixel grid of an open raster; without a CRS where it has no place."""
    return GeoBox((source.height, source.width), source.transform, source.crs or None)


def metres(grid: GeoBox) -> float | None:
    """Side of a square as large as a pixel, in metres; ``None`` where the grid is not projected."""
    if grid.crs is None or not grid.crs.projected:
        return None
    unit = float(grid.crs.proj.axis_info[0].unit_conversion_factor)
    return float(abs(grid.transform.determinant) ** 0.5) * unit


def believed(
    source: rasterio.DatasetReader, numbers: list[int], window: Window
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Some bands of a window, and where all of them are valid: by the file's nodata or mask, and finite.

    The fourth of four bands, which GDAL calls alpha unless told otherwise, is none where it is asked for as a band.
    """
    pixels = source.read(numbers, window=part(window))
    if any(source.colorinterp[number - 1] is ColorInterp.alpha for number in numbers):
        valid = np.ones(pixels.shape[1:], dtype=bool)
        if source.nodata is not None:
            valid &= (pixels != source.nodata).all(axis=0)
    else:
        valid = (source.read_masks(numbers, window=part(window)) > 0).all(axis=0)
    return pixels, valid & are_finite(pixels)


def are_finite(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """(rows, cols): where every band is a number."""
    if np.issubdtype(pixels.dtype, np.floating):
        return np.asarray(np.isfinite(pixels).all(axis=0))
    return np.ones(pixels.shape[1:], dtype=bool)


def files_of(folder: Path, pattern: str, kinds: frozenset[str] = frozenset()) -> list[Path]:
    """Files of a pattern below a folder, in the order of their names.

    Args:
        folder: The folder.
        pattern: May have folders in it, and be absolute.
        kinds: Ends of names, such as ``.gpkg``. Default: whatever does not lie beside rasters.
    """
    if Path(pattern).is_absolute():
        folder, pattern = Path(pattern).parent, Path(pattern).name
    files = sorted(path for path in folder.glob(pattern) if path.is_file() and not path.name.startswith("."))
    if kinds:
        return [path for path in files if path.suffix.lower() in kinds]
    return [path for path in files if pattern.endswith(path.suffix) or not path.name.lower().endswith(_ASIDE)]


def found(folder: Path, pattern: str, what: str, kinds: frozenset[str] = frozenset()) -> list[Path]:
    """As ``files_of``; ``what`` is the field that has the pattern.

    Raises:
        RequestError: If there is none.
    """
    files = files_of(folder, pattern, kinds)
    if not files:
        raise RequestError(f"{what} {folder / pattern}", "at least one file", f"correct path or {what} of the data")
    return files


def refuse_all(refusals: Iterable[RequestError]) -> None:
    """Raise the first of some refusals, with how many there are more, so that a folder need not be mended one by one.

    Raises:
        RequestError: If there is any.
    """
    several = list(refusals)
    if not several:
        return
    first, rest = several[0], [refusal.given for refusal in several[1:]]
    more = f"; {len(rest)} more: {'; '.join(rest[:_SHOWN])}{'; …' * (len(rest) > _SHOWN)}" if rest else ""
    raise RequestError(first.given + more, first.expected, first.todo)
