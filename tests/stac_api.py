"""A small STAC API on loopback, with faults to order."""

from __future__ import annotations

import json
import select
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from shapely.geometry import box, shape

from geoseg.demo import DemoCatalog
from geoseg.scenes.catalogs import find_items

EVERYWHERE = (-180.0, -90.0, 180.0, 90.0)


class Api(BaseHTTPRequestHandler):
    """A STAC API of two items a page, by POST and by GET."""

    items: tuple[dict[str, Any], ...] = ()
    collection: Mapping[str, Any] = {}
    fault = ""
    page = 2
    asked = 0
    words = '{"code": "broken"}'
    """What is said beside a status that is the fault."""
    broken = 0
    """Answers to searches that come byte by byte; with the fault "cut short" so many end early instead."""
    strays: tuple[Any, ...] = ()
    """What stands among the items of each page, and is none."""
    failing: Mapping[int, int] = {}
    """Number of a page, from 1, to the answers of 503 that it gives first."""

    def do_GET(self) -> None:
        type(self).asked += 1
        parts = urlsplit(self.path)
        if parts.path.startswith("/collections/"):
            self.answer(self.collection, 404 if self.fault == "no collection" else 200)
        elif parts.path.endswith("/search"):
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            query["bbox"] = [float(v) for v in query["bbox"].split(",")] if "bbox" in query else None
            query["collections"] = query["collections"].split(",") if "collections" in query else None
            self.search(query)
        else:
            self.landing()

    def do_POST(self) -> None:
        type(self).asked += 1
        if self.fault == "only GET":
            self.answer("", 405)
            return
        self.search(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    @property
    def root(self) -> str:
        host, port = self.server.server_address[:2]
        return f"http://{host}:{port}"

    def landing(self) -> None:
        if self.fault == "no API":
            self.answer({"message": "hello"})
            return
        core, search = ("https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search")
        conforms = [] if self.fault == "no search" else [core, search]
        links = [{"rel": "self", "href": self.root}, {"rel": "root", "href": self.root}]
        links += [
            {"rel": "search", "href": f"{self.root}/search", "type": "application/geo+json", "method": method}
            for method in ("GET", *(("POST",) if self.fault != "only GET" else ()))
            if self.fault != "no search"
        ]
        body = {"type": "Catalog", "stac_version": "1.0.0", "id": "api", "description": "-"}
        conformance = {} if self.fault == "no conformance" else {"conformsTo": conforms}
        self.answer({**body, **conformance, "links": links})

    def search(self, query: dict[str, Any]) -> None:
        if self.fault.isdigit():
            self.answer(self.words, int(self.fault))
            return
        if self.fault == "slow headers":
            self.trickle_headers()
            return
        if self.fault == "not JSON":
            self.answer("<html>")
            return
        found = [item for item in self.items if self.wanted(item, query)]
        start = int(query.get("token") or 0)
        number = start // self.page + 1
        if self.failing.get(number):
            type(self).failing = {**self.failing, number: self.failing[number] - 1}
            self.answer({"code": "busy"}, 503)
            return
        links = []
        if start + self.page < len(found):
            following = start if self.fault == "next is here" else start + self.page
            body = {**query, "token": str(following)}
            links = [{"rel": "next", "href": f"{self.root}/search", "method": "POST", "body": body}]
            if self.command == "GET":
                links = [{"rel": "next", "href": f"{self.root}{self.path.partition('&token')[0]}&token={following}"}]
        linked = [{"rel": "collection", "href": f"{self.root}/collections/sentinel-2-l2a"}]
        page = [*self.strays, *({**item, "links": linked} for item in found[start : start + self.page])]
        if self.fault == "odd links":
            links = [None, 5, {"href": "/"}, {"rel": "next"}]
        body = {"type": "FeatureCollection", "features": page, "links": links}
        self.answer([body] if self.fault == "a list" else body)

    def wanted(self, item: dict[str, Any], query: dict[str, Any]) -> bool:
        if query.get("collections") and item["collection"] not in query["collections"]:
            return False
        if query.get("bbox") and not shape(item["geometry"]).intersects(box(*query["bbox"])):
            return False
        start, _, end = (query.get("datetime") or "../..").partition("/")
        moment = item["properties"]["datetime"]
        return (start == ".." or moment >= start) and (end == ".." or moment <= end)

    def trickle_headers(self) -> None:
        """A header byte by byte and without an end, until the client hangs up or has waited for some seconds."""
        self.close_connection = True
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Words: ")
        for _ in range(300):
            if select.select([self.connection], [], [], 0.02)[0]:
                return
            self.wfile.write(b"x")

    def answer(self, body: Any, status: int = 200) -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        sent = 0
        while self.broken and "search" in self.path and sent < len(data):
            self.wfile.write(data[sent : sent + 1])
            sent += 1
            if select.select([self.connection], [], [], 0.02)[0]:  # the client hung up
                return
            if self.fault == "cut short" and sent > 9:
                type(self).broken -= 1
                return
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        """Nothing on the terminal."""


@contextmanager
def serving(demo: DemoCatalog) -> Iterator[tuple[str, type[Api]]]:
    """The demo's items behind an address of this machine."""
    items = tuple(
        item.to_dict(include_self_link=False, transform_hrefs=False)
        for item in find_items(str(demo.catalog), None, EVERYWHERE, None).items
    )
    for item in items:
        del item["properties"]["license"]  # the collection states it
    collection = json.loads((demo.folder / "sentinel-2-l2a" / "collection.json").read_text())
    handler = type("ThisApi", (Api,), {"items": items, "collection": {**collection, "links": []}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", handler
    server.shutdown()
    server.server_close()
    thread.join()
