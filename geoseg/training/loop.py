"""One training from its configuration to a model folder; ``train`` is the whole road."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import lightning.pytorch as pl
import torch

from geoseg.errors import InterruptedRunError, OutputOccupiedError, RequestError
from geoseg.labels import LabelSet
from geoseg.labels.config import read_data
from geoseg.models.adding import Places
from geoseg.models.networks import build
from geoseg.models.spec import ModelSpec
from geoseg.models.state import put_state, read_state
from geoseg.models.transform import Transform
from geoseg.models.weights import find_weights
from geoseg.outputs.files import whole_file
from geoseg.predict.tensors import pick_device
from geoseg.settings import parse_size
from geoseg.training.batches import HeldOut, Preparing, Training
from geoseg.training.checkpoint import Checkpoint
from geoseg.training.coarse import coarse
from geoseg.training.config import TrainConfig, TrainingError
from geoseg.training.folder import first_spec, write_model
from geoseg.training.losses import loss_of
from geoseg.training.module import Parts, Segmenting, StoppedError, Watcher
from geoseg.training.page import write_page
from geoseg.training.rows import write_rows
from geoseg.training.sampler import LabelIndex, Sampler, grid
from geoseg.training.statistics import bands_of, measured_steps, sample_values
from geoseg.training.windows import Windows

CHECKPOINT, ROWS, PAGE, CONFIG, MODEL = "checkpoint.pt", "metrics.csv", "report.html", "config.yaml", "model"
#: Sides of images are multiples of this: what networks with five halvings take.
_STRIDE_PX = 32
_PRECISIONS = {"float32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


@dataclass(frozen=True)
class Trained:
    """What a training gave.

    Attributes:
        folder: The run: checkpoint, ``metrics.csv``, ``report.html``.
        model: The model folder.
        steps: Steps that were taken.
        mean_iou: Of the held-out groups, of the weights that were kept; ``None`` where none were held out.
        dates: Images that the model looks at.
    """

    folder: Path
    model: Path
    steps: int
    mean_iou: float | None
    dates: int = 1


def train(
    config: Path,
    out: Path,
    watcher: Watcher,
    *,
    resume: bool = False,
    fresh: bool = False,
    device: str = "auto",
    places: Places | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
) -> Trained:
    """Train, or go on.

    Args:
        config: YAML file.
        out: Folder of the run.
        watcher: Who is told.
        resume: Go on from the checkpoint in ``out``; from the beginning where there is none.
        fresh: Replace what is in ``out``.
        device: ``cpu``, ``cuda`` or ``auto``.
        places: Where a model to start from is looked for.
        is_stopped: Asked after each step.

    Raises:
        RequestError: If the configuration or the data are wrong.
        OutputOccupiedError: If there is a run in ``out`` that is neither to be resumed nor to be replaced.
        InterruptedRunError: If it was stopped; its checkpoint is written.
        TrainingError: If the loss is no number any more.
    """
    settings = TrainConfig.read(config)
    kept, held = read_data(settings.data, config.parent)
    key = _key(settings, kept, held)
    start = _start(out, key, resume=resume, fresh=fresh)
    if start is not None and start.done and (out / MODEL).exists() and (out / PAGE).exists():
        watcher.note("this training is over; start anew with --fresh")
        look = start.history.look_at(start.best.get("step"))
        known = look.confusion.mean_iou if look is not None else None
        return Trained(out, out / MODEL, start.step, known, kept.dates)
    if settings.validation.patience is not None and held is None:
        raise RequestError(
            "validation.patience without held-out groups", "held_out in the data", "hold out groups, or drop patience"
        )
    out.mkdir(parents=True, exist_ok=True)
    with whole_file(out / CONFIG) as temporary:
        shutil.copyfile(config, temporary)
    watcher.stage("reading the labels")
    spec, parts = _put_together(settings, kept, held, key, out, places)
    module = Segmenting(parts, watcher, is_stopped, start)
    if start is not None and start.threads != torch.get_num_threads():
        watcher.note(f"going on with {torch.get_num_threads()} threads after {start.threads}: the last bits may differ")
    if start is None or not start.done:
        watcher.stage("training" if start is None else f"training, from step {start.step}")
        _fit(module, pick_device(device), settings, out)
    return _finish(module, spec, kept, held, out, watcher)


def _fit(module: Segmenting, device: str, settings: TrainConfig, out: Path) -> None:
    """The loop. Metrics are written even when it ends early."""
    precision = _precision(settings.schedule.precision, device)
    if precision == "fp16" and device == "cpu":
        raise RequestError("schedule.precision fp16 on a CPU", "bf16 or float32", "correct it, or take --device cuda")
    with _quiet():
        trainer = pl.Trainer(
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
            precision=_PRECISIONS[precision],  # type: ignore[arg-type]  # a literal that a table has
            max_steps=settings.schedule.steps - module.done_steps,
            max_epochs=-1,
            gradient_clip_val=settings.schedule.clip or None,
            reload_dataloaders_every_n_epochs=1,
            num_sanity_val_steps=0,
            deterministic="warn",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=out,
        )
        try:
            trainer.fit(module)
        except StoppedError as err:
            raise InterruptedRunError(
                "a signal to stop",
                f"{module.done_steps} of {settings.schedule.steps} steps are done and kept in {out / CHECKPOINT}",
                "the same command with --resume goes on from there",
            ) from err
        finally:
            write_rows(out / ROWS, module.history, module.parts.training.preparing.labels.classes)


def _precision(wanted: str, device: str) -> str:
    """What the pass computes in."""
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bf16" if torch.cpu._is_avx512_bf16_supported() else "float32"  # noqa: SLF001  # torch has no public name for it


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's advice is about trainings that are not this one: loaders with processes, loggers, checkpoints."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    finally:
        logger.setLevel(level)
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])


def _put_together(
    settings: TrainConfig, kept: LabelSet, held: LabelSet | None, key: str, out: Path, places: Places | None
) -> tuple[ModelSpec, Parts]:
    """Data, network and loss, as the configuration wants them."""
    memory = parse_size(settings.sampling.cache)
    learned = replace(kept, members=coarse(kept.members, settings.factor))
    windows = Windows(learned.members, memory)
    index = LabelIndex.build(windows, len(kept.classes))
    if not any(index.pixels):
        raise TrainingError("training data without a labelled pixel", "pixels of a class", "look at classes and ignore")
    values = sample_values(learned, windows)
    spec = first_spec(settings, kept, measured_steps(settings.transform, values))
    torch.manual_seed(settings.seed)
    network = build(spec)
    if settings.network.start is not None:
        _take_weights(network, settings.network.start, places)
    fill = torch.tensor(spec.fill * spec.dates, dtype=torch.float32).view(1, -1, 1, 1)
    preparing = Preparing(kept, Transform(spec.transform, len(spec.bands), spec.dates), fill)
    stride = _STRIDE_PX * int(settings.network.hyperparameters.get("reduce", 1))
    side = -(-settings.sampling.window_px // stride) * stride // settings.factor
    sampler = Sampler(index, settings.sampling, settings.seed)
    training = Training(
        windows, sampler, preparing, bands_of(values), settings.augment, side, settings.sampling.batch, settings.pairs
    )
    held_out = None
    if held is not None:
        spots = tuple(grid(held.members, 2 * side * settings.factor, settings.validation.windows))
        held_out = HeldOut(Windows(held.members, memory), spots, preparing, stride)
    loss = loss_of(settings.loss, index.pixels)
    return spec, Parts(settings, network, loss, training, held_out, len(kept.classes), key, out / CHECKPOINT)


def _take_weights(network: torch.nn.Module, reference: str, places: Places | None) -> None:
    """Starts from what another model knows."""
    if places is None:
        raise RequestError(f"network.start {reference}", "places where models are", "name them to train()")
    given = places.resolve(reference)
    put_state(network, read_state(find_weights(given), given.spec.weights, given.path), given.spec.name)


def _start(out: Path, key: str, *, resume: bool, fresh: bool) -> Checkpoint | None:
    """Where to go on; ``None`` for the beginning."""
    if fresh and resume:
        raise RequestError("--fresh with --resume", "one of the two", "drop the one you do not mean")
    path = out / CHECKPOINT
    if fresh:
        for name in (CHECKPOINT, ROWS, PAGE, CONFIG):
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / MODEL, ignore_errors=True)
        return None
    if path.exists() and not resume:
        raise OutputOccupiedError(
            f"{out}, with a training in it", "a folder without one", "go on with --resume, or start anew with --fresh"
        )
    return Checkpoint.read(path, key) if path.exists() else None


def _key(settings: TrainConfig, kept: LabelSet, held: LabelSet | None) -> str:
    """What a checkpoint belongs to: configuration, and which images in which split."""
    members = [
        [(member.name, member.group, member.shape) for member in labels.members] if labels is not None else []
        for labels in (kept, held)
    ]
    text = json.dumps([settings.model_dump(mode="json"), members], sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _finish(
    module: Segmenting, spec: ModelSpec, kept: LabelSet, held: LabelSet | None, out: Path, watcher: Watcher
) -> Trained:
    """The model folder and the page."""
    network = module.kept_network
    if module.best:
        network.load_state_dict(module.best["state"])
    look = module.history.look_at(module.best.get("step"))
    network = network.cpu().requires_grad_(requires_grad=False)
    watcher.stage("measuring the model")
    write_rows(out / ROWS, module.history, kept.classes)
    model = write_model(out / MODEL, spec, network, module, kept, held, look)
    write_page(out / PAGE, module, network, spec, look)
    known = look.confusion.mean_iou if look is not None else None
    return Trained(out, model, module.done_steps, known, spec.dates)
