"""What changed between two dates: LEVIR-CD, WHU-CD, OSCD, SECOND.

Folders and values of LEVIR-CD and OSCD are those of torchgeo's classes (MIT); a test holds LEVIR-CD against them; those of
WHU-CD and SECOND are as they are commonly passed on, and were not checked against the sets themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pydantic import Field

from geoseg.errors import RequestError
from geoseg.grid import Window
from geoseg.labels.base import Labelled
from geoseg.labels.config import LabelMapping
from geoseg.labels.files import believed, files_of, grid_of, opened
from geoseg.labels.layouts.layout import Facts, LayoutConfig, Pair
from geoseg.labels.members import Imagery, Member
from geoseg.labels.pairs import CHANGE, paired

_NONE, _CHANGE = CHANGE
#: Where parts have no folders of their own, names begin with them.
_PART = re.compile(r"(train|val|test)[_-]")
#: Labels as pictures of 0 and 255, or as 0 and 1.
_BINARY = ((_NONE, (0,)), (_CHANGE, (1, 255)))


@dataclass(frozen=True)
class PairOfDates(Pair):
    """Two images and their labels.

    Attributes:
        after: File with the pixels of the later date; for OSCD a folder, as ``image`` is.
    """

    after: Path


class TwoDatesConfig(LayoutConfig):
    """Fields of layouts with two dates."""

    dates: ClassVar[int] = 2
    folders: ClassVar[tuple[str, str, str]] = ("A", "B", "label")

    def pairs(self, folder: Path) -> Iterable[Pair]:
        """See ``LayoutConfig``: files of one name in folders of the dates and of labels, in parts or without."""
        earlier, later, labels = self.folders
        for image in (*files_of(folder, f"{earlier}/*"), *files_of(folder, f"*/{earlier}/*")):
            inside = image.parent.parent
            part = "" if inside == folder else inside.name
            name = f"{part}/{image.stem}" if part else image.stem
            named = _PART.match(image.stem)
            group = part or (named[1] if named else image.stem)
            yield PairOfDates(name, group, image, inside / labels / image.name, inside / later / image.name)

    def member(self, pair: Pair, mapping: LabelMapping) -> Labelled:
        """See ``LayoutConfig``."""
        assert isinstance(pair, PairOfDates)  # noqa: S101  # all that pairs of these layouts gives
        if not pair.after.exists():
            raise RequestError(f"no {pair.after}", f"the later date of {pair.image}", "add the file")
        imagery = paired(self.imagery(pair.image), self.imagery(pair.after))
        assert isinstance(pair.labels, Path)  # noqa: S101  # as above
        return Member(pair.name, pair.group, imagery, self.truth(pair.labels, imagery, mapping), self.gsd_m)


class LevirCdConfig(TwoDatesConfig):
    """LEVIR-CD and LEVIR-CD+: buildings at 0.5 m, 5 to 14 years apart. Groups are the parts, or the images."""

    known: ClassVar[Facts] = Facts(
        "LEVIR-CD: new buildings in Texas at 0.5 m",
        _BINARY,
        "{train,val,test}/{A,B,label}/NAME.png, or {A,B,label}/{train,val,test}_NUMBER.png",
        "academic use alone; imagery: Google Earth",
        "LEVIR-CD, Chen and Shi 2020, doi 10.3390/rs12101662",
        gsd_m=0.5,
    )
    reader: Literal["levir-cd"] = "levir-cd"


class WhuCdConfig(TwoDatesConfig):
    """WHU-CD, cut into chips: buildings of Christchurch in 2012 and 2016. Groups are the parts, or the images.

    Figures depend on the split: say whether it is the original one, by area, or a random one of chips.
    """

    known: ClassVar[Facts] = Facts(
        "WHU-CD: buildings in Christchurch, 2012 and 2016, at 0.2 m",
        _BINARY,
        "{train,val,test}/{A,B,label}/NAME, or {A,B,label}/NAME",
        "not stated: ask the authors",
        "WHU building data set, Ji et al. 2019, doi 10.1109/TGRS.2018.2858817",
        gsd_m=0.2,
    )
    reader: Literal["whu-cd"] = "whu-cd"


class SecondConfig(TwoDatesConfig):
    """SECOND: what changed, as the classes of the earlier date where something did. Groups are the parts, or the images.

    White is no change; every class of land cover is change. For from-to classes name the colours as classes.
    """

    folders: ClassVar[tuple[str, str, str]] = ("im1", "im2", "label1")
    known: ClassVar[Facts] = Facts(
        "SECOND: semantic change in cities of China at 0.5 to 3 m",
        (
            (_NONE, ("#ffffff",)),
            (_CHANGE, ("#0000ff", "#808080", "#008000", "#00ff00", "#800000", "#ff0000")),
        ),
        "{train,test}/{im1,im2,label1}/NAME.png, or {im1,im2,label1}/NAME.png",
        "not stated: ask the authors",
        "SECOND, Yang et al. 2022, doi 10.1109/TGRS.2021.3113912",
    )
    reader: Literal["second"] = "second"


class OscdConfig(TwoDatesConfig):
    """OSCD: Sentinel-2 pairs of 24 cities, a file for each band. Groups are the cities."""

    known: ClassVar[Facts] = Facts(
        "OSCD: urban change in Sentinel-2 images of 24 cities",
        _BINARY,
        "*Images/CITY/{imgs_1_rect,imgs_2_rect}/*B02.tif ... and *Labels/CITY/cm/cm.png",
        "CC-BY-NC-SA-4.0; contains modified Copernicus data",
        "OSCD, Daudt et al. 2018, doi 10.1109/IGARSS.2018.8518015",
        bands=("B02", "B03", "B04", "B08", "B11", "B12"),
        gsd_m=10.0,
    )
    reader: Literal["oscd"] = "oscd"
    bands: tuple[str, ...] = Field(known.bands, description="Bands to read, in this order.")

    def pairs(self, folder: Path) -> Iterable[Pair]:
        """See ``LayoutConfig``; cities without labels are left out."""
        for labels in files_of(folder, "*Labels/*/cm/cm.png"):
            city = labels.parents[1].name
            for images in sorted(folder.glob("*Images")):
                dates = [images / city / f"imgs_{number}_rect" for number in (1, 2)]
                if dates[0].is_dir():
                    yield PairOfDates(city, city, dates[0], labels, dates[1])

    def imagery(self, path: Path) -> Imagery:
        """Bands of the files of a folder, whose names end with those of the bands."""
        files = []
        for band in self.bands:
            named = [file for file in sorted(path.glob("*.tif")) if file.stem.upper().endswith(band)]
            if len(named) != 1:
                raise RequestError(f"{len(named)} files of {band} in {path}", "one *.tif of each band", "correct bands")
            files += named
        with opened(files[0]) as source:
            grid = grid_of(source)
        return StackedImagery(tuple(files), grid, self.bands)


@dataclass(frozen=True)
class StackedImagery:
    """Bands that lie in files of their own, of the same pixels; implements ``Imagery``.

    Attributes:
        files: One for each band.
    """

    files: tuple[Path, ...]
    grid: GeoBox
    bands: tuple[str, ...]

    @property
    def path(self) -> None:
        """No single raster holds all bands."""
        return

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """See ``Imagery``."""
        layers, seen = zip(*self._read(window), strict=True)
        return np.stack(layers), np.logical_and.reduce(seen)

    def _read(self, window: Window) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
        for file in self.files:
            with opened(file) as source:
                pixels, valid = believed(source, [1], window)
            yield pixels[0], valid
