"""Folders of pictures with a mask each: PNG, JPEG, TIFF and whatever else GDAL reads."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import rasterio.windows
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS
from pydantic import Field
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geoseg.errors import AssetReadError, RequestError
from geoseg.grid import Window
from geoseg.labels.base import IGNORE, LabelSet, natural
from geoseg.labels.config import DataConfig, LabelMapping, LabelValue

_RGB = ("red", "green", "blue")


class ChipsConfig(DataConfig):
    """Image and mask pairs of equal size, matched by the stem of their names."""

    reader: Literal["chips"] = "chips"
    path: Path = Field(Path(), description="Folder of the data.")
    images: str = Field("images/*", description="Pattern of image files below path.")
    masks: str = Field("masks/*", description="Pattern of mask files below path.")
    image_suffix: str = Field("", description="End of an image's stem that its mask's stem does not have.")
    mask_suffix: str = Field("", description="End of a mask's stem that its image's stem does not have.")
    bands: tuple[str, ...] = Field(
        (), description="Names of the files' bands, in order. Default: red green blue of three."
    )

    def read(self, root: Path) -> LabelSet:
        """See ``DataConfig``."""
        folder = root / self.path
        images = _files(folder, self.images, self.image_suffix)
        masks = _files(folder, self.masks, self.mask_suffix)
        for stem in images.keys() ^ masks.keys():
            has, lacks = ("image", "mask") if stem in images else ("mask", "image")
            raise RequestError(
                f"the {has} {images.get(stem) or masks[stem]} without {lacks}",
                f"for every image one mask of the same stem ({self.images}, {self.masks})",
                "correct images, masks, image_suffix or mask_suffix of the data, or add the file",
            )
        if not self.classes:
            raise RequestError(f"the chips {folder} without classes", "the legend", "list classes of the data")
        groups = self.groups.of(list(images), root)
        mapping = self.mapping
        members = tuple(
            _chip(images[stem], masks[stem], groups[stem], self, mapping) for stem in sorted(images, key=natural)
        )
        return LabelSet(mapping.classes, members, **self.facts)


@dataclass(frozen=True)
class Chip:
    """One image file and its mask file; implements ``Labelled``."""

    name: str
    group: str
    shape: tuple[int, int]
    bands: tuple[str, ...]
    crs: CRS | None
    transform: Affine | None
    gsd_m: float | None
    path: Path | None
    image_path: Path
    mask_path: Path
    mapping: LabelMapping

    def image(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """See ``Labelled``."""
        with _opened(self.image_path) as source:
            numbers = list(range(1, len(self.bands) + 1))
            part = _part(window)
            pixels = source.read(numbers, window=part)
            valid = (source.read_masks(numbers, window=part) > 0).all(axis=0)
        if np.issubdtype(pixels.dtype, np.floating):
            valid &= np.isfinite(pixels).all(axis=0)
        return pixels, valid

    def labels(self, window: Window) -> NDArray[np.uint8]:
        """See ``Labelled``."""
        with _opened(self.mask_path) as source:
            values = source.read(window=_part(window))
            if source.count == 1 and _has_colours(self.mapping):
                values = _painted(values[0], source.colormap(1))
        return indices(values, self.mapping, self.mask_path)


def indices(values: NDArray[Any], mapping: LabelMapping, path: Path) -> NDArray[np.uint8]:
    """Class index of each pixel.

    Args:
        values: (band, rows, cols) of a label file: one band of numbers, or red, green and blue.
        mapping: What values mean.
        path: For messages.

    Returns:
        (rows, cols), ``IGNORE`` where a value means no class.

    Raises:
        RequestError: If a value has no meaning.
    """
    if _has_colours(mapping):
        red, green, blue = (values[at].astype(np.int64) for at in (0, 1, 2))
        codes, known = (
            (red << 16) + (green << 8) + blue,
            {_code(value): index for value, index in mapping.index.items()},
        )
        ignored = {_code(value) for value in mapping.ignored}
    else:
        codes = values[0].astype(np.int64)
        known = {int(value): index for value, index in mapping.index.items()}
        ignored = {int(value) for value in mapping.ignored}
    found, where = np.unique(codes, return_inverse=True)
    if strange := [int(code) for code in found if int(code) not in known and int(code) not in ignored]:
        word = f"#{strange[0]:06x}" if _has_colours(mapping) else str(strange[0])
        raise RequestError(
            f"the label value {word} in {path}",
            "values that a class or ignore has",
            "add it to a class (values) or to ignore, in the data of the configuration",
        )
    table = np.array([known.get(int(code), IGNORE) for code in found], np.uint8)
    return table[where].reshape(codes.shape)


def _files(folder: Path, pattern: str, suffix: str) -> dict[str, Path]:
    """Files by stem, without those beside them that GDAL writes."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(pattern)):
        if (
            not path.is_file()
            or path.name.endswith((".aux.xml", ".md", ".txt", ".csv", ".json"))
            or path.name[0] == "."
        ):
            continue
        stem = path.stem.removesuffix(suffix) if suffix else path.stem
        if stem in found:
            raise RequestError(
                f"{found[stem].name} and {path.name}", "one file for each stem", f"narrow the pattern {pattern}"
            )
        found[stem] = path
    if not found:
        raise RequestError(f"{folder / pattern}", "at least one file", "correct path, images or masks of the data")
    return found


