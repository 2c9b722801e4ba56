"""STAC catalogues to items: an API, a static catalogue on disk, or a stac-geoparquet file."""

from __future__ import annotations

from dataclasses import dataclass, field

import pystac

from geoseg.scenes.catalogs.documents import Bounds, Question
from geoseg.scenes.catalogs.timerange import parse_time_range

__all__ = ["Bounds", "Question", "Search", "find_items", "is_address"]

_TABLES = (".parquet", ".geoparquet")


@dataclass(slots=True)
class Search:
    """What a catalogue gave.

    Attributes:
        items: Items with absolute asset hrefs and, where the collection states one, their licence; ordered by id.
        skipped: Item id or file, and the reason why it cannot be used.
    """

    items: list[pystac.Item] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def is_address(reference: str) -> bool:
    """Whether a catalogue reference is an address rather than a path."""
    return "://" in reference


def find_items(catalog: str, collection: str | None, bounds: Bounds, time_range: str | None) -> Search:
    """Items of a catalogue that touch a box and a time range.

    An item that cannot be read, or that is no valid STAC, is skipped with its reason: one bad document among many is no
    reason to map nothing.

    Args:
        catalog: Address of a STAC API, path of a static catalogue (a folder with ``catalog.json``, the file itself, an
            item collection or one item), or path of a stac-geoparquet file.
        collection: Collection id, or ``None`` for all.
        bounds: West, south, east, north in degrees.
        time_range: ``START/END`` with dates or instants; ``..`` leaves a side open.

    Raises:
        CatalogError: If the catalogue itself cannot be read.
        RequestError: If the time range cannot be read.
    """
    question = Question(collection, bounds, *parse_time_range(time_range), time_range)
    if is_address(catalog):
        from geoseg.scenes.catalogs.api import search_api  # noqa: PLC0415  # static catalogues need no HTTP stack

        search = search_api(catalog, question)
    elif catalog.lower().endswith(_TABLES):
        from geoseg.scenes.catalogs.geoparquet import search_table  # noqa: PLC0415

        search = search_table(catalog, question)
    else:
        from geoseg.scenes.catalogs.folder import search_folder  # noqa: PLC0415

        search = search_folder(catalog, question)
    unique = {(item.collection_id, item.id): item for item in search.items}
    return Search(sorted(unique.values(), key=lambda item: item.id), search.skipped)
