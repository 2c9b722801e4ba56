"""A STAC API, asked through pystac-client."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pystac
import requests
import urllib3
from pystac_client import Client
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from pystac_client.warnings import DoesNotConformTo
from urllib3 import Retry

from geoseg.aoi import Bounds
from geoseg.errors import CatalogError
from geoseg.remote import policy
from geoseg.remote.hosts import gate_of
from geoseg.remote.words import redacted
from geoseg.scenes.catalogs import Search, unheard
from geoseg.scenes.catalogs.deadline import TimedAdapter, ending_within
from geoseg.scenes.catalogs.documents import Question, UnusableItemError, item_of

# What pystac and pystac-client raise about servers that answer with something else.
_UNREADABLE = (APIError, ClientTypeError, DoesNotConformTo, KeyError, OSError, TypeError, ValueError, pystac.STACError)
_PAGE_ITEMS = 100
_AT_ONCE = 8  # requests to one host, the default of --connections
# Five attempts that wait 0, 1, 2 and 4 s and a little by chance, or what the server asks for; a connection may take
# 5 s, an answer 20 s to begin, byte by byte or at once, and all together 100 s. A question ends within two minutes.
_RETRIES, _BACKOFF_S = 4, 0.5
_TIMEOUT_S, _LONGEST_WAIT_S = (5.0, 20.0), 20
_QUESTION_S = 100.0
# A body that breaks off or stalls is asked for again, once, if it did so within these seconds.
_BODY_TRIES, _AGAIN_WITHIN_S, _CHUNK_BYTES = 2, 30.0, 2**16
_TRANSIENT = (429, 500, 502, 503, 504)
# Further questions after an empty answer may take so long together.
_HINTS_S = 10.0
_WIDER_DEG = 1.0
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class _BrokenBodyError(APIError):
    """An answer that began well and did not come to its end."""


class _Pages(StacApiIO):
    """pystac-client's transport: all retries with jitter, and a paging that ends."""

    def __init__(self) -> None:
        retry = Retry(
            total=_RETRIES,
            backoff_factor=_BACKOFF_S,
            backoff_jitter=_BACKOFF_S,
            status_forcelist=_TRANSIENT,
            allowed_methods=None,  # a search by POST changes nothing
            raise_on_status=False,
            retry_after_max=_LONGEST_WAIT_S,
        )
        super().__init__(timeout=_TIMEOUT_S)
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, TimedAdapter(max_retries=retry))

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """The text of an answer; the host gets no more requests at a time than all readers of the process may make.

        Raises:
            APIError: If there is none, or no success. A body that breaks off or stalls is asked for once more.
        """
        gate, begun, tries = gate_of(href), time.monotonic(), 0
        with gate.passing(_AT_ONCE), ending_within(_QUESTION_S):
            while True:
                tries += 1
                try:
                    text = self._text(href, method or "GET", headers, parameters)
                    break
                except _BrokenBodyError as err:
                    if tries == _BODY_TRIES or time.monotonic() - begun > _AGAIN_WITHIN_S:
                        host = urlsplit(href).netloc
                        raise APIError(f"{host} gave no whole answer in {tries} attempts: {err}") from err
        gate.is_well(_AT_ONCE)
        return text

    def _text(self, href: str, method: str, headers: dict[str, str] | None, parameters: dict[str, Any] | None) -> str:
        sent: dict[str, Any] = {"json" if method == "POST" else "params": parameters}
        try:
            with self.session.request(
                method, href, headers=headers, timeout=self.timeout, stream=True, **sent
            ) as answer:
                body = _body(answer)
        except requests.RequestException as err:
            raise APIError(str(err)) from err
        if not answer.ok:
            said = " ".join(body.decode(errors="replace").split())
            raise APIError(f"{answer.status_code} {answer.reason}".strip() + (f": {said}" if said else ""))
        return body.decode()

    def read_json(self, source: pystac.link.HREF, *args: Any, **options: Any) -> dict[str, Any]:
        """An answer, without links that are none.

        Raises:
            ValueError: If it is no object.
        """
        answer: object = super().read_json(source, *args, **options)
        if not isinstance(answer, dict):
            raise ValueError(f"JSON, but a {type(answer).__name__} instead of an object")  # noqa: TRY004  # bad content
        links = answer.get("links")
        known = [link for link in links if isinstance(link, dict) and {"rel", "href"} <= link.keys()] if links else []
        return {**answer, "links": known}

    def get_pages(
        self, url: str, method: str | None = None, parameters: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Pages of an answer.

        Raises:
            CatalogError: If a page links to one that was there before as its next.
        """
        seen: set[str] = set()
        for page in super().get_pages(url, method, parameters):
            yield page
            following = next((link for link in page.get("links", []) if link.get("rel") == "next"), None)
            if following is None:
                continue
            name = json.dumps([following.get("href"), following.get("body")], sort_keys=True)
            if name in seen:
                raise CatalogError(
                    f"--catalog {url}: a next page that leads back to itself, {following.get('href')}",
                    "pages that end",
                    "tell those who run the server; narrow --datetime so that one page holds all",
                )
            seen.add(name)


def _body(answer: requests.Response) -> bytes:
    """The body, as long as it comes fast enough."""
    bounds, begun, parts, came = policy.PATIENT, time.monotonic(), [], 0
    try:
        while chunk := answer.raw.read1(_CHUNK_BYTES, decode_content=True):  # as it comes, not when a chunk is full
            parts.append(chunk)
            came += len(chunk)
            took_s = time.monotonic() - begun
            if took_s > bounds.slow_after_s and came < took_s * bounds.slow_bytes_per_s:
                raise _BrokenBodyError(f"the server stalled: {came} bytes in {took_s:.0f} s")
    except urllib3.exceptions.HTTPError as err:
        raise _BrokenBodyError(f"the answer broke off after {came} bytes: {err}") from err
    return b"".join(parts)


def search_api(catalog: str, question: Question) -> Search:
    """Items of a STAC API.

    Raises:
        CatalogError: If it cannot be reached, or is none.
    """
    search = Search()
    with _readable(catalog):
        transport = _Pages()
        client = Client.open(catalog, stac_io=transport)
        asked = client.search(
            method=_method(client),
            collections=[question.collection] if question.collection else None,
            bbox=question.bounds,
            datetime=question.time_range,
            limit=_PAGE_ITEMS,
        )
        for document in asked.items_as_dicts():
            if not isinstance(document, dict):
                search.skipped.append((f"an item of {catalog}", f"no object but {document!r}"[:100]))
                continue
            try:
                search.items.append(item_of(_with_local_files(document, catalog), _address(document, catalog)))
            except UnusableItemError as err:
                search.skipped.append((str(document.get("id", "an item without id")), str(err)))
        _add_licences(transport, catalog, search.items)
    return search


def _method(client: Client) -> str:
    """POST where the server offers it; GET, which every server has to offer, where it does not say so."""
    offered = {link.extra_fields.get("method") for link in client.links if link.rel == "search"}
    return "POST" if "POST" in offered else "GET"


@contextmanager
def _readable(catalog: str) -> Iterator[None]:
    """Words for whatever goes wrong while a server is asked."""
    try:
        yield
    except _UNREADABLE as err:
        cause = err.__context__
        if isinstance(cause, requests.RequestException):
            raise CatalogError(
                f"--catalog {catalog}: {urlsplit(catalog).netloc} gave no answer in {_RETRIES + 1} attempts "
                f"({_root_of(cause)})",
                "a STAC API that can be reached",
                "check the network and the address, or use a catalogue on disk with --catalog PATH",
            ) from err
        words = str(err) if isinstance(err, APIError) else f"{type(err).__name__}: {err}"
        raise CatalogError(
            f"--catalog {catalog}: {redacted(words)[:200]}",
            "a STAC API that answers",
            "check the address and the network, or use a catalogue on disk with --catalog PATH",
        ) from err


def _root_of(error: BaseException) -> str:
    """The innermost reason, as the libraries nest them."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    reason = getattr(error, "reason", None)
    return _root_of(reason) if isinstance(reason, BaseException) else str(error).rpartition(": ")[2][:150]


def _address(document: dict[str, Any], catalog: str) -> str:
    """Where an item lies: what it says itself, if that is an address, else where the API has it."""
    links = document.get("links")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "self" and "://" in str(link.get("href")):
            return str(link["href"])
    return f"{catalog.rstrip('/')}/collections/{document.get('collection')}/items/{document.get('id')}"


def _with_local_files(document: dict[str, Any], catalog: str) -> dict[str, Any]:
    """Paths in the items of a server on this machine name files of this machine; other servers' do not."""
    if urlsplit(catalog).hostname not in _LOOPBACK or not isinstance(document.get("assets"), dict):
        return document
    assets = {
        name: {**asset, "href": Path(asset["href"]).as_uri()}
        if str(asset.get("href", "")).startswith("/") and Path(asset["href"]).exists()
        else asset
        for name, asset in document["assets"].items()
    }
    return {**document, "assets": assets}


def _add_licences(transport: StacApiIO, catalog: str, items: list[pystac.Item]) -> None:
    """Licences of the collections, kept with the items so that a resumed run asks nobody."""
    licences: dict[str, str] = {}
    for item in items:
        name = item.collection_id
        if "license" in item.properties or name is None:
            continue
        if name not in licences:
            try:
                collection = transport.read_json(f"{catalog.rstrip('/')}/collections/{quote(name, safe='')}")
            except _UNREADABLE:  # no reason to refuse the pixels
                collection = {}
            licences[name] = str(collection.get("license") or "")
        if licences[name]:
            item.properties["license"] = licences[name]


def helpful_change(catalog: str, question: Question) -> str:
    """Which single filter, when dropped, gives items; "" where none does or the server is too slow to say.

    At most three further questions for one item each.
    """
    west, south, east, north = question.bounds
    wider: Bounds = (
        max(west - _WIDER_DEG, -180),
        max(south - _WIDER_DEG, -90),
        min(east + _WIDER_DEG, 180),
        min(north + _WIDER_DEG, 90),
    )
    asked: dict[str, Any] = {"collections": [question.collection] if question.collection else None}
    asked |= {"bbox": question.bounds, "datetime": question.time_range}
    ways = {
        "widen --datetime: without it there are items": {**asked, "datetime": None} if question.time_range else None,
        f"check --collection: others than {question.collection} have items": (
            {**asked, "collections": None} if question.collection else None
        ),
        f"move the region (--aoi): there are items within {_WIDER_DEG:g} degree of it": {**asked, "bbox": wider},
    }
    end = time.monotonic() + _HINTS_S
    with unheard(), ending_within(_HINTS_S), suppress(*_UNREADABLE):  # it is asked for a hint only
        client = Client.open(catalog, stac_io=_Pages())
        for words, filters in ways.items():
            if filters is None or time.monotonic() > end:
                continue
            found = client.search(method=_method(client), **filters, limit=1, max_items=1).items_as_dicts()
            if next(found, None) is not None:
                return words
    return ""
