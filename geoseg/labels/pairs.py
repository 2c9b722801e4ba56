"""Two images of one place with the labels of what changed between them, and the reader of folders of such pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import Field, model_validator

from geoseg.errors import RequestError, unknown_name
from geoseg.grid import Window
from geoseg.labels.base import IGNORE, LabelSet
from geoseg.labels.config import LabelMapping
from geoseg.labels.features import VectorTruth, meaning_of, read_features
from geoseg.labels.files import found
from geoseg.labels.members import Imagery, Truth
from geoseg.labels.rasters import ImagesConfig, RasterImagery, RasterTruth, check_labels, is_same
from geoseg.labels.vectors import NOTHING, VECTORS

#: Legend of sets that say where something changed, and not what.
CHANGE = ("no change", "change")


@dataclass(frozen=True)
class PairImagery:
    """Two images of the same pixels, one behind the other; implements ``Imagery``.

    Attributes:
        before: Of the earlier date.
        after: Of the later one.
    """

    before: Imagery
    after: Imagery

    @property
    def grid(self) -> GeoBox:
        """See ``Imagery``."""
        return self.before.grid

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of one date."""
        return self.before.bands

    @property
    def path(self) -> None:
        """No single raster holds both."""
        return

    @property
    def paths(self) -> tuple[Path, Path] | None:
        """The rasters of the dates, or ``None`` where there are no such files."""
        earlier, later = self.before.path, self.after.path
        return None if earlier is None or later is None else (earlier, later)

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """(2 x band, rows, cols), and (rows, cols): where both dates are to be believed."""
        (earlier, seen), (later, seen_again) = self.before.read(window), self.after.read(window)
        return np.concatenate([earlier, later]), seen & seen_again


def paired(before: Imagery, after: Imagery) -> PairImagery:
    """Two dates as one imagery.

    Raises:
        RequestError: If their bands or their pixels are not the same.
    """
    if before.bands != after.bands:
        raise RequestError(
            f"{after.path} with the bands {' '.join(after.bands)}",
            f"those of {before.path}: {' '.join(before.bands)}",
            "name the bands to use, in order, with bands",
        )
    try:
        same = is_same(after.grid, before.grid)
    except RequestError as err:
        raise RequestError(f"{after.path} beside {before.path}: {err.given}", err.expected, err.todo) from err
    if not same:
        raise RequestError(
            f"{after.path} on another grid than {before.path}",
            "two dates of the same pixels",
            "warp the later date onto the earlier one",
        )
    return PairImagery(before, after)


class PairsConfig(ImagesConfig):
    """Rasters of two dates and label rasters, found by what their names share."""

    reader: Literal["pairs"] = "pairs"
    images: str = Field("A/*", description="Pattern of the earlier images below path.")
    after: str = Field("B/*", description="Pattern of the later images below path.")
    labels: str = Field(
        "label/*", description="Pattern of the label rasters below path, or of vector files with polygons of change."
    )
    label_band: int = Field(1, ge=1, description="Band of the label rasters.")
    attribute: str = Field(
        "", description="Field of polygons with the kind of change. Default: all are of the second class."
    )
    elsewhere: str = Field(
        "",
        description="Class of pixels that no polygon has; ignore where nothing is known of them. Default: the first class.",
    )

    @model_validator(mode="before")
    @classmethod
    def _change(cls, value: Any) -> Any:  # Any: a document
        """Without classes, labels are of change: 0 and 255, as the usual sets have them, or 0 and 1."""
        if not isinstance(value, dict) or value.get("classes"):
            return value
        none, change = CHANGE
        return {**value, "classes": [{"name": none, "values": 0}, {"name": change, "values": [1, 255]}]}

    def read(self, root: Path) -> LabelSet:
        """See ``DataConfig``."""
        mapping = self.mapping
        earlier = self.imagery(root)
        later = self.model_copy(update={"images": self.after}).imagery(root)
        labels = self.keyed(found(root / self.path, self.labels, "labels"))
        imagery: dict[str, PairImagery] = {}
        truths: dict[str, Truth] = {}
        for key, before in earlier.items():
            for what, pattern, there in (("later image", self.after, later), ("labels", self.labels, labels)):
                if key not in there:
                    raise RequestError(
                        f"{before.path} without its {what}",
                        f"a file of {pattern} for it",
                        "correct the patterns, or match of the data",
                    )
            imagery[key] = paired(before, later[key])
            truths[key] = self._truth(labels[key], before, mapping)
        return self.assembled(imagery, truths, root, mapping, dates=2)

    def _truth(self, path: Path, before: RasterImagery, mapping: LabelMapping) -> Truth:
        if path.suffix.lower() not in VECTORS:
            check_labels(path, before, self.label_band)
            return RasterTruth(path, before.grid, mapping, self.label_band)
        if before.grid.crs is None:
            raise RequestError(
                f"{path} for {before.path}, an image without a place",
                "an image with a CRS for labels that are polygons",
                "give label rasters, or images with a place",
            )
        names = {entry.name: at for at, entry in enumerate(mapping.classes)}
        numbers = {value: at for value, at in mapping.index.items() if isinstance(value, int)}
        numbers |= {value: IGNORE for value in mapping.ignored if isinstance(value, int)}
        meaning = meaning_of(names, numbers, None if self.attribute else 1)
        elsewhere = {**names, "": 0, NOTHING: IGNORE}
        if self.elsewhere not in elsewhere:
            raise unknown_name("elsewhere:", self.elsewhere, [*names, NOTHING], "correct the name, or add the class")
        features = read_features(path, self.attribute, meaning, layer=None, pixels=False)
        return VectorTruth(features, before.grid, elsewhere[self.elsewhere])
