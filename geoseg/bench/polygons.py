"""Polygons of a large class map: GDAL's, through flat arrays to shapely, against those from blocks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import rasterio.features
import shapely
from numpy.typing import NDArray
from scipy import ndimage

from geoseg.bench.context import describe_machine
from geoseg.machine import MemoryWatch
from geoseg.polygons import ArraySource, polygonize

_BLOCK_PX = 512
_STEPS_PX = (2, 8, 32, 128)  # features of all sizes, as land cover has them
_CLASSES = 5
_SEED = 20


def measure_polygons(folder: Path, side_px: int, say: Callable[[str], object]) -> None:
    """Measure and print a table; each way in a process of its own."""
    path = folder / f"classes-{side_px}.npy"
    if not path.exists():
        np.save(path, class_map(side_px))
    say(f"\npolygons: {side_px} x {side_px} px; {describe_machine()}\n")
    ways = {"whole raster, features.shapes": 0, "blocks, 1 thread": 1, "blocks, 2 threads": 2}
    seconds = {}
    for words, threads in ways.items():
        command = [sys.executable, "-m", "geoseg.bench.polygons", str(path), str(threads)]
        shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  # our own words
        took_s, peak_mb, regions, vertices = map(float, shown.split())
        seconds[threads] = took_s
        say(
            f"  {words:<30} {took_s:7.2f} s  {seconds[0] / took_s:6.2f} times  {regions:,.0f} polygons, "
            f"{vertices:,.0f} vertices, {peak_mb:,.0f} MB above the raster\n"
        )
    classes = np.load(path)
    same = np.array_equal(_digests(shapely.normalize(_by_gdal(classes))), _digests(_by_blocks(classes, 2)))
    say(f"  geometry by geometry           {'equal' if same else 'NOT EQUAL'}\n")


def class_map(side_px: int) -> NDArray[np.uint8]:
    """A map like land cover: the largest of several fields of smoothed noise."""
    rng = np.random.default_rng(_SEED)
    best = np.full((side_px, side_px), -np.inf, np.float32)
    result = np.zeros((side_px, side_px), np.uint8)
    for index in range(_CLASSES):
        height = np.zeros((side_px, side_px), np.float32)
        for step in _STEPS_PX:
            nodes = side_px // step + 3
            grid = ndimage.gaussian_filter(rng.standard_normal((nodes, nodes), dtype=np.float32), 1)
            at = np.arange(side_px) / step
            low, part = at.astype(int), (at % 1).astype(np.float32)
            lines = grid[low] * (1 - part)[:, None] + grid[low + 1] * part[:, None]
            height += (lines[:, low] * (1 - part) + lines[:, low + 1] * part) * np.float32(step**0.4)
        result[height > best] = index
        np.maximum(best, height, out=best)
    return result


def _by_gdal(classes: NDArray[np.uint8]) -> NDArray[np.object_]:
    """The quickest way from GDAL's polygons of the whole raster to shapely."""
    coordinates: list[tuple[float, float]] = []
    rings, polygons = [0], [0]
    parts = []
    for shape, _ in rasterio.features.shapes(classes, connectivity=4):
        for ring in shape["coordinates"]:
            coordinates += ring
            rings.append(rings[-1] + len(ring))
        polygons.append(len(rings) - 1)
        if len(coordinates) > 1_000_000:  # tuples take ten times the room of numbers
            parts.append(np.array(coordinates))
            coordinates = []
    parts.append(np.array(coordinates).reshape(-1, 2))
    offsets = np.array(rings), np.array(polygons)
    return np.asarray(shapely.from_ragged_array(shapely.GeometryType.POLYGON, np.concatenate(parts), offsets))


def _by_blocks(classes: NDArray[np.uint8], threads: int) -> NDArray[np.object_]:
    source = ArraySource(classes, np.zeros_like(classes), _BLOCK_PX)
    batches = polygonize(source, max_vertices=10**9, threads=threads)
    return np.concatenate([batch.geometry for batch in batches])


def _digests(geometry: NDArray[np.object_]) -> NDArray[np.object_]:
    return np.sort(shapely.to_wkb(geometry))


def _measure(path: Path, threads: int) -> None:
    """One way, once, in this process: seconds, peak above the raster in MB, polygons, vertices."""
    classes = np.load(path)
    _by_blocks(classes[:600, :600].copy(), 1)  # loads what is compiled
    before = psutil.Process().memory_info().rss
    with MemoryWatch() as watch:
        start = time.perf_counter()
        geometry = _by_blocks(classes, threads) if threads else _by_gdal(classes)
        took_s = time.perf_counter() - start
    vertices = int(shapely.get_num_coordinates(geometry).sum())
    sys.stdout.write(f"{took_s} {(watch.peak_bytes - before) / 1e6} {len(geometry)} {vertices}\n")


if __name__ == "__main__":
    _measure(Path(sys.argv[1]), int(sys.argv[2]))
