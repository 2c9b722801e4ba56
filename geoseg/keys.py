"""What a tile's pixels depend on, as one hash.

Everything that can change a pixel is in it; nothing that cannot: no AOI, no output folder, no number of workers, no
signature of an address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import batched
from typing import Any

from geoseg.grid import Lattice
from geoseg.load import local_fact
from geoseg.remote import RemoteFiles, is_remote, unsigned
from geoseg.scenes import SENSOR_TABLE_VERSION, BandSource, Item
from geoseg.store import RESULTS_VERSION, canonical
from geoseg.tiles import Tile

# Layers of every record.
KEPT = ("classes", "confidence", "reason")
_FACTS_AT_ONCE, _ASKED_TOGETHER = 8, 4096


def asset_facts(hrefs: Iterable[str], remote: RemoteFiles) -> dict[str, str]:
    """For each file: size and modification time, or size and ETag; ``missing`` where there is none.

    They tell one version of a file from another; the content itself is not read. ``unknown`` and a cause stand where a
    server does not answer: see ``is_known``.

    Args:
        hrefs: Paths and addresses.
        remote: Asks servers.
    """
    wanted = sorted(set(hrefs))
    facts: dict[str, str] = {}
    with ThreadPoolExecutor(_FACTS_AT_ONCE) as pool:
        for some in batched(wanted, _ASKED_TOGETHER):  # a task for each of a million files would be a gigabyte of tasks
            found = pool.map(lambda href: remote.fact(href) if is_remote(href) else local_fact(href), some)
            facts.update(zip(some, found, strict=True))
    return facts


def is_known(fact: str) -> bool:
    """Whether a fact tells a version: a tile that was made without knowing it is no whole one."""
    return not fact.startswith("unknown:")


@dataclass(frozen=True, slots=True)
class KeyParts:
    """The parts of a key that all tiles of a job share.

    Attributes:
        model: Digest of the model's spec, weights checksum included.
        composite: Rule.
        quantity: Unit of the network's input.
        bands: Bands in network order.
        lattice: Pixel grid.
        backend: Such as ``torch-cpu``.
        precision: Such as ``float32``.
        threads: Threads of one forward pass.
        chip: Facts about chips: sides in cells or pixels, batch.
        layers: Those of every record, and what else was asked for, in the order of ``geoseg.pixels.LAYERS``.
        head: Fingerprint of the plug-in whose head runs; "" for heads of geoseg's own.
        fused: Classes of the model to those of a legend in which some are one; empty where none are.
        fitted: Digest of what a job of two dates fitted before its tiles; "" for jobs of one date.
        moved: Rows and columns by which the images are read farther down and right.
    """

    model: str
    composite: str
    quantity: str
    bands: tuple[str, ...]
    lattice: Lattice
    backend: str
    precision: str
    threads: int
    chip: tuple[int, ...]
    layers: tuple[str, ...] = KEPT
    head: str = ""
    fused: tuple[int, ...] = ()
    fitted: str = ""
    moved: tuple[float, float] = (0.0, 0.0)

    def key(self, tile: Tile, items: Iterable[Item], facts: Mapping[str, str]) -> str:
        """Key of a tile of one date.

        Args:
            tile: Its place and size.
            items: Items that touch what the tile reads, in the order of the rule.
            facts: Versions of the files, from ``asset_facts``.
        """
        return Keys(self, facts).of(tile, items)


class Keys:
    """Keys of one job's tiles. What many tiles share is put into words once: they are asked for by the million.

    Args:
        parts: What all tiles share.
        facts: Versions of the files, from ``asset_facts``.
    """

    def __init__(self, parts: KeyParts, facts: Mapping[str, str]) -> None:
        self._parts, self._facts = parts, facts
        self._items: dict[str, str] = {}
        shared = canonical(_shared_facts(parts))
        # Canonical: sorted by name. No text can hold these words, because its quotation marks are escaped.
        self._head, rest = shared.split('"items":null', 1)
        self._middle, self._tail = rest.split('"tile":null', 1)

    def __reduce__(self) -> tuple[type[Keys], tuple[KeyParts, Mapping[str, str]]]:
        return Keys, (self._parts, self._facts)

    def of(self, tile: Tile, items: Iterable[Item], later: Iterable[Item] | None = None) -> str:
        """Key of a tile; see ``KeyParts.key``. Items of a later date, where there is one, are a list of their own."""
        place = canonical((tile.row, tile.col, tile.side_cells, tile.cell_px))
        named = f'"items":[{",".join([self._item(item) for item in items])}]'
        if later is not None:
            named += f',"later":[{",".join([self._item(item) for item in later])}]'
        text = f'{self._head}{named}{self._middle}"tile":{place}{self._tail}'
        return hashlib.sha256(text.encode()).hexdigest()

    def _item(self, item: Item) -> str:
        found = self._items.get(item.key)
        if found is None:
            found = self._items[item.key] = canonical(_item_facts(item, self._facts))
        return found


def _shared_facts(parts: KeyParts) -> dict[str, Any]:
    return {
        "results": RESULTS_VERSION,
        "sensors": SENSOR_TABLE_VERSION,
        "model": parts.model,
        "composite": parts.composite,
        "quantity": parts.quantity,
        "bands": parts.bands,
        "grid": _grid_facts(parts.lattice),
        "backend": parts.backend,
        "precision": parts.precision,
        "threads": parts.threads,
        "chip": parts.chip,
        "layers": parts.layers,
        "tile": None,
        "items": None,
        **({"head": parts.head} if parts.head else {}),
        **({"fused": parts.fused} if parts.fused else {}),
        **({"fitted": parts.fitted} if parts.fitted else {}),
        **({"moved": parts.moved} if any(parts.moved) else {}),
    }


def _grid_facts(lattice: Lattice) -> list[Any]:
    """CRS, the four coefficients of a pixel, and the anchor's place rounded to a millionth of a pixel.

    The anchor's coordinates are computed from whichever raster defined the lattice; rounding keeps the last bits of
    that computation out of the key.
    """
    a, b, c, d, e, f = lattice.transform[:6]
    row, col = lattice.anchor
    size = max(lattice.pixel_size)
    anchor = (c + a * col + b * row, f + d * col + e * row)
    return [str(lattice.crs), a, b, d, e, *(round(value / size, 6) + 0.0 for value in anchor)]  # + 0.0: no minus zero


def _item_facts(item: Item, facts: Mapping[str, str]) -> list[Any]:
    sources = [_source_facts(source, facts) for source in item.sources]
    sensor, plugin = item.sensor.name, item.sensor.plugin
    named = sensor if plugin is None else f"{sensor} of {plugin.fingerprint}"
    return [item.collection, item.id, item.version, named, item.alpha, sources]


def _source_facts(source: BandSource, facts: Mapping[str, str]) -> list[Any]:
    return [
        unsigned(source.href),
        source.index,
        source.scale,
        source.offset,
        source.nodata,
        facts.get(source.href, "unknown"),
    ]
