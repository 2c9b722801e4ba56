"""A tile record, and how it is one object.

A record is a ZIP archive of ``.npy`` files, each compressed by Zstandard (three times as fast as the archive's own
method, and smaller), with its facts as JSON. The archive's comment is the SHA-256 of all bytes before it, because the CRCs
of a ZIP archive leave names and directory unguarded. Members without ``.zst`` are of older versions.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

# Raised whenever the pixels of some job change; tests/test_golden.py fails until it is.
RESULTS_VERSION = 2

_FACTS = "facts.json"
_COMPRESSED = ".npy.zst"
_DIGEST_BYTES = 64


@dataclass(frozen=True, slots=True)
class TileRecord:
    """What is remembered of a tile.

    Attributes:
        layers: Name to (side_px, side_px) array: ``classes``, ``confidence``, ``reason`` and what else was asked
            for; 255, 255, unobserved and 255 in cells that are not done.
        cells: Bitmap of the cells that are done.
        incomplete: Whether a read failed in or near it, so that the next run computes it again.
        facts: JSON-able facts: item shares, failures, seconds.
    """

    layers: Mapping[str, NDArray[Any]]
    cells: NDArray[np.bool_]
    incomplete: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)

    def merged_with(self, older: TileRecord) -> TileRecord:
        """This record's cells on top of an older record's."""
        layers = {}
        for name, layer in self.layers.items():
            step = layer.shape[0] // self.cells.shape[0]
            mine = np.repeat(np.repeat(self.cells, step, axis=0), step, axis=1)
            layers[name] = np.where(mine, layer, older.layers[name])
        facts = dict(self.facts)
        shares = dict(older.facts.get("used_px", {}))
        for item, count in self.facts.get("used_px", {}).items():
            shares[item] = shares.get(item, 0) + count
        facts["used_px"] = shares
        failures = [*older.facts.get("model_failures", ()), *self.facts.get("model_failures", ())]
        if failures:
            facts["model_failures"] = failures
        return TileRecord(layers, self.cells | older.cells, self.incomplete or older.incomplete, facts)

    def covers(self, other: TileRecord) -> bool:
        """Whether this record is complete and has all cells of another, which can then say nothing new."""
        return not self.incomplete and not bool((other.cells & ~self.cells).any())

    def with_cells_of(self, older: TileRecord | None) -> TileRecord:
        """This record together with the cells that are there by now, perhaps by another run."""
        keeps = older is not None and not older.incomplete and bool((older.cells & ~self.cells).any())
        return self.merged_with(older) if older is not None and keeps else self


def canonical(content: Any) -> str:
    """The canonical JSON of a value: sorted by name, without blanks."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def digest_of(content: Any) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def encode(record: TileRecord) -> bytes:
    """A record as one object; equal records are equal bytes."""
    buffer, codec = io.BytesIO(), _codec()
    facts: dict[str, Any] = {"incomplete": record.incomplete, "facts": dict(record.facts), "npy_bytes": {}}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in sorted({**record.layers, "cells": record.cells}.items()):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            facts["npy_bytes"][name] = len(member.getbuffer())
            archive.writestr(zipfile.ZipInfo(f"{name}{_COMPRESSED}"), codec.compress(member.getbuffer(), asbytes=True))
        archive.writestr(zipfile.ZipInfo(_FACTS), json.dumps(facts, sort_keys=True), zipfile.ZIP_DEFLATED, 1)
        archive.comment = b"0" * _DIGEST_BYTES
    content = buffer.getvalue()[:-_DIGEST_BYTES]
    return content + _digest(content)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def is_whole(body: bytes) -> bool:
    """Whether an object is a record, neither torn nor altered."""
    return body[-_DIGEST_BYTES:] == _digest(body[:-_DIGEST_BYTES])


def decode(body: bytes) -> TileRecord:
    """The record of an object that is whole."""
    codec, arrays = _codec(), {}
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        facts = json.loads(archive.read(_FACTS))
        for member in archive.namelist():
            name, content = member.removesuffix(".zst").removesuffix(".npy"), archive.read(member)
            if member.endswith(_COMPRESSED):
                content = codec.decompress(content, facts["npy_bytes"][name], asbytes=True)
            if member != _FACTS:
                arrays[name] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    cells = arrays.pop("cells")
    return TileRecord(arrays, cells, facts["incomplete"], facts["facts"])


def _codec() -> pa.Codec:
    """What packs the layers. Level 1: higher ones are slower and gain little on maps."""
    import pyarrow as pa  # noqa: PLC0415  # a large library, for the first tile only

    return pa.Codec("zstd", compression_level=1)
