"""What is known of the candidates: the part of ``report.json`` under ``evidence``, and the columns of the polygons.

Every number is rounded when it enters, so that rules, words, columns and JSON speak of the same one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal["kept", "demoted"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Quantity:
    """How a number is rounded and told.

    Attributes:
        unit: ``m``, ``m2``, ``deg``, ``share`` (0 to 1) or "" for plain ratios.
        decimals: Kept.
    """

    unit: str
    decimals: int


QUANTITIES: Mapping[str, Quantity] = {
    "area_m2": Quantity("m2", 0),
    "confidence_network": Quantity("share", 3),
    "length_m": Quantity("m", 0),
    "width_m": Quantity("m", 0),
    "elongation": Quantity("", 2),
    "orientation_deg": Quantity("deg", 0),
    "slope_mean_deg": Quantity("deg", 1),
    "slope_p90_deg": Quantity("deg", 1),
    "slope_spread": Quantity("", 2),
    "gentle_share": Quantity("share", 2),
    "aspect_deg": Quantity("deg", 0),
    "relief_m": Quantity("m", 0),
    "height_drop_m": Quantity("m", 1),
    "hypsometric_integral": Quantity("share", 2),
    "runout_m": Quantity("m", 0),
    "travel_angle_deg": Quantity("deg", 1),
    "fall_elongation": Quantity("", 2),
    "descent_ratio": Quantity("", 2),
    "dem_share": Quantity("share", 2),
    "water_distance_m": Quantity("m", 0),
    "cultivated_share": Quantity("share", 2),
    "ndvi_drop": Quantity("", 2),
    "ndvi_lost_share": Quantity("share", 2),
    "ndvi_seen_share": Quantity("share", 2),
}


class Facts(_Part):
    """Numbers of one candidate; null where they are not known."""

    area_m2: float | None = None
    """True area on the ellipsoid."""
    confidence_network: float | None = None
    """Mean probability that the network gave its pixels."""
    length_m: float | None = None
    """Long axis of the ellipse with the same second moments."""
    width_m: float | None = None
    """Its short axis."""
    elongation: float | None = None
    """Length over width."""
    orientation_deg: float | None = None
    """Direction of the long axis, clockwise from true north, 0 to 180."""
    slope_mean_deg: float | None = None
    """Mean slope inside."""
    slope_p90_deg: float | None = None
    """Slope that nine tenths of the inside do not exceed."""
    slope_spread: float | None = None
    """Slope that nine tenths do not exceed minus the one that a tenth does not, over the mean: high for floor and wall."""
    gentle_share: float | None = None
    """Share of the inside whose slope is below ``gentle_deg`` of the rules."""
    aspect_deg: float | None = None
    """Direction in which it falls as a whole, clockwise from true north; null where it is level."""
    relief_m: float | None = None
    """Highest minus lowest elevation of its bounding box grown by ``relief_radius_m`` of the rules."""
    height_drop_m: float | None = None
    """Highest minus lowest elevation inside."""
    hypsometric_integral: float | None = None
    """Mean height above its lowest point over the drop: low where most of it is floor, high where most is top."""
    runout_m: float | None = None
    """Horizontal distance from its highest to its lowest point."""
    travel_angle_deg: float | None = None
    """Angle from its lowest point up to its highest."""
    fall_elongation: float | None = None
    """Extent along the fall line over extent across it: above 1 where it runs downhill."""
    descent_ratio: float | None = None
    """Tangent of the travel angle over that of the mean slope: 1 where its ends lie above each other on the slope."""
    dem_share: float | None = None
    """Share of the inside that has an elevation."""
    water_distance_m: float | None = None
    """From its nearest pixel to the nearest of water on the map; null where there is none within reach."""
    cultivated_share: float | None = None
    """Share of cultivated land in a narrow ring round it."""
    ndvi_drop: float | None = None
    """Mean greenness lost between two dates: NDVI before minus after."""
    ndvi_lost_share: float | None = None
    """Share of what both dates see whose NDVI fell by ``ndvi_limit`` of the rules or more."""
    ndvi_seen_share: float | None = None
    """Share of the inside that both dates see; below ``ndvi_least_seen`` of the rules the loss is not known."""

    @classmethod
    def rounded(cls, **values: float | None) -> Facts:
        """Facts from exact numbers; what is not finite is unknown."""
        return cls(**{name: _rounded(name, value) for name, value in values.items()})


def _rounded(name: str, value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), QUANTITIES[name].decimals) + 0.0  # no minus zero


class Reason(_Part):
    """One rule that spoke."""

    rule: str
    """Its name."""
    value: float
    """Of the fact that it looks at."""
    points: float
    """What it added; below 0 against a landslide."""
    words: str
    """The same in words."""


class Contradiction(_Part):
    """Something that a comment says and the numbers do not."""

    said: str
    """Words of the comment."""
    fact: str
    """The fact that they contradict, by name."""
    value: float | None
    """Its value; null where there is none."""


class Comment(_Part):
    """What a plug-in said of a candidate. It changes no number and no verdict."""

    text: str
    """Its words."""
    contradictions: tuple[Contradiction, ...] = ()
    """Where they do not agree with the facts."""


class Candidate(_Part):
    """One polygon of a landslide class."""

    id: int
    """As in the polygons."""
    facts: Facts
    """What is known of it."""
    verdict: Verdict
    """Whether the rules keep it."""
    confidence: float = Field(ge=0, le=1)
    """Probability that it is a landslide, by network and evidence, as calibrated."""
    kind: str
    """Likely kind of landslide by its numbers, advisory; "" for what is demoted."""
    reasons: tuple[Reason, ...]
    """Rules that spoke, the weightiest first."""
    unknown: tuple[str, ...] = ()
    """Facts that rules ask for and that are not known."""
    words: str
    """The same for people; every number in it is one of the above."""
    comment: Comment | None = None
    """Of a plug-in."""


class DemFacts(_Part):
    """Where elevations came from."""

    source: str
    """As it was asked for."""
    files: int
    """Number of files."""
    crs: str
    """Of its pixels."""
    pixel_m: float
    """Their side on the ground."""


class GreennessFacts(_Part):
    """What greenness was compared."""

    before: tuple[str, ...]
    """Days of the earlier date's scenes over the region; ids of scenes without one."""
    after: tuple[str, ...]
    """The same of the map's own date."""
    bands: tuple[str, ...]
    """Bands that were read as red and as near infrared."""
    quantity: str
    """Their unit: reflectance, or digital-number, whose NDVI depends on the camera."""


