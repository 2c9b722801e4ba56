"""A finished map as it lies on a disk: class table, grid, areas, and its pixels block by block."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from geoseg.errors import NothingToDoError, RequestError
from geoseg.outputs.geodesy import Geodesy
from geoseg.outputs.record_parts import ClassFacts

_BLOCK_PX = 1024
_CACHE_BYTES = 64 << 20
_NO_CLASS = 254  # and above: failed, nodata


@dataclass(frozen=True, slots=True)
class FinishedMap:
    """A map that ``geoseg run`` made.

    Attributes:
        folder: Its output folder.
        report: Content of its ``report.json``.
        classes: The class table.
        geobox: Its grid; the CRS may be missing.
    """

    folder: Path
    report: dict[str, Any]
    classes: tuple[ClassFacts, ...]
    geobox: GeoBox

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Look at a folder.

        Raises:
            RequestError: If it holds no finished map, or one of each date.
            NothingToDoError: If no pixel of it has a class.
        """
        path = folder / "report.json"
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            if "dates" in report:
                days = [str(line["date"]) for line in report["dates"]]
                raise RequestError(
                    f"{folder}, with maps of {len(days)} dates",
                    "one map",
                    f"name one of them, such as {folder / days[0]}",
                )
            classes = tuple(ClassFacts.model_validate(entry) for entry in report["classes"])
            with rasterio.open(folder / "classes.tif") as source:
                geobox = GeoBox(source.shape, source.transform, source.crs)
        except (OSError, ValueError, KeyError, TypeError, RasterioIOError) as err:
            raise RequestError(
                f"{folder}: {err}", "the output folder of a finished geoseg run", "name it, or finish the run"
            ) from err
        if not report["pixels"]["classified"]:
            raise NothingToDoError(f"{folder}, where no pixel has a class", "a map with classes", "name another map")
        return cls(folder, report, classes, geobox)

    @property
    def key(self) -> str:
        """Key of its job."""
        return str(self.report["job"]["key"])

    @property
    def title(self) -> str:
        """What it is, in words."""
        return str(self.report["job"].get("title") or self.report["model"]["title"])

    @property
    def anchor(self) -> tuple[int, int]:
        """Row and column of its first pixel on its lattice."""
        row, col = self.report["grid"]["anchor"]
        return int(row), int(col)

    @property
    def geodesy(self) -> Geodesy | None:
        """Places and areas on the ellipsoid; ``None`` without a CRS."""
        return None if self.geobox.crs is None else Geodesy(self.geobox.crs, self.geobox.transform)

    def mapped_areas(self) -> dict[int, tuple[int, float | None]]:
        """Class index to pixels and square metres (``None`` without a CRS), as they were counted."""
        rows = (row for row in self.report["areas"] if row["feature"] == "all")
        return {int(row["index"]): (int(row["pixels"]), row["area_m2"]) for row in rows}

    def blocks(self, low_confidence: int | None = None) -> Iterator[tuple[slice, slice, NDArray[np.uint8]]]:
        """Rows, columns and strata of the whole map.

        Args:
            low_confidence: Percent below which a class's pixels are another stratum.

        Yields:
            Strata as uint8 (row, col): the class index, plus the number of classes where the confidence is low; 254 and
            above where there is no class.
        """
        rows, cols = self.geobox.shape
        with rasterio.Env(GDAL_CACHEMAX=_CACHE_BYTES), rasterio.open(self.folder / "classes.tif") as source:
            for row0 in range(0, rows, _BLOCK_PX):
                for col0 in range(0, cols, _BLOCK_PX):
                    row, col = slice(row0, min(row0 + _BLOCK_PX, rows)), slice(col0, min(col0 + _BLOCK_PX, cols))
                    window = Window(col.start, row.start, col.stop - col.start, row.stop - row.start)
                    block = source.read(1, window=window)
                    if low_confidence is not None:
                        block = self._split(block, window, low_confidence)
                    yield row, col, block

    def _split(self, block: NDArray[np.uint8], window: Window, percent: int) -> NDArray[np.uint8]:
        with rasterio.open(self.folder / "confidence.tif") as source:
            low = source.read(1, window=window) < percent
        return np.where(low & (block < _NO_CLASS), block + len(self.classes), block).astype(np.uint8)

    def at(self, points: NDArray[np.float64]) -> NDArray[np.int64]:
        """Classes at points (column, row) of its grid, float64 of shape (point, 2); -1 where it has none."""
        rows, cols = self.geobox.shape
        places = np.floor(points).astype(np.int64)
        found = np.full(len(points), -1, np.int64)
        with rasterio.open(self.folder / "classes.tif") as source:
            for number, (col, row) in enumerate(places.tolist()):
                if 0 <= row < rows and 0 <= col < cols:
                    value = int(source.read(1, window=Window(col, row, 1, 1))[0, 0])
                    found[number] = value if value < _NO_CLASS else -1
        return found
