"""Rasters with a label raster: of the same grid, or of any other, which is then read on the image's grid."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import Field, field_validator
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from geoseg.errors import RequestError
from geoseg.grid import Window
from geoseg.labels.base import Labelled, LabelSet, natural
from geoseg.labels.config import DataConfig, LabelMapping, Strict
from geoseg.labels.files import RGB, are_finite, believed, found, grid_of, opened, part
from geoseg.labels.members import Member, Truth, blocks
from geoseg.labels.values import has_colours, indices, painted

# Corners of two grids that are one lie this near to each other, in pixels.
_SAME_PX = 0.05
_EXACT_PX = 1e-9


@dataclass(frozen=True)
class RasterImagery:
    """Bands of one raster; implements ``Imagery``.

    Attributes:
        numbers: Which bands of the file, from 1, in the order of ``bands``.
        nodata: Value of missing pixels instead of the one that the file states; ``"file"`` = as it states.
        hidden: Raster of the same grid and the values in it that hide a pixel, such as a cloud mask.
    """

    path: Path
    grid: GeoBox
    bands: tuple[str, ...]
    numbers: tuple[int, ...]
    nodata: float | Literal["file"] | None = "file"
    hidden: tuple[Path, frozenset[int]] | None = None

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """See ``Imagery``."""
        numbers = list(self.numbers)
        with opened(self.path) as source:
            if self.nodata == "file":
                pixels, valid = believed(source, numbers, window)
            else:
                pixels = source.read(numbers, window=part(window))
                valid = are_finite(pixels)
                if self.nodata is not None:
                    valid &= (pixels != self.nodata).all(axis=0)
        if self.hidden is not None:
            path, values = self.hidden
            with opened(path) as source:
                valid &= ~np.isin(source.read(1, window=part(window)), list(values))
        return pixels, valid


@dataclass(frozen=True)
class RasterTruth:
    """Labels of one raster; implements ``Truth``.

    Attributes:
        grid: That of the image. Where the label raster has another one, each pixel takes the label at its centre.
        band: Which band of the file, from 1.
    """

    path: Path
    grid: GeoBox
    mapping: LabelMapping
    band: int = 1

    def read(self, window: Window) -> NDArray[np.uint8]:
        """See ``Truth``."""
        with opened(self.path) as source:
            if self.grid.crs is None or is_same(grid_of(source), self.grid):
                return self._mapped(source, window)
            # Places that GDAL approximates, as it does by default, would depend on how an image is cut into windows.
            how = {"resampling": Resampling.nearest, "tolerance": _EXACT_PX, "add_alpha": source.nodata is None}
            height, width = self.grid.shape
            with WarpedVRT(
                source, crs=self.grid.crs.to_wkt(), transform=self.grid.transform, width=width, height=height, **how
            ) as warped:
                return self._mapped(warped, window)

    def _mapped(self, source: Any, window: Window) -> NDArray[np.uint8]:  # Any: a reader, or a VRT that reads like one
        there = part(window)
        missing = source.read_masks(self.band, window=there) == 0
        if has_colours(self.mapping):
            if source.colorinterp[self.band - 1].name == "palette":
                values = painted(source.read(self.band, window=there), source.colormap(self.band))
            else:
                values = source.read([1, 2, 3], window=there)
        else:
            values = source.read([self.band], window=there)
            # A class may well have the value that the file calls nodata.
            missing &= ~np.isin(values[0], [v for v in self.mapping.index if isinstance(v, int)])
        return indices(values, self.mapping, self.path, missing)


def is_same(one: GeoBox, other: GeoBox) -> bool:
    """Whether two rasters have the same pixels; those without a place do where their sizes are equal.

    Raises:
        RequestError: If only one of them has a place and their sizes differ.
    """
    if one.crs is None or other.crs is None:
        if one.shape != other.shape:
            raise RequestError(
                f"labels of {one.shape[0]} x {one.shape[1]} pixels without a common place",
                f"{other.shape[0]} x {other.shape[1]}, those of the image",
                "correct the pair, or give both files a CRS",
            )
        return True
    if one.shape != other.shape or one.crs != other.crs:
        return False
    apart = ~one.transform @ other.transform
    rows, cols = one.shape
    corners = [apart @ place for place in ((0, 0), (cols, rows))]
    return bool(
        max(abs(corners[0][0]), abs(corners[0][1]), abs(corners[1][0] - cols), abs(corners[1][1] - rows)) < _SAME_PX
    )


class HiddenConfig(Strict):
    """Rasters that say which pixels are not to be used, such as cloud masks."""

    files: str = Field(description="Pattern of the files, one for each image, of its pixel grid.")
    values: tuple[int, ...] = Field((1,), description="Values that hide a pixel.")


class ImagesConfig(DataConfig):
    """Fields of readers whose images are rasters."""

    path: Path = Field(Path(), description="Folder of the data.")
    images: str = Field("images/*", description="Pattern of image files below path.")
    bands: tuple[str, ...] = Field(
        (),
        description="Names of the files' bands, in order. Default: those that the files state, or red green blue of three.",
    )
    use: tuple[str, ...] = Field((), description="Which of the bands, in this order. Default: all.")
    nodata: float | Literal["file", "none"] = Field(
        "file", description="Value of missing pixels; none where the value that files state is a real one."
    )
    match: str = Field(
        "",
        description="Regular expression with a bracket: what an image's and its label's names share. Default: the stem.",
    )
    hidden: HiddenConfig | None = Field(None, description="Rasters that hide pixels, such as cloud masks.")
    blocks: tuple[int, int] = Field(
        (1, 1),
        description="Rows and columns of blocks that each image is cut into, as images of their own: NAME/0-0 ...",
    )

    @field_validator("match")
    @classmethod
    def _has_a_bracket(cls, value: str) -> str:
        if value and not re.compile(value).groups:
            raise ValueError("a regular expression with a bracket, such as '_([0-9]{8})'")
        return value

    @field_validator("blocks")
    @classmethod
    def _positive(cls, value: tuple[int, int]) -> tuple[int, int]:
        if min(value) < 1:
            raise ValueError("at least one row and one column")
        return value

    def key(self, path: Path) -> str:
        """What an image's name shares with those of its labels.

        Raises:
            RequestError: If ``match`` is not found in it.
        """
        if not self.match:
            return path.stem
        if (hit := re.search(self.match, path.name)) is None:
            raise RequestError(
                f"the file {path}", f"a name with {self.match}", "correct match or the patterns of the data"
            )
        return hit[1]

    def keyed(self, files: list[Path]) -> dict[str, Path]:
        """Files by key.

        Raises:
            RequestError: If two share one.
        """
        named: dict[str, Path] = {}
        for file in files:
            if (first := named.setdefault(self.key(file), file)) is not file:
                raise RequestError(
                    f"{first} and {file}", "one file for each name", "narrow the pattern, or correct match"
                )
        return named

    def imagery(self, root: Path) -> dict[str, RasterImagery]:
        """Images by key, in natural order of their names.

        Raises:
            RequestError: If there are none, or bands that are named do not exist.
        """
        folder = root / self.path
        images = self.keyed(found(folder, self.images, "images"))
        masks = {} if self.hidden is None else self.keyed(found(folder, self.hidden.files, "hidden.files"))
        if self.hidden is not None and (bare := next((key for key in images if key not in masks), None)):
            raise RequestError(
                f"{images[bare]} without a raster of hidden", "one for each image", "correct hidden.files"
            )
        values = frozenset(self.hidden.values if self.hidden else ())
        nodata = None if self.nodata == "none" else self.nodata
        return {
            key: self._described(images[key], nodata, (masks[key], values) if key in masks else None)
            for key in sorted(images, key=natural)
        }

    def _described(
        self, path: Path, nodata: float | Literal["file"] | None, hidden: tuple[Path, frozenset[int]] | None
    ) -> RasterImagery:
        with opened(path) as source:
            names = self.bands or _stated_bands(source.count, source.descriptions)
            grid = grid_of(source)
            if len(names) > source.count:
                raise RequestError(
                    f"{len(names)} bands for {path}",
                    f"at most the {source.count} that it has",
                    "correct bands of the data",
                )
        wanted = self.use or names
        if lacking := [name for name in wanted if name not in names]:
            raise RequestError(
                f"{path} with the bands {' '.join(names)}", f"the band {lacking[0]}", "correct use or bands of the data"
            )
        numbers = tuple(names.index(name) + 1 for name in wanted)
        return RasterImagery(path, grid, tuple(wanted), numbers, nodata, hidden)

    def assembled(
        self, imagery: dict[str, Any], truths: dict[str, Truth], root: Path, mapping: LabelMapping, dates: int = 1
    ) -> LabelSet:
        """Images and their labels as a set: cut into blocks where wanted, and grouped."""
        members: list[Labelled] = [
            Member(key, key, pixels, truths[key], self.gsd_m) for key, pixels in imagery.items() if key in truths
        ]
        if self.blocks != (1, 1):
            members = [block for member in members for block in blocks(member, *self.blocks)]
        return LabelSet(mapping.classes, grouped(members, self, root), dates=dates, **self.facts)


def grouped(members: list[Labelled], config: DataConfig, root: Path) -> tuple[Labelled, ...]:
    """Members in the groups that a configuration says."""
    groups = config.groups.of([member.name for member in members], root)
    return tuple(replace(member, group=groups[member.name]) for member in members)  # type: ignore[type-var]


class RastersConfig(ImagesConfig):
    """Rasters and label rasters; the labels may have another grid than the image."""

    reader: Literal["rasters"] = "rasters"
    labels: str = Field("labels/*", description="Pattern of label rasters below path; one file may serve all images.")
    label_band: int = Field(1, ge=1, description="Band of the label rasters.")

    def read(self, root: Path) -> LabelSet:
        """See ``DataConfig``."""
        if not self.classes:
            raise RequestError("rasters without classes", "the legend", "list classes of the data")
        imagery, mapping = self.imagery(root), self.mapping
        files = found(root / self.path, self.labels, "labels")
        one = len(files) == 1 and (len(imagery) > 1 or not self.match)
        named = dict.fromkeys(imagery, files[0]) if one else self.keyed(files)
        if bare := next((key for key in imagery if key not in named), None):
            raise RequestError(
                f"{imagery[bare].path} without labels",
                f"a file of {self.labels} for it",
                "correct images, labels or match of the data",
            )
        truths: dict[str, Truth] = {}
        for key, pixels in imagery.items():
            check_labels(named[key], pixels, self.label_band)
            truths[key] = RasterTruth(named[key], pixels.grid, mapping, self.label_band)
        return self.assembled(imagery, truths, root, mapping)


def check_labels(path: Path, pixels: RasterImagery, band: int) -> None:
    """Whether a label raster can be that of an image.

    Raises:
        RequestError: If it lacks the band, or the two have no common place and differ in size.
    """
    with opened(path) as source:
        grid, count = grid_of(source), source.count
    if band > count:
        raise RequestError(f"label_band {band} for {path}", f"1 to {count}", "correct label_band")
    try:
        is_same(grid, pixels.grid)
    except RequestError as err:
        raise RequestError(f"{path} beside {pixels.path}: {err.given}", err.expected, err.todo) from err


def _stated_bands(count: int, descriptions: tuple[str | None, ...]) -> tuple[str, ...]:
    named = [name for name in descriptions if name]
    if len(named) == count and len(set(named)) == count:
        return tuple(named)
    return RGB if count in {3, 4} else tuple(f"band-{at + 1}" for at in range(count))
