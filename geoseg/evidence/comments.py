"""Comments of a plug-in, such as a vision-language model on this machine, held against the numbers.

A comment changes nothing: no number, no verdict. What it says that the facts deny is flagged beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geoseg.evidence.facts import QUANTITIES, Candidate, Comment, Contradiction
from geoseg.plugins import COMMENTATORS, Plugin, find_plugin, plugin_names

type Picture = NDArray[np.uint8] | None

_LONGEST = 4_000
_TOLERANCE = 0.1  # of the value
_LEAST = {"m": 5.0, "m2": 50.0, "deg": 2.0, "share": 0.02}
_NUMBER = re.compile(
    r"(?<![\w.])(\d[\d,]*(?:\.\d+)?)\s*"
    r"(°|deg(?:rees?)?\b|%|percent\b|km²|km2\b|square kilomet(?:re|er)s?\b|km\b|kilomet(?:re|er)s?\b|"
    r"m²|m2\b|square met(?:re|er)s?\b|ha\b|hectares?\b|m\b|met(?:re|er)s?\b)",
    re.IGNORECASE,
)
_UNITS: Mapping[str, tuple[str, float]] = {
    "°": ("deg", 1), "de": ("deg", 1), "%": ("share", 0.01), "pe": ("share", 0.01), "km²": ("m2", 1e6),
    "km2": ("m2", 1e6), "square k": ("m2", 1e6), "km": ("m", 1e3), "ki": ("m", 1e3), "m²": ("m2", 1), "m2": ("m2", 1),
    "square m": ("m2", 1), "ha": ("m2", 1e4), "he": ("m2", 1e4), "m": ("m", 1),
}  # fmt: skip
_NEGATED = re.compile(r"\b(?:not|no|never|hardly|isn't|without)\s+(?:\w+\s+){0,1}$", re.IGNORECASE)
# Words, the fact they speak of, and the values that deny them.
_CLAIMS: tuple[tuple[str, str, Callable[[float], bool]], ...] = (
    (r"\b(?:steep|precipitous)\b", "slope_mean_deg", lambda v: v < 10),
    (r"\b(?:flat|level|gentle|gently sloping)\b", "slope_mean_deg", lambda v: v > 20),
    (r"\b(?:elongated?|elongate|narrow|tongue)\b", "elongation", lambda v: v < 1.5),
    (r"\b(?:round|circular|compact|equant)\b", "elongation", lambda v: v > 3),
    (r"\b(?:in|among|amid|surrounded by) (?:\w+ )?(?:fields?|crops?|farmland|cropland)\b", "cultivated_share",
     lambda v: v < 0.1),
    (r"\b(?:lost|loss of) (?:\w+ )?(?:vegetation|plants?|trees|forest)\b", "ndvi_drop", lambda v: v < 0.05),
    (r"\b(?:vegetation|plants|trees|forest) (?:is|are|was|were|remained) (?:\w+ )?(?:intact|unchanged|untouched)\b",
     "ndvi_drop", lambda v: v > 0.2),
    (r"\bnot a (?:\w+ )?landslide\b", "confidence", lambda v: v >= 0.5),
)  # fmt: skip
_WINDS = {"north": 0, "north-?east": 45, "east": 90, "south-?east": 135, "south": 180, "south-?west": 225,
          "west": 270, "north-?west": 315}  # fmt: skip


class Commentator(Protocol):
    """What an entry point of ``geoseg.commentators`` names: words for one candidate.

    It runs on this machine, after everything is decided, once for each candidate that the report lists.
    """

    def __call__(self, candidate: Mapping[str, Any], picture: Picture) -> str:
        """A comment.

        Args:
            candidate: As in the JSON of the report.
            picture: Natural colours around it, uint8 (rows, cols, 3), north up as the map; ``None`` without any.
        """


@dataclass(frozen=True, slots=True)
class LoadedCommentator:
    """A commentator and where it came from."""

    plugin: Plugin
    call: Commentator

    def comment(self, candidate: Candidate, picture: Picture, *, knows_water: bool) -> Comment:
        """Its comment on a candidate, with what contradicts the facts.

        Raises:
            PluginError: If it fails, or gives no text.
        """
        try:
            text = self.call(candidate.model_dump(mode="json"), picture)
        except Exception as err:  # code of others: whatever it raises, the fault is there
            raise self.plugin.error(f"{type(err).__name__}: {err}", "a comment") from err
        if not isinstance(text, str):
            raise self.plugin.error(f"gave {type(text).__name__}", "a comment, which is text")
        text = text[:_LONGEST]
        return Comment(text=text, contradictions=contradictions(text, candidate, knows_water=knows_water))


def load_commentator(name: str) -> LoadedCommentator:
    """The commentator of a name.

    Raises:
        PluginError: If no plug-in adds it, or it cannot be imported.
    """
    from geoseg.errors import unknown_name  # noqa: PLC0415  # only where it is wrong

    plugin = find_plugin(COMMENTATORS, name)
    if plugin is None:
        known = plugin_names(COMMENTATORS) or ("(none is installed)",)
        raise unknown_name("--comment", name, known, "install a package that adds it, or leave --comment out")
    call = plugin.load()
    if not callable(call):
        raise plugin.error("cannot be called", "a callable")
    return LoadedCommentator(plugin, call)


def contradictions(text: str, candidate: Candidate, *, knows_water: bool = True) -> tuple[Contradiction, ...]:
    """What a text says and the facts deny: numbers with a unit that no fact has, and words against a fact.

    Args:
        text: Of a comment.
        candidate: What is known.
        knows_water: Whether the map has water, so that "beside a river" can be denied.
    """
    values: dict[str, float | None] = {**candidate.facts.model_dump(), "confidence": candidate.confidence}
    found = [*_numbers(text, values), *_claims(text, values)]
    if knows_water:
        found += _water(text, values["water_distance_m"])
    return tuple(found)


def _numbers(text: str, values: Mapping[str, float | None]) -> Iterator[Contradiction]:
    for match in _NUMBER.finditer(text):
        unit, factor = _unit(match[2].lower())
        said = float(match[1].replace(",", "")) * factor
        known = {name: value for name, value in values.items() if value is not None and _unit_of(name) == unit}
        if any(abs(said - value) <= max(_TOLERANCE * abs(value), _LEAST[unit]) for value in known.values()):
            continue
        if known:
            nearest = min(known, key=lambda name: (abs(known[name] - said), name))
            yield Contradiction(said=match[0], fact=nearest, value=known[nearest])


def _claims(text: str, values: Mapping[str, float | None]) -> Iterator[Contradiction]:
    for pattern, fact, denies in _CLAIMS:
        value = values[fact]
        for match in re.finditer(pattern, text, re.IGNORECASE):
            negated = not pattern.startswith(r"\bnot") and _NEGATED.search(text[: match.start()])
            if value is not None and not negated and denies(value):
                yield Contradiction(said=match[0], fact=fact, value=value)
    aspect = values["aspect_deg"]
    for name, azimuth in _WINDS.items():
        for match in re.finditer(rf"(?<![\w-]){name}(?:ern)?[- ](?:facing|slope)\b", text, re.IGNORECASE):
            if aspect is not None and abs((aspect - azimuth + 180) % 360 - 180) > 67.5:
                yield Contradiction(said=match[0], fact="aspect_deg", value=aspect)


def _water(text: str, distance_m: float | None) -> Iterator[Contradiction]:
    pattern = r"\b(?:beside|along|next to|near|at|by) (?:a |the )?(?:river|stream|lake|shore|water)\b"
    for match in re.finditer(pattern, text, re.IGNORECASE):
        if distance_m is None and not _NEGATED.search(text[: match.start()]):
            yield Contradiction(said=match[0], fact="water_distance_m", value=None)


def _unit(words: str) -> tuple[str, float]:
    return next(_UNITS[start] for start in sorted(_UNITS, key=len, reverse=True) if words.startswith(start))


def _unit_of(fact: str) -> str:
    return "share" if fact == "confidence" else QUANTITIES[fact].unit
