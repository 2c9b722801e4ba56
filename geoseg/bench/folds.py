"""A configuration of ``geoseg train`` across folds: every image is mapped by a network that never saw its fold.

The maps are made by the road of ``geoseg run``, and a random forest and the commonest class are grown on the same folds.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from geoseg.bench.context import describe_machine
from geoseg.errors import RequestError
from geoseg.evaluation.record import make_record
from geoseg.evaluation.scoring import Evaluation, evaluate
from geoseg.evaluation.tables import aligned, describe
from geoseg.evaluation.task import Task
from geoseg.labels.base import joined
from geoseg.labels.config import read_yaml
from geoseg.models import resolve
from geoseg.settings import Settings

type Say = Callable[[str], object]


def measure_folds(config: Path, count: int, folder: Path, say: Say) -> None:
    """Train and map each fold, and print one table over all images, and one by fold.

    Args:
        config: Of a training. Blocks of data that hold something out are dealt into folds; others are trained on in each.
        count: Folds, each a run of neighbouring groups.
        folder: Where runs go; trainings that are there go on, or are over. It gets ``evaluation.json``.
        say: Prints.

    Raises:
        GeosegError: If a training fails, or the data are wrong.
    """
    say(f"{config.name} in {count} folds; {describe_machine()}\n")
    paths = [_trained(config, fold, count, folder, say) for fold in range(count)]
    tasks = [Task.read(path) for path in paths]
    found = [_scored(task, path.with_suffix("") / "model") for task, path in zip(tasks, paths, strict=True)]
    merged = [Evaluation.merged(parts) for parts in zip(*found, strict=True)]
    held = joined(task.held for task in tasks)
    trained_on = max(len(task.train.members) for task in tasks if task.train is not None)
    record = make_record(merged, held, training_images=trained_on)
    (folder / "evaluation.json").write_text(record.model_dump_json(indent=1), encoding="utf-8")
    for line in (*describe(record), "", *fold_lines(found)):
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


def fold_lines(folds: Sequence[Sequence[Evaluation]]) -> list[str]:
    """IoU of each class by fold, with mean and spread, and the mean over images; a row for each model.

    Args:
        folds: For each fold, an evaluation of each model, in one order.
    """
    headers = ("IoU of", "by", *(f"fold {at}" for at in range(len(folds))), "mean of folds", "spread", "mean of images")
    rows = []
    for place, name in enumerate(folds[0][0].legend.classes):
        for parts in zip(*folds, strict=True):
            ious = [part.confusion.classes[place].iou or 0.0 for part in parts]
            images = [member.confusion.classes[place].iou for part in parts for member in part.members]
            there = [iou for iou in images if iou is not None]
            numbers = (*ious, mean(ious), stdev(ious), mean(there) if there else 0.0)
            rows.append((name, parts[0].kind, *(f"{number:.3f}" for number in numbers)))
    return list(aligned(headers, rows))


def _scored(task: Task, model: Path) -> list[Evaluation]:
    """The network of a fold and the baselines, on what it never saw."""
    with task.mapper(resolve(str(model), cache=Settings().cache), Settings.with_options()) as mapper:
        network = evaluate(mapper, task.held, task.measures)
    return [network, *task.baselines()]
