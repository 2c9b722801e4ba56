"""``evaluation.json``: everything that is known of some models on some images, as numbers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from geoseg import __version__
from geoseg.evaluation.bootstrap import LEVEL, RESAMPLES, Interval, Resampling
from geoseg.evaluation.class_sets import ClassSetFacts
from geoseg.evaluation.confusion import SUMMARIES, Confusion, Numbers, f1, iou, known, recall
from geoseg.evaluation.objects import LEAST_IOU, SIZES_PX, ObjectCounts
from geoseg.evaluation.reliability import Reliability
from geoseg.evaluation.scoring import Evaluation
from geoseg.labels import LabelSet

#: What models are compared by.
FIRST = "mean_iou"
_MEANS = {"mean_iou": iou, "mean_f1": f1, "mean_recall": recall}


class Facts(BaseModel):
    """A part of the record."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NumberFacts(Facts):
    """A number with the interval that holds 95 % of its resamples."""

    value: float | None = Field(description="The number; null where it does not exist.")
    low: float | None = Field(None, description="Lower end of the interval.")
    high: float | None = Field(None, description="Upper end.")
    resamples: int | None = Field(None, description="Resamples in which the number exists.")
    classes: int | None = Field(None, description="Classes that a mean is taken over: those that the reference has.")
    left_out: tuple[str, ...] = Field((), description="Classes that the reference does not have.")


class ClassFacts(Facts):
    """One class."""

    name: str
    reference: int = Field(description="Pixels that are of the class.")
    found: int = Field(description="Pixels that were taken for it.")
    precision: float | None = Field(description="User's accuracy; null where nothing was taken for the class.")
    recall: float | None = Field(description="Producer's accuracy; null where nothing is of the class.")
    f1: float | None
    iou: NumberFacts
    boundary_f1: float | None = Field(description="Null where neither map has a border of the class.")
    boundary_iou: float | None
    object_f1: float | None = Field(description="Null where neither map has an object of the class.")


class SizeFacts(Facts):
    """Objects of one class and size."""

    name: str = Field(description="The class.")
    from_px: int = Field(description="Least pixels of an object.")
    below_px: int | None = Field(description="Pixels that it has fewer of; null for no bound.")
    reference: int = Field(description="Objects of the reference.")
    matched: int = Field(description="Those that were found.")
    found: int = Field(description="Objects of the map.")
    real: int = Field(description="Those that the reference has.")
    pixel_recall: float | None = Field(
        description="Share of the pixels of the reference's objects with the right class."
    )


class BinFacts(Facts):
    """Pixels of about the same confidence."""

    pixels: int
    confidence: float
    accuracy: float


class ReliabilityFacts(Facts):
    """Whether confidences hold."""

    ece: float | None = Field(description="Expected calibration error over bins of equal mass.")
    brier: float | None
    nll: float | None = Field(description="Negative log likelihood, nats per pixel.")
    bins: tuple[BinFacts, ...]


class GroupFacts(Facts):
    """One group of images."""

    name: str
    pixels: int
    accuracy: float | None
    mean_iou: NumberFacts
    ious: tuple[float | None, ...] = Field(description="IoU of each class.")


class ModelFacts(Facts):
    """One model, or one baseline."""

    name: str
    kind: str
    facts: dict[str, str | int | float] = Field(description="Size in bytes, megapixels a second, and the like.")
    lacks: tuple[str, ...] = Field(description="Classes of the labels that it cannot say.")
    summaries: dict[str, NumberFacts] = Field(description="accuracy, kappa, mean_iou, mean_f1, mean_recall, …")
    over_baseline: NumberFacts | None = Field(
        description="Mean IoU less that of the best baseline, drawn in pairs; null for baselines."
    )
    classes: tuple[ClassFacts, ...]
    confusion: tuple[tuple[int, ...], ...] = Field(
        description="Rows are the reference, columns what it was taken for; the last column has no class of the legend."
    )
    sizes: tuple[SizeFacts, ...]
    reliability: ReliabilityFacts
    groups: tuple[GroupFacts, ...]
    unobserved: int = Field(description="Labelled pixels that the images have nothing of; not counted.")
    unanswered: int = Field(description="Labelled pixels without a class of the legend; counted as wrong.")
    without_objects: int = Field(description="Images too large to be cut into objects.")
    class_sets: ClassSetFacts | None = None


