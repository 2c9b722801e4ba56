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
        document: The object.
    """

    __slots__ = ("_bytes",)

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._bytes = zlib.compress(json.dumps(dict(document), separators=(",", ":"), default=str).encode(), _QUICK)

    def __getitem__(self, name: str) -> Any:
        return _unpacked(self._bytes)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_unpacked(self._bytes))

    def __len__(self) -> int:
        return len(_unpacked(self._bytes))

    def __repr__(self) -> str:
        return f"PackedDocument({_unpacked(self._bytes)!r})"

    def unpacked(self) -> dict[str, Any]:
        """A copy of its own for who wants to change it."""
        content: dict[str, Any] = json.loads(zlib.decompress(self._bytes))
        return content


@lru_cache(_KEPT)
def _unpacked(packed: bytes) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(zlib.decompress(packed))
    return content
