"""The JSON of items, small in memory: a hundred thousand of them are kept until a tile asks for some."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

# Items of one catalogue say much the same: together they take a quarter of what each takes alone. One of them is looked at
# for the price of all that lie with it, so these are few.
_TOGETHER, _TOGETHER_BYTES = 64, 2**18
_QUICK = 1
_KEPT, _BLOCKS_KEPT = 64, 4


class _Block:
    """Texts, one after the other; compressed once it is full."""

    __slots__ = ("_body", "_size", "_texts")

    def __init__(self) -> None:
        self._texts: list[bytes] = []
        self._body = b""
        self._size = 0

    @property
    def is_full(self) -> bool:
        return bool(self._body) or len(self._texts) >= _TOGETHER or self._size >= _TOGETHER_BYTES

    def add(self, text: bytes) -> tuple[int, int]:
        """Where the text lies from now on: first byte and end."""
        start = self._size
        self._texts.append(text)
        self._size += len(text)
        return start, self._size

    def close(self) -> None:
        """Compress what is there; nothing is added any more."""
        self._body = _codec().compress(b"".join(self._texts), asbytes=True)
        self._texts = []

    def text(self, start: int, stop: int) -> bytes:
        whole = _opened(self) if self._body else b"".join(self._texts)
        return whole[start:stop]

    def opened(self) -> bytes:
        whole: bytes = _codec().decompress(self._body, self._size, asbytes=True)
        return whole


@lru_cache(1)
def _codec() -> Any:
    import pyarrow as pa  # noqa: PLC0415  # a tenth of a second that --help need not wait

    return pa.Codec("zstd", compression_level=_QUICK)


@lru_cache(_BLOCKS_KEPT)
def _opened(block: _Block) -> bytes:
    return block.opened()


class PackedDocument(Mapping[str, Any]):
    """A JSON object that is unpacked when it is looked at. What it holds is not to be changed.

    Args:
        document: The object; a packed one is shared.
        links: Whether the member ``links`` is what it is, or empty: addresses count from an item's link to itself.
        packer: Others that it is packed with.
    """

    __slots__ = ("_block", "_links", "_start", "_stop")

    _block: _Block
    _start: int
    _stop: int

    def __init__(self, document: Mapping[str, Any], *, links: bool = True, packer: Packer | None = None) -> None:
        self._links = links
        if isinstance(document, PackedDocument):
            self._block, self._start, self._stop = document._block, document._start, document._stop  # noqa: SLF001
            return
        self._block = _Block() if packer is None else packer.block
        self._start, self._stop = self._block.add(_text_of(document))
        if packer is None or self._block.is_full:
            self._block.close()

    def _content(self) -> dict[str, Any]:
        content = _unpacked(self._block, self._start, self._stop)
        return content if self._links else {**content, "links": []}

    def __getitem__(self, name: str) -> Any:
        return self._content()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content())

    def __len__(self) -> int:
        return len(self._content())

    def __repr__(self) -> str:
        return f"PackedDocument({self._content()!r})"


class Packer:
    """Packs documents together, in the order in which they come."""

    def __init__(self) -> None:
        self._block = _Block()

    @property
    def block(self) -> _Block:
        """Where the next one goes."""
        if self._block.is_full:
            self._block = _Block()
        return self._block


_as_text = json.JSONEncoder(separators=(",", ":"), default=str).encode


def _text_of(document: Mapping[str, Any]) -> bytes:
    return _as_text(dict(document)).encode()


@lru_cache(_KEPT)
def _unpacked(block: _Block, start: int, stop: int) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(block.text(start, stop))
    return content
