"""Files on disk against the checksums that their items carry: flipped bits that decode without a word are found here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from geoseg.scenes import BandSource, Item

# Multihash codes, as the STAC file extension writes them: function, then length, then digest.
_FUNCTIONS = {"11": "sha1", "12": "sha256", "13": "sha512", "d501": "md5"}


def with_verified_files(items: Iterable[Item], cache: Path) -> tuple[Item, ...]:
    """Items whose altered files are marked as damaged: their pixels fail, with this cause.

    Args:
        items: From a catalogue; files elsewhere than on disk, and those without a checksum, are taken as they are.
        cache: Folder that remembers which version of a file was found whole.
    """
    return tuple(_verified(item, cache) for item in items)


def _verified(item: Item, cache: Path) -> Item:
    bands = {band: _judged(item, source, cache) for band, source in item.bands.items()}
    mask = None if item.mask is None else _judged(item, item.mask, cache)
    return item if (bands, mask) == (item.bands, item.mask) else replace(item, bands=bands, mask=mask)


def _judged(item: Item, source: BandSource, cache: Path) -> BandSource:
    stated = str(item.document.get("assets", {}).get(source.asset, {}).get("file:checksum", "")).lower()
    name, expected = _parsed(stated)
    path = Path(source.href)
    if not name or "://" in source.href or not path.is_file():
        return source
    status = path.stat()
    version = f"{path} {status.st_size} {status.st_mtime_ns} {stated}"
    known = cache / "checksums" / hashlib.sha256(version.encode()).hexdigest()
    if known.exists():
        return source
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, name).hexdigest()
    if found == expected:
        known.parent.mkdir(parents=True, exist_ok=True)
        known.touch()
        return source
    return replace(source, damage=f"{name} {found} differs from the item's file:checksum {expected}")


def _parsed(multihash: str) -> tuple[str, str]:
    """Hash function and digest; "" for functions that are not known here."""
    for code, name in _FUNCTIONS.items():
        size = hashlib.new(name, usedforsecurity=False).digest_size
        if multihash.startswith(f"{code}{size:02x}") and len(multihash) == len(code) + 2 + 2 * size:
            return name, multihash[len(code) + 2 :]
    return "", ""
