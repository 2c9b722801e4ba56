"""Landslides: Landslide4Sense, LandslideBench, CAS and Bijie. torchgeo has none of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from geoseg.errors import RequestError
from geoseg.labels.config import LabelMapping
from geoseg.labels.files import files_of
from geoseg.labels.hdf5 import Hdf5Imagery, Hdf5Truth, array
from geoseg.labels.layouts.layout import Facts, LayoutConfig, Pair
from geoseg.labels.members import Imagery, Truth

_GROUND = "background"
# Masks of these sets hold 0 and 1, or 0 and 255, by who passed them on.
_CLASSES: tuple[tuple[str, tuple[int | str, ...]], ...] = ((_GROUND, (0,)), ("landslide", (1, 255)))
_RUN = 100


class Landslide4SenseConfig(LayoutConfig):
    """Landslide4Sense: chips of 128 x 128 pixels in HDF5 files, Sentinel-2 with slope and height.

    Nothing tells which chips are of one place. Groups are runs of 100 numbers within a part: TrainData-00.
    """

    known: ClassVar[Facts] = Facts(
        "Landslide4Sense: Sentinel-2, slope and height at 10 m",
        _CLASSES,
        "{TrainData,ValidData,TestData}/{img/image_NUMBER.h5,mask/mask_NUMBER.h5}, or {images,annotations}/PART/…",
        "not stated with the data; copies of it state MIT",
        "Landslide4Sense, Ghorbanzadeh et al. 2022, doi 10.1109/TGRS.2022.3215209; Copernicus Sentinel data; ALOS PALSAR",
        bands=(*(f"B{number:02d}" for number in range(1, 13)), "slope", "height"),
        gsd_m=10,
    )
    reader: Literal["landslide4sense"] = "landslide4sense"

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """See ``LayoutConfig``; parts without masks are left out."""
        for image in (*files_of(folder, "*/img/image_*.h5"), *files_of(folder, "images/*/image_*.h5")):
            number = image.stem.removeprefix("image_")
            if image.parent.name == "img":
                part, mask = image.parts[-3], image.parent.with_name("mask") / f"mask_{number}.h5"
            else:
                part, mask = image.parts[-2], folder / "annotations" / image.parts[-2] / f"mask_{number}.h5"
            if mask.is_file() and number.isdigit():
                yield Pair(f"{part}-{number}", f"{part}-{int(number) // _RUN:02d}", image, mask)

    def imagery(self, path: Path) -> Imagery:
        """See ``LayoutConfig``."""
        return Hdf5Imagery.described(path, "img", self.known.bands)

    def truth(self, path: Path, imagery: Imagery, mapping: LabelMapping) -> Truth:
        """See ``LayoutConfig``."""
        with array(path, "mask") as values:
            if values.shape != imagery.grid.shape:
                raise RequestError(
                    f"{path} of {' x '.join(map(str, values.shape))} pixels",
                    " x ".join(map(str, imagery.grid.shape)),
                    "correct the pair",
                )
        return Hdf5Truth(path, "mask", mapping)


class LandslideBenchConfig(LayoutConfig):
    """LandslideBench: web images at several zooms with masks of one name; names begin with the kind of landslide.

    Groups are the places, so that the zooms of one never stand on both sides: the set's own parts do not take care of
    that (an audit by others found 311 such conflicts).
    """

    known: ClassVar[Facts] = Facts(
        "LandslideBench: landslides of seven kinds in web imagery",
        _CLASSES,
        "qwen3vl_landslide_{train,val,test}.jsonl with paths of images, mask/NAME; or {images,image}/NAME and mask/NAME",
        "not stated: ask the authors",
        "LandslideBench",
    )
    reader: Literal["landslidebench"] = "landslidebench"

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """See ``LayoutConfig``; images that are listed twice are read once."""
        listed = [folder / name for lines in files_of(folder, "*.jsonl") for name in _listed(lines)]
        images = listed or [*files_of(folder, "images/*"), *files_of(folder, "image/*")]
        for image in dict.fromkeys(images):
            place = re.sub(r"_Level_\d+$", "", image.stem)
            yield Pair(image.stem, place, image, _mask(folder / "mask", image))


class CasLandslideConfig(LayoutConfig):
    """CAS Landslide Dataset: sub-data sets of one place and sensor with img, mask and label. Groups are these."""

    known: ClassVar[Facts] = Facts(
        "CAS Landslide Dataset: nine regions, satellite and UAV",
        _CLASSES,
        "SUBSET/{img,mask}/NAME.tif",
        "CC-BY-NC-4.0; images of some subsets have other terms",
        "CAS Landslide Dataset, Xu et al. 2024, doi 10.1038/s41597-023-02847-z",
    )
    reader: Literal["cas-landslide"] = "cas-landslide"

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """See ``LayoutConfig``."""
        for image in (*files_of(folder, "*/img/*"), *files_of(folder, "img/*")):
            subset = image.parts[-3]
            yield Pair(f"{subset}/{image.stem}", subset, image, _mask(image.parent.with_name("mask"), image))


class BijieConfig(LayoutConfig):
    """Bijie landslides, and as many chips without one, which have no masks. Groups are the counties in the names."""

    known: ClassVar[Facts] = Facts(
        "Bijie landslides: TripleSat at 0.8 m",
        _CLASSES,
        "landslide/{image,mask}/NAME.png and non-landslide/image/NAME.png",
        "not stated: ask the authors",
        "Bijie landslide dataset, Ji et al. 2020, doi 10.1007/s10346-020-01353-2",
        gsd_m=0.8,
    )
    reader: Literal["bijie"] = "bijie"

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """See ``LayoutConfig``."""
        for image in files_of(folder, "landslide/image/*"):
            yield Pair(image.stem, _letters(image.stem), image, _mask(folder / "landslide" / "mask", image))
        for image in files_of(folder, "non-landslide/image/*"):
            yield Pair(f"non-landslide/{image.stem}", f"non-landslide-{_letters(image.stem)}", image, _GROUND)


def _listed(lines: Path) -> Iterator[str]:
    """Paths of images in a file of chats, a JSON object a line.

    Raises:
        RequestError: If a line is none.
    """
    for number, line in enumerate(lines.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            messages = json.loads(line)["messages"]
            contents = [part for message in messages for part in message["content"] if isinstance(part, dict)]
            yield from (str(part["image"]) for part in contents if part.get("type") == "image")
        except (ValueError, KeyError, TypeError) as err:
            raise RequestError(
                f"{lines}, line {number}: {type(err).__name__} {err}",
                "messages with an image",
                "repair the file, or take it away: then every file of images/ is read",
            ) from err


def _mask(folder: Path, image: Path) -> Path:
    """The mask of an image: of the same name, or of the same stem in another format."""
    if (same := folder / image.name).is_file():
        return same
    return next(iter(files_of(folder, f"{_literal(image.stem)}.*")), same)


def _literal(name: str) -> str:
    """A name as a pattern that only it has."""
    return re.sub(r"([*?\[])", r"[\1]", name)


def _letters(stem: str) -> str:
    found = re.match(r"[^\W\d_]+", stem)
    return found[0].lower() if found else stem
