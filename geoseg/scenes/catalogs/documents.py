"""One STAC document to an item, or the reason why it is none."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pystac
import shapely
from shapely.geometry import box, shape

from geoseg.aoi import Bounds
from geoseg.plainfiles import is_text
from geoseg.timerange import in_utc

# Versions whose items pystac brings up to date, and those that need it not.
_VERSION = re.compile(r"(0\.[6-9]|1\.[01])\.\d+(-(alpha|beta|rc)\.?\d+)?")
CURRENT = re.compile(r"1\.[01]\.\d+")
# What pystac and shapely raise about documents that are no STAC.
_NO_STAC = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    pystac.STACError,
    pystac.STACTypeError,
    shapely.errors.ShapelyError,
)


class UnusableItemError(ValueError):
    """An item that cannot be used; the words are the reason."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a search asks for.

    Attributes:
        collection: Collection id, or ``None`` for all.
        bounds: West, south, east, north in degrees.
        start: First instant.
        end: Last instant.
        time_range: The two as they were given.
    """

    collection: str | None
    bounds: Bounds
    start: dt.datetime
    end: dt.datetime
    time_range: str | None = None

    def wants(self, item: pystac.Item, outline: shapely.Geometry | None = None) -> bool:
        """Whether a valid item lies in the box and the time; its outline, where the caller has it, saves a look."""
        if self.collection not in {None, item.collection_id}:
            return False
        first = item.datetime or item.common_metadata.start_datetime
        last = item.datetime or item.common_metadata.end_datetime
        assert first is not None and last is not None  # noqa: S101, PT018  # item_of refuses items without
        in_time = in_utc(first) <= self.end and in_utc(last) >= self.start
        return in_time and bool((outline or shape(item.geometry)).intersects(box(*self.bounds)))


def item_of(document: Mapping[str, Any], href: str) -> pystac.Item:
    """A valid item with absolute asset hrefs.

    Args:
        document: The JSON object.
        href: Path or address of the document; relative hrefs count from it.

    Raises:
        UnusableItemError: If it is no item that can be placed in space and time.
    """
    _check_members(document)
    with _no_stac():
        item = pystac.Item.from_dict({**document, "links": []}, href=href, preserve_dict=True)
        _check_place(item, None if item.geometry is None else shape(item.geometry))
    item.make_asset_hrefs_absolute()
    for asset in item.assets.values():
        asset.href = plain_path(asset.href)
    return item


def item_of_row(document: dict[str, Any], outline: shapely.Geometry | None, href: str) -> pystac.Item:
    """As `item_of`, for a row of a table: an object of a current version, made for this, that nobody else holds.

    Some ten times as fast as what pystac does for documents of any version: tables have a hundred thousand rows.

    Args:
        document: The JSON object; it becomes the item's own.
        outline: Its geometry.
        href: Path or address of the table; relative hrefs count from it.

    Raises:
        UnusableItemError: As `item_of`.
    """
    if not CURRENT.fullmatch(str(document.get("stac_version", ""))):
        return item_of(document, href)
    _check_members(document)
    with _no_stac():
        properties = document["properties"]
        stated = properties.get("datetime")
        item = pystac.Item(
            document["id"],
            document["geometry"],
            document.get("bbox"),
            None if stated is None else pystac.utils.str_to_datetime(stated),
            properties,
            stac_extensions=document.get("stac_extensions") or [],
            collection=document.get("collection"),
        )
        item.set_self_href(href)  # before the assets, whose addresses it would look at again
        for key, facts in document["assets"].items():
            asset = pystac.Asset.from_dict(facts)
            asset.href = absolute(asset.href, href)
            item.assets[key] = asset  # without its owner, who is asked about relative addresses only
        _check_place(item, outline)
    return item


def absolute(href: str, start: str) -> str:
    """An address or a path, where it counts from another one."""
    return (
        href
        if "://" in href and not href.startswith("file:")
        else plain_path(pystac.utils.make_absolute_href(href, start))
    )


def _check_members(document: Mapping[str, Any]) -> None:
    version = str(document.get("stac_version", ""))
    if not _VERSION.fullmatch(version):
        raise UnusableItemError(f"STAC version {version or 'not stated'}, which is unknown")
    if not isinstance(document.get("collection"), str | None):
        raise UnusableItemError("no valid STAC item: its collection is no name")
    if fault := misshapen(document):
        raise UnusableItemError(f"no valid STAC item: {fault}")


@contextmanager
def _no_stac() -> Iterator[None]:
    """Words for what libraries raise about documents that are no STAC."""
    try:
        yield
    except _NO_STAC as err:
        words = err if isinstance(err, UnusableItemError) else f"no valid STAC item: {type(err).__name__}: {err}"
        raise UnusableItemError(str(words)[:200]) from err


def _check_place(item: pystac.Item, outline: shapely.Geometry | None) -> None:
    """Refuse an item without a place in space and time."""
    if outline is None:
        raise UnusableItemError("no geometry")
    first = item.datetime or item.common_metadata.start_datetime
    last = item.datetime or item.common_metadata.end_datetime
    if outline.is_empty or not np.isfinite(shapely.get_coordinates(outline)).all():
        raise UnusableItemError("a geometry without an extent")
    if first is None or last is None:
        raise UnusableItemError("neither a datetime nor start and end")
    if item.bbox is not None and not _agrees(item.bbox, outline.bounds):
        raise UnusableItemError(f"a bbox {item.bbox} that its geometry contradicts")


def misshapen(document: Mapping[str, Any]) -> str:
    """Which member is not what STAC says it is, in words; "" where none is."""
    name, assets = document.get("id"), document.get("assets")
    if not (isinstance(name, str) and name and name.isprintable()):
        return f"the id {name!r} instead of text"[:100]
    for member in ("properties", "assets"):
        if not isinstance(document.get(member), dict):
            return f"{member} that are no object"
    assert isinstance(assets, dict)  # noqa: S101  # as just seen
    bad = next((key for key, asset in assets.items() if not _has_href(asset)), None)
    return "" if bad is None else f"the asset {bad} without an href"


def _has_href(asset: Any) -> bool:
    return isinstance(asset, dict) and isinstance(asset.get("href"), str) and is_text(asset["href"])


def plain_path(href: str) -> str:
    """A ``file:`` address as a path; every other reference as it is."""
    if not href.startswith("file:"):
        return href
    return str(Path(url2pathname(urlsplit(href).path)))


def _agrees(bbox: Iterable[object], bounds: Bounds) -> bool:
    """Whether a bounding box is one, and touches the geometry it should hold."""
    try:
        numbers = [float(str(side)) for side in bbox]
    except (TypeError, ValueError):
        return False
    if len(numbers) not in {4, 6} or not all(map(math.isfinite, numbers)):
        return False
    west, south, *_ = numbers
    east, north = numbers[len(numbers) // 2 :][:2]
    if south > north:
        return False
    if west > east:  # across the antimeridian
        return bounds[1] <= north and bounds[3] >= south
    return bool(box(west, south, east, north).intersects(box(*bounds)))
