"""STAC catalogues to items: an API, a static catalogue on disk, a stac-geoparquet file, or what a plug-in opens."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pystac

from geoseg import plugins
from geoseg.aoi import Bounds, split_bounds
from geoseg.errors import GeosegError
from geoseg.scenes.catalogs.documents import Question
from geoseg.scenes.stated import stated_by
from geoseg.timerange import parse_time_range

__all__ = ["Bounds", "Question", "Search", "each_item", "find_items", "is_address", "plugin_of_catalog", "unheard"]

_TABLES = (".parquet", ".geoparquet")
_OWN = (*_TABLES, ".json", "http://", "https://")


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
        bounds: West, south, east, north in degrees; west > east across the 180th meridian.
        time_range: ``START/END`` with dates or instants; ``..`` leaves a side open.

    Raises:
        CatalogError: If the catalogue itself cannot be read.
        RequestError: If the time range cannot be read.
    """
    skipped: list[tuple[str, str]] = []
    found = (
        item if isinstance(item, pystac.Item) else pystac.Item.from_dict(dict(item))
        for item in _each(catalog, collection, bounds, time_range, skipped)
    )
    return Search(sorted(found, key=lambda item: item.id), skipped)


def each_item(
    catalog: str, collection: str | None, bounds: Bounds, time_range: str | None, skipped: list[tuple[str, str]]
) -> Iterator[Mapping[str, Any]]:
    """The items of `find_items` one by one in no order, each once, as JSON: a table's are never all in memory.

    Args:
        catalog: As `find_items`.
        collection: As `find_items`.
        bounds: As `find_items`.
        time_range: As `find_items`.
        skipped: Gets what cannot be used, with the reasons.

    Raises:
        GeosegError: As `find_items`.
    """
    is_ours = plugin_of_catalog(catalog) is None
    for item in _each(catalog, collection, bounds, time_range, skipped):
        yield stated_by(item)
        if is_ours and isinstance(item, pystac.Item):
            item.links.clear()  # they hold the item: without them it is gone at once


def _each(
    catalog: str, collection: str | None, bounds: Bounds, time_range: str | None, skipped: list[tuple[str, str]]
) -> Iterator[pystac.Item | Mapping[str, Any]]:
    """Items, or their JSON, each once."""
    known: set[tuple[str | None, str]] = set()
    for part in split_bounds(bounds):
        for items in _batches(catalog, Question(collection, part, *parse_time_range(time_range), time_range), skipped):
            for item in items:
                if isinstance(item, pystac.Item):
                    name = (item.collection_id, item.id)
                else:
                    name = (item.get("collection"), item["id"])
                if name not in known:
                    known.add(name)
                    yield item


def _batches(
    catalog: str, question: Question, skipped: list[tuple[str, str]]
) -> Iterator[Sequence[pystac.Item | Mapping[str, Any]]]:
    """Items, or their JSON, by the handful."""
    if plugin_of_catalog(catalog) is None and not is_address(catalog) and catalog.lower().endswith(_TABLES):
        from geoseg.scenes.catalogs.geoparquet import items_of_table  # noqa: PLC0415

        fresh: list[tuple[str, str]] = []
        batches = items_of_table(catalog, question, fresh)
        while True:
            with unheard():  # not while somebody else works on what was found
                batch = next(batches, None)
            if batch is None:
                break
            yield batch
        skipped += [reason for reason in fresh if reason not in skipped]
        return
    found = _search(catalog, question)
    skipped += [reason for reason in found.skipped if reason not in skipped]
    yield found.items


def plugin_of_catalog(catalog: str) -> plugins.Plugin | None:
    """Who opens a catalogue whose reference begins or ends with the name of a plug-in; the longest name rules.

    Raises:
        PluginError: If two distributions add that name.
    """
    names = [name for name in plugins.plugin_names(plugins.CATALOGS) if _speaks_of(name.lower(), catalog.lower())]
    if not names:
        return None
    longest = max(names, key=len)
    return plugins.find_plugin(plugins.CATALOGS, longest, own=[longest] if longest.lower() in _OWN else ())


def _speaks_of(name: str, catalog: str) -> bool:
    return catalog.startswith(name) if is_address(name) else name.startswith(".") and catalog.endswith(name)


def _search(catalog: str, question: Question) -> Search:
    """Ask the kind of catalogue that it is."""
    if (plugin := plugin_of_catalog(catalog)) is not None:
        return _search_plugin(plugin, catalog, question)
    with unheard():
        return _search_own(catalog, question)


class _Silence:
    """One silence for all threads that ask for it: it begins with the first and ends with the last.

    ``warnings.catch_warnings`` puts back a list that all threads share: of two that overlap, the one that ends last would
    leave behind what the other had set.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._askers = 0
        self._caught = warnings.catch_warnings()

    def begin(self) -> None:
        """Keep warnings off the terminal."""
        with self._lock:
            self._askers += 1
            if self._askers == 1:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.simplefilter("ignore", UserWarning)  # pystac's, and all that pystac-client has
                warnings.filterwarnings("ignore", category=RuntimeWarning, module="shapely")

    def end(self) -> None:
        """Let them through again, unless somebody else still reads."""
        with self._lock:
            self._askers -= 1
            if not self._askers:
                self._caught.__exit__(None, None, None)


_silence = _Silence()


@contextmanager
def unheard() -> Iterator[None]:
    """Keep off the terminal what libraries warn of in documents of others; what is wrong is in ``skipped``."""
    _silence.begin()
    try:
        yield
    finally:
        _silence.end()


def _search_own(catalog: str, question: Question) -> Search:
    if is_address(catalog):
        from geoseg.scenes.catalogs.api import search_api  # noqa: PLC0415  # static catalogues need no HTTP stack

        return search_api(catalog, question)
    from geoseg.scenes.catalogs.folder import search_folder  # noqa: PLC0415

    return search_folder(catalog, question)


def _search_plugin(plugin: plugins.Plugin, catalog: str, question: Question) -> Search:
    search = plugin.load()
    try:
        found = search(catalog, question)
    except GeosegError:
        raise
    except Exception as err:  # code of others: whatever it raises, the fault is there
        raise plugin.error(f"{type(err).__name__}: {err}", "an answer to a search") from err
    if not isinstance(found, Search):
        raise plugin.error(f"it answers {type(found).__name__}", "a geoseg.scenes.catalogs.Search")
    return found