class Evidence(_Part):
    """All that is known of the candidates of a map."""

    version: Literal[1] = 1
    """Raised when the meaning of a field changes."""
    rules: dict[str, Any]
    """The whole table of rules that judged."""
    rules_sha256: str
    """Checksum of it."""
    calibration: Literal["with-dem", "without-dem"]
    """Which of the table's calibrations holds."""
    classes: tuple[str, ...]
    """Classes of the map whose polygons are candidates."""
    water_classes: tuple[str, ...] = ()
    """Classes that count as water; without any, the distance to water is not known."""
    water_reach_m: float | None = None
    """How far water was looked for."""
    cultivated_classes: tuple[str, ...] = ()
    """Classes that count as cultivated."""
    dem: DemFacts | None = None
    """Elevations; null where there were none, and then slope, relief and drop are not known."""
    greenness: GreennessFacts | None = None
    """Greenness of two dates; null where there was one date, or where it could not be compared."""
    greenness_unknown: str = ""
    """Of two dates: why their greenness could not be compared."""
    commentator: str = ""
    """Plug-in that commented."""
    candidates: int = 0
    """Polygons that were judged; all of them are in the polygon files."""
    kept: int = 0
    """Of them."""
    demoted: int = 0
    """Of them."""
    kept_area_m2: int = 0
    """Their area."""
    demoted_area_m2: int = 0
    """Their area."""
    listed: tuple[Candidate, ...] = ()
    """The candidates that are likeliest by confidence and area, at most as many as the rules say."""


def json_schema() -> dict[str, Any]:
    """JSON schema of `Evidence`, as it is shipped."""
    text = resources.files("geoseg.evidence").joinpath("evidence.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
