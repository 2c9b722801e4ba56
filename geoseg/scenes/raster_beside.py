"""The CRS of rasters whose place lies beside them: GDAL reads their world file, and not the .prj that goes with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rasterio.crs import CRS
from rasterio.errors import CRSError

_MOST_BYTES = 100_000


def crs_beside(dataset: Any, path: str) -> tuple[CRS | None, str]:
    """The CRS that a .prj states for a raster with a world file and without a CRS of its own.

    Args:
        dataset: The open raster.
        path: Of its file on this machine.

    Returns:
        The CRS, ``None`` where there is none; and the name of the .prj, "" where there is none.
    """
    beside = [Path(name).suffix.lower() for name in dataset.files[1:]]
    if dataset.crs is not None or not any(suffix == ".wld" or suffix.endswith("w") for suffix in beside):
        return None, ""
    stated = next(filter(Path.is_file, (Path(path).with_suffix(suffix) for suffix in (".prj", ".PRJ"))), None)
    if stated is None:
        return None, ""
    try:
        with stated.open(encoding="utf-8-sig") as stream:
            return CRS.from_user_input(stream.read(_MOST_BYTES).strip()), stated.name
    except (CRSError, OSError, UnicodeDecodeError):
        return None, stated.name
