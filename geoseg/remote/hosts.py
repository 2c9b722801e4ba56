"""How many requests a server gets at the same time: fewer when it asks for fewer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from geoseg.remote.trouble import Trouble

# After a request was given up, and at most, however often that happens.
_FIRST_PAUSE_S = 30.0
_LONGEST_PAUSE_S = 600.0
# Files of a host that fail for good, one after the other, before the host is believed to be down.
_FILES_DOWN = 3
# Good answers in a row after which one more request may be under way.
_GOOD_ANSWERS = 20


class Gate:
    """Bounds the requests to one host, of all jobs of the process."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._under_way = 0
        self._limit: int | None = None  # none: the host never asked for less than a job allows
        self._good = 0
        self.breaker = Breaker(_FILES_DOWN)

    @property
    def limit(self) -> int | None:
        """Requests at the same time that the host bears, as far as it said; ``None`` where it never did."""
        return self._limit

    @contextmanager
    def passing(self, most: int) -> Iterator[None]:
        """Wait for a place, and hold it.

        Args:
            most: Requests at the same time that the job allows.
        """
        with self._change:
            self._change.wait_for(lambda: self._under_way < min(most, self._limit or most))
            self._under_way += 1
        try:
            yield
        finally:
            with self._change:
                self._under_way -= 1
                self._change.notify()

    def is_busy(self, most: int) -> None:
        """The host asked for fewer requests: half as many from now on, one at least."""
        with self._change:
            self._limit, self._good = max(1, min(most, self._limit or most) // 2), 0

    def is_well(self, most: int) -> None:
        """The host answered: after some of these in a row it gets one more at a time."""
        with self._change:
            if self._limit is None:
                return
            self._good += 1
            if self._good >= _GOOD_ANSWERS:
                self._limit = self._limit + 1 if self._limit + 1 < most else None
                self._good = 0
                self._change.notify()


class Breaker:
    """Keeps requests from what has just failed for good, so that hundreds of them do not wait for the same fault.

    Args:
        strikes: Failures in a row that are needed.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(self, strikes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._strikes = strikes
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._until = 0.0
        self._last: Trouble | None = None

    @property
    def refusal(self) -> Trouble | None:
        """Why not to ask now, or ``None``."""
        with self._lock:
            is_open = self._failures >= self._strikes and self._clock() < self._until
            return self._last if is_open else None

    def gave_up(self, trouble: Trouble) -> None:
        """All tries of a request failed."""
        with self._lock:
            self._failures += 1
            pauses = max(0, self._failures - self._strikes)
            self._until = self._clock() + min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(pauses, 10))
            self._last = trouble

    def is_well(self) -> None:
        """A request was answered."""
        if self._failures:
            with self._lock:
                self._failures, self._last = 0, None


_gates: dict[str, Gate] = {}
_lock = threading.Lock()


def gate_of(href: str) -> Gate:
    """The gate of an address's host."""
    host = urlsplit(href).netloc.rpartition("@")[2].lower()
    with _lock:
        return _gates.setdefault(host, Gate())
