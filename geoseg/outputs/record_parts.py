"""What the record of a run is made of: types of its fields, and facts of dates, model, classes and scenes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, NonNegativeInt

from geoseg.outputs.hrefs import plain_href, without_secrets

type Text = Annotated[str, AfterValidator(without_secrets)]
type Href = Annotated[str, AfterValidator(plain_href)]
type Json = Annotated[dict[str, Any], AfterValidator(without_secrets)]  # JSON objects of other rooms
type Count = NonNegativeInt


class Part(BaseModel):
    """A part of the record: frozen, without fields that are not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class AlignmentFacts(Part):
    """How two dates lay on each other before the correction, in pixels of the map."""

    dy_px: float
    """Rows by which the later date lay farther down than the earlier one: the median of the good windows."""
    dx_px: float
    """Columns by which it lay farther right."""
    scatter_px: float
    """Median distance of good windows from that median."""
    good: Count
    """Windows that show the same ground on both dates."""
    windows: Count
    """Windows that were looked at."""
    good_share: float
    """Share of good ones."""
    verdict: str
    """``consistent``; ``unmeasured`` where too few windows are good; ``left`` with `--align measure`. Others are refused."""
    correction_px: tuple[float, float]
    """Rows and columns by which the later date was moved back; zeros where it lay well enough."""
    left_px: float
    """What an edge may be off by after that."""


class ChangeFacts(Part):
    """What was fitted before the first tile of a change map."""

    detector: str
    """What finds the change."""
    threshold: float | None = None
    """Where change begins, in numbers of the detector; ``None`` where a network or the classes decide."""
    fit: str
    """``scene`` or ``aoi``: what was fitted to."""
    bands: tuple[str, ...]
    """Bands that were compared."""
    overlap_px: tuple[int, int, int, int]
    """First row, first column, last row, last column (exclusive) of what was fitted to, on the map's pixel lattice."""
    pixels: Count
    """Pixels of the sample."""
    alignment: AlignmentFacts
    """How the dates lay on each other."""
    values: Json
    """All that was fitted, to the last digit."""


class ModelFacts(Part):
    """The model."""

    name: str
    """Its short name."""
    title: Text
    """Its name for people."""
    kind: str
    """``finite`` or ``global``."""
    sha256: str
    """Checksum of the weights, 64 hexadecimal digits; of a detector without weights that of nothing."""
    spec_sha256: str
    """Checksum of the spec it ran under."""
    licence: Text
    """SPDX expression, or words."""
    licence_kind: str = "unknown"
    """``open``, ``non-commercial`` or ``unknown``: what its text tells."""
    attribution: Text = ""
    """The line its licence asks for."""
    radius_px: int | None = None
    """Receptive radius; ``None`` where it is not finite."""
    task: str = ""
    """``semantic-segmentation`` …"""
    href: Href | None = None
    """Address of its STAC MLM item, where it has one that others can open."""
    revision: str = ""
    """Which version of that item: a commit, or its SHA-256; empty where it has no address."""
    trained_on: Text = ""
    """Its training data, in a line."""


class ClassFacts(Part):
    """A class of the map."""

    index: int
    """Pixel value."""
    name: Text
    """Name for people."""
    colour: str
    """``#rrggbb``."""
    code: int | None = None
    """Code in the legend."""
    description: Text = ""
    """A sentence, or nothing."""
    before: Text | None = None
    """Of a change map with land cover: the class on the earlier date; ``None`` for no change."""
    after: Text | None = None
    """The class on the later date."""


class SceneFacts(Part):
    """A scene that pixels came from."""

    id: str
    """Id of the scene or its item."""
    datetime: AwareDatetime | None
    """Acquisition, UTC; ``None`` where the file does not say."""
    platform: Text = ""
    """Satellite or carrier."""
    collection: Text = ""
    """Collection it belongs to."""
    licence: Text = ""
    """Licence of the collection."""
    attribution: Text = ""
    """The line its licence asks for."""
    cloud_cover_percent: float | None = None
    """As its metadata say."""
    item_hrefs: tuple[Href, ...] = ()
    """Addresses of its STAC items, or paths of its files."""
    used_as: str = ""
    """``before`` or ``after`` where there are two dates: of a change map, or of the evidence; else empty."""
    share: float | None = None
    """Of the pixels of the computed cells (which reach beyond the AOI), those made from it; ``None`` where the composite
    mixes dates per pixel."""
    notes: tuple[Text, ...] = ()
    """What to know of it: offset applied, metadata that contradict the pixels, ``unverified`` …"""


class SkippedScene(Part):
    """A scene that was found and not used."""

    id: str
    """Id of the scene."""
    reason: Text
    """Why, in plain words."""
