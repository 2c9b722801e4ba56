"""What is done to bytes that are right: as parsers get them from cables, disks and people who mean harm."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

_ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1e308,
    -1e-320,
    2**63,
    10**40,
    float("nan"),
    float("inf"),
    "",
    "\x00",
    "../../etc/passwd",
    "/vsicurl/http://127.0.0.1:1/a",
    "a" * 10_000,
    "\ud800",
    "🛰\u202e",
    [],
    [[]],
    {},
    [None],
    {"type": "Polygon"},
    "2022-13-45T99:00:00Z",
    "EPSG:0",
)
_BLOCKS = (
    b"\x00",
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x80",
    b"{",
    b"[" * 2000,
    b"<!DOCTYPE a>",
    b"\xef\xbb\xbf",
    b"NaN",
)


def spoiled(rng: random.Random, data: bytes) -> bytes:
    """One step or several from the bytes, through their document where they are JSON."""
    if data[:1] in {b"{", b"["} and rng.random() < 0.8:
        document = json.loads(data)
        for _ in range(rng.randint(1, 4)):
            document = _turned(rng, document)
        return json.dumps(document, ensure_ascii=rng.random() < 0.9).encode("utf-8", "surrogatepass")
    for _ in range(rng.randint(1, 6)):
        data = rng.choice(_WAYS)(rng, data)
    return data


def _turned(rng: random.Random, value: Any) -> Any:
    """A document with one value somewhere in it changed, taken away, doubled or put elsewhere."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        return _turned_object(rng, value)
    if isinstance(value, list) and value and rng.random() < 0.9:
        at, kind = rng.randrange(len(value)), rng.random()
        if kind < 0.2:
            return value[:at] + value[at + 1 :] if kind < 0.1 else value * rng.randint(2, 5)
        return [*value[:at], _turned(rng, value[at]), *value[at + 1 :]]
    if isinstance(value, float) and rng.random() < 0.4:
        return value * rng.choice([-1, 1e3, 1e-9, 1.0000001])
    return rng.choice(_ODD)


def _turned_object(rng: random.Random, value: dict[str, Any]) -> dict[str, Any]:
    name, kind = rng.choice(list(value)), rng.random()
    if kind < 0.08:
        return {key: part for key, part in value.items() if key != name}
    if kind < 0.14:
        return {**value, rng.choice(["", "type", name + "s", "__class__"]): rng.choice(_ODD)}
    return {**value, name: _turned(rng, value[name])}


def _flip(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(max(1, len(data)))
    return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]


def _head(rng: random.Random, data: bytes) -> bytes:
    """Flips where formats keep their sizes."""
    at = rng.randrange(max(1, min(len(data), 600)))
    return data[:at] + rng.randbytes(rng.randint(1, 4)) + data[at + 4 :]


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(max(1, len(data)))]


def _insert(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(_BLOCKS) * rng.randint(1, 3) + data[at:]


def _repeat(rng: random.Random, data: bytes) -> bytes:
    start, stop = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    return data[:stop] + data[start:stop] * rng.randint(1, 20) + data[stop:]


_WAYS: tuple[Callable[[random.Random, bytes], bytes], ...] = (_flip, _head, _head, _cut, _insert, _repeat)
