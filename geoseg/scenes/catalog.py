"""STAC catalogues to items: an API through pystac-client, or a static catalogue on disk."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pystac
import shapely
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from pystac_client.warnings import DoesNotConformTo
from shapely.geometry import box, shape

from geoseg.aoi import Bounds, box_in_words, split_bounds
from geoseg.errors import CatalogError, RequestError

# What pystac and pystac-client raise about documents that are no STAC, and about servers that answer otherwise.
_UNREADABLE = (
    APIError,
    ClientTypeError,
    DoesNotConformTo,
    KeyError,
    OSError,
    TypeError,
    ValueError,
    pystac.STACError,
    pystac.STACTypeError,
)


def is_address(reference: str) -> bool:
    """Whether a catalogue reference is an address rather than a path."""
    return "://" in reference


def find_items(catalog: str, collection: str | None, bounds: Bounds, time_range: str | None) -> list[pystac.Item]:
    """Items of a catalogue that touch a box and a time range.

    Args:
        catalog: Address of a STAC API, or path of a static catalogue.
        collection: Collection id, or ``None`` for all.
        bounds: West, south, east, north in degrees; west > east across the 180th meridian.
        time_range: ``START/END`` with dates or instants; ``..`` leaves a side open.

    Returns:
        Items with absolute asset hrefs and, where the collection states one, their licence; ordered by id.

    Raises:
        CatalogError: If the catalogue cannot be read.
        RequestError: If the time range cannot be read.
    """
    found = _search_api if is_address(catalog) else _search_folder
    items = {
        (item.collection_id, item.id): item
        for part in split_bounds(bounds)
        for item in found(catalog, collection, part, time_range)
    }
    licences: dict[str | None, str] = {}
    for item in items.values():
        item.make_asset_hrefs_absolute()
        # Items keep the licence with them, so that a resumed run asks nobody.
        if "license" not in item.properties:
            if item.collection_id not in licences:
                licences[item.collection_id] = _licence_of_collection(item)
            if licence := licences[item.collection_id]:
                item.properties["license"] = licence
    return sorted(items.values(), key=lambda item: item.id)


def _search_api(catalog: str, collection: str | None, bounds: Bounds, time_range: str | None) -> Iterator[pystac.Item]:
    from pystac_client import Client  # noqa: PLC0415  # static catalogues need no HTTP stack
    from pystac_client.stac_api_io import StacApiIO  # noqa: PLC0415

    try:
        client = Client.open(catalog, stac_io=StacApiIO(max_retries=5, timeout=30))
        search = client.search(
            collections=[collection] if collection else None, bbox=bounds, datetime=time_range, limit=100
        )
        yield from search.items()
    except _UNREADABLE as err:
        raise CatalogError(
            f"--catalog {catalog}: {type(err).__name__}: {str(err)[:200]}",
            "a STAC API that answers",
            "check the address and the network, or use a catalogue on disk with --catalog PATH",
        ) from err


def _search_folder(
    catalog: str, collection: str | None, bounds: Bounds, time_range: str | None
) -> Iterator[pystac.Item]:
    path = Path(catalog)
    path = path / "catalog.json" if path.is_dir() else path
    start, end = parse_time_range(time_range)
    region = box(*bounds)
    try:
        root = pystac.read_file(str(path))
        if not isinstance(root, pystac.Catalog):
            raise CatalogError(
                f"--catalog {path}: a STAC {type(root).__name__}", "a STAC catalogue", "name catalog.json"
            )
        for item in root.get_items(recursive=True):
            if collection in {None, item.collection_id} and _within(item, region, start, end):
                yield item
    except _UNREADABLE as err:
        raise CatalogError(
            f"--catalog {path}: {err}",
            "a static STAC catalogue (catalog.json)",
            "check the path; `geoseg demo` writes one",
        ) from err


@dataclass(frozen=True, slots=True)
class Holding:
    """What a catalogue says that a collection has.

    Attributes:
        collection: Its id.
        boxes: West, south, east, north in degrees, each.
        start: First instant, in UTC; that of all time where it is open.
        end: Last instant.
    """

    collection: str
    boxes: tuple[Bounds, ...]
    start: dt.datetime
    end: dt.datetime

    def __str__(self) -> str:
        span = " to ".join(
            "open" if moment.year in {dt.MINYEAR, dt.MAXYEAR} else f"{moment:%Y-%m-%d}"
            for moment in (self.start, self.end)
        )
        return ", ".join([self.collection, span, *(box_in_words(box) for box in self.boxes[:1])])


def holdings(catalog: str) -> tuple[Holding, ...]:
    """Collections of a static catalogue by their own account; none of an API, which would have to be asked again."""
    if is_address(catalog):
        return ()
    path = Path(catalog)
    try:
        root = pystac.read_file(str(path / "catalog.json" if path.is_dir() else path))
        if not isinstance(root, pystac.Catalog):
            return ()
        own = [root] if isinstance(root, pystac.Collection) else []
        return tuple(_holding(collection) for collection in (*own, *root.get_all_collections()))
    except _UNREADABLE:  # it is asked for a hint only
        return ()


def _holding(collection: pystac.Collection) -> Holding:
    spans = collection.extent.temporal.intervals or [[None, None]]
    earliest, latest = parse_time_range(None)
    corners = [(*box[:2], *box[len(box) // 2 :][:2]) for box in collection.extent.spatial.bboxes]  # heights left out
    return Holding(
        collection.id,
        tuple((float(w), float(s), float(e), float(n)) for w, s, e, n in corners),
        min(_utc(start) if start else earliest for start, _ in spans),
        max(_utc(end) if end else latest for _, end in spans),
    )


def _within(item: pystac.Item, region: shapely.Geometry, start: dt.datetime, end: dt.datetime) -> bool:
    if item.geometry is None or not shape(item.geometry).intersects(region):
        return False
    first = item.datetime or item.common_metadata.start_datetime
    last = item.datetime or item.common_metadata.end_datetime
    if first is None or last is None:
        return False
    return _utc(first) <= end and _utc(last) >= start


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def parse_time_range(text: str | None) -> tuple[dt.datetime, dt.datetime]:
    """First and last instant of a range; a bare date as END includes that whole day.

    Raises:
        RequestError: If the text is no range.
    """
    start, end = dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)
    if not text:
        return start, end
    first, _, last = text.partition("/")
    try:
        if first not in {"", ".."}:
            start = _utc(dt.datetime.fromisoformat(first))
        last = last or first
        if last not in {"", ".."}:
            end = _utc(dt.datetime.fromisoformat(last))
            if len(last) == len("2022-01-31"):
                end += dt.timedelta(days=1) - dt.timedelta(microseconds=1)
    except ValueError as err:
        raise RequestError(
            f"--datetime {text}", "START/END, such as 2022-01-01/2022-06-30", "write dates as YYYY-MM-DD"
        ) from err
    return start, end


def _licence_of_collection(item: pystac.Item) -> str:
    """Licence that the item's collection states, or "" where it cannot be had: no reason to refuse the pixels."""
    try:
        collection = item.get_collection()
    except _UNREADABLE:
        return ""
    return collection.license if collection is not None else ""
