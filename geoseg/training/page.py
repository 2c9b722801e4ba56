"""``report.html`` of a training: curves, confusion, examples, configuration; it opens without a network."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import jinja2
import numpy as np
import torch
import yaml
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from geoseg import __version__
from geoseg.labels import IGNORE
from geoseg.models.spec import ModelSpec
from geoseg.outputs.files import whole_file
from geoseg.outputs.report import page_policy, page_style
from geoseg.training.losses import two_logits
from geoseg.training.module import Segmenting
from geoseg.training.scores import Look
from geoseg.training.windows import Patch

_ACCENT, _MEAN = "#c2703d", "#1f6f63"
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 630, 12, 272
_TICKS = 4
_EXAMPLES, _PICTURE_PX = 6, 320
_GREY = (128, 128, 128)
_RGB = (("red", "green", "blue"), ("B04", "B03", "B02"))


@dataclass(frozen=True)
class Line:
    """A line of a chart: its corners as SVG wants them."""

    name: str
    colour: str
    points: str


@dataclass(frozen=True)
class Tick:
    """A number beside a chart."""

    y: float
    text: str


@dataclass(frozen=True)
class Curve:
    """A chart over steps."""

    title: str
    lines: tuple[Line, ...]
    ticks: tuple[Tick, ...]
    last: int


def write_page(path: Path, module: Segmenting, network: nn.Module, spec: ModelSpec, look: Look | None) -> None:
    """Write the page.

    Args:
        path: File.
        module: What happened.
        network: With the weights that were kept, on the CPU.
        spec: Of the model.
        look: At the held-out groups with these weights.

    Raises:
        OutputError: If it cannot be written.
    """
    own = resources.files("geoseg.training").joinpath("templates")
    css = page_style() + Markup(own.joinpath("training.css").read_text(encoding="utf-8"))  # noqa: S704  # our own file
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(own.joinpath("training.html").read_text(encoding="utf-8"))
    document = module.parts.config.model_dump(mode="json", exclude_defaults=True)
    page = template.render(
        title=spec.title,
        verdict=_verdict(module, look),
        figures=_figures(module, look),
        curves=list(_curves(module)),
        confusion=_confusion(spec, look) if look is not None else [],
        examples=list(_examples(module, network, spec)),
        config=yaml.safe_dump(document, sort_keys=False, allow_unicode=True),
        version=__version__,
        css=css,
        csp=page_policy(css),
    )
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _verdict(module: Segmenting, look: Look | None) -> str:
    if look is None or look.confusion.mean_iou is None:
        return f"{module.done_steps} steps. Nothing was held out, so nothing is known of how well it does."
    held = module.parts.held_out
    groups = {held.windows.members[number].group for number, _ in held.places} if held is not None else set()
    return (
        f"{module.done_steps} steps. On {len(groups)} held-out group{'s' if len(groups) > 1 else ''} the mean intersection "
        f"over union is {100 * look.confusion.mean_iou:.1f} %, over {look.confusion.present} of {module.parts.classes} classes."
    )


def _figures(module: Segmenting, look: Look | None) -> list[tuple[str, str]]:
    losses = module.history.losses
    found = [("steps", f"{module.done_steps:,}"), ("loss", f"{losses[-1][1]:.4f}" if losses else "none")]
    if look is not None:
        found += [("mean IoU", _percent(look.confusion.mean_iou)), ("pixels right", _percent(look.confusion.accuracy))]
    found.append(("parameters", f"{sum(weight.numel() for weight in module.network.parameters()):,}"))
    return found


def _curves(module: Segmenting) -> Iterator[Curve]:
    history, last = module.history, max(1, module.done_steps)
    if history.losses:
        losses = [(step, loss) for step, loss, _ in history.losses]
        top = max(loss for _, loss in losses) or 1.0
        yield Curve("loss", (Line("", _ACCENT, _points(losses, last, top)),), _ticks(top, "{:.2g}"), last)
    if history.looks:
        means = [(look.step, look.confusion.mean_iou) for look in history.looks]
        lines = [Line("mean", _MEAN, _points(means, last, 1.0))]
        rates = [(step, rate) for step, _, rate in history.losses]
        if rates:
            lines.append(
                Line("learning rate, of its peak", _ACCENT, _points(rates, last, max(r for _, r in rates) or 1.0))
            )
        yield Curve("mean IoU of the held-out groups", tuple(lines), _ticks(1.0, "{:.2f}"), last)


def _points(rows: Sequence[tuple[int, float | None]], last: int, top: float) -> str:
    places = [
        (_LEFT + (_RIGHT - _LEFT) * step / last, _BOTTOM - (_BOTTOM - _TOP) * value / top)
        for step, value in rows
        if value is not None
    ]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _ticks(top: float, form: str) -> tuple[Tick, ...]:
    shares = [at / _TICKS for at in range(_TICKS + 1)]
    return tuple(Tick(round(_BOTTOM - (_BOTTOM - _TOP) * share, 1), form.format(top * share)) for share in shares)


def _confusion(spec: ModelSpec, look: Look) -> list[dict[str, object]]:
    """Rows for the template."""
    rows: list[dict[str, object]] = []
    for info, counts, iou in zip(spec.classes, look.confusion.counts, look.confusion.ious, strict=True):
        total = int(counts.sum())
        cells = [
            {"text": f"{100 * count / total:.1f}" if total else "", "most": total > 0 and at == int(counts.argmax())}
            for at, count in enumerate(counts)
        ]
        rows.append(
            {"name": info.name, "colour": info.colour, "cells": cells, "pixels": f"{total:,}", "iou": _percent(iou)}
        )
    return rows


@torch.inference_mode()
def _examples(module: Segmenting, network: nn.Module, spec: ModelSpec) -> Iterator[dict[str, object]]:
    """A few held-out windows, spread over the images."""
    held = module.parts.held_out
    if held is None:
        return
    count = min(_EXAMPLES, len(held))
    for number in range(count):
        at = number * len(held) // count
        image, part, patch = held.at(at)
        predicted = two_logits(network(image))[0, :, *part].argmax(dim=0).to(torch.uint8).numpy()
        colours = np.full((256, 3), _GREY, np.uint8)
        for info in spec.classes:
            colours[info.index] = tuple(bytes.fromhex(info.colour[1:]))
        shown = np.where(patch.valid, predicted, IGNORE)
        dates = [replace(patch, image=image) for image in np.split(patch.image, spec.dates)]
        pictures = [*(_seen(date, spec.bands) for date in dates), colours[patch.labels], colours[shown]]
        name = held.windows.members[held.places[at][0]].name
        yield {"name": name, "pictures": [_uri(picture) for picture in pictures]}


def _seen(patch: Patch, bands: Sequence[str]) -> NDArray[np.uint8]:
    """Three bands in the range of their middle 96 percent."""
    names = next((names for names in _RGB if set(names) <= set(bands)), None)
    chosen = [bands.index(name) for name in names] if names else ([0, 1, 2] if len(bands) >= 3 else [0, 0, 0])
    picture = np.zeros((*patch.valid.shape, 3), np.uint8)
    for place, band in enumerate(chosen):
        layer = patch.image[band].astype(np.float32)
        if patch.valid.any():
            low, high = np.percentile(layer[patch.valid], (2, 98))
            scaled = (layer - low) / max(float(high - low), 1e-9)
            picture[..., place] = np.where(patch.valid, np.clip(np.nan_to_num(scaled), 0, 1) * 255, 0).astype(np.uint8)
    return picture


def _uri(picture: NDArray[np.uint8]) -> str:
    """A picture as an address that holds it."""
    image = Image.fromarray(picture)
    image.thumbnail((_PICTURE_PX, _PICTURE_PX), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