class DataFacts(Facts):
    """What the models were held against."""

    title: str
    licence: str
    attribution: str
    images: int
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    training_images: int = Field(description="That the baselines were trained on.")
    across_folds: int | None = Field(
        description="Folds, where baselines were trained on other groups of the same images."
    )
    dates: int = Field(1, description="Images of each labelled place: 2 for labels of what changed between them.")


class EvaluationRecord(Facts):
    """``evaluation.json``."""

    format: Literal[1] = 1
    geoseg: str = Field(description="Version.")
    made: dt.datetime
    data: DataFacts
    boundary_px: int = Field(description="Tolerance of borders.")
    object_iou: float = Field(description="Least overlap of an object and its match.")
    level: float = Field(description="Share of the resamples that an interval holds.")
    resamples: int
    drawn: Literal["groups", "images"] = Field(description="What is drawn for an interval.")
    units: int = Field(description="How many of these there are.")
    models: tuple[ModelFacts, ...]
    notes: tuple[str, ...]


def make_record(
    evaluations: Sequence[Evaluation],
    labels: LabelSet,
    *,
    training_images: int,
    across_folds: int | None = None,
    class_sets: Sequence[ClassSetFacts | None] = (),
    notes: Sequence[str] = (),
) -> EvaluationRecord:
    """The record of some models on the same images.

    Args:
        evaluations: Of models and baselines, in the order of the table.
        labels: The images.
        training_images: See ``DataFacts``.
        across_folds: See ``DataFacts``.
        class_sets: Of each evaluation, where they were asked for.
        notes: What a person should know.
    """
    first = evaluations[0]
    resampling = Resampling(len(first.units), first.measures.seed)
    best = best_baseline(evaluations)
    sets = list(class_sets) or [None] * len(evaluations)
    return EvaluationRecord(
        geoseg=__version__,
        made=dt.datetime.now(tz=dt.UTC).replace(microsecond=0),
        data=DataFacts(
            title=labels.title,
            licence=labels.licence,
            attribution=labels.attribution,
            images=len(labels.members),
            groups=tuple(first.by_group),
            classes=first.legend.classes,
            training_images=training_images,
            across_folds=across_folds,
            dates=labels.dates,
        ),
        boundary_px=first.measures.boundary_px,
        object_iou=LEAST_IOU,
        level=LEVEL,
        resamples=RESAMPLES,
        drawn="groups" if first.drawn_by_group else "images",
        units=len(first.units),
        models=tuple(
            _model(evaluation, resampling, best, made) for evaluation, made in zip(evaluations, sets, strict=True)
        ),
        notes=(*_notes(first), *notes),
    )


