"""Connections on which an answer has to begin in time, however slowly it comes.

The time limit of a socket begins anew with every byte, so that a server that sends a header byte by byte is waited for
without an end. Here the line is cut when the time is over, and what waits for it is told that it timed out.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPException
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

ANSWER_S = 20.0
"""Status and headers of one answer."""
# The least that a try is given, so that it can fail for a reason of its own.
_LEAST_S = 1.0
_end: ContextVar[float] = ContextVar("_end", default=float("inf"))


@contextmanager
def ending_within(seconds: float) -> Iterator[None]:
    """A time for all tries of a question together: none of them waits beyond it for an answer to begin.

    Within another one, what ends first counts.
    """
    token = _end.set(min(_end.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _end.reset(token)


class _Timed(HTTPConnection):
    """A connection whose answers begin in time."""

    def getresponse(self) -> urllib3.response.HTTPResponse:  # type: ignore[override]  # as urllib3 does itself
        line = self.sock
        is_over = threading.Event()

        def cut() -> None:
            is_over.set()
            with contextlib.suppress(OSError):  # it may have ended meanwhile
                socket.socket.shutdown(line, socket.SHUT_RDWR)  # of what carries the encryption too

        left_s = _end.get() - time.monotonic()
        timer = threading.Timer(min(ANSWER_S, max(_LEAST_S, left_s)), cut)
        timer.daemon = True
        timer.start()
        try:
            answer = super().getresponse()
        except (OSError, HTTPException) as err:
            if is_over.is_set():
                raise TimeoutError from err  # urllib3 tries again, as after any other
            raise
        finally:
            timer.cancel()
        if is_over.is_set():  # a header that was cut looks like one that ended
            raise TimeoutError
        return answer


class _TimedTLS(_Timed, HTTPSConnection):
    """The same, encrypted."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Timed


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TimedTLS


class TimedAdapter(HTTPAdapter):
    """Transport of ``requests`` over such connections, through proxies too."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """See ``requests.adapters.HTTPAdapter``."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> urllib3.PoolManager:
        """See ``requests.adapters.HTTPAdapter``."""
        manager: urllib3.PoolManager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return manager
