"""Written rules: from facts to points, from points to a calibrated confidence, from that to a verdict."""

from __future__ import annotations

import hashlib
import json
import math
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from geoseg.errors import RequestError, wrong_value
from geoseg.evidence.facts import QUANTITIES, Facts, Reason, Verdict
from geoseg.evidence.told import told

type Share = Annotated[float, Field(ge=0, le=1)]

SHIPPED = "landslide"
_MOST_LOGIT = 6.0


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Ramp(_Part):
    """How much a fact counts: not at all at ``none`` and beyond, fully at ``full`` and beyond, evenly between.

    Attributes:
        fact: Name of the fact.
        none: Value that does not count.
        full: Value that counts fully; below or above ``none``.
    """

    fact: str
    none: float
    full: float

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.fact not in QUANTITIES:
            raise ValueError(f"no fact {self.fact}; one of {', '.join(QUANTITIES)}")
        if self.none == self.full:
            raise ValueError(f"none and full of {self.fact} are both {self.none:g}")
        return self

    def weight(self, value: float) -> float:
        """0 to 1."""
        return min(1.0, max(0.0, (value - self.none) / (self.full - self.none)))


class Rule(Ramp):
    """A ramp with points.

    Attributes:
        name: Short name.
        points: Added where it counts fully; below 0 against a landslide.
        says: Sentence part with ``{value}``, such as "its mean slope is {value}".
        only_if: Further ramps; the least of all weights counts.
    """

    name: str
    points: float
    says: str
    only_if: tuple[Ramp, ...] = ()


class Calibration(_Part):
    """From a score to a probability: 1 / (1 + exp(-(scale score + shift)))."""

    scale: float = Field(gt=0)
    shift: float

    def confidence(self, score: float) -> float:
        """0 to 1."""
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, self.scale * score + self.shift))))


class Kind(_Part):
    """A likely kind: the first in the table whose ramps all hold by half or more.

    Attributes:
        name: Of the kind.
        when: Ramps over facts.
    """

    name: str
    when: tuple[Ramp, ...]


class Rules(_Part):
    """A table of rules.

    Attributes:
        title: A line for people.
        landslide_classes: Names of classes whose polygons are candidates, in lower case.
        water_classes: Names of classes that are water.
        cultivated_classes: Names of classes that are cultivated.
        gentle_deg: Slopes below it are gentle.
        relief_radius_m: How far relief looks beyond the outline's bounding box.
        water_radius_m: How far water is looked for.
        ring_px: Width of the ring in which cultivated land is counted.
        ndvi_limit: Drop of the NDVI between two dates from which a pixel's plants count as lost.
        ndvi_least_seen: Share of a polygon that both dates must see for its loss to be known.
        network_points: Points per unit of the log-odds of the network's confidence.
        rules: The rules.
        calibration: With elevations, and without.
        keep_from: Confidence from which a candidate is kept.
        listed: Most candidates that the report lists.
        kinds: Likely kinds, the first that fits.
        other_kind: Name where none fits.
    """

    title: str
    landslide_classes: tuple[str, ...] = Field(min_length=1)
    water_classes: tuple[str, ...] = ()
    cultivated_classes: tuple[str, ...] = ()
    gentle_deg: float = Field(gt=0, lt=90)
    relief_radius_m: float = Field(ge=0, le=5000)
    water_radius_m: float = Field(gt=0, le=5000)
    ring_px: int = Field(3, ge=1, le=32)
    ndvi_limit: float = Field(0.15, gt=0, lt=2)
    ndvi_least_seen: Share = 0.5
    network_points: float = 1.0
    rules: tuple[Rule, ...]
    calibration: dict[Literal["with-dem", "without-dem"], Calibration]
    keep_from: Share = 0.5
    listed: int = Field(200, ge=0, le=10_000)
    kinds: tuple[Kind, ...] = ()
    other_kind: str = "landslide of unclear kind"

    @property
    def sha256(self) -> str:
        """Checksum of the table's content."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def score(self, facts: Facts) -> tuple[float, tuple[Reason, ...], tuple[str, ...]]:
        """Points of a candidate, the rules that spoke (weightiest first), and facts that are not known."""
        total, reasons, unknown = 0.0, [], []
        network = facts.confidence_network
        if network is not None:
            odds = math.log(max(network, 1e-9) / max(1 - network, 1e-9))
            total += self.network_points * max(-_MOST_LOGIT, min(_MOST_LOGIT, odds))
        for rule in self.rules:
            value, weight, missing = _weighed(rule, facts)
            unknown += [name for name in missing if name not in unknown]
            points = round(weight * rule.points, 2)
            if value is None or not points:
                continue
            total += points
            said = rule.says.format(value=told(rule.fact, value))
            reasons.append(Reason(rule=rule.name, value=value, points=points, words=said))
        reasons.sort(key=lambda reason: (-abs(reason.points), reason.rule))
        return total, tuple(reasons), tuple(unknown)

    def judge(self, score: float, *, with_dem: bool) -> tuple[Verdict, float]:
        """Verdict and confidence of a score."""
        calibration = self.calibration["with-dem" if with_dem else "without-dem"]
        confidence = round(calibration.confidence(score), 3)
        return ("kept" if confidence >= self.keep_from else "demoted"), confidence

    def kind(self, facts: Facts) -> str:
        """Likely kind of a landslide by its numbers."""
        for kind in self.kinds:
            values = [(ramp, getattr(facts, ramp.fact)) for ramp in kind.when]
            if all(value is not None and ramp.weight(value) >= 0.5 for ramp, value in values):
                return kind.name
        return self.other_kind


def _weighed(rule: Rule, facts: Facts) -> tuple[float | None, float, list[str]]:
    """Value and weight of a rule, and the facts that it lacks."""
    values = [(ramp, getattr(facts, ramp.fact)) for ramp in (rule, *rule.only_if)]
    missing = [ramp.fact for ramp, value in values if value is None]
    if missing:
        return None, 0.0, missing
    return values[0][1], min(ramp.weight(value) for ramp, value in values), []


def load_rules(reference: str) -> Rules:
    """A table of rules: the name of a shipped one, or a YAML file.

    Raises:
        RequestError: If there is none, or it is not such a table.
    """
    try:
        document: Any = yaml.safe_load(_text(reference))
        if not isinstance(document, dict):
            raise RequestError(f"--evidence {reference}", "a table of rules in YAML", "copy the shipped one")
        return Rules(**document)
    except yaml.YAMLError as err:
        raise RequestError(f"--evidence {reference}: {err}", "YAML", "repair the file") from err
    except ValidationError as err:
        first = dict(err.errors()[0])
        place = ".".join(str(part) for part in err.errors()[0]["loc"])
        raise wrong_value(first, f"{place} in --evidence {reference}:") from err


def _text(reference: str) -> str:
    if reference.endswith((".yaml", ".yml")):
        try:
            return Path(reference).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as err:
            raise RequestError(f"--evidence {reference}: {err}", "a YAML file of rules", "correct the path") from err
    shipped = resources.files("geoseg.evidence").joinpath(f"{reference}.yaml")
    if reference != SHIPPED or not shipped.is_file():
        raise RequestError(f"--evidence {reference}", f"{SHIPPED}, or a YAML file", "see docs/howto/landslides.md")
    return shipped.read_text(encoding="utf-8")
