"""Land cover from the air: LoveDA, LandCover.ai, Potsdam and Vaihingen, FLAIR, OpenEarthMap.

Facts as the data sets' own pages and torchgeo's classes (MIT) state them; a test holds the two against each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from geoseg.labels.files import files_of
from geoseg.labels.layouts.layout import Facts, LayoutConfig, Pair

_ISPRS = (
    ("clutter", ("#ff0000",)),
    ("impervious surface", ("#ffffff",)),
    ("building", ("#0000ff",)),
    ("low vegetation", ("#00ffff",)),
    ("tree", ("#00ff00",)),
    ("car", ("#ffff00",)),
)


class LoveDAConfig(LayoutConfig):
    """LoveDA: towns and country round Nanjing, Changzhou and Wuhan. Groups are the part and the kind: train-rural."""

    known: ClassVar[Facts] = Facts(
        "LoveDA: land cover at 0.3 m",
        tuple(
            (name, (value,))
            for value, name in enumerate(
                ("background", "building", "road", "water", "barren", "forest", "agriculture"), start=1
            )
        ),
        "{Train,Val}/{Urban,Rural}/{images_png,masks_png}/NUMBER.png",
        "CC-BY-NC-SA-4.0",
        "LoveDA, Wang et al. 2021, doi 10.5281/zenodo.5706578; imagery: Google Earth",
        ignore=(0,),
        gsd_m=0.3,
    )
    reader: Literal["loveda"] = "loveda"

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """See ``LayoutConfig``; the test part has no labels and is left out."""
        for image in files_of(folder, "*/*/images_png/*.png"):
            kind, part = image.parts[-3].lower(), image.parts[-4].lower()
            mask = image.parent.with_name("masks_png") / image.name
            if part != "test":
                yield Pair(f"{part}-{kind}/{image.stem}", f"{part}-{kind}", image, mask)


class LandCoverAIConfig(LayoutConfig):
    """LandCover.ai: orthophotos of Poland, whole or in chips. Groups are the orthophotos.

    The chips' own lists (train.txt ...) put chips of one orthophoto on both sides; groups do not.
    """

    known: ClassVar[Facts] = Facts(
        "LandCover.ai: land cover of Poland at 0.25 and 0.5 m",
        tuple((name, (value,)) for value, name in enumerate(("background", "building", "woodland", "water", "road"))),
        "{images,masks}/SHEET.tif, or output/SHEET_NUMBER.jpg with output/SHEET_NUMBER_m.png",
        "CC-BY-NC-SA-4.0",
        "LandCover.ai, Boguszewski et al. 2021, arXiv 2005.02264",
    )
    reader: Literal["landcoverai"] = "landcoverai"

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """See ``LayoutConfig``."""
        for image in files_of(folder, "images/*.tif"):
            yield Pair(image.stem, image.stem, image, folder / "masks" / image.name)
        for image in files_of(folder, "output/*_*.jpg"):
            mask = image.with_name(f"{image.stem}_m.png")
            yield Pair(image.stem, image.stem.rpartition("_")[0], image, mask)


class PotsdamConfig(LayoutConfig):
    """ISPRS Potsdam: labels are painted. Groups are the tiles."""

    known: ClassVar[Facts] = Facts(
        "ISPRS Potsdam: true orthophotos at 0.05 m",
        _ISPRS,
        "4_Ortho_RGBIR/top_potsdam_ROW_COL_RGBIR.tif with 5_Labels_all/top_potsdam_ROW_COL_label.tif, or labels beside it",
        "not stated: ask ISPRS for the terms of the benchmark",
        "ISPRS WG II/4 semantic labelling benchmark; imagery: BSF Swissphoto",
        bands=("red", "green", "blue", "nir"),
        gsd_m=0.05,
    )
    reader: Literal["potsdam"] = "potsdam"

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """See ``LayoutConfig``."""
        for image in files_of(folder, "4_Ortho_RGBIR/*_RGBIR.tif"):
            name = image.stem.removesuffix("_RGBIR")
            yield Pair(name, name, image, _first(folder, ("5_Labels_all", "."), f"{name}_label.tif"))


class VaihingenConfig(LayoutConfig):
    """ISPRS Vaihingen: labels are painted. Groups are the areas."""

    known: ClassVar[Facts] = Facts(
        "ISPRS Vaihingen: true orthophotos at 0.09 m",
        _ISPRS,
        "top/top_mosaic_09cm_areaNUMBER.tif with labels of that name beside top/ or in gts_for_participants/",
        "not stated: ask ISPRS for the terms of the benchmark",
        "ISPRS WG II/4 semantic labelling benchmark; imagery: DGPF",
        bands=("nir", "red", "green"),
        gsd_m=0.09,
    )
    reader: Literal["vaihingen"] = "vaihingen"

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """See ``LayoutConfig``; areas without labels are left out."""
        for image in files_of(folder, "top/*.tif"):
            labels = _first(folder, (".", "gts_for_participants"), image.name)
            if labels.is_file():
                yield Pair(image.stem, image.stem, image, labels)


class FlairConfig(LayoutConfig):
    """FLAIR #1 and #2 of the French mapping agency. Groups are the domains: D004_2021."""

    known: ClassVar[Facts] = Facts(
        "FLAIR: land cover of France at 0.2 m",
        tuple(
            (name, (value,))
            for value, name in enumerate(
                (
                    "building",
                    "pervious surface",
                    "impervious surface",
                    "bare soil",
                    "water",
                    "coniferous",
                    "deciduous",
                    "brushwood",
                    "vineyard",
                    "herbaceous vegetation",
                    "agricultural land",
                    "plowed land",
                ),
                start=1,
            )
        ),
        "…/DOMAIN/ZONE/img/IMG_NUMBER.tif with …/DOMAIN/ZONE/msk/MSK_NUMBER.tif",
        "etalab-2.0",
        "FLAIR, IGN 2022, arXiv 2211.12979",
        ignore=(0, 13, 14, 15, 16, 17, 18, 19),
        bands=("red", "green", "blue", "nir", "height"),
        gsd_m=0.2,
    )
    reader: Literal["flair"] = "flair"

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """See ``LayoutConfig``; domains whose labels are held back are left out."""
        masks = {_flair_number(mask): mask for mask in files_of(folder, "**/msk/MSK_*.tif")}
        for image in files_of(folder, "**/img/IMG_*.tif"):
            number, domain = _flair_number(image), image.parts[-4]
            if number in masks:
                yield Pair(f"{domain}/{number}", domain, image, masks[number])


