"""The imagery under the map, small, for people to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoseg.composite import make_composite
from geoseg.grid import Window
from geoseg.job import job_of
from geoseg.load import reading
from geoseg.machine import usable_cores
from geoseg.pipeline.prepare import prepare
from geoseg.pipeline.prepared import Prepared
from geoseg.pixels import Reason
from geoseg.scenes import Item, Scene, Sensor
from geoseg.settings import Settings

_GAMMA = 1.4


def preview_imagery(
    prepared: Prepared, geobox: GeoBox, window: Window | None = None, *, later: bool = False
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]] | None:
    """The composite in natural colours on a small geobox, from overviews where there are some.

    Args:
        prepared: The job.
        geobox: Where.
        window: Pixels of the lattice that the geobox is; without one it shows the whole region, from overviews.
        later: Whether to show the later of two dates.

    Returns:
        RGB uint8 (y, x, 3) and where it is valid; ``None`` when the model's bands hold no natural colours.
    """
    coverage = prepared.coverages[-1] if later else prepared.coverage
    sensor = coverage.items[0].sensor
    scenes = [
        Scene(items)
        for scene in coverage.touching(window or prepared.region.window)
        if (items := tuple(shown for item in scene.items if (shown := _natural(item, sensor)) is not None))
    ]
    if not scenes:
        return None
    if geobox.crs is None:  # rows and columns, which are read as metres of a plane
        geobox = GeoBox(geobox.shape, geobox.transform, prepared.lattice.crs)
    with reading(prepared.budget.gdal_cache_bytes):
        image = make_composite(
            scenes,
            geobox,
            3,
            prepared.spec.composite,
            sensor.quantity,
            counted=np.zeros(geobox.shape, dtype=bool),
            strip_bytes=prepared.budget.strip_bytes,
            threads=usable_cores(),
            rasters=prepared.rasters,
            previews=window is None,
        )
    low, high = sensor.display_range
    stretched = np.clip((np.moveaxis(image.values, 0, -1) - low) / (high - low), 0, 1)
    if sensor.quantity == "reflectance":
        stretched = stretched ** (1 / _GAMMA)  # eyes expect dark land brighter than reflectance is
    return np.nan_to_num(stretched * 255).astype("uint8"), image.reason == Reason.OBSERVED


@contextmanager
def imagery_of(out: Path, settings: Settings) -> Iterator[Callable[[slice, slice], NDArray[np.uint8] | None]]:
    """Gives what shows rows and columns of a finished map in natural colours; ``None`` where nothing was seen.

    Args:
        out: The map's output folder, whose frozen items are read.
        settings: Where it runs.

    Raises:
        GeosegError: If the job's model or scenes are not to be had.
    """
    spec, documents = job_of(out)
    prepared = prepare(spec, settings, documents, asks_files=False)
    first = prepared.region.window

    def show(rows: slice, cols: slice) -> NDArray[np.uint8] | None:
        window = Window(
            first.row0 + rows.start, first.col0 + cols.start, first.row0 + rows.stop, first.col0 + cols.stop
        )
        shown = preview_imagery(prepared, prepared.lattice.geobox(window), window)
        return None if shown is None or not shown[1].any() else shown[0]

    with prepared.remote:
        yield show


def _natural(item: Item, sensor: Sensor) -> Item | None:
    if sensor.rgb is None or item.sensor != sensor or not set(sensor.rgb) <= set(item.bands):
        return None
    return replace(item, bands={band: item.bands[band] for band in sensor.rgb})
