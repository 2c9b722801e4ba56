"""The imagery under a map, of each date, left beside it for map tiles."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from geoseg.errors import GeosegError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from geoseg.pipeline import Prepared

IMAGERY, BEFORE, AFTER = "imagery.tif", "before.tif", "after.tif"
_MOST_PX = 2048
_LOG = logging.getLogger(__name__)


def leave_imagery(prepared: Prepared, out: Path) -> None:
    """Write the composite in natural colours, with at most 2048 pixels a side; nothing where there are no such bands.

    A picture is no result: what goes wrong with it is logged and stops nothing.

    Args:
        prepared: The job.
        out: Its output folder.
    """
    from geoseg.outputs.preview import preview_geobox  # noqa: PLC0415  # rasterio
    from geoseg.pipeline.imagery import preview_imagery  # noqa: PLC0415

    if prepared.spec.pixel_grid or prepared.spec.composite == "per-date":
        return
    try:
        geobox = preview_geobox(prepared.geobox, _MOST_PX)
        names = (IMAGERY,) if prepared.later is None else (BEFORE, AFTER)
        for number, name in enumerate(names):
            found = preview_imagery(prepared, geobox, later=number > 0)
            if found is not None:
                _write(out / name, *found, geobox)
    except (GeosegError, OSError, ValueError) as err:
        _LOG.warning("no imagery for the map: %s", type(err).__name__)


def _write(path: Path, rgb: NDArray[np.uint8], valid: NDArray[np.bool_], geobox: GeoBox) -> None:
    """RGB (y, x, 3) and a mask as a tiled GeoTIFF with overviews."""
    import rasterio  # noqa: PLC0415
    from rasterio.enums import ColorInterp  # noqa: PLC0415

    temporary = path.with_name(f".{path.name}.part.tif")
    rows, cols = geobox.shape
    profile = {
        "driver": "COG",
        "dtype": "uint8",
        "count": 4,
        "height": rows,
        "width": cols,
        "crs": str(geobox.crs),
        "transform": geobox.transform,
        "compress": "deflate",
        "blocksize": 512,
    }
    with rasterio.open(temporary, "w", **profile) as target:
        # Nothing says by itself that the fourth band is no colour.
        target.colorinterp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha)
        for band in range(3):
            target.write(rgb[..., band], band + 1)
        target.write(valid.astype("uint8") * 255, 4)
    temporary.replace(path)
