"""What can go wrong with a request, in one type that says whether trying again may help."""

from __future__ import annotations

import datetime as dt
from email.utils import parsedate_to_datetime

import httpx

from geoseg.remote.words import redacted, unsigned

_TRANSIENT = frozenset({429, 500, 502, 503, 504})
_BUSY = frozenset({429, 503})


class Trouble(Exception):  # noqa: N818  # most of it passes; an error is what is left for the user
    """A request that gave no usable bytes.

    Args:
        href: What was asked for; the signature is dropped.
        words: The cause, for a report.
        kind: ``status``, ``transport``, ``stall``, ``short``, ``no-ranges``, ``not-a-raster`` or ``signing``.
        status: HTTP status, or 0.
        is_transient: Whether trying again may help.
        wait_s: Seconds that the server asked to wait, or ``None``.
    """

    def __init__(
        self,
        href: str,
        words: str,
        kind: str,
        *,
        status: int = 0,
        is_transient: bool = False,
        wait_s: float | None = None,
    ) -> None:
        self.href = unsigned(href)
        self.words = redacted(words)
        self.kind = kind
        self.status = status
        self.is_transient = is_transient
        self.wait_s = wait_s
        super().__init__(f"{self.href}: {self.words}")

    @property
    def says_busy(self) -> bool:
        """Whether the server asked for fewer requests."""
        return self.status in _BUSY

    @property
    def is_missing(self) -> bool:
        """Whether the server says that there is no such file."""
        return self.status in {404, 410}


def trouble_of_status(href: str, answer: httpx.Response) -> Trouble:
    """What a status that is no success means."""
    code = answer.status_code
    return Trouble(
        href,
        f"{code} {answer.reason_phrase}".strip(),
        "status",
        status=code,
        is_transient=code in _TRANSIENT,
        wait_s=_told_to_wait(answer.headers.get("retry-after", "")),
    )


def trouble_of_error(href: str, err: httpx.HTTPError) -> Trouble:
    """What a connection that failed means."""
    if isinstance(err, httpx.ReadTimeout):
        return Trouble(href, "the server stalled: no bytes within the time limit", "stall", is_transient=True)
    if isinstance(err, httpx.RemoteProtocolError):
        return Trouble(href, f"the server hung up too early ({err})", "short", is_transient=True)
    words = f"no answer ({type(err).__name__}: {err})" if str(err) else f"no answer ({type(err).__name__})"
    lasting = isinstance(err, httpx.UnsupportedProtocol | httpx.TooManyRedirects)
    return Trouble(href, words, "transport", is_transient=isinstance(err, httpx.TransportError) and not lasting)


def _told_to_wait(text: str) -> float | None:
    """Seconds of a ``Retry-After`` header, which has a number or a date."""
    if text.strip().isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    now = dt.datetime.now(tz=dt.UTC)
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or dt.UTC) - now).total_seconds())
