"""A record as text: one table of all models, one of all classes, and what to know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from geoseg.evaluation.record import EvaluationRecord, ModelFacts, NumberFacts

NONE = "-"
HEADERS = (
    "model",
    "size",
    "Mpx/s",
    "mean IoU (95 %)",
    "over baseline (95 %)",
    "mean F1",
    "accuracy",
    "kappa",
    "border F1",
    "border IoU",
    "object F1",
    "ECE",
)


def in_words(number: float | None, digits: int = 3) -> str:
    """A number, or a hyphen for what does not exist."""
    return NONE if number is None else f"{number:.{digits}f}"


def with_interval(facts: NumberFacts | None, *, sign: bool = False) -> str:
    """A number with its interval, as far as there are such."""
    if facts is None or facts.value is None:
        return NONE
    form = "+.3f" if sign else ".3f"
    if facts.low is None or facts.high is None:
        return format(facts.value, form)
    return f"{facts.value:{form}} ({facts.low:{form}} to {facts.high:{form}})"


def model_rows(record: EvaluationRecord) -> list[tuple[str, ...]]:
    """One row for each model, in the order of ``HEADERS``."""
    return [_model_row(model) for model in record.models]


def _model_row(model: ModelFacts) -> tuple[str, ...]:
    size, speed = model.facts.get("size_bytes"), model.facts.get("mpx_per_s")
    summaries = model.summaries
    plain = ("mean_f1", "accuracy", "kappa", "boundary_f1", "boundary_iou", "object_f1")
    return (
        model.name,
        f"{float(size) / 1e6:.1f} MB" if size is not None else NONE,
        f"{float(speed):.2f}" if speed is not None else NONE,
        with_interval(summaries["mean_iou"]),
        with_interval(model.over_baseline, sign=True),
        *(in_words(summaries[name].value) for name in plain),
        in_words(model.reliability.ece),
    )


def class_rows(record: EvaluationRecord) -> list[tuple[str, ...]]:
    """One row for each class: its share of the reference, then the IoU of each model."""
    rows = []
    for at, name in enumerate(record.data.classes):
        models = [model.classes[at] for model in record.models]
        total = sum(facts.reference for facts in record.models[0].classes)
        share = f"{100 * models[0].reference / total:.1f} %" if total else NONE
        rows.append((name, share, *(with_interval(facts.iou) for facts in models)))
    return rows


def f1_rows(record: EvaluationRecord) -> list[tuple[str, ...]]:
    """One row for each class: the F1 of each model, by which detectors of change are compared."""
    rows = zip(*(model.classes for model in record.models), strict=True)
    return [(facts[0].name, *(in_words(one.f1) for one in facts)) for facts in rows]


def group_rows(record: EvaluationRecord) -> list[tuple[str, ...]]:
    """One row for each group: its pixels, then the mean IoU of each model with the number of classes it is over."""
    rows = []
    for at, group in enumerate(record.models[0].groups):
        means = [model.groups[at].mean_iou for model in record.models]
        words = [NONE if mean.value is None else f"{mean.value:.3f} of {mean.classes}" for mean in means]
        rows.append((group.name, f"{group.pixels:,}", *words))
    return rows


def describe(record: EvaluationRecord) -> Iterable[str]:
    """Lines for a terminal."""
    data, names = record.data, [model.name for model in record.models]
    drawn = f"{record.units} {record.drawn}"
    things = "pairs" if data.dates > 1 else "images"
    yield f"{data.images} {things} in {len(data.groups)} groups; intervals: {record.resamples} resamples of {drawn}"
    means = record.models[0].summaries["mean_iou"]
    yield f"means are over the {means.classes} classes that the reference has" + (
        f", not over {', '.join(means.left_out)}" if means.left_out else ""
    )
    yield ""
    yield from aligned(HEADERS, model_rows(record))
    yield ""
    yield from aligned(("IoU of class", "share", *names), class_rows(record))
    if data.dates > 1:
        yield ""
        yield from aligned(("F1 of class", *names), f1_rows(record))
    if len(data.groups) > 1:
        yield ""
        yield from aligned(("mean IoU of group", "pixels", *names), group_rows(record))
    for model in record.models:
        if model.class_sets is not None:
            yield ""
            yield from _class_sets(model, data.classes)
    for note in record.notes:
        yield f"note: {note}"


def _class_sets(model: ModelFacts, classes: Sequence[str]) -> Iterable[str]:
    sets = model.class_sets
    assert sets is not None  # noqa: S101  # asked before
    yield (
        f"class sets of {model.name}, meant to hold the true class of {100 * (1 - sets.miss):g} % of pixels: "
        f"{in_words(sets.mean_size, 2)} classes on average, one alone in {_percent(sets.single)}"
    )
    rows = zip(classes, sets.thresholds, sets.coverage, sets.scenes, strict=True)
    yield from aligned(
        ("class", "in a set from", "held on other scenes", "scenes"),
        [
            (name, "always" if least is None else f"{100 * least:.1f} %", _percent(share), str(scenes))
            for name, least, share, scenes in rows
        ],
    )


def _percent(share: float | None) -> str:
    return NONE if share is None else f"{100 * share:.1f} %"


def aligned(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Columns of one width, the first to the left and the others to the right."""
    widths = [max(len(row[at]) for row in (headers, *rows)) for at in range(len(headers))]
    for row in (headers, *rows):
        first, *others = (
            text.ljust(w) if at == 0 else text.rjust(w) for at, (text, w) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *others]).rstrip()
