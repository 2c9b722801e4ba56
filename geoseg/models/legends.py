"""Legends of others, and the crosswalks that lead to them from the classes of the shipped models.

A class of a model becomes one class of the legend; several may become the same one, whose score is then the sum of theirs,
taken before the class with the highest score is chosen. Pixel values stay contiguous, in the order in which the model's
classes first lead to them; codes are a column of the class table. So a legend in which no classes fuse changes no pixel.

References:
    ESA WorldCover (Zanaga et al. 2022), Product User Manual 2.0, table 3: codes, names and colours,
    doi:10.5281/zenodo.7254221. Dynamic World (Brown et al. 2022): its classes, doi:10.1038/s41597-022-01307-4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from geoseg.errors import RequestError
from geoseg.models.spec import ClassInfo, ModelSpec

LEGENDS = ("worldcover",)

# Code, name, colour.
_WORLDCOVER: tuple[tuple[int, str, str], ...] = (
    (10, "tree cover", "#006400"),
    (20, "shrubland", "#ffbb22"),
    (30, "grassland", "#ffff4c"),
    (40, "cropland", "#f096ff"),
    (50, "built-up", "#fa0000"),
    (60, "bare or sparse vegetation", "#b4b4b4"),
    (70, "snow and ice", "#f0f0f0"),
    (80, "permanent water bodies", "#0064c8"),
    (90, "herbaceous wetland", "#0096a0"),
    (95, "mangroves", "#00cf75"),
    (100, "moss and lichen", "#fae6a0"),
)

# Model to the name of each of its classes to a code. Flooded vegetation is the nearest to wetland that there is; mangroves
# and moss are classes of neither model.
_TO_WORLDCOVER: Mapping[str, Mapping[str, int]] = {
    "dynamic-world": {
        "water": 80,
        "trees": 10,
        "grass": 30,
        "flooded-vegetation": 90,
        "crops": 40,
        "shrub-and-scrub": 20,
        "built-area": 50,
        "bare-ground": 60,
        "snow-and-ice": 70,
    },
    "demo-landcover": {
        "water": 80,
        "forest": 10,
        "grassland": 30,
        "cropland": 40,
        "built-up": 50,
        "gravel": 60,
        "landslide": 60,
    },
}


@dataclass(frozen=True, slots=True)
class Legend:
    """A model's classes in the words of a legend.

    Attributes:
        name: Of the legend.
        title: For people.
        classes: The class table of the map.
        sources: For each class of the model the index of its class in the legend.
        words: What became of what, for people; empty where every class has one of its own.
        absent: Names of the legend's classes that the model cannot give.
    """

    name: str
    title: str
    classes: tuple[ClassInfo, ...]
    sources: tuple[int, ...]
    words: str
    absent: tuple[str, ...]

    @property
    def fused(self) -> tuple[int, ...]:
        """``sources`` where classes fuse; empty where pixels are those of the model without the legend."""
        return () if len(self.classes) == len(self.sources) else self.sources


def legend_of(model: ModelSpec, name: str) -> Legend:
    """The legend of a model's map.

    Raises:
        RequestError: If there is no crosswalk from the model to it.
    """
    known = {info.code for info in model.classes}
    codes = {code for code, _, _ in _WORLDCOVER}
    own = None not in known and known <= codes and len(known) == len(model.classes)
    table = {info.name: info.code or 0 for info in model.classes} if own else _TO_WORLDCOVER.get(model.name)
    if table is None or {_key(info.name) for info in model.classes} != {_key(one) for one in table}:
        raise RequestError(
            f"--legend {name} with the model {model.name}",
            f"one of {', '.join(_TO_WORLDCOVER)}, or a model whose classes have codes of that legend",
            "leave --legend away: the map then has the model's own legend",
        )
    by_key = {_key(one): code for one, code in table.items()}
    order = list(dict.fromkeys(by_key[_key(info.name)] for info in model.classes))
    entries = {code: (title, colour) for code, title, colour in _WORLDCOVER}
    sources = tuple(order.index(by_key[_key(info.name)]) for info in model.classes)
    return Legend(
        name,
        "ESA WorldCover",
        tuple(ClassInfo(index, *entries[code], code=code) for index, code in enumerate(order)),
        sources,
        "; ".join(
            _words(model, sources, index, entries[code][0])
            for index, code in enumerate(order)
            if sources.count(index) > 1
        ),
        tuple(title for code, (title, _) in entries.items() if code not in order),
    )


def _key(name: str) -> str:
    """Items name classes with or without hyphens."""
    return name.casefold().replace("-", " ")


def _words(model: ModelSpec, sources: tuple[int, ...], index: int, title: str) -> str:
    parts = [info.name for info, source in zip(model.classes, sources, strict=True) if source == index]
    return f"{title} = {' + '.join(parts)}"
