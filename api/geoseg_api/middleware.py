"""What happens to every request: limits, headers, a line in the log, numbers, and no traceback to anybody."""

from __future__ import annotations

import json
import logging
import time
import uuid
from typing import TYPE_CHECKING

from geoseg_api.metrics import Metrics
from geoseg_api.problems import MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOG = logging.getLogger("geoseg_api.requests")
_CSP = (
    "default-src 'self'; img-src 'self' data: blob:; worker-src 'self' blob:; child-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": _CSP.encode(),
    b"cross-origin-resource-policy": b"same-origin",
}


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _TooLargeError(Exception):
    """A body grew past the limit."""


class Guard:
    """The outermost layer.

    Args:
        app: What it surrounds.
        max_body: Largest body in bytes.
        metrics: Counts requests.
        shared: Whether pages of other origins may use answers (CORS is on).
    """

    def __init__(self, app: ASGIApp, *, max_body: int, metrics: Metrics, shared: bool) -> None:
        self._app = app
        self._max_body = max_body
        self._metrics = metrics
        self._headers = {n: v for n, v in _HEADERS.items() if not (shared and n == b"cross-origin-resource-policy")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(self._max_body, receive, send, self._headers)
        began = time.perf_counter()
        try:
            exchange.check_length(scope)
            await self._app(scope, exchange.receive, exchange.send)
        except _TooLargeError:
            await exchange.refuse(
                Problem(413, "a body that is too large", f"at most {self._max_body:,} bytes", "send less")
            )
        except Exception:  # noqa: BLE001  # the request boundary: nobody is told a traceback
            _LOG.exception("a fault", extra={"request": exchange.id, "path": scope["path"][:200]})
            await exchange.refuse(
                Problem(500, "a fault of the service", "", f"tell the operator: request {exchange.id}")
            )
        seconds = time.perf_counter() - began
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.request(method, route, exchange.status, seconds)
        _LOG.info(
            "request",
            extra={
                "request": exchange.id,
                "method": scope["method"],
                "path": scope["path"][:200],
                "status": exchange.status,
                "seconds": round(seconds, 4),
                "owner": scope.get("state", {}).get("owner"),
            },
        )


class _Exchange:
    """One request and its answer."""

    def __init__(self, max_body: int, receive: Receive, send: Send, headers: dict[bytes, bytes]) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.status = 0
        self._max_body = max_body
        self._receive, self._send, self._headers = receive, send, headers
        self._got = 0

    def check_length(self, scope: Scope) -> None:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._max_body:
                raise _TooLargeError

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._got += len(message.get("body", b""))
            if self._got > self._max_body:
                raise _TooLargeError
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            have = {name.lower() for name, _ in message["headers"]}
            more = [(name, value) for name, value in self._headers.items() if name not in have]
            message = {**message, "headers": [*message["headers"], *more, (b"x-request-id", self.id.encode())]}
        await self._send(message)

    async def refuse(self, problem: Problem) -> None:
        if self.status:  # the answer has begun; nothing can be said any more
            return
        body = json.dumps(problem.document()).encode()
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
        if problem.status == 413:
            headers.append((b"connection", b"close"))
        await self.send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})
