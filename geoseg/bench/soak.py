"""Mixed jobs for hours: memory, file handles, threads and disk have to stay where they are.

A round is a map, a change map and a map of prompts in this process, and jobs of a service beside it: two that are made and
fetched, one that is dismissed. Finished tiles and results are removed after each, so that every round does the same work. Then a
line is fitted to what was measured after each round; the first third, in which caches fill, counts for nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import rasterio
from rasterio.transform import from_origin
from scipy.stats import linregress

import geoseg
from geoseg.bench.context import describe_machine
from geoseg.bench.service import Server, ask, serving, until_final
from geoseg.demo import DemoCatalog, write_demo
from geoseg.demo.attributes import make_attributes

#: What may grow in an hour, by what is measured. The job store keeps a row for each job, and its journal is cut now and then.
LIMITS: Mapping[str, float] = {
    "memory here, MB": 50.0,
    "memory of the server, MB": 20.0,
    "memory of its workers, MB": 50.0,
    "file handles": 4.0,
    "threads": 2.0,
    "disk, MB": 10.0,
}
_WARM = 1 / 3  # of the samples, at the beginning
_LEAST_SAMPLES = 6
_SIGMAS = 2.0
_TEMPORARY = "TMPDIR"


@dataclass(frozen=True)
class Trend:
    """A line through what was measured.

    Attributes:
        name: What was measured.
        first: Its value where the line begins.
        last: And where it ends.
        per_hour: Growth.
        error: Standard error of that.
    """

    name: str
    first: float
    last: float
    per_hour: float
    error: float

    @property
    def is_flat(self) -> bool:
        """Whether growth above the limit is ruled out, or cannot be told from none."""
        return self.per_hour - _SIGMAS * self.error <= LIMITS[self.name]


def trends(seconds: list[float], samples: list[dict[str, float]]) -> list[Trend]:
    """A line for each thing measured, through all but the first third.

    Args:
        seconds: When each sample was taken.
        samples: What was measured then, by the names of `LIMITS`.

    Raises:
        ValueError: If there are too few for a line.
    """
    start = int(len(samples) * _WARM)
    if len(samples) - start < _LEAST_SAMPLES:
        raise ValueError(f"{len(samples)} rounds: at least {_LEAST_SAMPLES} are wanted after the first third")
    hours = np.array(seconds[start:]) / 3600
    found = []
    for name in LIMITS:
        line = linregress(hours, [sample[name] for sample in samples[start:]])
        first, last = (float(line.intercept + line.slope * hour) for hour in (hours[0], hours[-1]))
        found.append(Trend(name, first, last, float(line.slope), float(line.stderr)))
    return found


def soak(folder: Path, hours: float, tell: Callable[[str], object]) -> bool:
    """Do rounds for so long, and say what grew.

    Args:
        folder: Scratch.
        hours: How long.
        tell: Takes the text.

    Returns:
        Whether all is flat.
    """
    folder = folder.absolute()
    demo = write_demo(folder / "demo", shape=(256, 384), uav_shape=(256, 256), later=True)
    patches = _write_patches(folder / "patches_20220101.tif")
    seconds: list[float] = []
    samples: list[dict[str, float]] = []
    with _scratch(folder / "tmp"), serving(folder / "data", GEOSEG_CACHE=str(folder / "cache")) as server:
        began = time.monotonic()
        while time.monotonic() - began < hours * 3600:
            _round(folder, demo, patches, server)
            seconds.append(time.monotonic() - began)
            samples.append(_sample(folder, server))
            facts = ", ".join(f"{name.partition(',')[0]} {value:.0f}" for name, value in samples[-1].items())
            tell(f"round {len(samples):4}, {seconds[-1]:6.0f} s: {facts}\n")
    found = trends(seconds, samples)
    tell(f"\n{len(samples)} rounds in {seconds[-1] / 60:.1f} minutes; {describe_machine()}\n")
    for trend in found:
        verdict = "flat" if trend.is_flat else "GROWS"
        grew = f"{trend.first:8.1f} to {trend.last:8.1f}, {trend.per_hour:+8.2f} ± {trend.error:.2f} an hour"
        tell(f"{trend.name:<26} {grew} (limit {LIMITS[trend.name]:g}): {verdict}\n")
    return all(trend.is_flat for trend in found)


def _round(folder: Path, demo: DemoCatalog, patches: Path, server: Server) -> None:
    """One of each kind of job, all computed anew."""
    where: dict[str, Any] = {"cache": folder / "here"}
    catalog = {"aoi": str(demo.region), "catalog": str(demo.folder / "catalog.json")}
    plain = {"scenes": (str(patches),), "sensor": "sentinel-2-l2a", "scale": 1e-4, "offset": 0.0}
    jobs: tuple[dict[str, Any], ...] = (
        {**catalog, "workflow": "demo"},
        {**catalog, "workflow": "change", "before": "2021-12/2022-02", "after": "2023-12"},
        {**plain, "prompt": ("red striped", "blue plain")},
    )
    for number, fields in enumerate(jobs):
        geoseg.run(**fields, **where, out=folder / f"map{number}")
        shutil.rmtree(folder / f"map{number}")
    with server.client() as client:
        dismissed = ask(client, {"aoi": [175.80, -39.97, 175.83, -39.95]})
        made = [ask(client, {"aoi": [175.80, -39.97, 175.82, -39.96]}), ask(client, {"text": "x"}, "echo")]
        client.delete(f"/jobs/{dismissed}").raise_for_status()
        for job in made:
            if until_final(client, job) != "successful":
                raise RuntimeError(client.get(f"/jobs/{job}").text)
            _fetch_all(client, job)
            client.delete(f"/jobs/{job}").raise_for_status()
    for tiles in (folder / "here" / "tiles", folder / "cache" / "tiles"):
        shutil.rmtree(tiles, ignore_errors=True)


def _fetch_all(client: httpx.Client, job: str) -> None:
    for link in client.get(f"/jobs/{job}/files").raise_for_status().json()["links"]:
        client.get(link["href"]).raise_for_status()


def _sample(folder: Path, server: Server) -> dict[str, float]:
    """What is held now, by this process and by the service."""
    mine, workers = psutil.Process(), server.process.children(recursive=True)
    handles = threads = memory = 0
    for process in (mine, server.process, *workers):
        with suppress(psutil.NoSuchProcess):
            handles += process.num_fds()
            threads += process.num_threads()
            memory += process.memory_info().rss if process in workers else 0
    files = (path for root, _, names in os.walk(folder) for path in (Path(root, name) for name in names))
    disk = 0
    for path in files:
        with suppress(FileNotFoundError):
            disk += path.stat().st_size
    values = (mine.memory_info().rss / 1e6, server.rss_mb, memory / 1e6, handles, threads, disk / 1e6)
    return dict(zip(LIMITS, map(float, values), strict=True))


def _write_patches(path: Path) -> Path:
    """A scene that prompts find something in."""
    made = make_attributes(np.random.default_rng(5), (256, 256), (1, 10, 7, 18, 21))
    image = np.rint(made.values * 10_000).astype("uint16")
    shape: dict[str, Any] = {"height": image.shape[1], "width": image.shape[2], "count": 3, "dtype": "uint16"}
    place = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_000_000, 10, 10), "nodata": 0}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, **shape, **place) as file:
        file.write(image)
        for number, name in enumerate(("B04", "B03", "B02"), start=1):
            file.set_band_description(number, name)
    return path


@contextmanager
def _scratch(folder: Path) -> Iterator[None]:
    """Temporary files of this process and of what it starts go there."""
    folder.mkdir()
    before, of_python = os.environ.get(_TEMPORARY), tempfile.tempdir
    os.environ[_TEMPORARY], tempfile.tempdir = str(folder), str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = of_python
        if before is None:
            del os.environ[_TEMPORARY]
        else:
            os.environ[_TEMPORARY] = before
