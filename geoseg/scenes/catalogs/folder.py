"""A static catalogue on disk, walked link by link."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.errors import CatalogError
from geoseg.plainfiles import check_plain
from geoseg.scenes.catalogs import Search
from geoseg.scenes.catalogs.documents import Question, UnusableItemError, item_of, plain_path

_CONTAINERS = frozenset({"Catalog", "Collection"})
_LINKS = frozenset({"child", "item", "items"})


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON document of a catalogue.

    Attributes:
        path: The file that holds it.
        content: The object.
        licence: What the nearest collection above states, or "".
    """

    path: Path
    content: dict[str, Any]
    licence: str


def search_folder(catalog: str, question: Question) -> Search:
    """Items of a static catalogue.

    Args:
        catalog: A folder with ``catalog.json``, or a file: a catalogue, a collection, an item collection or an item.
        question: What is wanted.

    Raises:
        CatalogError: If the catalogue's own file cannot be read.
    """
    search = Search()
    for document in walk(root_of(catalog), search.skipped):
        if str(document.content.get("type")) in _CONTAINERS:
            continue
        try:
            item = item_of(document.content, str(document.path))
        except UnusableItemError as err:
            search.skipped.append((str(document.content.get("id", document.path)), str(err)))
            continue
        if document.licence:
            item.properties.setdefault("license", document.licence)
        if question.wants(item):
            search.items.append(item)
    return search


def root_of(catalog: str) -> Document:
    """The document that a catalogue starts with.

    Raises:
        CatalogError: If there is none.
    """
    path = Path(catalog)
    path = path / "catalog.json" if path.is_dir() else path
    try:
        content = _read(path)
    except (OSError, ValueError) as err:
        raise CatalogError(
            f"--catalog {path}: {err}",
            "a static STAC catalogue (catalog.json), or an item collection",
            "check the path; `geoseg demo` writes one",
        ) from err
    if str(content.get("type")) not in _CONTAINERS | {"Feature", "FeatureCollection"} or (
        "stac_version" not in content and content["type"] != "FeatureCollection"
    ):
        raise CatalogError(
            f"--catalog {path}: a JSON object of type {content.get('type')!r} without a STAC version",
            "a STAC catalogue, collection, item collection or item",
            "name catalog.json",
        )
    return Document(path, content, "")


def walk(root: Document, skipped: list[tuple[str, str]]) -> Iterator[Document]:
    """Every document below a root, the root included, each once: links that lead back end there.

    Args:
        root: Where to start.
        skipped: Gets the path of every link that leads nowhere, with the reason.
    """
    seen = {os.path.realpath(root.path)}
    waiting = [root]
    while waiting:
        document = waiting.pop()
        content = document.content
        if content.get("type") == "FeatureCollection":
            features = content.get("features")
            for feature in features if isinstance(features, list) else []:
                if isinstance(feature, dict):
                    yield Document(document.path, feature, document.licence)
            continue
        yield document
        licence = str(content.get("license") or document.licence) if content.get("type") == "Collection" else ""
        for path in reversed(_children(document, skipped)):
            if os.path.realpath(path) in seen:
                continue
            seen.add(os.path.realpath(path))
            try:
                waiting.append(Document(path, _read(path), licence or document.licence))
            except (OSError, ValueError) as err:
                skipped.append((str(path), f"a link of {document.path.name} that leads to nothing readable: {err}"))


def _children(document: Document, skipped: list[tuple[str, str]]) -> list[Path]:
    """Files that a catalogue links to as its children and items, relative to the file that holds the link."""
    if str(document.content.get("type")) not in _CONTAINERS:
        return []
    links = document.content.get("links")
    paths = []
    for link in links if isinstance(links, list) else []:
        if not isinstance(link, dict) or link.get("rel") not in _LINKS:
            continue
        href = plain_path(str(link.get("href", "")))
        if "://" in href:
            skipped.append((href, f"a link of {document.path.name} to another machine, which is not followed"))
        else:
            paths.append(Path(os.path.normpath(document.path.parent / href)))
    return paths


def _read(path: Path) -> dict[str, Any]:
    check_plain(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except RecursionError as err:
        raise ValueError("JSON that is nested too deep") from err
    if not isinstance(content, dict):
        raise ValueError(  # noqa: TRY004  # wrong content, as bytes that are no JSON are
            f"JSON, but a {type(content).__name__} instead of an object"
        )
    return content
