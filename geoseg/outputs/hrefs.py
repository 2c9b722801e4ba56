"""Addresses as they may be written down: without what signs them or says who asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>]+")


def plain_href(href: str) -> str:
    """An address without user, query and fragment: what may be written down. Paths stay as they are."""
    try:
        parts = urlsplit(href)
    except ValueError:  # not an address anybody can open; drop what could be a secret all the same
        return href.partition("?")[0].rpartition("@")[2]
    if not parts.netloc:
        return href
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def without_secrets(value: Any) -> Any:  # JSON: what goes in comes out, with other text in it
    """A JSON value in whose texts every address is a `plain_href`."""
    match value:
        case str():
            return _URL.sub(lambda found: plain_href(found[0]), value)
        case Mapping():
            return {without_secrets(key): without_secrets(entry) for key, entry in value.items()}
        case list() | tuple():
            return [without_secrets(entry) for entry in value]
        case _:
            return value
