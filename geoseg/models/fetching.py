"""Fetches one file of a model: a bounded time for every step, and the one limit of requests that a host has.

What comes is not believed: the caller holds it against a checksum before it gets a name.
"""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from geoseg.errors import OutputError
from geoseg.remote import Trouble, check_host
from geoseg.remote.hosts import Gate, gate_of
from geoseg.remote.policy import Patience
from geoseg.remote.trouble import trouble_of_error, trouble_of_status

#: A machine without a network learns it within seconds; a large file may take its time.
_PATIENCE = Patience(attempts=4, total_s=300.0, connect_s=5.0, read_s=30.0)
_CONNECTIONS = 8


def may_ask(href: str) -> bool:
    """Whether an address may be asked: HTTPS, or plain HTTP to this machine."""
    parts = urlsplit(href)
    return parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(parts.hostname or ""))


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """A name to write to, which becomes ``target`` when all went well, and is removed otherwise.

    Raises:
        OutputError: If it cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    with writing_to(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """What the system refuses while this lasts, as an error that names the path.

    Raises:
        OutputError: If it refuses something.
    """
    try:
        yield
    except OSError as err:
        raise OutputError(
            f"{path}: {err.strerror or err}",
            "a folder with room that can be written",
            "free space or choose another folder; GEOSEG_CACHE names the one for models and weights",
        ) from err


def fetch(
    href: str,
    target: Path,
    most_bytes: int,
    *,
    headers: Mapping[str, str] | None = None,
    client: httpx.Client | None = None,
) -> None:
    """Write what an address has into a file, which is begun anew by every try.

    Args:
        href: Address; see ``may_ask``.
        target: A temporary file: nothing is known of its content yet.
        most_bytes: Reading ends a little behind this many bytes.
        headers: For the first server, not for those that it redirects to.
        client: Connections to use, which are closed; own ones where there are none.

    Raises:
        Trouble: If it cannot be had.
    """
    gate = gate_of(href)
    refusal = gate.breaker.refusal
    if refusal is not None:
        raise refusal
    if client is None:
        check_host(href)
        client = httpx.Client(
            timeout=_PATIENCE.timeout, follow_redirects=True, event_hooks={"request": [_refuse_plain_http]}
        )
    with client:
        try:
            for attempt in _PATIENCE.tries():
                with attempt, gate.passing(_CONNECTIONS):
                    _try(client, href, headers or {}, target, most_bytes, gate)
        except Trouble as trouble:
            if trouble.is_transient:
                gate.breaker.gave_up(trouble)
            raise
    gate.breaker.is_well()


def _try(
    client: httpx.Client, href: str, headers: Mapping[str, str], target: Path, most_bytes: int, gate: Gate
) -> None:
    try:
        with client.stream("GET", href, headers=dict(headers)) as answer:
            if not answer.is_success:
                trouble = trouble_of_status(href, answer)
                if trouble.says_busy:
                    gate.is_busy(_CONNECTIONS)
                raise trouble
            _write(answer, href, target, most_bytes)
    except httpx.ConnectTimeout as err:
        raise Trouble(href, f"no answer ({type(err).__name__})", "transport") from None  # nor would it come later
    except httpx.HTTPError as err:
        raise trouble_of_error(href, err) from None
    gate.is_well(_CONNECTIONS)


def _write(answer: httpx.Response, href: str, target: Path, most_bytes: int) -> None:
    begun, written = time.monotonic(), 0
    with target.open("wb") as file:
        for chunk in answer.iter_bytes():
            written += file.write(chunk)
            if written > most_bytes:
                return  # more than the file can be: its checksum will say so
            took_s = time.monotonic() - begun
            if took_s > _PATIENCE.slow_after_s and written < took_s * _PATIENCE.slow_bytes_per_s:
                words = f"the server stalled: {written} bytes in {took_s:.0f} s"
                raise Trouble(href, words, "stall", is_transient=True)


def _refuse_plain_http(request: httpx.Request) -> None:
    """Of every request, those after a redirect included."""
    if not may_ask(str(request.url)):
        raise Trouble(str(request.url), "plain HTTP, which anyone on the way may alter", "transport")