class FlairHubConfig(LayoutConfig):
    """FLAIR-HUB, aerial images with land cover. Groups are the domains: D004-2021."""

    known: ClassVar[Facts] = Facts(
        "FLAIR-HUB: land cover of France at 0.2 m",
        tuple(
            (name, (value,))
            for value, name in enumerate(
                (
                    "building",
                    "greenhouse",
                    "swimming pool",
                    "impervious surface",
                    "pervious surface",
                    "bare soil",
                    "water",
                    "snow",
                    "herbaceous vegetation",
                    "agricultural land",
                    "plowed land",
                    "vineyard",
                    "deciduous",
                    "coniferous",
                    "brushwood",
                )
            )
        ),
        "DOMAIN-YEAR_AERIAL_RGBI/ROI/….tif with DOMAIN-YEAR_AERIAL_LABEL-COSIA/ROI/….tif",
        "etalab-2.0",
        "FLAIR-HUB, IGN 2025, arXiv 2506.07080",
        ignore=(15, 16, 17, 18),
        bands=("red", "green", "blue", "nir"),
        gsd_m=0.2,
    )
    reader: Literal["flair-hub"] = "flair-hub"

    def pairs(self, folder: Path) -> Iterator[Pair]:
        """See ``LayoutConfig``."""
        for image in files_of(folder, "*_AERIAL_RGBI/*/*.tif"):
            domain = image.parts[-3].removesuffix("_AERIAL_RGBI")
            labels = folder / f"{domain}_AERIAL_LABEL-COSIA" / image.parts[-2]
            name = image.stem.replace("_AERIAL_RGBI", "")
            yield Pair(name, domain, image, labels / image.name.replace("AERIAL_RGBI", "AERIAL_LABEL-COSIA"))


class OpenEarthMapConfig(LayoutConfig):
    """OpenEarthMap: 97 regions of 44 countries. Groups are the regions."""

    known: ClassVar[Facts] = Facts(
        "OpenEarthMap: land cover at 0.25 to 0.5 m",
        tuple(
            (name, (value,))
            for value, name in enumerate(
                (
                    "bareland",
                    "rangeland",
                    "developed space",
                    "road",
                    "tree",
                    "water",
                    "agriculture land",
                    "building",
                ),
                start=1,
            )
        ),
        "REGION/images/REGION_NUMBER.tif with REGION/labels/REGION_NUMBER.tif",
        "CC-BY-NC-SA-4.0; images of some regions have other terms",
        "OpenEarthMap, Xia et al. 2023, arXiv 2210.10732",
        ignore=(0,),
    )
    reader: Literal["openearthmap"] = "openearthmap"
    list_file: str = Field("", description="Text file with a name a line, such as train.txt: only these.")

    def pairs(self, folder: Path) -> Iterable[Pair]:
        """See ``LayoutConfig``; images of the test part, which have no labels, are left out."""
        wanted = None
        if self.list_file:
            wanted = {Path(line.strip()).stem for line in (folder / self.list_file).read_text("utf-8").splitlines()}
        for image in files_of(folder, "*/images/*.tif"):
            labels = image.parent.with_name("labels") / image.name
            if labels.is_file() and (wanted is None or image.stem in wanted):
                yield Pair(image.stem, image.parts[-3], image, labels)


def _flair_number(path: Path) -> str:
    found = re.search(r"_(\d+)$", path.stem)
    return found[1] if found else path.stem


def _first(folder: Path, places: tuple[str, ...], name: str) -> Path:
    """The file of that name in the first place that has it; the first place where none does."""
    return next(
        (folder / place / name for place in places if (folder / place / name).is_file()), folder / places[0] / name
    )
