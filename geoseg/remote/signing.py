"""Signatures for addresses that need one: fetched when a request leaves, renewed before they end and when refused.

Planetary Computer hands out a token for each container of its storage, some of them already at their end; a refusal
says more than a clock, so an address that was refused is always signed anew.
"""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import httpx

from geoseg.remote.policy import PATIENT, Patience
from geoseg.remote.trouble import Trouble, trouble_of_error, trouble_of_status
from geoseg.remote.words import unsigned

PLANETARY_COMPUTER = "planetary-computer"
"""Rule that signs Azure storage with the tokens of that service."""

_TOKEN_SERVICE = "https://planetarycomputer.microsoft.com/api/sas/v1"  # noqa: S105  # an address
_BLOBS = ".blob.core.windows.net"
# A token is used up to so long before its end: what is asked for with it still has to arrive.
_SPARE_S = 60.0


_LONG_AGO = dt.datetime.min.replace(tzinfo=dt.UTC)


class Signer(Protocol):
    """Adds signatures to the addresses of one service."""

    def signs(self, href: str) -> bool:
        """Whether an address is one of the service's."""
        ...

    def sign(self, href: str, refused: str | None = None) -> str:
        """The address with a signature that is good now.

        Args:
            href: Without a signature.
            refused: What was signed before and refused: it gets another signature.

        Raises:
            Trouble: If the service gives none.
        """
        ...


@dataclass(slots=True)
class _Token:
    """A signature with its end; the lock keeps several threads from asking for the same one."""

    query: str = ""
    until: dt.datetime = _LONG_AGO
    lock: threading.Lock = field(default_factory=threading.Lock)


def _now() -> dt.datetime:
    return dt.datetime.now(tz=dt.UTC)


@dataclass(slots=True)
class TokenSigner:
    """Signs with tokens of a service that answers ``{"token": QUERY, "msft:expiry": ISO 8601}``.

    Attributes:
        applies: Whether an address is one of the service's.
        desk: An address to the address that gives its token.
        client: For requests.
        headers: Of requests for tokens.
        patience: Bounds of such a request.
        clock: Now, in UTC.
    """

    applies: Callable[[str], bool]
    desk: Callable[[str], str]
    client: httpx.Client
    headers: Mapping[str, str] = field(default_factory=dict)
    patience: Patience = PATIENT
    clock: Callable[[], dt.datetime] = _now
    _tokens: dict[str, _Token] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def signs(self, href: str) -> bool:
        """See ``Signer``."""
        return self.applies(href)

    def sign(self, href: str, refused: str | None = None) -> str:
        """See ``Signer``."""
        address = self.desk(href)
        with self._lock:
            token = self._tokens.setdefault(address, _Token())
        with token.lock:
            is_refused = refused is not None and refused.endswith(token.query)
            if is_refused or self.clock() >= token.until:
                token.query, token.until = self._fetch(address)
            query = token.query
        plain = unsigned(href)
        return f"{plain}{'&' if '?' in plain else '?'}{query}"

    def _fetch(self, address: str) -> tuple[str, dt.datetime]:
        for attempt in self.patience.tries():
            with attempt:
                try:
                    answer = self.client.get(address, headers=self.headers)
                except httpx.HTTPError as err:
                    raise trouble_of_error(address, err) from None
                if not answer.is_success:
                    raise trouble_of_status(address, answer)
                return self._understood(address, answer)
        raise AssertionError  # the last try raises

    def _understood(self, address: str, answer: httpx.Response) -> tuple[str, dt.datetime]:
        try:
            document = answer.json()
            query, stated = str(document["token"]).lstrip("?&"), document.get("msft:expiry")
            until = dt.datetime.fromisoformat(stated) if stated else None
        except (KeyError, TypeError, ValueError):
            raise Trouble(address, "the token service answered without a token", "signing") from None
        if until is None:
            return query, dt.datetime.max.replace(tzinfo=dt.UTC)
        until = until if until.tzinfo else until.replace(tzinfo=dt.UTC)
        # A short life is used by half; a token that came at its end is tried all the same.
        spare_s = min(_SPARE_S, max(0.0, (until - self.clock()).total_seconds()) / 2)
        return query, until - dt.timedelta(seconds=spare_s)


def planetary_computer(client: httpx.Client, patience: Patience = PATIENT) -> TokenSigner:
    """Signs Azure storage with Planetary Computer's tokens, one for each container.

    ``PC_SDK_SAS_URL`` names another token service, ``PC_SDK_SUBSCRIPTION_KEY`` a subscriber: the variables that its own
    library reads. Addresses that carry a signature already keep it.
    """
    service = os.environ.get("PC_SDK_SAS_URL", _TOKEN_SERVICE).rstrip("/")
    key = os.environ.get("PC_SDK_SUBSCRIPTION_KEY", "")

    def desk(href: str) -> str:
        parts = urlsplit(href)
        account, container = (parts.hostname or "").removesuffix(_BLOBS), parts.path.lstrip("/").partition("/")[0]
        return f"{service}/token/{account}/{container}"

    def applies(href: str) -> bool:
        return (urlsplit(href).hostname or "").endswith(_BLOBS) and unsigned(href) == href

    return TokenSigner(applies, desk, client, {"Ocp-Apim-Subscription-Key": key} if key else {}, patience)


def by_prefix(prefix: str, token_url: str, client: httpx.Client, patience: Patience = PATIENT) -> TokenSigner:
    """Signs what begins with a prefix, with the token that one address gives."""
    return TokenSigner(lambda href: href.startswith(prefix), lambda _: token_url, client, patience=patience)


def signers_of(rules: Iterable[str], client: httpx.Client, patience: Patience = PATIENT) -> tuple[Signer, ...]:
    """Signers that settings ask for: ``PREFIX=TOKEN_URL`` each, or ``planetary-computer``."""
    signers: list[Signer] = []
    for rule in rules:
        prefix, _, token_url = rule.partition("=")
        signer = planetary_computer(client, patience) if rule == PLANETARY_COMPUTER else None
        signers.append(signer or by_prefix(prefix, token_url, client, patience))
    return tuple(signers)
