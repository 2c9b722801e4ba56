"""Files on disk against the checksums that their items carry: flipped bits that decode without a word are found here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from geoseg.scenes import BandSource, Item

# Multihash codes, as the STAC file extension writes them: function, then length, then digest.
_FUNCTIONS = {"11": "sha1", "12": "sha256", "13": "sha512", "d501": "md5"}
_BARE_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHOWN = 80


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


def checksum_warnings(items: Iterable[Item]) -> list[str]:
    """A word about files on disk whose checksum is of no known kind: they are taken unverified.

    Args:
        items: As of `with_verified_files`.
    """
    unknown = {
        source.href: f"{item.id}, {source.asset}: {stated[:_SHOWN]}{'…' if len(stated) > _SHOWN else ''}"
        for item in items
        for source in item.sources
        if (stated := _stated(item, source)) and not _parsed(stated)[0] and _is_here(source)
    }
    if not unknown:
        return []
    more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    known = ", ".join(sorted(_FUNCTIONS.values()))
    first = ascii(next(iter(unknown.values())))
    return [f"unverified: the file:checksum of {first}{more} is no multihash of {known} and no SHA-256 of 64 digits"]


def _stated(item: Item, source: BandSource) -> str:
    stated = item.document.get("assets", {}).get(source.asset, {}).get("file:checksum")
    return "" if stated is None else str(stated).lower()


def _is_here(source: BandSource) -> bool:
    return "://" not in source.href and Path(source.href).is_file()


def _judged(item: Item, source: BandSource, cache: Path) -> BandSource:
    stated = _stated(item, source)
    name, expected = _parsed(stated)
    path = Path(source.href)
    if not name or not _is_here(source):
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


def _parsed(stated: str) -> tuple[str, str]:
    """Hash function and digest; "" for what is no known multihash. Some write a bare SHA-256, which is as clear."""
    if _BARE_SHA256.fullmatch(stated):
        return "sha256", stated
    for code, name in _FUNCTIONS.items():
        size = hashlib.new(name, usedforsecurity=False).digest_size
        if re.fullmatch(f"{code}{size:02x}([0-9a-f]{{{2 * size}}})", stated):
            return name, stated[len(code) + 2 :]
    return "", ""
