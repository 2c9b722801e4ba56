"""A configuration of ``geoseg train`` across folds: every image is mapped by a network that never saw its fold.

The maps are made by the road of ``geoseg run``, and a random forest and the commonest class are grown on the same folds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import yaml

from geoseg.bench.context import describe_machine
from geoseg.errors import RequestError
from geoseg.evaluation.confusion import Confusion
from geoseg.evaluation.scoring import evaluate
from geoseg.evaluation.tables import aligned
from geoseg.evaluation.task import Task
from geoseg.labels.config import read_yaml
from geoseg.models import resolve
from geoseg.settings import Settings

type Say = Callable[[str], object]
#: Of each kind of model, by image.
type Scores = Mapping[str, Mapping[str, Confusion]]


def measure_folds(config: Path, count: int, folder: Path, say: Say) -> None:
    """Train and map each fold, and print one table.

    Args:
        config: Of a training. Blocks of data that hold something out are dealt into folds; others are trained on in each.
        count: Folds, each a run of neighbouring groups.
        folder: Where runs go; trainings and scores that are there are not made again.
        say: Prints.

    Raises:
        GeosegError: If a training fails, or the data are wrong.
    """
    say(f"{config.name} in {count} folds; {describe_machine()}\n")
    paths = [_trained(config, fold, count, folder, say) for fold in range(count)]
    found = [_scored(path) for path in paths]
    for line in fold_lines(found, [entry.name for entry in Task.read(paths[0]).held.classes]):
        say(f"{line}\n")


def _trained(config: Path, fold: int, count: int, folder: Path, say: Say) -> Path:
    """The configuration of a fold, beside the folder of its training."""
    path = folder / f"fold-{fold}.yaml"
    path.write_text(yaml.safe_dump(fold_of(read_yaml(config), config.parent, fold, count)), encoding="utf-8")
    start = time.perf_counter()
    command = [sys.executable, "-m", "geoseg", "train", str(path), "--out", str(path.with_suffix("")), "--resume"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # our own words
    say(f"fold {fold}: {time.perf_counter() - start:.0f} s to train\n")
    return path


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


def _scored(config: Path) -> Scores:
    """The network of a fold and the baselines on what it never saw; kept beside the model for as long as that is the same."""
    run = config.with_suffix("")
    model, path = resolve(str(run / "model"), cache=Settings().cache), run / "scores.json"
    if path.exists() and (kept := json.loads(path.read_text(encoding="utf-8")))["weights"] == model.spec.weights.sha256:
        return {
            kind: {image: Confusion(np.array(counts, np.int64)) for image, counts in images.items()}
            for kind, images in kept["scores"].items()
        }
    task = Task.read(config)
    with task.mapper(model, Settings.with_options()) as mapper:
        evaluations = [evaluate(mapper, task.held, task.measures), *task.baselines()]
    scores = {one.kind: {member.name: member.confusion for member in one.members} for one in evaluations}
    plain = {kind: {image: one.counts.tolist() for image, one in images.items()} for kind, images in scores.items()}
    path.write_text(json.dumps({"weights": model.spec.weights.sha256, "scores": plain}), encoding="utf-8")
    return scores
