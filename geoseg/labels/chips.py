"""Folders of pictures with a mask each: PNG, JPEG, TIFF and whatever else GDAL reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS
from pydantic import Field

from geoseg.errors import RequestError
from geoseg.grid import Window
from geoseg.labels.base import LabelSet, natural
from geoseg.labels.config import DataConfig, LabelMapping
from geoseg.labels.files import RGB, believed, files_of, grid_of, metres, opened, part, refuse_all
from geoseg.labels.values import has_colours, indices, painted


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
        refuse_all(self._alone(stem, images, masks) for stem in sorted(images.keys() ^ masks.keys(), key=natural))
        if not self.classes:
            raise RequestError(f"the chips {folder} without classes", "the legend", "list classes of the data")
        groups = self.groups.of(list(images), root)
        mapping = self.mapping
        members, refused = [], []
        for stem in sorted(images, key=natural):
            try:
                members.append(_chip(images[stem], masks[stem], groups[stem], self, mapping))
            except RequestError as err:
                refused.append(err)
        refuse_all(refused)
        return LabelSet(mapping.classes, tuple(members), **self.facts)

    def _alone(self, stem: str, images: dict[str, Path], masks: dict[str, Path]) -> RequestError:
        has, lacks = ("image", "mask") if stem in images else ("mask", "image")
        return RequestError(
            f"the {has} {images.get(stem) or masks[stem]} without {lacks}",
            f"for every image one mask of the same stem ({self.images}, {self.masks})",
            "correct images, masks, image_suffix or mask_suffix of the data, or add the file",
        )


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
        with opened(self.image_path) as source:
            return believed(source, list(range(1, len(self.bands) + 1)), window)

    def labels(self, window: Window) -> NDArray[np.uint8]:
        """See ``Labelled``."""
        with opened(self.mask_path) as source:
            values = source.read(window=part(window))
            if source.count == 1 and has_colours(self.mapping):
                values = painted(values[0], source.colormap(1))
        return indices(values, self.mapping, self.mask_path)


def _files(folder: Path, pattern: str, suffix: str) -> dict[str, Path]:
    """Files by stem."""
    found: dict[str, Path] = {}
    for path in files_of(folder, pattern):
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
    with opened(image) as source, opened(mask) as labels:
        count, shape = source.count, (int(source.height), int(source.width))
        if (labels.height, labels.width) != shape:
            raise RequestError(
                f"{mask} of {labels.height} x {labels.width} pixels",
                f"{shape[0]} x {shape[1]}, those of {image.name}",
                "correct the pair",
            )
        if labels.count < 3 and has_colours(mapping) and labels.count != 1:
            raise RequestError(f"{mask} of {labels.count} bands", "red, green and blue", "give values as numbers")
        grid = grid_of(source)
    bands = config.bands or (RGB if count in {3, 4} else tuple(f"band-{at + 1}" for at in range(count)))
    if len(bands) > count:
        raise RequestError(
            f"{len(bands)} bands for {image}", f"at most the {count} that it has", "correct bands of the data"
        )
    transform = None if grid.crs is None else grid.transform
    size = config.gsd_m or metres(grid)
    name = image.stem.removesuffix(config.image_suffix) if config.image_suffix else image.stem
    return Chip(name, group, shape, bands, grid.crs, transform, size, image, image, mask, mapping)
