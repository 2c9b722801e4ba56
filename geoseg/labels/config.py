"""The ``data`` block of a YAML configuration: which reader, where, which classes, which groups, what is held out."""

from __future__ import annotations

import csv
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from geoseg.errors import RequestError, unknown_name, wrong_value
from geoseg.labels.base import ClassName, LabelSet, joined, natural

#: Reader -> module and class that read its block; imported when it is asked for.
READERS: dict[str, str] = {
    "chips": "geoseg.labels.chips:ChipsConfig",
    "rasters": "geoseg.labels.rasters:RastersConfig",
    "vectors": "geoseg.labels.vectors:VectorsConfig",
    "coco": "geoseg.labels.coco:CocoConfig",
    "loveda": "geoseg.labels.layouts.aerial:LoveDAConfig",
    "landcoverai": "geoseg.labels.layouts.aerial:LandCoverAIConfig",
    "potsdam": "geoseg.labels.layouts.aerial:PotsdamConfig",
    "vaihingen": "geoseg.labels.layouts.aerial:VaihingenConfig",
    "flair": "geoseg.labels.layouts.aerial:FlairConfig",
    "flair-hub": "geoseg.labels.layouts.aerial:FlairHubConfig",
    "openearthmap": "geoseg.labels.layouts.aerial:OpenEarthMapConfig",
    "landslide4sense": "geoseg.labels.layouts.landslides:Landslide4SenseConfig",
    "landslidebench": "geoseg.labels.layouts.landslides:LandslideBenchConfig",
    "cas-landslide": "geoseg.labels.layouts.landslides:CasLandslideConfig",
    "bijie": "geoseg.labels.layouts.landslides:BijieConfig",
    "generated": "geoseg.labels.generated:GeneratedConfig",
    "pairs": "geoseg.labels.pairs:PairsConfig",
    "levir-cd": "geoseg.labels.layouts.two_dates:LevirCdConfig",
    "whu-cd": "geoseg.labels.layouts.two_dates:WhuCdConfig",
    "oscd": "geoseg.labels.layouts.two_dates:OscdConfig",
    "second": "geoseg.labels.layouts.two_dates:SecondConfig",
    "generated-pairs": "geoseg.labels.generated_pairs:GeneratedPairsConfig",
}

#: A value of a label raster, or ``#rrggbb`` of a label picture.
type LabelValue = int | str

