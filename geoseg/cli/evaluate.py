"""``geoseg evaluate``, ``geoseg models compare`` and ``geoseg models calibrate``."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from geoseg.cli import completion
from geoseg.errors import RequestError

if TYPE_CHECKING:
    from geoseg.evaluation.calibrate import Calibration
    from geoseg.evaluation.record import EvaluationRecord
    from geoseg.models import ModelFolder
    from geoseg.settings import Settings

Config = Annotated[
    Path,
    typer.Argument(
        help="YAML file with a block data, as geoseg train takes it, and perhaps a block evaluate.", show_default=False
    ),
]
HoldOut = Annotated[
    list[str] | None,
    typer.Option("--hold-out", help="Group of images to use; repeat. Default: what the configuration holds out."),
]
Conformal = Annotated[
    float | None,
    typer.Option(
        "--conformal",
        help="Make sets of classes that lack the true one in such a share of the pixels of a new scene, such as 0.1.",
    ),
]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for evaluation.json and evaluation.html. Default: none is written.")
]
Backend = Annotated[str | None, typer.Option("--backend", help="As for geoseg run: auto, torch or openvino.")]
Device = Annotated[str | None, typer.Option("--device", help="As for geoseg run: auto, cpu or cuda.")]
MaxMemory = Annotated[str | None, typer.Option("--max-memory", help="As for geoseg run, such as 4GB.")]
Offline = Annotated[bool, typer.Option("--offline", help="Fetch nothing: use what is on this machine.")]
Json = Annotated[bool, typer.Option("--json", help="Print the record as one JSON object at the end.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but results and errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]


def evaluate_command(
    config: Config,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            help="Model to evaluate, as for geoseg run; repeat for several.",
            autocompletion=completion.models,
        ),
    ] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            "--detector",
            help="Detector of change to hold against labels of two dates, as for geoseg run; repeat for several. "
            "Default: those of the configuration.",
        ),
    ] = None,
    hold_out: HoldOut = None,
    conformal: Conformal = None,
    out: Out = None,
    backend: Backend = None,
    device: Device = None,
    max_memory: MaxMemory = None,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Hold maps of labelled images, of one date or two, against the labels: by the road of geoseg run, beside baselines."""
    del debug
    if not model and not detector:
        raise RequestError("geoseg evaluate without --model", "at least one model", "add --model NAME")
    settings = _settings(backend, device, max_memory, offline=offline)
    record = _compare(config, model or [], hold_out or [], conformal, settings, quiet=quiet, detectors=detector or [])
    _show(record, out, as_json=as_json, quiet=quiet)


