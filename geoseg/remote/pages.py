"""Bytes of remote files that were fetched lately, within a bound."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator

PAGE_BYTES = 2**15
# What one request asks for at most: a fault costs no more than this.
_MOST_PAGES = 256


class Pages:
    """The least recently used pages go first.

    Args:
        most_bytes: Bound of what is kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most = max(1, most_bytes // PAGE_BYTES)
        self._pages: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def bound(self, most_bytes: int) -> None:
        """Keep so much from now on; what is there stays until room is needed."""
        with self._lock:
            self._most = max(1, most_bytes // PAGE_BYTES)

    def get(self, href: str, numbers: range) -> dict[int, bytes]:
        """Those of a file's pages that are there."""
        found = {}
        with self._lock:
            for number in numbers:
                page = self._pages.get((href, number))
                if page is not None:
                    self._pages.move_to_end((href, number))
                    found[number] = page
        return found

    def put(self, href: str, first: int, body: bytes) -> dict[int, bytes]:
        """Keep what begins at a page; returns it page by page."""
        pages = {first + at // PAGE_BYTES: body[at : at + PAGE_BYTES] for at in range(0, max(1, len(body)), PAGE_BYTES)}
        with self._lock:
            for number, page in pages.items():
                self._pages[href, number] = page
            while len(self._pages) > self._most:
                self._pages.popitem(last=False)
        return pages


def runs(numbers: range, known: dict[int, bytes]) -> Iterator[range]:
    """Pages that are missing, as few runs as one request may fetch each."""
    start = None
    for number in [*numbers, numbers.stop]:
        missing = number < numbers.stop and number not in known
        if start is not None and (not missing or number - start >= _MOST_PAGES):
            yield range(start, number)
            start = None
        if missing and start is None:
            start = number
