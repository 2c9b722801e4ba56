"""A training on generated scenes, from the command to the model folder, beside a random forest that sees single pixels."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from geoseg.bench.context import describe_machine
from geoseg.evaluation.baselines import ForestMapper
from geoseg.evaluation.legend import Legend
from geoseg.evaluation.maps import Mapper, ModelMapper, Reading
from geoseg.labels import IGNORE, LabelSet
from geoseg.labels.config import read_data
from geoseg.models import resolve
from geoseg.settings import Settings
from geoseg.training.scores import Confusion

#: The training may take so long; the mean IoU is to reach so much, and so much more than the forest.
BAR_S, BAR_IOU, BAR_GAIN = 300, 0.85, 0.10
TRAINED, HELD_OUT = (101, 102, 103, 104, 105, 106), (201, 202)
CONFIG: dict[str, Any] = {  # Any: a YAML document
    "name": "bench-landcover",
    "title": "Land cover of generated scenes",
    "data": {
        "reader": "generated",
        "seeds": [*TRAINED, *HELD_OUT],
        "shape": [768, 768],
        "images": ["first", "median"],
        "held_out": {"groups": [f"seed-{seed}" for seed in HELD_OUT]},
    },
    "loss": {"name": "cross-entropy", "class_weights": "root"},
    "sampling": {"window_px": 192, "batch": 8},
    "schedule": {"steps": 800, "rate": 4e-3},
    "validation": {"every": 400, "windows": 32},
}


def measure_training(folder: Path, say: Callable[[str], object]) -> None:
    """Train, map the held-out scenes, and print IoU beside that of a forest grown on the same training scenes.

    Args:
        folder: Where configuration and run go; a training that is there goes on, or is over.
        say: Prints.
    """
    path = folder / "training.yaml"
    path.write_text(yaml.safe_dump(CONFIG, sort_keys=False), encoding="utf-8")
    say(f"\ntraining: {CONFIG['title']}; {describe_machine()}\n")
    start = time.perf_counter()
    command = [sys.executable, "-m", "geoseg", "train", str(path), "--out", str(folder / "training"), "--resume"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # our own words
    took_s = time.perf_counter() - start
    kept, held = read_data(CONFIG["data"], folder)
    assert held is not None  # noqa: S101  # the configuration above holds some out
    model = resolve(str(folder / "training" / "model"), cache=Settings().cache)
    with ModelMapper(model, Legend.same([entry.name for entry in held.classes]), Reading.of(held)) as mapper:
        ours = _by_group(held, mapper)
    say(f"  geoseg train took {took_s:.0f} s, generating the scenes included (bar: {BAR_S} s)\n")
    for line in lines_of([entry.name for entry in held.classes], ours, _by_group(held, ForestMapper.fit(kept))):
        say(f"  {line}\n")


def lines_of(classes: Sequence[str], ours: Mapping[str, Confusion], theirs: Mapping[str, Confusion]) -> list[str]:
    """IoU of each class over all held-out seeds, the mean, and the mean of each seed; last, whether the bars are met.

    Args:
        classes: Names.
        ours: Seed to what the network found.
        theirs: The same of the forest.
    """
    one, other = (sum(list(found.values())[1:], next(iter(found.values()))) for found in (ours, theirs))
    rows = [(f"IoU {name}", one.ious[at], other.ious[at]) for at, name in enumerate(classes)]
    rows.append(("mean IoU", one.mean_iou, other.mean_iou))
    rows += [(f"mean IoU, {seed}", ours[seed].mean_iou, theirs[seed].mean_iou) for seed in ours]
    gain = (one.mean_iou or 0.0) - (other.mean_iou or 0.0)
    is_met = (one.mean_iou or 0.0) >= BAR_IOU and gain >= BAR_GAIN
    words = f"bars of {BAR_IOU:.0%} and {BAR_GAIN:.0%} above the forest: {'met' if is_met else 'not met'}, {gain:+.1%}"
    return [
        f"{'held-out seeds':<29}  geoseg   random forest",
        *(f"{name:<29} {_percent(a)}  {_percent(b)}" for name, a, b in rows),
        words,
    ]


def _by_group(held: LabelSet, mapper: Mapper) -> dict[str, Confusion]:
    """Of whole images, by their seed."""
    count = len(held.classes)
    found = {group: Confusion(np.zeros((count, count), np.int64)) for group in held.groups}
    for member in held.members:
        for part in mapper.maps(member):
            answered = part.classes < count
            labels = np.where(answered, member.labels(part.window), np.uint8(IGNORE))
            found[member.group] += Confusion.of(labels, part.classes, count)
    return found


def _percent(value: float | None) -> str:
    return "     none" if value is None else f"{100 * value:8.1f} %"
