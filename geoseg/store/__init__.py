"""The tile store: one object per tile, whole or absent, under the hash of everything its pixels depend on.

It is a folder, or a prefix of an object store that all workers of a cluster reach. A torn or altered record counts as
absent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from geoseg.store.folder import TileStore
from geoseg.store.record import RESULTS_VERSION, TileRecord, canonical, digest_of

__all__ = ["RESULTS_VERSION", "Store", "TileRecord", "TileStore", "canonical", "digest_of", "open_store"]


class Store(Protocol):
    """Where tile records are kept. Can be pickled: workers of a cluster write to the same place."""

    def get(self, key: str) -> TileRecord | None:
        """The record under a key, or ``None`` where there is none that is whole."""
        ...

    def add(self, key: str, record: TileRecord) -> TileRecord:
        """Write a record together with the cells that are there by now, perhaps by another run.

        Does nothing where a complete record has all of its cells already.

        Returns:
            What is there now.

        Raises:
            OutputError: If it cannot be written, or reads back differently.
        """
        ...

    def leave(self, name: str, body: bytes) -> None:
        """Write something small beside the records, for others to find."""
        ...

    def found(self, name: str) -> bytes | None:
        """What was left under a name, or ``None``."""
        ...

    def forget(self, name: str) -> None:
        """Remove what was left under a name."""
        ...


def open_store(place: str | Path) -> Store:
    """The store at a folder, or at an address such as ``s3://bucket/prefix``.

    Raises:
        RequestError: If what reads such addresses is not installed.
    """
    if "://" not in str(place):
        return TileStore(Path(place))
    from geoseg.store.objects import ObjectStore  # noqa: PLC0415  # fsspec, only where it is needed

    return ObjectStore(str(place))
