"""Facts about a model: everything that must be known before its weights are read.

A ``ModelSpec`` is read from the STAC item of a model folder (see ``geoseg.models.item``) and obeyed. Nothing here
imports torch.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from geoseg.errors import ModelSpecError
from geoseg.models.steps import JSON, Step

Kind = Literal["finite", "global"]
Quantity = Literal["reflectance", "digital-number"]
WeightsFormat = Literal["safetensors", "raw-float32", "pickle"]

#: Class indices are 0 ... 250; 254 and 255 of the class raster mean failed and nodata.
MAX_CLASSES = 251

#: What logits may be divided by: a fit that wants more is a sign that there was too little to fit on.
TEMPERATURES = (0.25, 8.0)

#: The head of a model that names none: one class per pixel, those of the network.
SEMANTIC = "semantic"
#: The head of text-image models: the classes are those that a job's prompts name.
WORDS = "words"
#: The head of networks that tell, of two dates, the classes of both with the change: its setting ``classes`` has them.
FROM_TO = "from-to"

_COLOUR = re.compile(r"#[0-9a-f]{6}")
_SHA256_PREFIX = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class of a model.

    Attributes:
        index: Value in the class raster, contiguous from 0.
        name: Plain name.
        colour: ``#rrggbb``, lower case.
        code: Code in the model's legend (WorldCover's 10 ... 100), or ``None``.
        description: One sentence, may be empty.
        before: Of a class of change between two land cover classes: the earlier one.
        after: The later one.
    """

    index: int
    name: str
    colour: str
    code: int | None = None
    description: str = ""
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class WeightsRef:
    """Where the weights come from and how to know them.

    Attributes:
        file_name: Name of the file beside ``item.json`` and in the cache.
        sha256: Hex digest; a prefix of at least 8 digits where the publisher states no more.
        size_bytes: Size of the file, or ``None`` where the publisher does not state it.
        href: HTTPS address, or a path relative to the folder.
        format: What the bytes are.
        layout: For ``raw-float32``: name of the JSON file in the folder that says which array lies where.
        layout_sha256: Hex digest of that file.
    """

    file_name: str
    sha256: str
    size_bytes: int | None
    href: str
    format: WeightsFormat
    layout: str | None = None
    layout_sha256: str | None = None


