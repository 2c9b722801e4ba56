"""COCO annotations: one JSON file with images, categories, and polygons, run lengths or boxes in pixels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio.features
import shapely
from numpy.typing import NDArray
from pydantic import Field

from geoseg.errors import GeosegError, RequestError
from geoseg.grid import Window
from geoseg.labels.base import IGNORE, LabelSet
from geoseg.labels.files import found
from geoseg.labels.members import Truth
from geoseg.labels.rasters import ImagesConfig

_NOTHING = "ignore"


class CocoConfig(ImagesConfig):
    """Images and a COCO file. Annotations are drawn in the order of the file, the later ones on top.

    A category is the class of its name; others are refused unless ``rename`` has them. Crowds are ignored.
    """

    reader: Literal["coco"] = "coco"
    labels: str = Field("annotations.json", description="The COCO file, below path.")
    rename: dict[str, str] = Field(default_factory=dict, description="Category to the name of its class, or to ignore.")
    elsewhere: str = Field(_NOTHING, description="Class of pixels without an annotation; ignore where none is known.")
    boxes: bool = Field(False, description="Whether boxes stand in where an annotation has no outline.")

    def read(self, root: Path) -> LabelSet:
        """See ``DataConfig``."""
        if not self.classes:
            raise RequestError("annotations without classes", "the legend", "list classes of the data")
        file = found(root / self.path, self.labels, "labels")[0]
        document = _document(file)
        by_name = {Path(str(entry["file_name"])).name: entry for entry in document["images"]}
        index = self._index({entry["id"]: str(entry["name"]) for entry in document["categories"]}, file)
        of_image: dict[Any, list[Mapping[str, Any]]] = {}
        for entry in document["annotations"]:
            of_image.setdefault(entry["image_id"], []).append(entry)
        elsewhere = self._class(self.elsewhere)
        truths: dict[str, Truth] = {}
        imagery = self.imagery(root)
        for key, pixels in imagery.items():
            if pixels.path.name not in by_name:
                raise RequestError(
                    f"{pixels.path}, which {file.name} does not list",
                    "every image in the file",
                    "narrow images, or list the image without annotations",
                )
            entry = by_name[pixels.path.name]
            rows, cols = pixels.grid.shape
            if (entry.get("height", rows), entry.get("width", cols)) != (rows, cols):
                raise RequestError(
                    f"{pixels.path} of {rows} x {cols} pixels",
                    f"{entry['height']} x {entry['width']}, as {file.name} states",
                    "correct the pair",
                )
            drawn = tuple(of_image.get(entry["id"], ()))
            truths[key] = CocoTruth(file, (rows, cols), drawn, index, elsewhere, self.boxes)
        return self.assembled(imagery, truths, root, self.mapping)

    def _index(self, categories: Mapping[Any, str], file: Path) -> dict[Any, int]:
        names = {entry.name for entry in self.classes} | self.rename.keys()
        if strange := [name for name in categories.values() if name not in names]:
            raise RequestError(
                f"{file} with the categor{'ies' if len(strange) > 1 else 'y'} {', '.join(strange)}",
                f"the classes {', '.join(entry.name for entry in self.classes)}",
                "add them to classes or to rename",
            )
        return {number: self._class(self.rename.get(name, name)) for number, name in categories.items()}

    def _class(self, name: str) -> int:
        names = [entry.name for entry in self.classes]
        if name != _NOTHING and name not in names:
            raise RequestError(f"the class {name}", f"one of {', '.join([*names, _NOTHING])}", "correct the name")
        return IGNORE if name == _NOTHING else names.index(name)


@dataclass(frozen=True)
class CocoTruth:
    """Annotations of one image; implements ``Truth``."""

    path: Path
    shape: tuple[int, int]
    annotations: tuple[Mapping[str, Any], ...]
    index: Mapping[Any, int]
    elsewhere: int
    boxes: bool

    def read(self, window: Window) -> NDArray[np.uint8]:
        """See ``Truth``."""
        rows, cols = window.within(Window(0, 0, *self.shape))
        return np.array(self._drawn()[rows, cols])

    def _drawn(self) -> NDArray[np.uint8]:
        """The whole image: chips are small, and run lengths have no windows."""
        out = np.full(self.shape, self.elsewhere, np.uint8)
        for entry in self.annotations:
            value = IGNORE if entry.get("iscrowd") else self.index[entry["category_id"]]
            outline = entry.get("segmentation")
            if isinstance(outline, Mapping):
                out[self._run_lengths(outline)] = value
            elif outline:
                _paint(out, [np.asarray(ring, np.float64).reshape(-1, 2) for ring in outline], value)
            elif self.boxes:
                left, top, wide, high = entry["bbox"]
                _paint(
                    out,
                    [np.array([(left, top), (left + wide, top), (left + wide, top + high), (left, top + high)])],
                    value,
                )
            else:
                raise RequestError(
                    f"{self.path}: annotation {entry.get('id')} without an outline",
                    "polygons or run lengths",
                    "set boxes: true to draw its box",
                )
        return out

    def _run_lengths(self, outline: Mapping[str, Any]) -> NDArray[np.bool_]:
        counts = outline["counts"]
        if isinstance(counts, str | bytes):
            try:
                from pycocotools import mask  # noqa: PLC0415  # comes with torchgeo; only packed run lengths need it
            except ImportError as err:
                raise GeosegError(
                    f"{self.path} with packed run lengths", "pycocotools to unpack them", "pip install pycocotools"
                ) from err
            return np.asarray(mask.decode({"size": list(outline["size"]), "counts": counts})).astype(bool)
        inside = np.arange(len(counts)) % 2 == 1  # pixels run down the columns, outside first
        return np.repeat(inside, counts).reshape(self.shape, order="F")


def _paint(out: NDArray[np.uint8], rings: list[NDArray[np.float64]], value: int) -> None:
    """Each ring is a polygon of its own, as COCO has it."""
    shapes = [(shapely.Polygon(ring), value) for ring in rings if len(ring) > 2]
    if shapes:
        rasterio.features.rasterize(shapes, out=out)


def _document(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        {entry["id"] for name in ("images", "categories") for entry in document[name]}  # looked at, not kept
        {(entry["image_id"], entry["category_id"]) for entry in document["annotations"]}
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise RequestError(
            f"{file}: {type(err).__name__} {err}",
            "a COCO file with images, categories and annotations",
            "correct labels",
        ) from err
    return dict(document)
