"""Words to people who may have gone: a terminal that was closed, a log on a full disk."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, TextIO

__all__ = ["Unheard", "leave_stdout"]


class Unheard:
    """A stream that takes everything: what cannot be written is dropped, and no run ends because nobody listens.

    Args:
        stream: Where words go; ``None`` where the process was started without.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write it, if that can be done; the length of the text."""
        with suppress(OSError, ValueError):  # the latter of a stream that was closed
            if self._stream is not None:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that can be done."""
        with suppress(OSError, ValueError):
            if self._stream is not None:
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's."""
        return getattr(self._stream, name)


def leave_stdout() -> None:
    """What it did not take is told by now: the interpreter, which flushes once more, has nothing to add."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
