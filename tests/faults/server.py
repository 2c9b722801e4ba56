"""A file server on this machine that goes wrong on request, and writes down what it was asked.

    with serving(folder) as server:
        server.add(Rule(status(503, retry_after=2), named("B04.tif"), times=2))
        read(f"{server.url}/B04.tif")
        assert [seen.status for seen in server.seen] == [503, 503, 206]

Without rules it answers as a good file server does: ranges, ``If-Match``, HEAD, and an ETag that is a digest of the
content. Nothing here waits for a clock: a stall ends when the client hangs up or the server closes.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import select
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")
_PART = 2**16


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked. ``start`` and ``stop`` are the range in bytes, ``stop`` exclusive and ``None`` where open."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A request and the status that it was answered with; 0 where the connection was cut before any."""

    request: Request
    status: int


type Match = Callable[[Request], bool]
type Action = Callable[["Exchange"], None]


@dataclass(slots=True)
class Rule:
    """What to do to the requests that match, for so many times (``None``: always)."""

    action: Action
    match: Match = lambda request: True
    times: int | None = 1


def named(ending: str) -> Match:
    """Requests for paths that end so."""
    return lambda request: request.path.endswith(ending)


def with_range(start: int = 0) -> Match:
    """Requests for a range that begins at this byte or later."""
    return lambda request: request.start is not None and request.start >= start


def status(code: int, body: bytes = b"sorry", retry_after: object = None, **headers: str) -> Action:
    """Answer with a status and nothing of the file."""
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return lambda exchange: exchange.answer(code, body, headers)


def page(body: bytes = b"<!DOCTYPE html><html><body>Please log in</body></html>", kind: str = "text/html") -> Action:
    """Answer 200 with something that is not the file."""
    return lambda exchange: exchange.answer(200, body, {"Content-Type": kind})


def short(share: float = 0.5) -> Action:
    """Promise the whole body, send a share of it, and end the connection in good order."""
    return lambda exchange: exchange.send_file(share=share)


def reset(share: float = 0.5) -> Action:
    """Send a share of the body and reset the connection."""
    return lambda exchange: exchange.send_file(share=share, ending="reset")


def stall(share: float = 0.5) -> Action:
    """Send a share of the body, and then nothing until the client hangs up or the server closes."""
    return lambda exchange: exchange.send_file(share=share, ending="stall")


def trickle() -> Action:
    """Send the body byte by byte, a twentieth of a second between two, until the client hangs up."""
    return lambda exchange: exchange.send_file(share=0.0, ending="trickle")


def drop() -> Action:
    """Close the connection without a word."""
    return lambda exchange: exchange.hang_up(reset=True)


def ignore_range() -> Action:
    """Answer 200 with the whole file, whatever range was asked."""
    return lambda exchange: exchange.send_file(whole=True)


def shifted(by: int = 1) -> Action:
    """Say another range than the one that was asked for, and send that."""
    return lambda exchange: exchange.send_file(shift=by)


def refuse_head() -> Rule:
    """HEAD is not allowed, ever."""
    return Rule(status(405), lambda request: request.method == "HEAD", times=None)


def then_replace(path: Path, content: bytes) -> Action:
    """Answer well, and put other content in the place of a file afterwards."""

    def act(exchange: Exchange) -> None:
        exchange.send_file()
        path.write_bytes(content)

    return act


