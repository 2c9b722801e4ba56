"""Items as their catalogues state them: STAC's JSON with absolute addresses. What holds it never changes it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

import pystac

# What most catalogues write; Python reads it twenty times as fast as what reads all that ISO 8601 allows.
_USUAL = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})?"
)


def stated_by(item: pystac.Item | Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON of an item, its link to itself included; JSON as it is."""
    if isinstance(item, pystac.Item):
        document: dict[str, Any] = item.to_dict(include_self_link=True, transform_hrefs=False)
        return document
    return item


def thawed(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """An item that an earlier search froze; brought up to date where another version of pystac did."""
    if document.get("stac_version") == pystac.get_stac_version():
        return document
    return stated_by(pystac.Item.from_dict(dict(document), preserve_dict=True))


def own_href(document: Mapping[str, Any]) -> str:
    """The address of an item itself, or ""."""
    return next((str(link["href"]) for link in document["links"] if link.get("rel") == "self"), "")


def parsed_moment(text: str) -> dt.datetime:
    """An instant as STAC writes it.

    Raises:
        ValueError: If it is none.
    """
    if _USUAL.fullmatch(text):
        try:
            return dt.datetime.fromisoformat(text)
        except ValueError:
            pass  # midnight as 24:00, which is known to the other
    return pystac.utils.str_to_datetime(text)


def moment_of(properties: Mapping[str, Any]) -> str:
    """The instant of an item, or the first one of a range, as ISO 8601; "" where it has none."""
    stated = properties.get("datetime")
    stated = properties.get("start_datetime") if stated is None else stated
    return "" if stated is None else parsed_moment(stated).strftime("%Y-%m-%dT%H:%M:%SZ")
