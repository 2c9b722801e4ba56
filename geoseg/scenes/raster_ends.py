"""Pictures that were cut short, of the two formats that GDAL or its libraries then fill up with zeros or with grey."""

from __future__ import annotations

import re
from collections.abc import Callable

# Bytes of a file from one place to another; fewer where it ends.
type Bytes = Callable[[int, int], bytes]

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB\x60\x82"
_JPEG_END = b"\xff\xd9"
_ALONE = {b"\xd8", b"\x01"}  # markers that no length follows
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # not of the stuffing, filling and restarts among coded pixels
_STEP_BYTES = 2**20


def cut_short(read: Bytes, size: int) -> str:
    """What a picture that lacks its end is, in words; "" for whole ones and for other formats.

    Whatever follows the end (a second picture, a maker's notes) is let be.

    Args:
        read: Gives bytes of the file.
        size: Bytes of the file; 0 where nobody knows.
    """
    if not size:
        return ""
    first = read(0, len(_PNG))
    if first == _PNG and not _png_ends(read, size):
        return "a PNG that was cut short: its end is missing"
    if first.startswith(_JPEG) and not _jpeg_ends(read, size):
        return "a JPEG that was cut short: its end is missing"
    return ""


def _png_ends(read: Bytes, size: int) -> bool:
    if read(size - len(_PNG_END), size) == _PNG_END:
        return True
    at = len(_PNG)
    while at + len(_PNG_END) <= size:  # chunk by chunk: length, name, content, checksum
        head = read(at, at + 8)
        if head[4:] == b"IEND":
            return True
        at += len(_PNG_END) + int.from_bytes(head[:4])
    return False


def _jpeg_ends(read: Bytes, size: int) -> bool:
    if read(size - len(_JPEG_END), size) == _JPEG_END:
        return True
    at = len(_JPEG_END)
    while (at := _next_marker(read, at, size)) < size:
        marker = read(at + 1, at + 2)
        if marker == _JPEG_END[1:]:
            return True
        # Over segments by their lengths: thumbnails in them have ends of their own.
        at += 2 if marker in _ALONE else 2 + int.from_bytes(read(at + 2, at + 4))
    return False


def _next_marker(read: Bytes, at: int, size: int) -> int:
    """Place of the next marker; ``size`` where there is none."""
    while at < size:
        part = read(at, min(size, at + _STEP_BYTES))
        if found := _MARKER.search(part):
            return at + found.start()
        at += max(1, len(part) - 1)  # a marker may lie across two parts
    return size
