"""Which of several versions of one scene is used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from geoseg.scenes.scene import Item

# Properties that name the square of a scene, in the order in which they are believed.
_SQUARES = ("grid:code", "s2:mgrs_tile", "s2:tile_id")
# Where the squares' own names are split over several properties.
_SPLIT_SQUARES = (
    ("mgrs:utm_zone", "mgrs:latitude_band", "mgrs:grid_square"),
    ("sentinel:utm_zone", "sentinel:latitude_band", "sentinel:grid_square"),
    ("landsat:wrs_path", "landsat:wrs_row"),
)
_MGRS = re.compile(r"(?:MGRS-|^T?|_T)(\d{1,2}[C-X][A-Z]{2})(?:_|$)")
_BASELINES = ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version")
_TIMES = ("s2:generation_time", "created", "updated")


def without_superseded(items: Iterable[Item]) -> tuple[tuple[Item, ...], tuple[tuple[str, str], ...]]:
    """One item of each acquisition and square: the newest processing.

    The rule: the highest processing baseline, then the latest time of generation, creation and update, then the id that
    comes last. The same acquisition is the same platform, second and square, or pixel grid where no square is named.

    Returns:
        The items that are used, in their order, and the others with the one that takes their place.
    """
    groups: dict[tuple[object, ...], list[Item]] = {}
    for item in items:
        groups.setdefault(_acquisition(item), []).append(item)
    winners = [group[0] if len(group) == 1 else max(group, key=_processing) for group in groups.values()]
    kept = set(map(id, winners))
    superseded = [
        (item.id, f"superseded by {winner.id}" + f" of {winner.collection}" * (winner.collection != item.collection))
        for group, winner in zip(groups.values(), winners, strict=True)
        for item in group
        if item is not winner
    ]
    return tuple(item for group in groups.values() for item in group if id(item) in kept), tuple(superseded)


def _acquisition(item: Item) -> tuple[object, ...]:
    if not item.datetime or not item.platform:
        return ("alone", item.key)
    place: object = item.square or (item.geobox.shape.yx, tuple(item.geobox.transform)[:6], str(item.geobox.crs))
    return item.sensor.name, item.platform.lower(), item.datetime, place


def square_of(properties: Mapping[str, Any], name: str) -> str:
    """Name of the square that an item covers, or "".

    Args:
        properties: Of the item.
        name: Its id, which may end in the square's.
    """
    for parts in _SPLIT_SQUARES:
        if all(part in properties for part in parts):
            return "".join(str(properties[part]) for part in parts).lstrip("0")
    for text in (*(str(properties.get(field, "")) for field in _SQUARES), name):
        if found := _MGRS.search(text):
            return found[1].lstrip("0")
    return ""


def _processing(item: Item) -> tuple[tuple[int, ...], tuple[str, ...], str]:
    properties: Mapping[str, Any] = item.document.get("properties", {})
    baseline = next((str(properties[name]) for name in _BASELINES if name in properties), "")
    joined = re.fullmatch(r"N?(\d\d)(\d\d)", baseline.strip())  # N0511 is 05.11
    numbers = tuple(int(part) for part in (joined.groups() if joined else re.findall(r"\d+", baseline)))
    return numbers, tuple(str(properties.get(name, "")) for name in _TIMES), item.id
