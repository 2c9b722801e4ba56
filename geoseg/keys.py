"""What a tile's pixels depend on, as one hash.

Everything that can change a pixel is in it; nothing that cannot: no AOI, no output folder, no number of workers, no
signature of an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import stamina

from geoseg.grid import Lattice
from geoseg.scenes import SENSOR_TABLE_VERSION, BandSource, Item
from geoseg.store import RESULTS_VERSION, digest_of
from geoseg.tiles import Tile

# Query parameters that sign an address and say nothing about its content (Azure SAS, AWS, CloudFront, GCS).
_SIGNATURE = {"sig", "se", "st", "sp", "sv", "sr", "sks", "skt", "ske", "skv", "skoid", "sktid", "expires", "signature"}
_SIGNATURE |= {"key-pair-id", "policy", "awsaccesskeyid", "googleaccessid", "token", "access_token"}
# Layers of every record.
KEPT = ("classes", "confidence", "reason")
_HEAD_TIMEOUT_S = 20
_HEADS_AT_ONCE = 8
_HEAD_REFUSED = {403, 405, 501}  # 403: addresses signed for GET alone


def unsigned(href: str) -> str:
    """An address without its signature; paths come back as they are."""
    if "://" not in href:
        return href
    parts = urlsplit(href)
    query = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if not _signs(k)]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, urlencode(query), ""))


def _signs(name: str) -> bool:
    return name.lower() in _SIGNATURE or name.lower().startswith(("x-amz-", "x-goog-"))


def asset_facts(hrefs: Iterable[str]) -> dict[str, str]:
    """For each file: size and modification time, or size and ETag; ``missing`` where there is none.

    They tell one version of a file from another; the content itself is not read.
    """
    wanted = sorted(set(hrefs))
    with (
        httpx.Client(follow_redirects=True, timeout=_HEAD_TIMEOUT_S) as client,
        ThreadPoolExecutor(_HEADS_AT_ONCE) as pool,
    ):
        return dict(zip(wanted, pool.map(lambda href: _fact(href, client), wanted), strict=True))


def _fact(href: str, client: httpx.Client) -> str:
    if href.startswith(("http://", "https://")):
        return _remote_fact(href, client)
    if "://" in href or href.startswith("/vsi"):
        return "remote"
    try:
        status = Path(href).stat()
    except OSError:
        return "missing"
    return f"{status.st_size} bytes, {status.st_mtime_ns} ns"


def _remote_fact(href: str, client: httpx.Client) -> str:
    """Version of a remote file, from HEAD, or from a read of its first byte where HEAD is refused."""
    try:
        for attempt in stamina.retry_context(on=_passing, attempts=4, timeout=_HEAD_TIMEOUT_S * 2):
            with attempt:
                answer = client.head(href)
                if answer.status_code in _HEAD_REFUSED:
                    with client.stream("GET", href, headers={"Range": "bytes=0-0"}) as answer:
                        pass
                answer.raise_for_status()
    except httpx.HTTPStatusError as err:
        status = err.response.status_code
        return "missing" if status in {404, 410} else f"unknown: {status}"
    except httpx.HTTPError as err:
        return f"unknown: {type(err).__name__}"
    length = answer.headers.get("content-range", "").rpartition("/")[2] or answer.headers.get("content-length", "")
    stated = [f"{name}={answer.headers[name]}" for name in ("etag", "last-modified") if name in answer.headers]
    return ", ".join([f"length={length}", *stated])


def _passing(error: Exception) -> bool:
    """Whether a fault may pass by itself."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in {429, 500, 502, 503, 504}
    return isinstance(error, httpx.TransportError)


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

    def key(self, tile: Tile, items: Iterable[Item], facts: Mapping[str, str]) -> str:
        """Key of a tile.

        Args:
            tile: Its place and size.
            items: Items that touch what the tile reads, in the order of the rule.
            facts: Versions of the files, from ``asset_facts``.
        """
        content: dict[str, Any] = {
            "results": RESULTS_VERSION,
            "sensors": SENSOR_TABLE_VERSION,
            "model": self.model,
            "composite": self.composite,
            "quantity": self.quantity,
            "bands": self.bands,
            "grid": _grid_facts(self.lattice),
            "backend": self.backend,
            "precision": self.precision,
            "threads": self.threads,
            "chip": self.chip,
            "layers": self.layers,
            "tile": (tile.row, tile.col, tile.side_cells, tile.cell_px),
            "items": [_item_facts(item, facts) for item in items],
        }
        return digest_of(content)


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
    return [item.collection, item.id, item.version, item.sensor.name, item.alpha, sources]


def _source_facts(source: BandSource, facts: Mapping[str, str]) -> list[Any]:
    return [
        unsigned(source.href),
        source.index,
        source.scale,
        source.offset,
        source.nodata,
        facts.get(source.href, "unknown"),
    ]
