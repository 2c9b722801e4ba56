"""Libraries that try again say so in their own logs; here it becomes one plain line for each server and fault."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
from stamina.instrumentation import RetryDetails, get_on_retry_hooks, set_on_retry_hooks

from geoseg.remote import Trouble

__all__ = ["told"]

_CATALOGUES = logging.getLogger("urllib3.connectionpool")  # what pystac-client asks servers with


@contextmanager
def told(say: Callable[[str], None]) -> Iterator[None]:
    """While this lasts, every first retry of a server and fault is given to ``say``, and nothing to the libraries' logs.

    A server that is down fails for hundreds of files at once: the same fault of the same server is told once.

    Args:
        say: Takes a line; called from the thread that tries again.
    """
    told_of: set[tuple[str, str]] = set()

    def once(where: str, host: str, fault: str, when: str) -> None:
        if (host, fault) not in told_of:
            told_of.add((host, fault))
            say(f"{where}: {fault}; {when}")

    def of_stamina(details: RetryDetails) -> None:
        url, fault = _fault(details.caused_by)
        where = "a server" if url is None else str(url.copy_with(query=None, fragment=None, userinfo=b""))
        once(where, url.host if url is not None else "", fault, f"trying again in {details.wait_for:.1f} s")

    handler = _Handler(once)
    hooks, passed_on = get_on_retry_hooks(), _CATALOGUES.propagate
    set_on_retry_hooks([of_stamina])
    _CATALOGUES.addHandler(handler)
    _CATALOGUES.propagate = False
    try:
        yield
    finally:
        set_on_retry_hooks(hooks)
        _CATALOGUES.removeHandler(handler)
        _CATALOGUES.propagate = passed_on


def _fault(err: Exception) -> tuple[httpx.URL | None, str]:
    """The address that failed, where it is known, and how, in a few words."""
    if isinstance(err, Trouble):
        return httpx.URL(err.href), err.words
    if isinstance(err, httpx.HTTPStatusError):
        return err.request.url, f"{err.response.status_code} {err.response.reason_phrase}".strip()
    try:
        url = err.request.url if isinstance(err, httpx.RequestError) else None
    except RuntimeError:  # how httpx says that it does not know the request
        url = None
    return url, f"no answer ({type(err).__name__})"


class _Handler(logging.Handler):
    """Retries of the catalogue's client: arguments of the log line are what is left of it, the fault and the path."""

    def __init__(self, once: Callable[[str, str, str, str], None]) -> None:
        super().__init__(logging.WARNING)
        self._once = once

    def emit(self, record: logging.LogRecord) -> None:
        found = record.args if isinstance(record.args, tuple) else ()
        fault = next((type(part).__name__ for part in found if isinstance(part, Exception)), None)
        if fault is not None:  # else it is about the pool of connections, and nothing a user should know
            self._once("the catalogue", "", f"no answer ({fault})", "trying again")