def _chip(image: Path, mask: Path, group: str, config: ChipsConfig, mapping: LabelMapping) -> Chip:
    with _opened(image) as source, _opened(mask) as labels:
        count, shape = source.count, (int(source.height), int(source.width))
        if (labels.height, labels.width) != shape:
            raise RequestError(
                f"{mask} of {labels.height} x {labels.width} pixels",
                f"{shape[0]} x {shape[1]}, those of {image.name}",
                "correct the pair",
            )
        if labels.count < 3 and _has_colours(mapping) and labels.count != 1:
            raise RequestError(f"{mask} of {labels.count} bands", "red, green and blue", "give values as numbers")
        crs = CRS(source.crs) if source.crs else None
        transform = source.transform if crs is not None else None
    bands = config.bands or (_RGB if count in {3, 4} else tuple(f"band-{at + 1}" for at in range(count)))
    if len(bands) > count:
        raise RequestError(
            f"{len(bands)} bands for {image}", f"at most the {count} that it has", "correct bands of the data"
        )
    size = config.gsd_m
    if size is None and crs is not None and transform is not None and crs.projected:
        size = abs(transform.determinant) ** 0.5 * float(crs.proj.axis_info[0].unit_conversion_factor)
    name = image.stem.removesuffix(config.image_suffix) if config.image_suffix else image.stem
    return Chip(name, group, shape, bands, crs, transform, size, image, image, mask, mapping)


class _opened:  # noqa: N801  # a context manager that reads like a function
    """A raster of this machine, its failures in our words."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> rasterio.DatasetReader:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)  # most chips have no place, and need none
                self._source = rasterio.open(self._path)
        except RasterioError as err:
            raise self._refusal(err) from err
        return self._source

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> None:
        self._source.close()
        if isinstance(err, RasterioError):
            raise self._refusal(err) from err

    def _refusal(self, err: Exception) -> AssetReadError:
        return AssetReadError(f"{self._path}: {err}", "a raster that GDAL reads", "repair or remove the file")


def _part(window: Window) -> rasterio.windows.Window:
    rows, cols = window.shape
    return rasterio.windows.Window(window.col0, window.row0, cols, rows)


def _has_colours(mapping: LabelMapping) -> bool:
    return any(isinstance(value, str) for value in (*mapping.index, *mapping.ignored))


def _painted(values: NDArray[Any], colours: Mapping[int, tuple[int, ...]]) -> NDArray[Any]:
    """Red, green and blue of a picture with a palette."""
    table = np.zeros((max(256, int(values.max(initial=0)) + 1), 3), np.uint8)
    for value, colour in colours.items():
        table[value] = colour[:3]
    return np.moveaxis(table[values], -1, 0)


def _code(value: LabelValue) -> int:
    """A colour as a number."""
    if not isinstance(value, str):
        raise RequestError(
            f"the label value {value} among colours", "#rrggbb for every value", "write all values as colours"
        )
    return int(value[1:], 16)
