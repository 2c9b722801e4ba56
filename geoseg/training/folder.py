"""The model folder of a training: spec and card, with kind, stride and radius measured as for every other model."""

from __future__ import annotations

import colorsys
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from geoseg.errors import ModelSpecError
from geoseg.labels import LabelSet
from geoseg.models.check import check_model
from geoseg.models.folder import CARD, UNMEASURED, ModelFolder
from geoseg.models.network import load_network
from geoseg.models.saving import WEIGHTS, save_model
from geoseg.models.spec import ClassInfo, ModelSpec, WeightsRef
from geoseg.models.steps import Step
from geoseg.models.trial import try_scores
from geoseg.training.config import TrainConfig
from geoseg.training.scores import Look

if TYPE_CHECKING:
    from geoseg.training.module import Segmenting

#: How much finer and coarser pixels may be than those trained on, where no scale augmentation says more.
_FINER, _COARSER = 0.5, 2.0


def first_spec(config: TrainConfig, labels: LabelSet, steps: tuple[Step, ...]) -> ModelSpec:
    """The facts of a model that is to be trained, with stand-ins for what is measured at the end.

    Args:
        config: Of the training.
        labels: What is trained on.
        steps: Input transform, complete.

    Raises:
        ModelSpecError: If they contradict each other.
    """
    sizes = [member.gsd_m for member in labels.members if member.gsd_m is not None]
    middle = sorted(sizes)[len(sizes) // 2] if sizes else None
    colours = [entry.colour or _colour(at, len(labels.classes)) for at, entry in enumerate(labels.classes)]
    return ModelSpec(
        name=config.name,
        title=config.title or config.name,
        licence=labels.licence,
        attribution=labels.attribution,
        source="",
        bands=labels.bands,
        quantity=labels.quantity,
        transform=steps,
        classes=tuple(
            ClassInfo(at, entry.name, colours[at], None, entry.description) for at, entry in enumerate(labels.classes)
        ),
        kind="finite",
        stride_px=1,
        architecture=config.network.architecture,
        hyperparameters=config.network.hyperparameters,
        weights=WeightsRef(WEIGHTS, "0" * 64, None, WEIGHTS, "safetensors"),
        resolution_m=middle,
        resolution_range_m=(min(sizes) * _FINER, max(sizes) * _COARSER) if sizes else None,
        expects=labels.expects or None,
        notes=config.notes,
        dates=labels.dates,
    )


def write_model(
    path: Path,
    spec: ModelSpec,
    network: nn.Module,
    module: Segmenting,
    kept: LabelSet,
    held: LabelSet | None,
    look: Look | None,
) -> Path:
    """Write, measure and try out a model; only then the folder gets its name.

    Args:
        path: Folder; replaced.
        spec: See ``first_spec``.
        network: With the weights that are kept.
        module: How it was trained.
        kept: What was trained on.
        held: What was held out.
        look: The last look at it with these weights.

    Raises:
        ModelSpecError: If the network gives no scores that a map can be made of.
    """
    stage = path.with_name(f".{path.name}-part")
    shutil.rmtree(stage, ignore_errors=True)
    try:
        saved = save_model(stage, spec, network)
        (stage / CARD).unlink()  # a longer one is written below
        report = check_model(ModelFolder(stage, saved.spec, undeclared=frozenset(UNMEASURED)), write=True)
        problems = [*report.lasting, *try_scores(load_network(ModelFolder.open(stage)))]
        if problems:
            raise ModelSpecError(
                f"the trained network: {'; '.join(problems)}",
                "a network that gives every image one answer, a score for each class",
                "choose another architecture",
            )
        (stage / CARD).write_text(card(report.measured, module, kept, held, look), encoding="utf-8")
        old = path.with_name(f".{path.name}-old")
        shutil.rmtree(old, ignore_errors=True)
        if path.exists():
            path.rename(old)
        stage.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return path


def card(spec: ModelSpec, module: Segmenting, kept: LabelSet, held: LabelSet | None, look: Look | None) -> str:
    """The model's card, as Markdown: what it is, what it learned from, how well, and how to make it again."""
    config = module.parts.config
    parameters = sum(weight.numel() for weight in module.network.parameters())
    chosen = f"those of step {module.best['step']}, the best look" if module.best else "the mean of the last steps"
    neighbourhood = (
        f"finite: {' '.join(map(str, spec.radius_px))} px (top, left, bottom, right), stride {spec.stride_px}"
        if spec.kind == "finite"
        else f"global, chips of {spec.chip_px} px"
    )
    facts = {
        "licence": spec.licence,
        "attribution": spec.attribution or "none",
        "network": f"`{spec.architecture}` {_inline(dict(spec.hyperparameters))}; {parameters:,} parameters",
        "input": f"{' '.join(spec.bands)} as {spec.quantity}" + (", of two dates" if spec.dates == 2 else ""),
        "input steps": "; ".join(_inline(step.to_json()) for step in spec.transform) or "none",
        "pixel size": f"{spec.resolution_m:g} m" if spec.resolution_m else "not stated by the data",
        "neighbourhood": neighbourhood,
        "trained on": _words(kept),
        "held out": _words(held) if held is not None else "nothing",
        **({} if spec.dates == 1 else {"pairs": _inline(config.pairs.model_dump())}),
        "steps": f"{module.done_steps} of {config.sampling.batch} windows of {module.parts.training.side * config.factor} px, seed {config.seed}",
        "weights": chosen,
    }
    rows = "".join(f"| {name} | {value} |\n" for name, value in facts.items())
    notes = "".join(f"- {note}\n" for note in spec.notes)
    return (
        f"# {spec.name}\n\n{spec.title}\n\n| item | value |\n| --- | --- |\n{rows}\n"
        f"{_classes(spec, module.parts.training.sampler.pixels, config.factor**2, look)}\n{_metrics(module, held, look)}"
        + (f"\n{notes}" if notes else "")
    )


def _metrics(module: Segmenting, held: LabelSet | None, look: Look | None) -> str:
    mean, accuracy = (look.confusion.mean_iou, look.confusion.accuracy) if look is not None else (None, None)
    if held is None or look is None or mean is None or accuracy is None:
        return "Nothing was held out: how well it does is not known.\n"
    parts = module.parts
    windows = len(parts.held_out) if parts.held_out is not None else 0
    told = (
        " The weights were chosen by these very numbers, which are therefore a little too good." if module.best else ""
    )
    return (
        f"Held-out groups ({', '.join(held.groups)}), {windows} windows: mean intersection over union "
        f"{100 * mean:.1f} % over {look.confusion.present} of {parts.classes} classes, "
        f"{100 * accuracy:.1f} % of the labelled pixels.{told} "
        "`geoseg evaluate` measures the model through the road that maps take.\n"
    )


def _classes(spec: ModelSpec, pixels: Sequence[int], square: int, look: Look | None) -> str:
    """The legend; ``square`` is how many pixels of an image a labelled one stands for."""
    ious = look.confusion.ious if look is not None else (None,) * len(spec.classes)
    rows = "".join(
        f"| {info.index} | {info.name} | `{info.colour}` | {count * square:,} | {'' if iou is None else f'{100 * iou:.1f} %'} |\n"
        for info, count, iou in zip(spec.classes, pixels, ious, strict=True)
    )
    return f"| value | class | colour | labelled pixels | IoU held out |\n| --- | --- | --- | --- | --- |\n{rows}"


def _words(labels: LabelSet) -> str:
    title = f"{labels.title}: " if labels.title else ""
    images = f"{len(labels.members)} image{'s' if len(labels.members) > 1 else ''}"
    return f"{title}{images} of {len(labels.groups)} group{'s' if len(labels.groups) > 1 else ''}"


def _inline(document: object) -> str:
    if isinstance(document, dict):
        return ", ".join(f"{key} {_inline(value)}" for key, value in document.items())
    if isinstance(document, list | tuple):
        return " ".join(map(_inline, document))
    return f"{document:g}" if isinstance(document, float) else str(document)


def _colour(at: int, count: int) -> str:
    """A colour for a class that has none: evenly round the circle, the first one grey."""
    if at == 0:
        return "#b8b8b0"
    red, green, blue = colorsys.hsv_to_rgb((at - 1) / max(1, count - 1), 0.65, 0.8)
    return "#{:02x}{:02x}{:02x}".format(*(round(255 * part) for part in (red, green, blue)))
