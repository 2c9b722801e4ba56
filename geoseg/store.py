"""The tile store: one object per tile, whole or absent, under the hash of everything its pixels depend on.

A record is a ZIP archive of ``.npy`` members, as ``numpy.load`` reads it, with its facts as JSON; the archive's comment
is the SHA-256 of all bytes before it, because the CRCs of a ZIP archive leave names and directory unguarded. It is
written under a temporary name, read back, and renamed; a torn or altered record counts as absent.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import uuid
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import OutputError

# Raised whenever the pixels of some job change; tests/test_golden.py fails until it is.
RESULTS_VERSION = 2

_FACTS = "facts.json"
_DIGEST_BYTES = 64
_HOW_ON = "free space or set GEOSEG_CACHE, then run the same command: finished tiles are kept"


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


def digest_of(content: Any) -> str:
    """SHA-256 of the canonical JSON of a value."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class TileStore:
    """Tile records in a folder, two levels deep, shared by all jobs.

    Args:
        folder: Where; made on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, key: str) -> Path:
        """Where a record lies or would lie."""
        return self._folder / key[:2] / key[2:4] / f"{key}.zip"

    def get(self, key: str) -> TileRecord | None:
        """The record under a key, or ``None`` where there is none that is whole."""
        try:
            body = self.path(key).read_bytes()
        except OSError:
            return None
        return _decode(body) if _is_whole(body) else None

    def add(self, key: str, record: TileRecord) -> TileRecord:
        """Write a record together with the cells that are there by now, perhaps by another run.

        Returns:
            What was written.

        Raises:
            OutputError: See ``put``.
        """
        with self._alone(key):
            older = self.get(key)
            if older is not None and not older.incomplete and (older.cells & ~record.cells).any():
                record = record.merged_with(older)
            self.put(key, record)
        return record

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        """Hold the lock of a key's folder; it goes with the process, so a killed one leaves nothing behind."""
        folder = self.path(key).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (folder / ".lock").open("w")
        except OSError as err:
            raise OutputError(
                f"the tile store {folder}: {err}", f"a folder that can be written; {_free(folder)}", _HOW_ON
            ) from err
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def put(self, key: str, record: TileRecord) -> None:
        """Write a record whole, in place of an older one.

        Raises:
            OutputError: If it cannot be written, or reads back differently.
        """
        path = self.path(key)
        body = _encode(record)
        temporary = path.with_name(f".{path.stem}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            if temporary.read_bytes() == body:
                temporary.replace(path)
                return
            problem: object = "it reads back differently"
            cause = None
        except OSError as err:
            problem, cause = err, err
        with suppress(OSError):  # what stopped the write may stop this too
            temporary.unlink()
        raise OutputError(
            f"the tile record {path}: {problem}",
            f"room for {len(body):,} bytes in the tile store; {_free(path.parent)}",
            _HOW_ON,
        ) from cause


def _free(folder: Path) -> str:
    """Room on the disk of a folder, which may not be there yet."""
    with suppress(OSError):
        here = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
        return f"{shutil.disk_usage(here).free:,} bytes are free there"
    return "the room that is left cannot be told"


def _encode(record: TileRecord) -> bytes:
    buffer = io.BytesIO()
    facts = {"incomplete": record.incomplete, "facts": dict(record.facts)}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in sorted({**record.layers, "cells": record.cells}.items()):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_DEFLATED, 1)
        archive.writestr(zipfile.ZipInfo(_FACTS), json.dumps(facts, sort_keys=True), zipfile.ZIP_DEFLATED, 1)
        archive.comment = b"0" * _DIGEST_BYTES
    content = buffer.getvalue()[:-_DIGEST_BYTES]
    return content + _digest(content)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _is_whole(body: bytes) -> bool:
    return body[-_DIGEST_BYTES:] == _digest(body[:-_DIGEST_BYTES])


def _decode(body: bytes) -> TileRecord:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        facts = json.loads(archive.read(_FACTS))
        arrays = {
            name.removesuffix(".npy"): np.lib.format.read_array(io.BytesIO(archive.read(name)), allow_pickle=False)
            for name in archive.namelist()
            if name.endswith(".npy")
        }
    cells = arrays.pop("cells")
    return TileRecord(arrays, cells, facts["incomplete"], facts["facts"])
