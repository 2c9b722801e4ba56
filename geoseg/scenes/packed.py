"""The JSON of items, small in memory: a hundred thousand of them are kept until a tile asks for some."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

_QUICK = 1
_KEPT = 64


class PackedDocument(Mapping[str, Any]):
    """A JSON object that is unpacked when it is looked at. What it holds is not to be changed.

    Args:
        document: The object; a packed one is shared.
        links: Whether the member ``links`` is what it is, or empty: addresses count from an item's link to itself.
    """

    __slots__ = ("_bytes", "_links")

    def __init__(self, document: Mapping[str, Any], *, links: bool = True) -> None:
        self._links = links
        if isinstance(document, PackedDocument):
            self._bytes: bytes = document._bytes  # noqa: SLF001  # of its own kind
        else:
            text = json.dumps(dict(document), separators=(",", ":"), default=str)
            self._bytes = zlib.compress(text.encode(), _QUICK)

    def _content(self) -> dict[str, Any]:
        content = _unpacked(self._bytes)
        return content if self._links else {**content, "links": []}

    def __getitem__(self, name: str) -> Any:
        return self._content()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content())

    def __len__(self) -> int:
        return len(self._content())

    def __repr__(self) -> str:
        return f"PackedDocument({self._content()!r})"


@lru_cache(_KEPT)
def _unpacked(packed: bytes) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(zlib.decompress(packed))
    return content
