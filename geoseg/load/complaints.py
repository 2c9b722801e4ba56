"""What GDAL says in its log only: its JPEG library fills what it cannot decode with grey, and warns.

``GDAL_ERROR_ON_LIBJPEG_WARNING`` makes an error of that for JPEG files, not for JPEG within a TIFF (GDAL 3.12).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rasterio.errors import RasterioIOError

_LOGS = tuple(logging.getLogger(name) for name in ("rasterio._err", "rasterio._env"))


class _Ear(logging.Filter):
    """Takes the JPEG library's warnings of a thread that listens out of rasterio's log."""

    def __init__(self) -> None:
        super().__init__()
        self._of_thread = threading.local()

    @property
    def heard(self) -> list[str] | None:
        """Warnings of this thread; ``None`` where it does not listen."""
        return getattr(self._of_thread, "heard", None)

    @heard.setter
    def heard(self, words: list[str] | None) -> None:
        self._of_thread.heard = words

    def filter(self, record: logging.LogRecord) -> bool:
        words = record.getMessage()
        if self.heard is not None and "JPEGLib:" in words:
            self.heard.append(words[words.index("JPEGLib:") :])
            return False
        parent = logging.getLogger(record.name).parent
        return parent is None or parent.isEnabledFor(record.levelno)


_ear = _Ear()
for _log in _LOGS:
    _log.addFilter(_ear)


@contextmanager
def complaints_raised() -> Iterator[None]:
    """Reads whose pixels the JPEG library made up fail.

    A block is complained of when it is decoded: what GDAL has kept of it is given out again without a word.

    Raises:
        RasterioIOError: At the end, with the first complaint.
    """
    for log in _LOGS:
        if not log.isEnabledFor(logging.WARNING):  # whoever silenced it still hears nothing, see the filter
            log.setLevel(logging.WARNING)
    before, _ear.heard = _ear.heard, []
    try:
        yield
        heard = _ear.heard
    finally:
        _ear.heard = before
    if heard:
        raise RasterioIOError(heard[0])
