"""``geoseg train``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from geoseg.cli.progress import console
from geoseg.cli.stopping import stop_on_signal
from geoseg.errors import InterruptedRunError, RequestError

if TYPE_CHECKING:
    from geoseg.training.module import Watcher

_PLAIN_EVERY_S = 10.0
#: A look at the held-out groups is not interrupted.
_GRACE_S = 90.0


def train_command(
    config: Annotated[Path, typer.Argument(help="YAML file: data, network, loss, augment, schedule, seed.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; default geoseg-train/<name of the file>.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the folder.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Replace what is in the folder.")] = False,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Where the network computes.")] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing while it goes on.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Train a network from labelled images, and write a model folder that `geoseg run --model` takes."""
    del debug
    if not config.is_file():
        raise RequestError(f"the configuration {config}", "a YAML file", "docs/howto/train.md has one to start from")
    from geoseg.machine import tune_allocator  # noqa: PLC0415

    tune_allocator()  # gradients are made in a thread of their own, whose freed memory would go back at every step
    try:
        from geoseg.training.loop import train  # noqa: PLC0415  # torch and lightning
    except ModuleNotFoundError as err:
        raise RequestError(
            f"geoseg train without {err.name}", "the extra train", "install it: pip install 'geoseg[train]'"
        ) from err
    from geoseg.models.adding import Places  # noqa: PLC0415
    from geoseg.settings import Settings  # noqa: PLC0415

    settings = Settings.with_options()
    folder = out or Path("geoseg-train") / config.stem
    words = "the checkpoint is kept, the same command with --resume goes on from there"
    with stop_on_signal(words, _GRACE_S) as stopped, watching(quiet=quiet) as watcher:
        try:
            done = train(
                config,
                folder,
                watcher,
                resume=resume,
                fresh=fresh,
                device=device,
                places=Places(settings.cache, settings.models, settings.offline),
                is_stopped=stopped.is_set,
            )
        except InterruptedRunError as err:
            raise InterruptedRunError(err.given, err.expected, err.todo, 128 + stopped.number) from err
    typer.echo(f"model:  {done.model}")
    typer.echo(f"report: {done.folder / 'report.html'}")
    if done.mean_iou is not None:
        typer.echo(f"mean IoU of the held-out groups: {done.mean_iou:.3f}")
    typer.echo(f"next:   {command_for(done.model, done.dates)}")


def command_for(model: Path, dates: int) -> str:
    """The command that makes a map with a model of one date or two."""
    images = "--scenes …" if dates == 1 else "--workflow change --scenes-before … --scenes-after …"
    return f"geoseg run --model {model} {images}"


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watcher]:
    """A bar on a terminal, plain lines elsewhere, nothing when quiet."""
    if quiet:
        yield _Silent()
    elif sys.stderr.isatty():
        with _Bar() as bar:
            yield bar
    else:
        yield _Lines()


def _words(loss: float, mean_iou: float | None) -> str:
    return f"loss {loss:.4f}" + ("" if mean_iou is None else f", IoU {mean_iou:.3f}")


class _Silent:
    """Says nothing."""

    def stage(self, name: str) -> None:
        del name

    def note(self, text: str) -> None:
        del text

    def step(self, step: int, total: int, loss: float, mean_iou: float | None) -> None:
        del step, total, loss, mean_iou


class _Lines:
    """A plain line per stage, one every few seconds of training, one for each look at the held-out groups."""

    def __init__(self) -> None:
        self._said = 0.0
        self._mean_iou: float | None = None

    def stage(self, name: str) -> None:
        self.note(name)

    def note(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def step(self, step: int, total: int, loss: float, mean_iou: float | None) -> None:
        now = time.monotonic()
        if now - self._said >= _PLAIN_EVERY_S or step == total or mean_iou != self._mean_iou:
            self._said, self._mean_iou = now, mean_iou
            self.note(f"step {step} of {total}: {_words(loss, mean_iou)}")


class _Bar:
    """One bar with loss, IoU and time left."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed}/{task.total} steps"),
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
        self._progress.update(self._task, description=name)

    def note(self, text: str) -> None:
        self._progress.console.print(text, markup=False)

    def step(self, step: int, total: int, loss: float, mean_iou: float | None) -> None:
        self._progress.update(self._task, completed=step, total=total, facts=_words(loss, mean_iou))
