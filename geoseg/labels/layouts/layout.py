"""What every layout has: pairs of files, and facts that a configuration may overrule."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator

from geoseg.errors import RequestError
from geoseg.labels.base import Labelled, LabelSet, natural
from geoseg.labels.config import DataConfig, LabelMapping
from geoseg.labels.files import RGB, grid_of, opened, refuse_all
from geoseg.labels.members import Constant, Imagery, Member, Truth
from geoseg.labels.rasters import RasterImagery, RasterTruth, grouped, is_same


@dataclass(frozen=True)
class Pair:
    """An image and its labels in a layout.

    Attributes:
        name: Unique in the data set.
        group: What belongs together.
        image: File with the pixels.
        labels: File with the labels, or the name of the class that all pixels have.
    """

    name: str
    group: str
    image: Path
    labels: Path | str


@dataclass(frozen=True)
class Facts:
    """What is known of a data set, whoever has it.

    Attributes:
        title: What it is, in a line.
        classes: Name and the values or colours of labels that mean it, in order.
        ignore: Values that mean no class.
        bands: Names of the images' bands.
        gsd_m: Pixel size in metres, where it is one and files do not say it.
        licence: SPDX identifier, or words.
        attribution: Line that results must carry.
        tree: What the folder looks like, for messages and pages.
    """

    title: str
    classes: tuple[tuple[str, tuple[int | str, ...]], ...]
    tree: str
    licence: str
    attribution: str
    ignore: tuple[int | str, ...] = ()
    bands: tuple[str, ...] = RGB
    gsd_m: float | None = None


class LayoutConfig(DataConfig):
    """Fields of every layout: a folder, and what of it."""

    known: ClassVar[Facts]
    #: Images of each member.
    dates: ClassVar[int] = 1

    path: Path = Field(Path(), description="Folder of the data set.")
    parts: tuple[str, ...] = Field((), description="Groups to read; a name may end with *. Default: all.")

    @model_validator(mode="before")
    @classmethod
    def _what_is_known(cls, value: Any) -> Any:  # Any: a document
        if not isinstance(value, dict):
            return value
        known = cls.known
        facts = {name: getattr(known, name) for name in ("title", "licence", "attribution")}
        facts |= {} if known.gsd_m is None else {"gsd_m": known.gsd_m}
        if not value.get("classes"):
            facts |= {"classes": [{"name": n, "values": v} for n, v in known.classes], "ignore": known.ignore}
        return facts | value

    def read(self, root: Path) -> LabelSet:
        """See ``DataConfig``."""
        folder = root / self.path
        mapping = self.mapping
        pairs = sorted(self.pairs(folder), key=lambda pair: natural(pair.name))
        if not pairs:
            raise RequestError(f"{folder}, which is not laid out as {self.reader}", self.known.tree, "correct path")
        wanted = [pair for pair in pairs if not self.parts or any(_fits(pair.group, part) for part in self.parts)]
        if not wanted:
            groups = ", ".join(sorted({pair.group for pair in pairs}, key=natural)[:20])
            raise RequestError(f"parts {', '.join(self.parts)}", f"one of {groups}", "correct parts of the data")
        members: list[Labelled] = []
        refused: list[RequestError] = []
        for pair in wanted:
            try:
                members.append(self.member(pair, mapping))
            except RequestError as err:
                refused.append(err)
        refuse_all(refused)
        return LabelSet(mapping.classes, self._grouped(members, root), dates=self.dates, **self.facts)

    def _grouped(self, members: list[Labelled], root: Path) -> tuple[Labelled, ...]:
        """Groups of the layout, unless the configuration has its own."""
        return grouped(members, self, root) if self.groups.model_fields_set else tuple(members)

    @abstractmethod
    def pairs(self, folder: Path) -> Iterable[Pair]:
        """Images with their labels, found by name alone."""

    def member(self, pair: Pair, mapping: LabelMapping) -> Labelled:
        """A pair, opened as far as its headers.

        Raises:
            RequestError: If a file is missing, or the two do not fit.
            AssetReadError: If one cannot be read.
        """
        imagery = self.imagery(pair.image)
        if isinstance(pair.labels, str):
            names = [entry.name for entry in mapping.classes]
            if pair.labels not in names:
                raise RequestError(
                    f"the classes {', '.join(names)}", f"{pair.labels}, for images without labels", "add the class"
                )
            truth: Truth = Constant(names.index(pair.labels))
        else:
            truth = self.truth(pair.labels, imagery, mapping)
        return Member(pair.name, pair.group, imagery, truth, self.gsd_m)

    def imagery(self, path: Path) -> Imagery:
        """Pixels of an image file."""
        with opened(path) as source:
            if source.count < len(self.known.bands):
                raise RequestError(
                    f"{path} of {source.count} bands", " ".join(self.known.bands), "name the folder of the right images"
                )
            grid = grid_of(source)
        return RasterImagery(path, grid, self.known.bands, tuple(range(1, len(self.known.bands) + 1)))

    def truth(self, path: Path, imagery: Imagery, mapping: LabelMapping) -> Truth:
        """Labels of a file."""
        if not path.is_file():
            raise RequestError(f"no {path}", "labels of the image", "add the file, or name the parts that have labels")
        with opened(path) as source:
            grid = grid_of(source)
        try:
            is_same(grid, imagery.grid)
        except RequestError as err:
            raise RequestError(f"{path}: {err.given}", err.expected, err.todo) from err
        return RasterTruth(path, imagery.grid, mapping)


def _fits(group: str, part: str) -> bool:
    return group.startswith(part[:-1]) if part.endswith("*") else group == part