_COLOUR = re.compile(r"#[0-9a-f]{6}")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class Strict(BaseModel):
    """A block of a configuration: no field that it does not know, no value of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class ClassConfig(Strict):
    """A class, and the values that labels have for it."""

    name: str = Field(min_length=1, description="Plain name.")
    values: tuple[LabelValue, ...] = Field(
        (), description="Values of labels: numbers, or #rrggbb of a picture. Default: its place in the list, from 0."
    )
    colour: Annotated[str, BeforeValidator(_lower)] = Field(
        "", description="#rrggbb; a colour is chosen where there is none."
    )
    description: str = Field("", description="One sentence.")

    @field_validator("values", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        values = value if isinstance(value, list | tuple) else [value]
        return [_lower(each) for each in values]

    @model_validator(mode="after")
    def _are_colours(self) -> Self:
        for colour in (self.colour, *self.values):
            if isinstance(colour, str) and colour and not _COLOUR.fullmatch(colour):
                raise ValueError(f"{colour!r} is no colour #rrggbb")
        return self


class GroupsConfig(Strict):
    """Which images belong together: region, scene or event. At most one of its fields."""

    pattern: str = Field(
        "", description="Regular expression, searched in the name of an image; its first bracket is the group."
    )
    table: Path | None = Field(None, description="CSV file with the columns name and group.")
    runs: int | None = Field(
        None, ge=2, description="So many runs of neighbours in the order of their names, of equal length."
    )

    @field_validator("pattern")
    @classmethod
    def _has_a_bracket(cls, value: str) -> str:
        try:
            brackets = re.compile(value).groups
        except re.error as err:
            raise ValueError(f"a regular expression ({err})") from err
        if value and not brackets:
            raise ValueError("a regular expression with a bracket, such as '^(region-[0-9]+)'")
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if sum((bool(self.pattern), self.table is not None, self.runs is not None)) > 1:
            raise ValueError("one of pattern, table and runs")
        return self

    def of(self, names: Sequence[str], root: Path) -> dict[str, str]:
        """Group of each name; its own name where nothing is said.

        Args:
            names: Names of images.
            root: Folder that ``table`` is relative to.

        Raises:
            RequestError: If a name has no group.
        """
        if self.runs is not None:
            ordered = sorted(names, key=natural)
            return {name: f"run-{at * self.runs // len(ordered) + 1}" for at, name in enumerate(ordered)}
        if self.table is not None:
            known = _table(root / self.table)
        elif self.pattern:
            found = ((name, re.search(self.pattern, name)) for name in names)
            known = {name: match[1] for name, match in found if match and match[1]}
        else:
            known = {name: name for name in names}
        if missing := [name for name in names if name not in known]:
            raise RequestError(
                f"the image {missing[0]} without a group", "a group for every image", "correct groups of the data"
            )
        return {name: known[name] for name in names}


class HeldOutConfig(Strict):
    """What is never trained on: early stopping and the numbers of the card come from it. At most one way."""

    groups: tuple[str, ...] = Field((), description="Names of groups.")
    fold: int | None = Field(None, ge=0, description="Number of a fold, from 0; with of.")
    of: int | None = Field(None, ge=2, description="Number of folds, each a run of neighbouring groups.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.fold is None) != (self.of is None) or (self.groups and self.fold is not None):
            raise ValueError("either groups, or fold and of")
        if self.fold is not None and self.of is not None and self.fold >= self.of:
            raise ValueError(f"a fold below {self.of}")
        return self

    def split(self, labels: LabelSet) -> tuple[LabelSet, LabelSet | None]:
        """What to train on, and what is held out (``None`` where nothing is).

        Raises:
            RequestError: If there are no such groups, or nothing is left to train on.
        """
        groups = self.groups
        if self.fold is not None and self.of is not None:
            groups = labels.folds(self.of)[self.fold]
        return labels.hold_out(groups) if groups else (labels, None)


@dataclass(frozen=True)
class LabelMapping:
    """From values of label files to class indices.

    Attributes:
        classes: Legend.
        index: Class of each value.
        ignored: Values that mean no class.
    """

    classes: tuple[ClassName, ...]
    index: Mapping[LabelValue, int]
    ignored: frozenset[LabelValue]


class DataConfig(Strict, ABC):
    """Fields that every reader's block has. Paths are relative to the file that the block stands in."""

    #: Suggested name of the raster that members can be mapped from, for messages.
    kind: ClassVar[str] = "images"

    reader: str = Field(description="Which reader: chips, rasters, vectors, or the name of a layout.")
    classes: tuple[ClassConfig, ...] = Field((), description="Legend, in the order of the network's outputs.")
    ignore: tuple[LabelValue, ...] = Field(
        (), description="Values of labels that mean no class; they are not trained on."
    )
    groups: GroupsConfig = Field(default_factory=GroupsConfig, description="Which images belong together.")
    held_out: HeldOutConfig = Field(default_factory=HeldOutConfig, description="What is never trained on.")
    quantity: Literal["reflectance", "digital-number"] = Field(
        "digital-number", description="What number x scale + offset is, as in a model's item."
    )
    scale: float = Field(1.0, description="Value = number x scale + offset.")
    offset: float = Field(0.0, description="See scale.")
    gsd_m: float | None = Field(None, gt=0, description="Pixel size in metres, where files do not say it.")
    expects: str = Field("", description="Kind of data, such as sentinel-2-l2a, for notes of the model.")
    title: str = Field("", description="What the data are, in a line, for the model's card.")
    licence: str = Field("not stated", description="Licence of imagery and labels.")
    attribution: str = Field("", description="Line that maps made with the model must carry.")

    @field_validator("classes", mode="before")
    @classmethod
    def _names_alone(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            return value
        return [{"name": entry} if isinstance(entry, str) else entry for entry in value]

    @field_validator("ignore", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return value if isinstance(value, list | tuple) else [value]

    @model_validator(mode="after")
    def _values_once(self) -> Self:
        values = [value for at, entry in enumerate(self.classes) for value in entry.values or (at,)]
        for value in (*values, *self.ignore):
            if values.count(value) + self.ignore.count(value) > 1:
                raise ValueError(f"the label value {value} once, in one class or in ignore")
        return self

    @property
    def mapping(self) -> LabelMapping:
        """Values of label files to class indices."""
        index = {value: at for at, entry in enumerate(self.classes) for value in entry.values or (at,)}
        names = tuple(ClassName(entry.name, entry.colour, entry.description) for entry in self.classes)
        return LabelMapping(names, index, frozenset(self.ignore))

    @abstractmethod
    def read(self, root: Path) -> LabelSet:
        """The labelled images; no pixel is read.

        Args:
            root: Folder that paths are relative to: that of the configuration.

        Raises:
            RequestError: If files are missing, or do not belong together.
        """

    @property
    def facts(self) -> dict[str, Any]:
        """What a ``LabelSet`` takes over as it is."""
        names = ("quantity", "scale", "offset", "expects", "title", "licence", "attribution")
        return {name: getattr(self, name) for name in names}


def data_config(document: object, where: str = "data") -> DataConfig:
    """The block of one reader, checked.

    Args:
        document: A mapping with ``reader`` in it.
        where: Path of the block, for messages.

    Raises:
        RequestError: If there is no such reader, or a field is unknown, missing or wrong.
    """
    if not isinstance(document, Mapping) or "reader" not in document:
        raise RequestError(f"{where} without reader", f"a block with reader: {' | '.join(READERS)}", "name the reader")
    name = str(document["reader"])
    if name not in READERS:
        raise unknown_name(f"{where}.reader", name, READERS, "correct the name")
    module, _, attribute = READERS[name].partition(":")
    cls: type[DataConfig] = getattr(import_module(module), attribute)
    return checked(cls, filled(document, where), where)


def filled(document: Any, where: str) -> Any:  # Any: a YAML document
    """A document with ``${NAME}`` and ``${NAME:-DEFAULT}`` in its texts replaced by variables of the environment.

    So one configuration serves machines on which the data lie elsewhere.

    Raises:
        RequestError: If a variable without a default is not set.
    """
    if isinstance(document, Mapping):
        return {key: filled(value, f"{where}.{key}") for key, value in document.items()}
    if isinstance(document, list):
        return [filled(value, where) for value in document]
    if not isinstance(document, str):
        return document

    def value(found: re.Match[str]) -> str:
        given = os.environ.get(found[1]) or found[2]
        if given is None:
            raise RequestError(
                f"{where}: {document}, with the variable {found[1]} not set",
                "the folder that it stands for",
                f"export {found[1]}=FOLDER, or write the folder into the configuration",
            )
        return given

    return _VARIABLE.sub(value, document)


def read_data(document: object, root: Path, where: str = "data") -> tuple[LabelSet, LabelSet | None]:
    """Images to train on and images that are held out, of one block or of a list of blocks.

    Raises:
        RequestError: See ``data_config``; or if the blocks of a list do not agree.
    """
    blocks = (
        {f"{where}.{at}": block for at, block in enumerate(document)}
        if isinstance(document, list)
        else {where: document}
    )
    configs = [data_config(block, name) for name, block in blocks.items()]
    if not configs:
        raise RequestError(f"an empty {where}", "at least one block", "name a reader and a path")
    splits = [config.held_out.split(config.read(root)) for config in configs]
    held = [out for _, out in splits if out is not None]
    return joined(kept for kept, _ in splits), joined(held) if held else None


def checked[Block: BaseModel](cls: Callable[..., Block], document: object, where: str) -> Block:
    """A block of a configuration as a value.

    Args:
        cls: A pydantic model.
        document: What stood in the file.
        where: Path of the block; empty for the whole file.

    Raises:
        RequestError: With the path of the field that is unknown, missing or wrong.
    """
    if not isinstance(document, Mapping):
        raise RequestError(
            f"{where or 'the configuration'}: {document!r}", "a block of fields", "indent its fields below it"
        )
    try:
        return cls(**document)
    except ValidationError as err:
        first: dict[str, Any] = dict(err.errors()[0])  # Any: pydantic's words, of several types
        path = ".".join(filter(None, (where, *(str(part) for part in first["loc"] if not _is_inner(part)))))
        if first["type"] == "missing":
            raise RequestError(f"no {path}", "a value: it has no default", f"add {path} to the configuration") from err
        if first["type"] == "extra_forbidden":
            known = getattr(cls, "model_fields", {}) if len(first["loc"]) == 1 else {}
            nearest = unknown_name("", path.rpartition(".")[2], known, "") if known else None
            expected = nearest.expected if nearest else "a field of this block"
            raise RequestError(f"the field {path}", expected, "correct the name, or leave it out") from err
        wrong = wrong_value(first, f"{path}:")
        raise RequestError(wrong.given, wrong.expected, "correct the value in the configuration") from err


def _is_inner(part: object) -> bool:
    """Whether a part of a path is pydantic's name of a type, which no file has."""
    return part in {"int", "str", "float", "bool"}


def read_yaml(path: Path) -> dict[str, Any]:  # Any: a YAML document
    """A configuration file as it stands.

    Raises:
        RequestError: If it cannot be read, or is no table of fields.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "no UTF-8 text"
        raise RequestError(f"the configuration {path}: {reason}", "a YAML file", "name the file") from err
    except yaml.YAMLError as err:
        raise RequestError(f"the configuration {path}: {err}", "YAML", "repair the file") from err
    if not isinstance(document, dict):
        raise RequestError(
            f"the configuration {path}", "fields, one a line", "docs/howto/train.md has one to start from"
        )
    return document


def _table(path: Path) -> dict[str, str]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as err:
        raise RequestError(f"groups.table {path}: {err}", "a CSV file", "correct the path") from err
    if not rows or not {"name", "group"} <= set(rows[0]):
        raise RequestError(f"groups.table {path}", "the columns name and group", "write them in its first line")
    return {row["name"]: row["group"] for row in rows if row["group"]}
