"""What planning a continent costs: a table of items of many dates, a region with a coast, and ``geoseg plan`` on both."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import rasterio
import shapely
from affine import Affine
from pyproj import Transformer
from shapely.geometry import mapping

from geoseg.bench.context import describe_machine
from geoseg.machine import MemoryWatch
from geoseg.models import resolve
from geoseg.settings import Settings

_CRS, _PIXEL_M, _TILE_PX = "EPSG:6933", 10, 512
_SQUARE_M, _STEP_M = 109_800, 100_000
_MIDDLE = (20.0, 3.0)
_COAST_POINTS, _COAST_SEED = 4000, 5
_TWENTY_M = {"B05", "B06", "B07", "B11", "B12", "B8A", "SCL"}
_ROWS_AT_ONCE = 2000


def measure_planning(folder: Path, model: str, tiles: int, items: int, say: Callable[[str], object]) -> float:
    """Plan a generated continent in a process of its own, and print wall time and peak memory.

    Args:
        folder: Where the table and the region go.
        model: Model to plan for.
        tiles: About so many tiles of 512 px.
        items: So many items of Sentinel-2's kind, on a server of this machine that has their headers.
        say: Prints.

    Returns:
        Seconds.
    """
    settings = Settings()
    bands = (*resolve(model, models_dirs=settings.models, cache=settings.cache).spec.bands, "SCL")
    region = write_region(folder / "continent.geojson", tiles)
    with _header_server() as address:
        table = write_items(
            folder / "items.parquet", bands, items, shapely.from_geojson(region.read_text()).bounds, address
        )
        seconds, memory = _planned(folder, region, table, model)
    plan = json.loads((folder / "plan.json").read_text())
    planned = sum(len(scene["items"]) for scene in plan["scenes"])
    say(f"planning for {model}; {describe_machine()}\n")
    say(f"  {plan['tiles']:,} tiles, {planned:,} items over the region of {items:,} in the catalogue\n")
    say(f"  {seconds:.1f} s, peak memory {memory / 1e6:.0f} MB (the whole process, proportional)\n")
    return seconds


def _planned(folder: Path, region: Path, table: Path, model: str) -> tuple[float, int]:
    """Wall time and peak memory of a plan."""
    command = [sys.executable, "-m", "geoseg", "plan", "--aoi", str(region), "--catalog", str(table), "--model", model]
    command += ["--datetime", "2023-01-01/2023-12-31", "--crs", _CRS, "--resolution", str(_PIXEL_M), "--json"]
    command += ["--tile-size", str(_TILE_PX), "--max-area", "1e9", "--max-pixels", str(10**15), "--quiet"]
    command += ["--out", str(folder / "out")]
    start = time.perf_counter()
    with (folder / "plan.json").open("w") as answer:
        process = subprocess.Popen(command, stdout=answer, env=dict(os.environ))  # noqa: S603  # our own words
        with MemoryWatch(process.pid) as memory:
            status = process.wait()
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {status}")
    return seconds, memory.peak_bytes


class _Headers(BaseHTTPRequestHandler):
    """Answers with an empty raster of the size and place that an address of `_asset` names."""

    def do_GET(self) -> None:  # the name that http.server looks for
        """A file without blocks: what a plan reads of a COG's beginning."""
        code, left, upper, size = map(int, re.findall(r"-?\d+", self.path.rpartition("/")[2].removesuffix(".tif"))[-4:])
        body = _empty_raster(code, left, upper, size)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def _header_server() -> Iterator[str]:
    """Address of a server on this machine for as long as it is needed."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Headers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def _empty_raster(code: int, left: int, upper: int, size: int) -> bytes:
    side = _SQUARE_M // size
    shape = {"width": side, "height": side, "count": 1, "dtype": "uint16"}
    with rasterio.MemoryFile() as memory:
        place = Affine(size, 0, left, 0, -size, upper)
        memory.open(
            driver="GTiff", crs=f"EPSG:{code}", transform=place, tiled=True, sparse_ok=True, compress="deflate", **shape
        ).close()
        return bytes(memory.getbuffer())


def write_region(path: Path, tiles: int) -> Path:
    """A region of about so many tiles whose coast has thousands of points, as GeoJSON."""
    angles = np.linspace(0, 2 * np.pi, _COAST_POINTS, endpoint=False)
    generator = np.random.default_rng(_COAST_SEED)
    radius = np.ones_like(angles)
    for turns in (2, 3, 5, 9, 17, 60, 200):
        radius += np.sin(angles * turns + generator.uniform(0, 2 * np.pi)) * 0.3 / turns
    radius *= math.sqrt(tiles * (_TILE_PX * _PIXEL_M) ** 2 / (np.pi * np.mean(radius**2)))
    to_plane = Transformer.from_crs("EPSG:4326", _CRS, always_xy=True)
    x, y = to_plane.transform(*_MIDDLE)
    lon, lat = to_plane.transform(x + radius * np.cos(angles), y + radius * np.sin(angles), direction="INVERSE")
    path.write_text(json.dumps(mapping(shapely.Polygon(np.column_stack([lon, lat])))))
    return path


def write_items(
    path: Path, bands: Sequence[str], items: int, bounds: tuple[float, float, float, float], address: str
) -> Path:
    """A stac-geoparquet file of items of Sentinel-2's kind: squares in the zones of a box, each on many dates.

    Args:
        path: The file.
        bands: Names of the assets.
        items: How many.
        bounds: The box, in degrees.
        address: Of the server that has the files.
    """
    squares = list(_squares(bounds))
    schema: pa.Schema | None = None
    writer: pq.ParquetWriter | None = None
    try:
        for first in range(0, items, _ROWS_AT_ONCE):
            rows = [
                _row(bands, address, *squares[number % len(squares)], number // len(squares))
                for number in range(first, min(items, first + _ROWS_AT_ONCE))
            ]
            batch = pa.Table.from_pylist(rows, schema)
            if writer is None:
                schema = batch.schema
                writer = pq.ParquetWriter(path, schema, compression="zstd")
            writer.write_table(batch)
    finally:
        if writer is not None:
            writer.close()
    return path


def _squares(bounds: tuple[float, float, float, float]) -> Iterator[tuple[int, int, int, shapely.Geometry]]:
    """EPSG code, left and upper edge, and outline in degrees of squares that touch a box."""
    west, south, east, north = bounds
    for zone in range(int((west + 180) // 6) + 1, int((east + 180) // 6) + 2):
        for code, low, high in ((32600 + zone, max(south, 0.0), north), (32700 + zone, south, min(north, 0.0))):
            if low >= high:
                continue
            there = Transformer.from_crs("EPSG:4326", code, always_xy=True)
            middle = zone * 6 - 183
            bottom, top = (there.transform(middle, lat)[1] for lat in (low, high))
            for upper in range(int(bottom // _STEP_M) * _STEP_M, int(top // _STEP_M + 2) * _STEP_M, _STEP_M):
                for left in range(100_000, 900_000, _STEP_M):
                    square = shapely.box(left, upper - _SQUARE_M, left + _SQUARE_M, upper)
                    lon, lat = there.transform(square.exterior.xy[0], square.exterior.xy[1], direction="INVERSE")
                    outline = shapely.Polygon(np.column_stack([lon, lat]))
                    if abs(outline.centroid.x - middle) < 3.5 and outline.intersects(shapely.box(*bounds)):
                        yield code, left, upper, outline


def _row(
    bands: Sequence[str], address: str, code: int, left: int, upper: int, outline: shapely.Geometry, turn: int
) -> dict[str, Any]:
    day = f"2023-{turn // 28 % 12 + 1:02d}-{turn % 28 + 1:02d}"
    name = f"S2A_{code % 100:02d}{'N' if code < 32700 else 'S'}{left // 1000:03d}{upper // 1000:05d}_{day}_{turn}"
    xmin, ymin, xmax, ymax = outline.bounds
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": ["https://stac-extensions.github.io/projection/v1.1.0/schema.json"],
        "id": name,
        "collection": "sentinel-2-l2a",
        "geometry": shapely.to_wkb(outline),
        "bbox": {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax},
        "datetime": f"{day}T10:{turn % 60:02d}:00Z",
        "platform": "sentinel-2a",
        "eo:cloud_cover": float(turn * 37 % 100),
        "s2:processing_baseline": "05.09",
        "proj:epsg": code,
        "assets": {band: _asset(f"{address}/{name}/{band}", band, code, left, upper) for band in bands},
    }


def _asset(stem: str, band: str, code: int, left: int, upper: int) -> dict[str, Any]:
    size = 20 if band in _TWENTY_M else 10
    return {
        "href": f"{stem}_{code}_{left}_{upper}_{size}.tif",
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        "proj:shape": [_SQUARE_M // size, _SQUARE_M // size],
        "proj:transform": [float(size), 0.0, float(left), 0.0, float(-size), float(upper)],
    }
