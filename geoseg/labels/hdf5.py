"""Arrays of HDF5 files as images and labels; needs h5py, which comes with the extra ``train``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoseg.errors import AssetReadError, GeosegError, RequestError
from geoseg.grid import Window
from geoseg.labels.config import LabelMapping
from geoseg.labels.files import are_finite
from geoseg.labels.values import indices


@contextmanager
def array(path: Path, key: str) -> Iterator[Any]:  # Any: a dataset of h5py, sliced like an array
    """An array of a file, read where it is sliced.

    Raises:
        GeosegError: If h5py is not installed.
        AssetReadError: If the file cannot be read, or has no such array.
    """
    try:
        import h5py  # noqa: PLC0415  # an extra, which other readers need not have
    except ImportError as err:
        raise GeosegError(f"{path}, without h5py", "h5py", "pip install 'geoseg[train]'") from err
    try:
        with h5py.File(path, "r") as file:
            if key not in file:
                has = ", ".join(file) or "nothing"
                raise AssetReadError(f"{path} with {has}", f"an array {key}", "name the folder of the right files")
            yield file[key]
    except OSError as err:
        raise AssetReadError(f"{path}: {err}", "an HDF5 file", "repair or remove the file") from err


@dataclass(frozen=True)
class Hdf5Imagery:
    """An array (rows, cols, band); implements ``Imagery``."""

    file: Path
    key: str
    bands: tuple[str, ...]
    shape: tuple[int, int]

    @classmethod
    def described(cls, file: Path, key: str, bands: tuple[str, ...]) -> Hdf5Imagery:
        """Open it as far as its shape.

        Raises:
            RequestError: If it is no array of such bands.
        """
        with array(file, key) as values:
            if values.ndim != 3 or values.shape[2] != len(bands):
                raise RequestError(
                    f"{file} of the shape {' x '.join(map(str, values.shape))}",
                    f"rows x columns x {len(bands)} bands",
                    "name the folder of the right files",
                )
            return cls(file, key, bands, (int(values.shape[0]), int(values.shape[1])))

    @property
    def grid(self) -> GeoBox:
        """See ``Imagery``; without a place."""
        return GeoBox(self.shape, Affine.identity(), None)

    @property
    def path(self) -> Path | None:
        """None: HDF5 states neither its bands nor its nodata."""
        return None

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """See ``Imagery``."""
        with array(self.file, self.key) as values:
            pixels = np.moveaxis(values[window.row0 : window.row1, window.col0 : window.col1], 2, 0)
        return pixels, are_finite(pixels)


@dataclass(frozen=True)
class Hdf5Truth:
    """An array (rows, cols) of labels; implements ``Truth``."""

    path: Path
    key: str
    mapping: LabelMapping

    def read(self, window: Window) -> NDArray[np.uint8]:
        """See ``Truth``."""
        with array(self.path, self.key) as values:
            return indices(values[window.row0 : window.row1, window.col0 : window.col1][None], self.mapping, self.path)
