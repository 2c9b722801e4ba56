"""``metrics.csv``: a row for some steps, and one for each look at the held-out groups."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from geoseg.labels import ClassName
from geoseg.outputs.files import whole_file
from geoseg.training.checkpoint import History


def write_rows(path: Path, history: History, classes: Sequence[ClassName]) -> None:
    """Write the whole file anew: what a checkpoint does not know did not happen.

    Args:
        path: File.
        history: What happened.
        classes: Legend.

    Raises:
        OutputError: If it cannot be written.
    """
    rows: dict[int, dict[str, object]] = {}
    for step, loss, rate in history.losses:
        rows.setdefault(step, {}).update(loss=f"{loss:.6g}", rate=f"{rate:.6g}")
    for look in history.looks:
        seen, found = look.confusion, rows.setdefault(look.step, {})
        found.update(mean_iou=_number(seen.mean_iou), accuracy=_number(seen.accuracy))
        found.update({f"iou {c.name}": _number(iou) for c, iou in zip(classes, seen.ious, strict=True)})
    names = ["step", "loss", "rate", "mean_iou", "accuracy", *(f"iou {c.name}" for c in classes)]
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows({"step": step, **row} for step, row in sorted(rows.items()))


def _number(value: float | None) -> str:
    """Empty where there is none: a class that is not there has no number, not 0 and not NaN."""
    return "" if value is None else f"{value:.5f}"
