"""Pixels of real scenes, as a model sees them, to hold an export against: read by the road that a run takes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.composite import make_composite
from geoseg.demo.land import write_scene
from geoseg.errors import RequestError
from geoseg.grid import Window
from geoseg.load import reading
from geoseg.models import ModelFolder
from geoseg.pipeline.prepare import prepare
from geoseg.pipeline.prepared import Prepared
from geoseg.pixels import Reason
from geoseg.settings import Settings
from geoseg.spec import JobSpec

_SIDE_PX, _MOST_IMAGES = 512, 12
_GENERATED_PX = 1536
_CACHE_BYTES = 64 * 2**20

type Image = tuple[NDArray[np.float32], NDArray[np.bool_]]


def calibration_images(folder: ModelFolder, scenes: Sequence[str], settings: Settings) -> tuple[list[Image], str]:
    """Squares of scenes, spread evenly over them.

    Args:
        folder: The model.
        scenes: Rasters; a generated Sentinel-2 scene where there are none.
        settings: Where files are kept.

    Returns:
        Images (band, y, x) in the model's quantity with the pixels to be believed (y, x); and where they are from.

    Raises:
        RequestError: If there are no scenes and none can be generated, or nothing was observed in them.
        GeosegError: As a run on these scenes.
    """
    if scenes:
        return _squares(folder, scenes, settings, None), f"{len(scenes)} scene(s) of the user"
    with tempfile.TemporaryDirectory(prefix="geoseg-") as scratch:
        try:
            scene = write_scene(Path(scratch) / "generated.tif", folder.spec.bands, _GENERATED_PX)
        except (KeyError, ValueError) as err:
            raise RequestError(
                f"no scenes for the model {folder.spec.name}, which reads {', '.join(folder.spec.bands)}",
                "rasters with these bands: generated ones have those of Sentinel-2",
                "name some with --scenes",
            ) from err
        return _squares(folder, [str(scene)], settings, "sentinel-2-l2a"), "a generated Sentinel-2 scene"


def _squares(folder: ModelFolder, scenes: Sequence[str], settings: Settings, sensor: str | None) -> list[Image]:
    spec = JobSpec.build(model=str(folder.path), scenes=tuple(scenes), sensor=sensor, composite="first")
    prepared = prepare(spec, settings.model_copy(update={"backend": "torch"}), folder=folder)
    side = folder.spec.chip_px or max(1, _SIDE_PX // folder.spec.stride_px) * folder.spec.stride_px
    with prepared.remote:
        found = [image for window in _spread(prepared.region.window, side) if (image := _read(prepared, window))]
    if not found:
        raise RequestError(f"{', '.join(scenes)}", "scenes with observed pixels", "name others with --scenes")
    return found


def _spread(area: Window, side: int) -> list[Window]:
    """Squares in phase with the lattice, evenly over an area, the whole of it where it is small."""
    rows = range(area.row0 // side * side, area.row1, side)
    cols = range(area.col0 // side * side, area.col1, side)
    windows = [Window(row, col, row + side, col + side) for row in rows for col in cols]
    chosen = np.unique(np.linspace(0, len(windows) - 1, _MOST_IMAGES).round().astype(int))
    return [windows[number] for number in chosen]


def _read(prepared: Prepared, window: Window) -> Image | None:
    """A square; ``None`` where nothing was observed."""
    with reading(_CACHE_BYTES):
        image = make_composite(
            prepared.coverage.touching(window),
            prepared.lattice.geobox(window),
            len(prepared.model.spec.bands),
            "first",
            prepared.model.spec.quantity,
            counted=np.zeros(window.shape, bool),
            strip_bytes=_CACHE_BYTES,
            threads=1,
            rasters=prepared.rasters,
        )
    valid = image.reason == Reason.OBSERVED
    return (np.nan_to_num(image.values), valid) if valid.any() else None