@dataclass(frozen=True)
class ModelSpec:
    """What a model wants, gives and is.

    Attributes:
        name: Id of the model's item.
        title: One line for people.
        licence: SPDX identifier, or words.
        attribution: Line that results must carry; may be empty.
        source: Public address of origin.
        bands: Band names in the order of the network's channels.
        quantity: What values the transform starts from: reflectance (0 ... 1) or raw digital numbers.
        resolution_m: Pixel size in metres that the network was trained on.
        resolution_range_m: Smallest and largest pixel size at which it may run.
        transform: Input transform, step by step.
        fill: One constant per band *after* the transform for pixels outside the data, masked or failed.
        classes: Classes by index.
        kind: ``finite`` (a pixel depends on a bounded neighbourhood) or ``global``.
        stride_px: The network is equivariant to shifts by this many pixels; chips start and end on multiples of it.
        radius_px: How far a pixel looks: top, left, bottom, right. Zeros for global models.
        cell_px: Side of the smallest square that is computed and remembered, a multiple of the stride.
        chip_px: Global models only: side of a chip.
        chip_step_px: Global models only: step of the chip lattice.
        workspace_bytes_per_px: Measured peak of one float32 forward pass, per chip pixel.
        expects: Data it was trained on, such as ``sentinel-2-l1c``, for notes in plain words.
        notes: What a user should know.
        temperature: What logits are divided by before they become probabilities, fitted on scenes that were held out;
            1 for a network that was not calibrated.
        temperatures: In its place, one for each class: a network can be sure of one with reason and of another without. A
            pixel's own is their mean by what the network gives each class there, so that no first choice moves and
            what is nearly equal stays so. Empty where one is enough.
        head: What makes scores of what the network gives: a built-in name (``semantic``), or that of a plug-in.
        head_settings: What the head is told; ``semantic`` takes nothing, ``from-to`` the classes of either date.
        architecture: How to build the network, such as ``geoseg:small-unet`` or ``smp:Unet``.
        hyperparameters: Arguments of the architecture.
        dates: Images that a class is made from: 1, or 2 for what changed between the earlier and the later one.
        weights: The weights file.

    Raises:
        ModelSpecError: If the facts contradict each other.
    """

    name: str
    title: str
    licence: str
    source: str
    bands: tuple[str, ...]
    quantity: Quantity
    transform: tuple[Step, ...]
    classes: tuple[ClassInfo, ...]
    kind: Kind
    stride_px: int
    architecture: str
    weights: WeightsRef
    hyperparameters: Mapping[str, JSON] = field(default_factory=dict)
    radius_px: tuple[int, int, int, int] = (0, 0, 0, 0)
    cell_px: int = 256
    chip_px: int | None = None
    chip_step_px: int | None = None
    fill: tuple[float, ...] = ()
    workspace_bytes_per_px: float = 0.0
    resolution_m: float | None = None
    resolution_range_m: tuple[float, float] | None = None
    expects: str | None = None
    attribution: str = ""
    notes: tuple[str, ...] = ()
    temperature: float = 1.0
    temperatures: tuple[float, ...] = ()
    head: str = SEMANTIC
    head_settings: Mapping[str, JSON] = field(default_factory=dict)
    dates: int = 1

    def __post_init__(self) -> None:
        if not self.fill:
            object.__setattr__(self, "fill", (0.0,) * len(self.bands))
        elif len(self.fill) == 1:
            object.__setattr__(self, "fill", self.fill * len(self.bands))
        self._check_bands()
        self._check_classes()
        self._check_lattice()
        self._check_weights()

    def __hash__(self) -> int:
        return hash(self.digest)

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> ModelSpec:  # Any: a parsed JSON document of unknown shape
        """The spec that a STAC MLM item describes.

        Raises:
            ModelSpecError: If the item lacks a fact that is needed, or contradicts itself.
        """
        from geoseg.models.item import spec_from_item  # noqa: PLC0415  # item.py builds ModelSpec: a cycle otherwise

        return spec_from_item(item)

    def to_item(self) -> dict[str, Any]:  # Any: a JSON document
        """The STAC MLM item that describes this spec; ``from_item`` reads it back equal."""
        from geoseg.models.item_writing import item_from_spec  # noqa: PLC0415  # as above

        return item_from_spec(self)

    @property
    def channels(self) -> int:
        """Channels of the network's input: the bands of the first date, then those of the second."""
        return len(self.bands) * self.dates

    @cached_property
    def land_cover(self) -> tuple[ClassInfo, ...]:
        """Classes of either date, of a network that tells them together with the change; else none.

        Raises:
            ModelSpecError: If they are not as ``geoseg.head.classes`` has to have them.
        """
        if self.head != FROM_TO:
            return ()
        rows: Any = self.head_settings.get("classes")  # of a document: what has no such parts is refused
        try:
            return tuple(
                ClassInfo(at, row["name"], "#" + str(row.get("color_hint", "808080")).lower(), row.get("geoseg:code"))
                for at, row in enumerate(rows)
            )
        except (TypeError, KeyError, AttributeError) as err:
            raise self._error(f"head.classes {rows!r}", "a list of classes, each with a name and a color_hint") from err

    @property
    def outputs(self) -> frozenset[int]:
        """How many maps of logits the network may give: one for each class; of two classes one is enough.

        With ``land_cover`` that of change, then those of the classes of the earlier date and of the later one.
        """
        if self.land_cover:
            return frozenset({1 + 2 * len(self.land_cover)})
        return frozenset({len(self.classes), 1} if len(self.classes) == 2 else {len(self.classes)})

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that pixels depend on; titles, notes, class names and licences are not in it."""
        document: dict[str, Any] = {  # JSON
            "bands": self.bands,
            "quantity": self.quantity,
            "transform": [step.to_json() for step in self.transform],
            "fill": self.fill,
            "classes": len(self.classes),
            "kind": self.kind,
            "stride": self.stride_px,
            "radius": self.radius_px,
            "cell": self.cell_px,
            "chip": self.chip_px,
            "chip_step": self.chip_step_px,
            "architecture": self.architecture,
            "hyperparameters": dict(self.hyperparameters),
            "weights": self.weights.sha256,
            "layout": self.weights.layout_sha256,
        }
        if self.temperature != 1:  # else the digests of models from before would change
            document["temperature"] = self.temperature
        if self.temperatures:
            document["temperatures"] = self.temperatures
        if self.head != SEMANTIC:
            document["head"] = [self.head, dict(self.head_settings)]
        if self.dates != 1:
            document["dates"] = self.dates
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def _check_bands(self) -> None:
        if not self.bands or len(set(self.bands)) != len(self.bands):
            raise self._error(f"bands {list(self.bands)}", "at least one band, each name once")
        for step in self.transform:
            step.check_bands(len(self.bands))
        if self.dates not in {1, 2}:
            raise self._error(f"an input of {self.dates} dates", "1 or 2")
        if len(self.fill) != len(self.bands) or not all(map(math.isfinite, self.fill)):
            raise self._error(f"fill {list(self.fill)}", f"1 or {len(self.bands)} finite numbers, one per band")
        if self.quantity not in get_args(Quantity):
            raise self._error(f"quantity {self.quantity!r}", "reflectance or digital-number")
        low, high = self.resolution_range_m or (1.0, 1.0)
        if not 0 < low <= high or (self.resolution_m is not None and self.resolution_m <= 0):
            raise self._error(
                f"resolution {self.resolution_m}, range {self.resolution_range_m}", "positive metres, smallest first"
            )

    def _check_classes(self) -> None:
        indices = [info.index for info in self.classes]
        if indices != list(range(len(indices))) or not 2 <= len(indices) <= MAX_CLASSES:
            raise self._error(f"class values {indices}", f"0, 1, 2, ... without gaps, 2 to {MAX_CLASSES} of them")
        for info in self.classes:
            if not _COLOUR.fullmatch(info.colour) or not info.name:
                raise self._error(f"class {info.index} {info.name!r} {info.colour!r}", "a name and a colour #rrggbb")
        low, high = TEMPERATURES
        if not all(low <= number <= high for number in (self.temperature, *self.temperatures)):
            raise self._error(f"temperature {self.temperature} {list(self.temperatures)}", f"{low:g} to {high:g}")
        if self.temperatures and (len(self.temperatures) != len(self.classes) or self.temperature != 1):
            raise self._error(
                f"temperature {self.temperature}, temperatures {list(self.temperatures)}",
                f"one temperature, or one for each of the {len(self.classes)} classes",
            )
        if not self.head or (self.head == SEMANTIC and self.head_settings):
            raise self._error(f"head {self.head!r} with {dict(self.head_settings)}", "a head that takes its settings")
        if self.head == FROM_TO and (self.dates != 2 or len(self.classes) != 2 or not self._are_told_apart):
            raise self._error(
                f"head {self.head} of {self.dates} date(s), {len(self.classes)} classes and {len(self.land_cover)} of land cover",
                f"two dates, no change and change, and 2 to {MAX_CLASSES} classes in head.classes, each name once",
            )

    @property
    def _are_told_apart(self) -> bool:
        infos = self.land_cover
        names: set[Any] = {info.name for info in infos}  # of a document
        named = all(isinstance(name, str) and name for name in names)
        coloured = all(_COLOUR.fullmatch(info.colour) for info in infos)
        return named and coloured and 2 <= len(names) == len(infos) <= MAX_CLASSES

    def _check_lattice(self) -> None:
        if self.kind not in get_args(Kind):
            raise self._error(f"kind {self.kind!r}", "finite or global")
        if self.stride_px < 1 or self.cell_px < 1 or self.cell_px % self.stride_px:
            raise self._error(
                f"cell {self.cell_px} px, stride {self.stride_px} px", "a cell that is a multiple of the stride"
            )
        if min(self.radius_px) < 0:
            raise self._error(f"radius {list(self.radius_px)}", "top, left, bottom, right; none below 0")
        if self.kind == "finite":
            if self.chip_px is not None or self.chip_step_px is not None:
                raise self._error("a chip lattice for a finite model", "no chip_px and no chip_step_px")
            return
        chip, step = self.chip_px or 0, self.chip_step_px or 0
        if not 0 < step <= chip or chip % self.stride_px or step % self.stride_px:
            raise self._error(
                f"chip {self.chip_px} px, step {self.chip_step_px} px, stride {self.stride_px} px",
                "a global model needs chip >= step > 0, both multiples of the stride",
            )

    def _check_weights(self) -> None:
        if not _SHA256_PREFIX.fullmatch(self.weights.sha256):
            raise self._error(f"weights checksum {self.weights.sha256!r}", "a SHA-256 in lower-case hex")
        for name in (self.weights.file_name, self.weights.layout):
            if name is not None and (not name or name != PurePath(name).name):
                raise self._error(f"the file name {name!r}", "a name without folders")
        if not urlsplit(self.weights.href).scheme and (
            PurePath(self.weights.href).is_absolute() or ".." in PurePath(self.weights.href).parts
        ):
            raise self._error(f"the weights href {self.weights.href!r}", "an HTTPS address or a path inside the folder")
        if self.weights.format == "raw-float32" and not (self.weights.layout and self.weights.layout_sha256):
            raise self._error("raw-float32 weights without a layout", "an asset 'layout' with a checksum")

    def _error(self, given: str, expected: str) -> ModelSpecError:
        return ModelSpecError(f"model {self.name!r}: {given}", expected, "correct the model's item.json")
