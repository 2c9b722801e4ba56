"""A configuration of ``geoseg train`` across folds: every image is mapped by a network that never saw its fold.

The maps are made by the road of ``geoseg run``, and a random forest and the commonest class are grown on the same folds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from geoseg.bench.context import describe_machine
from geoseg.bench.trained import Scores, Tried, train_apart, tried
from geoseg.errors import RequestError
from geoseg.evaluation.calibrate import calibration_on, store
from geoseg.evaluation.confusion import Confusion
from geoseg.evaluation.legend import Legend
from geoseg.evaluation.tables import aligned
from geoseg.evaluation.task import Task
from geoseg.labels.config import read_yaml
from geoseg.models import resolve
from geoseg.settings import Settings

type Say = Callable[[str], object]


def measure_folds(config: Path, count: int, folder: Path, say: Say, calibrated: str | None = None) -> None:
    """Train and map each fold, and print one table.

    Args:
        config: Of a training. Blocks of data that hold something out are dealt into folds; others are trained on in each.
        count: Folds, each a run of neighbouring groups.
        folder: Where runs go; trainings and scores that are there are not made again.
        say: Prints.
        calibrated: Model that gets the temperatures fitted on what each fold held out: one of the same recipe that was
            trained on all images, which leaves none to calibrate it on.

    Raises:
        GeosegError: If a training fails, or the data are wrong.
    """
    say(f"{config.name} in {count} folds; {describe_machine()}\n")
    found = [_trained(config, fold, count, folder, say) for fold in range(count)]
    task = Task.read(folder / "fold-0.yaml")
    names = [entry.name for entry in task.held.classes]
    for line in fold_lines([one.scores for one in found], names):
        say(f"{line}\n")
    made = calibration_on([sample for one in found for sample in one.samples], Legend.same(names))
    told = ", ".join(f"{number:g}" for number in made.fit.temperatures or (made.fit.temperature,))
    say(
        f"calibration error {made.before.ece or 0:.4f}; {made.after.ece or 0:.4f} on groups that were not fitted on ({told})\n"
    )
    if calibrated is not None and made.is_better:
        folder_of = resolve(calibrated, cache=Settings().cache)
        store(folder_of, made, f"{config.stem}, {count} folds of the recipe, each by a network that never saw it")
        say(f"{folder_of.path} has these temperatures\n")


def _trained(config: Path, fold: int, count: int, folder: Path, say: Say) -> Tried:
    """A fold, its configuration beside the folder of its training."""
    path = folder / f"fold-{fold}.yaml"
    path.write_text(yaml.safe_dump(fold_of(read_yaml(config), config.parent, fold, count)), encoding="utf-8")
    say(f"fold {fold}: {train_apart(path, path.with_suffix(''))} to train\n")
    return tried(path, path.with_suffix(""))


def fold_of(document: Any, root: Path, fold: int, count: int) -> dict[str, Any]:
    """The configuration of one fold; it may lie anywhere.

    Args:
        document: The configuration.
        root: Folder that its paths are relative to.
        fold: Number of the fold.
        count: Folds.

    Raises:
        RequestError: If no block holds anything out.
    """
    blocks = document["data"] if isinstance(document["data"], list) else [document["data"]]
    if not any("held_out" in block for block in blocks):
        raise RequestError("folds of data that hold nothing out", "held_out in a block", "say what is dealt into folds")
    data = []
    for block in blocks:
        path = str(block.get("path", ""))
        place = {"path": str(root.absolute() / path)} if path and not path.startswith("$") else {}
        split = {"held_out": {"fold": fold, "of": count}} if "held_out" in block else {}
        data.append({**block, **place, **split})
    return {**document, "name": f"{document['name']}-fold-{fold}", "data": data}


def fold_lines(folds: Sequence[Scores], classes: Sequence[str]) -> list[str]:
    """IoU of each class by fold, with mean and spread, the mean over images and that of all pixels; a row for each model.

    Args:
        folds: Scores of each fold, of the same models.
        classes: Names.
    """
    headers = (
        "IoU of",
        "by",
        *(f"fold {at}" for at in range(len(folds))),
        "mean",
        "spread",
        "mean of images",
        "pooled",
    )
    rows = []
    for place, name in enumerate(classes):
        for model in folds[0]:
            sums = [sum(fold[model].values(), Confusion.nothing(len(classes))) for fold in folds]
            ious = [_iou(one, place) or 0.0 for one in sums]
            images = [_iou(one, place) for fold in folds for one in fold[model].values()]
            there = [iou for iou in images if iou is not None]
            pooled = _iou(sum(sums, Confusion.nothing(len(classes))), place) or 0.0
            numbers = (*ious, mean(ious), stdev(ious), mean(there) if there else 0.0, pooled)
            rows.append((name, model, *(f"{number:.3f}" for number in numbers)))
    return list(aligned(headers, rows))


def _iou(confusion: Confusion, place: int) -> float | None:
    return confusion.classes[place].iou