class FaultServer(ThreadingHTTPServer):
    """See the module. Rules are asked in the order in which they were added; the first that matches acts."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.closing = threading.Event()
        self._rules: list[Rule] = []
        self._seen: list[Seen] = []
        self._lock = threading.Lock()
        self._contents: dict[Path, tuple[tuple[int, int], bytes, str]] = {}

    @property
    def url(self) -> str:
        """Address without a slash at its end."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def seen(self) -> list[Seen]:
        """What was asked so far."""
        with self._lock:
            return list(self._seen)

    def add(self, *rules: Rule) -> None:
        """Rules from now on, after those that are there."""
        with self._lock:
            self._rules.extend(rules)

    def reset(self) -> None:
        """Forget rules and requests."""
        with self._lock:
            self._rules.clear()
            self._seen.clear()

    def action(self, request: Request) -> Action:
        """What to do about a request."""
        with self._lock:
            for rule in self._rules:
                if rule.times != 0 and rule.match(request):
                    if rule.times is not None:
                        rule.times -= 1
                    return rule.action
        return lambda exchange: exchange.send_file()

    def note(self, request: Request, code: int) -> None:
        """Write down an answer."""
        with self._lock:
            self._seen.append(Seen(request, code))

    def content(self, path: Path) -> tuple[bytes, str]:
        """A file with its ETag, read again when it changed."""
        status = path.stat()
        version = (status.st_mtime_ns, status.st_size)
        known = self._contents.get(path)
        if known is None or known[0] != version:
            content = path.read_bytes()
            known = self._contents[path] = (version, content, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
        return known[1], known[2]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the trade."""


class Exchange:
    """One request and the means to answer it, rightly or wrongly."""

    def __init__(self, handler: _Handler, request: Request) -> None:
        self._handler = handler
        self.request = request

    def answer(self, code: int, body: bytes, headers: Mapping[str, str]) -> None:
        """A whole answer."""
        self._head(code, {"Content-Length": str(len(body)), **headers})
        if self.request.method != "HEAD":
            self._handler.wfile.write(body)

    def send_file(self, *, share: float = 1.0, ending: str = "close", whole: bool = False, shift: int = 0) -> None:
        """The file or its range; see the actions for what may be wrong with it."""
        path = (self._handler.server.root / self.request.path.lstrip("/")).resolve()
        if not path.is_relative_to(self._handler.server.root.resolve()) or not path.is_file():
            self.answer(404, b"no such file", {})
            return
        content, etag = self._handler.server.content(path)
        if self.request.headers.get("if-match", etag) != etag:
            self.answer(412, b"changed", {})
            return
        facts = {"ETag": etag, "Last-Modified": formatdate(int(path.stat().st_mtime), usegmt=True)}
        facts |= {"Accept-Ranges": "bytes", "Content-Type": "image/tiff"}
        body, code = content, 200
        if self.request.start is not None and not whole:
            start = self.request.start + shift
            stop = min(len(content), len(content) if self.request.stop is None else self.request.stop + shift)
            if start >= len(content):
                self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            body, code = content[start:stop], 206
            facts["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
        self._head(code, {"Content-Length": str(len(body)), **facts})
        if self.request.method == "HEAD":
            return
        sent = body[: int(len(body) * share)] if share < 1 else body
        for at in range(0, len(sent), _PART):
            self._handler.wfile.write(sent[at : at + _PART])
        if share < 1:
            self._end_badly(ending)

    def hang_up(self, *, reset: bool) -> None:
        """End the connection before any answer."""
        self._handler.server.note(self.request, 0)
        self._close(reset=reset)

    def _end_badly(self, ending: str) -> None:
        self._handler.wfile.flush()
        while ending in {"stall", "trickle"} and not self._handler.server.closing.is_set():
            readable, _, _ = select.select([self._handler.connection], [], [], 0.05)
            if readable:  # the client hung up
                break
            if ending == "trickle":
                self._handler.wfile.write(b"?")
                self._handler.wfile.flush()
        self._close(reset=ending == "reset")

    def _close(self, *, reset: bool) -> None:
        connection = self._handler.connection
        if reset:  # linger of 0 s: closing sends RST
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        self._handler.close_connection = True
        with contextlib.suppress(OSError):
            if not reset:
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _head(self, code: int, headers: Mapping[str, str]) -> None:
        self._handler.server.note(self.request, code)
        self._handler.send_response(code)
        for name, value in headers.items():
            self._handler.send_header(name, value)
        self._handler.end_headers()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits for the acknowledgement of its head
    server: FaultServer

    def do_GET(self) -> None:
        address, found = urlsplit(self.path), _RANGE.match(self.headers.get("Range", ""))
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        start = int(found[1]) if found else None
        stop = int(found[2]) + 1 if found and found[2] else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, address.path, query, headers, start, stop)
        with contextlib.suppress(ConnectionError):
            self.server.action(request)(Exchange(self, request))

    do_HEAD = do_GET  # noqa: N815  # the name that http.server looks for

    def log_message(self, *args: object) -> None:
        """Nothing on the terminal."""


@contextlib.contextmanager
def serving(root: Path, *rules: Rule) -> Iterator[FaultServer]:
    """A server of a folder while this lasts."""
    server = FaultServer(root)
    server.add(*rules)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
