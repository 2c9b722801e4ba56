"""Memory of the API while large results leave it: a GeoTIFF of 1 GB by ranges and as a whole, 500,000 polygons by pages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import geopandas
import httpx
import numpy as np
import shapely

from geoseg.bench.service import ask, serving, until_final

_BYTES = 10**9
_POLYGONS = 500_000
_PAGE = 10_000
_RANGE = 2**20
_SIDE_M = 10.0


def measure_large_results(folder: Path, tell: Callable[[str], object]) -> None:
    """Put large files into the place of a finished job's, fetch them, and look at the memory of the API.

    Args:
        folder: Scratch.
        tell: Takes the text.
    """
    with serving(folder / "data", GEOSEG_CACHE=str(folder / "cache")) as server, server.client() as client:
        job = ask(client, {})
        if until_final(client, job) != "successful":
            raise RuntimeError(f"the job {job} failed")
        result = server.data / "results" / job
        _make_raster(result / "classes.tif")
        _make_polygons(result / "polygons.parquet")
        tell(f"memory of the API at the start: {server.rss_mb:.0f} MB, at most {server.peak_mb:.0f} MB so far\n")
        _read_raster(client, job)
        tell(f"a GeoTIFF of 1 GB by 1000 ranges and once as a whole: at most {server.peak_mb:.0f} MB\n")
        began = time.perf_counter()
        found = _read_polygons(client, job)
        tell(f"{found:,} polygons by pages of {_PAGE:,}: at most {server.peak_mb:.0f} MB, ")
        tell(f"{time.perf_counter() - began:.0f} s\n")


def _make_raster(path: Path) -> None:
    """A sparse file; nobody looks inside."""
    path.unlink()
    with path.open("wb") as stream:
        stream.truncate(_BYTES)
        os.fsync(stream.fileno())


def _make_polygons(path: Path) -> None:
    """Squares in rows, in groups of the size that geoseg writes."""
    side = int(np.ceil(np.sqrt(_POLYGONS)))
    row, column = np.divmod(np.arange(_POLYGONS), side)
    west, south = 400_000 + _SIDE_M * column, 5_500_000 - _SIDE_M * row
    squares = shapely.box(west, south, west + _SIDE_M, south + _SIDE_M)
    table = {"id": np.arange(_POLYGONS), "class": (row % 5).astype("uint8"), "pixels": np.ones(_POLYGONS, "int64")}
    frame = geopandas.GeoDataFrame(table, geometry=squares, crs="EPSG:32760")
    frame.to_parquet(path, write_covering_bbox=True, row_group_size=65_536, index=False)


def _read_raster(client: httpx.Client, job: str) -> None:
    address = f"/jobs/{job}/results/classes"
    for start in range(0, _BYTES, _RANGE):
        answer = client.get(address, headers={"Range": f"bytes={start}-{min(start + _RANGE, _BYTES) - 1}"})
        answer.raise_for_status()
    with client.stream("GET", address) as answer:
        for _ in answer.iter_raw(_RANGE):
            pass


def _read_polygons(client: httpx.Client, job: str) -> int:
    """How many different polygons all pages have."""
    address, found = f"/collections/{job}/items?limit={_PAGE}", set[int]()
    while address:
        document = client.get(address).raise_for_status().json()
        found |= {feature["id"] for feature in document["features"]}
        address = next((link["href"] for link in document["links"] if link["rel"] == "next"), "")
    return len(found)
