"""What a person sees while a run goes on: a bar on a terminal, plain lines elsewhere. All of it goes to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from geoseg.errors import printable

if TYPE_CHECKING:
    from geoseg.progress import Progress as Receiver

__all__ = ["console", "show_progress"]

_PLAIN_EVERY_S = 10.0


def console() -> Console:
    """Where everything but results is written."""
    return _Plain(stderr=True, highlight=False, soft_wrap=True, markup=False)


class _Plain(Console):
    """Names of classes, scenes and files are text, whatever brackets and codes they hold."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Text of a line or of a cell."""
        return super().render_str(printable(text), **options)


@contextmanager
def show_progress(*, quiet: bool) -> Iterator[Receiver]:
    """A progress bar on a terminal, plain lines elsewhere, nothing when quiet; libraries that try again tell it here."""
    from geoseg.cli.retries import told  # noqa: PLC0415  # HTTP libraries that --help need not wait for
    from geoseg.progress import Silent  # noqa: PLC0415

    if quiet:
        silent = Silent()
        with told(silent.note):
            yield silent
    elif sys.stderr.isatty():
        with _Bar() as bar, told(bar.note):
            yield bar
    else:
        lines = _Lines()
        with told(lines.note):
            yield lines


class _Rate:
    """Tiles, pixels and speed so far; reused tiles count as done and not as speed."""

    def __init__(self) -> None:
        self.total = self.done = self.reused = self.pixels_left = 0
        self._computed_px, self._start = 0, time.monotonic()

    def begin(self, total: int, pixels: int) -> None:
        self.total, self.done, self.reused, self.pixels_left = total, 0, 0, pixels
        self._computed_px, self._start = 0, time.monotonic()

    def stage(self) -> None:
        """A stage begins: what was done before the first tile, such as loading the network, is no part of the speed."""
        if not self._computed_px:
            self._start = time.monotonic()

    def advance(self, pixels: int, *, reused: bool) -> None:
        self.done += 1
        self.reused += reused
        self.pixels_left -= pixels
        self._computed_px += 0 if reused else pixels

    @property
    def mpx_per_s(self) -> float:
        return self._computed_px / 1e6 / max(1e-6, time.monotonic() - self._start)

    @property
    def seconds_left(self) -> float | None:
        speed = self.mpx_per_s
        return self.pixels_left / 1e6 / speed if speed > 0 else None

    def __str__(self) -> str:
        """Such as ``12/40 tiles (3 reused), 1.25 Mpx/s``; there is no speed where nothing was computed."""
        words = f"{self.done}/{self.total} tiles"
        if self.reused:
            words += " (all reused)" if self.reused == self.total else f" ({self.reused} reused)"
        return words if self.reused == self.done else f"{words}, {self.mpx_per_s:.2f} Mpx/s"


class _Lines:
    """A plain line per stage, and one every few seconds while tiles are computed."""

    def __init__(self) -> None:
        self._rate, self._said = _Rate(), 0.0

    def stage(self, name: str) -> None:
        self._rate.stage()
        self._say(name)

    def note(self, text: str) -> None:
        self._say(text)

    def tiles(self, total: int, pixels: int) -> None:
        self._rate.begin(total, pixels)
        self._said = time.monotonic()

    def tile_done(self, pixels: int, *, reused: bool, place: tuple[int, int]) -> None:
        del place  # people want to know how many
        self._rate.advance(pixels, reused=reused)
        now, rate = time.monotonic(), self._rate
        if now - self._said >= _PLAIN_EVERY_S or rate.done == rate.total:
            self._said = now
            left = "" if not rate.pixels_left or rate.seconds_left is None else f", {rate.seconds_left:.0f} s left"
            self._say(f"{rate}{left}")

    @staticmethod
    def _say(text: str) -> None:
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()


class _Bar:
    """One bar with tiles, Mpx/s and time left."""

    def __init__(self) -> None:
        self._rate = _Rate()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
            console=console(),
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, facts="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def stage(self, name: str) -> None:
        self._rate.stage()
        self._progress.update(self._task, description=name)

    def note(self, text: str) -> None:
        self._progress.console.print(text, markup=False)

    def tiles(self, total: int, pixels: int) -> None:
        self._rate.begin(total, pixels)
        self._progress.reset(self._task, total=total, facts=f"0/{total} tiles")

    def tile_done(self, pixels: int, *, reused: bool, place: tuple[int, int]) -> None:
        del place  # people want to know how many
        self._rate.advance(pixels, reused=reused)
        self._progress.update(self._task, completed=self._rate.done, facts=str(self._rate))
