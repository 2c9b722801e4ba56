"""A training on generated scenes, from the command to the model folder, beside a random forest that sees single pixels."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
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
        ours = _confusion(held, mapper)
    say(
        f"  geoseg train took {took_s:.0f} s, generating the scenes included; mean IoU {_percent(ours.mean_iou).strip()}\n"
    )
    theirs = _confusion(held, ForestMapper.fit(kept))
    say(f"  held-out seeds {', '.join(map(str, HELD_OUT))}       geoseg   random forest\n")
    for at, entry in enumerate(held.classes):
        say(f"  IoU {entry.name:<24} {_percent(ours.ious[at])}  {_percent(theirs.ious[at])}\n")
    say(f"  mean IoU                     {_percent(ours.mean_iou)}  {_percent(theirs.mean_iou)}\n")


def _confusion(held: LabelSet, mapper: Mapper) -> Confusion:
    """Of whole images."""
    count = len(held.classes)
    total = Confusion(np.zeros((count, count), np.int64))
    for member in held.members:
        for part in mapper.maps(member):
            answered = part.classes < count
            labels = np.where(answered, member.labels(part.window), np.uint8(IGNORE))
            total += Confusion.of(labels, part.classes, count)
    return total


def _percent(value: float | None) -> str:
    return "     none" if value is None else f"{100 * value:8.1f} %"