def best_baseline(evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """The baseline with the highest mean IoU."""
    baselines = [one for one in evaluations if one.kind != "network"]
    return max(baselines, key=lambda one: one.confusion.mean(iou).value or 0.0, default=None)


def _notes(evaluation: Evaluation) -> list[str]:
    notes = []
    if not evaluation.drawn_by_group and len(evaluation.units) > len(evaluation.by_group):
        notes.append(
            f"{len(evaluation.by_group)} groups are too few to draw from: intervals are over {len(evaluation.units)} images "
            "and too narrow where images of one group resemble each other"
        )
    if absent := evaluation.confusion.mean(iou).left_out:
        names = ", ".join(evaluation.legend.classes[index] for index in absent)
        notes.append(f"not in the reference, and in no mean: {names}")
    return notes


def _model(
    evaluation: Evaluation, resampling: Resampling, best: Evaluation | None, sets: ClassSetFacts | None
) -> ModelFacts:
    confusion, legend = evaluation.confusion, evaluation.legend
    over = None
    if best is not None and evaluation.kind == "network":
        number = SUMMARIES[FIRST]
        value = known(number(confusion.counts) - number(best.confusion.counts))
        over = _number(value, resampling.interval(evaluation.units, number, against=best.units))
    return ModelFacts(
        name=evaluation.name,
        kind=evaluation.kind,
        facts=dict(evaluation.facts),
        lacks=tuple(name for at, name in enumerate(legend.classes) if at not in legend.index),
        summaries=_summaries(evaluation, resampling),
        over_baseline=over,
        classes=_classes(evaluation, resampling),
        confusion=tuple(map(tuple, confusion.counts.tolist())),
        sizes=_sizes(evaluation.objects, legend.classes),
        reliability=_reliability(evaluation.reliability),
        groups=tuple(_group(name, matrix, legend.classes) for name, matrix in evaluation.by_group.items()),
        unobserved=sum(member.unobserved for member in evaluation.members),
        unanswered=sum(member.unanswered for member in evaluation.members),
        without_objects=sum(member.objects is None for member in evaluation.members),
        class_sets=sets,
    )


def _number(value: float | None, interval: Interval | None) -> NumberFacts:
    if interval is None:
        return NumberFacts(value=value)
    return NumberFacts(value=value, low=interval.low, high=interval.high, resamples=interval.resamples)


def _summaries(evaluation: Evaluation, resampling: Resampling) -> dict[str, NumberFacts]:
    confusion, names = evaluation.confusion, evaluation.legend.classes
    made = {}
    for name, number in SUMMARIES.items():
        facts = _number(known(number(confusion.counts)), resampling.interval(evaluation.units, number))
        if name in _MEANS:
            mean = confusion.mean(_MEANS[name])
            left_out = tuple(names[index] for index in mean.left_out)
            facts = facts.model_copy(update={"classes": mean.classes, "left_out": left_out})
        made[name] = facts
    made["boundary_f1"] = _mean(evaluation.boundary.f1, evaluation.boundary.present, names)
    made["boundary_iou"] = _mean(evaluation.boundary.iou, evaluation.boundary.present, names)
    made["object_f1"] = _mean(evaluation.objects.f1, evaluation.objects.present, names)
    return made


def _mean(numbers: Numbers, present: NDArray[np.bool_], names: Sequence[str]) -> NumberFacts:
    """Over the classes that the reference has a border, or an object, of."""
    value = float(numbers[present].mean()) if present.any() else None
    left_out = tuple(name for name, there in zip(names, present, strict=True) if not there)
    return NumberFacts(value=value, classes=int(present.sum()), left_out=left_out)


def _classes(evaluation: Evaluation, resampling: Resampling) -> tuple[ClassFacts, ...]:
    borders, band, things = evaluation.boundary.f1, evaluation.boundary.iou, evaluation.objects.f1
    names = evaluation.legend.classes
    intervals = resampling.intervals(evaluation.units, iou, len(names))
    rows = []
    for at, (name, score) in enumerate(zip(names, evaluation.confusion.classes, strict=True)):
        rows.append(
            ClassFacts(
                name=name,
                reference=score.reference,
                found=score.found,
                precision=score.precision,
                recall=score.recall,
                f1=score.f1,
                iou=_number(score.iou, intervals[at]),
                boundary_f1=known(borders[at]),
                boundary_iou=known(band[at]),
                object_f1=known(things[at]),
            )
        )
    return tuple(rows)


def _sizes(objects: ObjectCounts, names: Sequence[str]) -> tuple[SizeFacts, ...]:
    rows = []
    for name, sizes in zip(names, objects.counts.tolist(), strict=True):
        for at, (reference, matched, found, real, pixels, right) in enumerate(sizes):
            if reference or found:
                rows.append(
                    SizeFacts(
                        name=name,
                        from_px=SIZES_PX[at],
                        below_px=SIZES_PX[at + 1] if at + 1 < len(SIZES_PX) else None,
                        reference=reference,
                        matched=matched,
                        found=found,
                        real=real,
                        pixel_recall=right / pixels if pixels else None,
                    )
                )
    return tuple(rows)


def _reliability(reliability: Reliability) -> ReliabilityFacts:
    return ReliabilityFacts(
        ece=reliability.ece,
        brier=reliability.mean_brier,
        nll=reliability.mean_nll,
        bins=tuple(BinFacts(pixels=b.pixels, confidence=b.confidence, accuracy=b.accuracy) for b in reliability.bins),
    )


def _group(name: str, matrix: Confusion, names: Sequence[str]) -> GroupFacts:
    mean = matrix.mean(iou)
    return GroupFacts(
        name=name,
        pixels=matrix.pixels,
        accuracy=matrix.accuracy,
        mean_iou=NumberFacts(
            value=mean.value, classes=mean.classes, left_out=tuple(names[index] for index in mean.left_out)
        ),
        ious=tuple(score.iou for score in matrix.classes),
    )
