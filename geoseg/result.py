"""What a run gives back in Python."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import geopandas
    import pystac
    import xarray as xr

_CHUNK_PX = 2048
_SHOWN = 5  # classes in a line


@dataclass(frozen=True, repr=False)
class Result:
    """A finished map on disk; arrays and tables are opened when they are asked for.

    Attributes:
        out: The output folder.
        report: Content of ``report.json``.
    """

    out: Path
    report: dict[str, Any]

    @classmethod
    def open(cls, out: str | Path) -> Result:
        """The result of an earlier run."""
        folder = Path(out)
        return cls(folder, json.loads((folder / "report.json").read_text()))

    @cached_property
    def dates(self) -> dict[str, Result]:
        """The map of each date, oldest first, of a job with ``per-date``; empty for one map."""
        return {line["date"]: Result.open(self.out / line["date"]) for line in self.report.get("dates", ())}

    @cached_property
    def classes(self) -> xr.DataArray:
        """(y, x) uint8, lazy; 254 = failed, 255 = nodata. Carries CRS and transform."""
        return _lazy(self.out / "classes.tif")

    @cached_property
    def confidence(self) -> xr.DataArray:
        """(y, x) uint8 percent, lazy; 255 where there is no class."""
        return _lazy(self.out / "confidence.tif")

    @cached_property
    def polygons(self) -> geopandas.GeoDataFrame:
        """One row per region, in the CRS of the map."""
        import geopandas  # noqa: PLC0415  # half a second that most callers need not wait

        return geopandas.read_parquet(self.out / "polygons.parquet")

    @cached_property
    def item(self) -> pystac.Item:
        """The STAC item of the result."""
        import pystac  # noqa: PLC0415

        return pystac.Item.from_file(str(self.out / "item.json"))

    def __repr__(self) -> str:
        """Where it is, the largest classes with their shares of the classified pixels, and what failed of the region."""
        from geoseg.outputs.report_text import percent  # noqa: PLC0415  # as above

        if "dates" in self.report:
            days = [line["date"] for line in self.report["dates"]]
            return f"<geoseg.Result in {self.out}: {len(days)} dates, {days[0]} to {days[-1]}>"
        rows = [row for row in self.report.get("areas", ()) if row["feature"] == "all" and row["pixels"]]
        names = {entry["index"]: entry["name"] for entry in self.report.get("classes", ())}
        largest = sorted(rows, key=lambda row: -row["pixels"])
        words = [f"{names[row['index']]} {percent(row['share'])}" for row in largest[:_SHOWN]]
        words += [f"{len(rows) - _SHOWN} more classes"] if len(rows) > _SHOWN else []
        pixels = self.report.get("pixels", {"failed": {}})
        failed = percent(sum(pixels["failed"].values()) / max(1, pixels.get("aoi", 0)))
        return f"<geoseg.Result in {self.out}: {', '.join(words) or 'no class'}; failed {failed}>"

    def _repr_html_(self) -> str:
        """The map in a notebook, with legend, areas and what failed; with ``per-date`` one after the other."""
        from geoseg.outputs.notebook import NotebookMap, notebook_view  # noqa: PLC0415  # as above

        maps = [NotebookMap(day, one.out, one.report) for day, one in self.dates.items()]
        return notebook_view(
            self.out, maps or [NotebookMap("", self.out, self.report)], self.report.get("warnings", ())
        )


def _lazy(path: Path) -> xr.DataArray:
    import dask.array as da  # noqa: PLC0415  # reading a report needs none of these
    import numpy as np  # noqa: PLC0415
    import rasterio  # noqa: PLC0415
    from odc.geo.geobox import GeoBox  # noqa: PLC0415
    from odc.geo.xr import wrap_xr  # noqa: PLC0415
    from rasterio.windows import Window  # noqa: PLC0415

    with rasterio.open(path) as source:
        geobox = GeoBox(source.shape, source.transform, source.crs)

    def read(block_info: Any = None) -> np.ndarray[Any, np.dtype[np.uint8]]:
        (row0, row1), (col0, col1) = block_info[None]["array-location"]
        with rasterio.open(path) as source:
            pixels: np.ndarray[Any, np.dtype[np.uint8]] = source.read(
                1, window=Window(col0, row0, col1 - col0, row1 - row0)
            )
        return pixels

    chunks = da.core.normalize_chunks((_CHUNK_PX, _CHUNK_PX), geobox.shape)
    return wrap_xr(da.map_blocks(read, chunks=chunks, dtype="uint8"), geobox, nodata=255)
