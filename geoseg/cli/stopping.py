"""What a signal does to a run or a training: it ends after the chip or step at hand, or at once when asked again."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any, Self

_GRACE_S = 8.0


class stop_on_signal:  # noqa: N801  # used like a function
    """Context in which SIGINT and SIGTERM ask the run to stop; a second one, or a slow stop, ends the process.

    Ending at once loses nothing: records and files appear by rename.

    Args:
        words: What is kept, and how to go on.
        grace_s: How slow a stop may be.
    """

    def __init__(
        self, words: str = "finished tiles are kept, the same command goes on from there", grace_s: float = _GRACE_S
    ) -> None:
        self.number = signal.SIGINT.value
        self._words, self._grace_s = words, grace_s
        self._event = threading.Event()
        self._before: dict[int, Any] = {}
        self._grace: threading.Timer | None = None

    def is_set(self) -> bool:
        """Whether a signal has come."""
        return self._event.is_set()

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._grace is not None:
            self._grace.cancel()  # it stopped in time
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.number = number
        if self._event.is_set():
            _leave(number)
        self._event.set()
        sys.stderr.write(f"\nstopping; {self._words}\n")
        self._grace = threading.Timer(self._grace_s, _leave, (number,))
        self._grace.daemon = True
        self._grace.start()


def _leave(number: int) -> None:
    sys.stderr.write("ended; run the same command again to go on\n")
    sys.stderr.flush()
    os._exit(128 + number)