def compare_command(
    config: Config,
    models: Annotated[
        list[str], typer.Argument(help="Models to compare, as for geoseg run --model.", show_default=False)
    ],
    hold_out: HoldOut = None,
    out: Out = None,
    backend: Backend = None,
    device: Device = None,
    max_memory: MaxMemory = None,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Several models on the same labelled images in one table, with size and speed, beside baselines."""
    del debug
    settings = _settings(backend, device, max_memory, offline=offline)
    record = _compare(config, models, hold_out or [], None, settings, quiet=quiet)
    _show(record, out, as_json=as_json, quiet=quiet)


def calibrate_command(
    model: Annotated[str, typer.Argument(help="Model folder of this machine, or its name.", show_default=False)],
    config: Config,
    hold_out: HoldOut = None,
    conformal: Conformal = None,
    backend: Backend = None,
    device: Device = None,
    max_memory: MaxMemory = None,
    offline: Offline = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Fit temperatures on held-out images and put them into the model's item: confidences then are probabilities."""
    del debug
    from geoseg.evaluation.calibrate import (  # noqa: PLC0415  # the whole road
        calibrate,
        check_storable,
        store,
        store_class_sets,
    )
    from geoseg.evaluation.class_sets import check_miss  # noqa: PLC0415
    from geoseg.evaluation.task import Task  # noqa: PLC0415
    from geoseg.models.registry import is_elsewhere  # noqa: PLC0415

    if is_elsewhere(model):
        raise RequestError(
            f"the model {model}, which others publish",
            "a folder of this machine",
            f"geoseg models add {model} makes a copy of it",
        )
    if conformal is not None:
        check_miss(conformal)
    settings = _settings(backend, device, max_memory, offline=offline)
    folder = _folder(model, settings)
    check_storable(folder)
    task = Task.read(config, hold_out or [])
    with _telling(quiet=quiet) as say:
        made = calibrate(task, folder, settings, say)
    title = task.held.title or config.name
    _say_calibration(made, [info.name for info in folder.spec.classes])
    if made.is_better:
        folder = store(folder, made, title)
        typer.echo(f"{folder.path / 'item.json'} has it; finished tiles of the model are made anew")
    else:
        typer.echo("not stored: it does not help on scenes that it was not fitted on")
    if conformal is not None:
        sets = made.class_sets(conformal, folder.spec.temperatures or folder.spec.temperature)
        store_class_sets(folder, sets, made.legend.classes, title)
        typer.echo(
            f"{folder.path / 'item.json'} has class sets: {class_sets_in_words(sets.thresholds, made.legend.classes)}"
        )
    if made.is_better and (folder.path / "exports").is_dir():
        typer.echo(
            f"exports of {model} are of the model without it: make them again with geoseg models export", err=True
        )


def _say_calibration(made: Calibration, names: Sequence[str]) -> None:
    where = "scenes that it was not fitted on" if made.is_tried else "the one scene that it was fitted on"
    each = ", ".join(f"{number:g} for {name}" for number, name in zip(made.fit.temperatures, names, strict=False))
    told = f"temperatures {each}" if each else f"temperature {made.fit.temperature:g}"
    typer.echo(f"{told}, fitted on {made.before.pixels:,} pixels of {made.scenes} scenes")
    for name, before, after in (
        ("expected calibration error", made.before.ece, made.after.ece),
        ("negative log likelihood", made.before.mean_nll, made.after.mean_nll),
        ("Brier score", made.before.mean_brier, made.after.mean_brier),
    ):
        typer.echo(f"{name}: {before:.4f}, with it {after:.4f} on {where}")
    if made.fit.at_bound:
        typer.echo("note: the best temperature lies outside of what is allowed: look at labels and training", err=True)


def class_sets_in_words(thresholds: Sequence[float | None], classes: Sequence[str]) -> str:
    """From which probability on each class is named.

    Args:
        thresholds: Of each class; ``None`` where it always is.
        classes: Names.
    """
    each = (
        f"{name} always" if least is None else f"{name} from {least:.1%} on"
        for name, least in zip(classes, thresholds, strict=True)
    )
    return ", ".join(each)


@contextmanager
def _telling(*, quiet: bool) -> Iterator[Callable[[str], object]]:
    """Says what is being done, on stderr."""
    from geoseg.cli.progress import show_progress  # noqa: PLC0415

    warnings.filterwarnings("ignore", message="Dataset has no geotransform")  # as geoseg run
    with show_progress(quiet=quiet) as progress:
        yield progress.stage


def _settings(backend: str | None, device: str | None, max_memory: str | None, *, offline: bool) -> Settings:
    from geoseg.machine import tune_allocator  # noqa: PLC0415
    from geoseg.settings import Settings  # noqa: PLC0415

    tune_allocator()
    return Settings.with_options(backend=backend, device=device, max_memory=max_memory, offline=offline or None)


def _folder(reference: str, settings: Settings) -> ModelFolder:
    from geoseg.models import resolve  # noqa: PLC0415

    return resolve(reference, models_dirs=settings.models, cache=settings.cache, offline=settings.offline)


def _compare(
    config: Path,
    models: list[str],
    hold_out: list[str],
    miss: float | None,
    settings: Settings,
    *,
    quiet: bool,
    detectors: Sequence[str] = (),
) -> EvaluationRecord:
    from geoseg.evaluation.task import Task, compare  # noqa: PLC0415  # the whole road

    folders = [_folder(reference, settings) for reference in models]
    names = [folder.spec.name for folder in folders]
    if len(set(names)) < len(names):  # the same model twice, say before and after a calibration
        names = models
    task = Task.read(config, hold_out)
    with _telling(quiet=quiet) as say:
        return compare(task, folders, settings, miss=miss, names=names, detectors=detectors, say=say)


def _show(record: EvaluationRecord, out: Path | None, *, as_json: bool, quiet: bool) -> None:
    from geoseg.evaluation.page import write_json, write_page  # noqa: PLC0415
    from geoseg.evaluation.tables import describe  # noqa: PLC0415

    if not quiet:
        for line in describe(record):
            typer.echo(line)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "evaluation.json", record)
        page = write_page(out / "evaluation.html", record)
        if not quiet:
            typer.echo(f"the page: {page}")
    if as_json:
        typer.echo(record.model_dump_json())
