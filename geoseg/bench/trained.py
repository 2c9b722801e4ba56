"""A configuration that is trained and held against baselines; what is in its folder already is not made again."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.evaluation.calibration import Sample
from geoseg.evaluation.confusion import Confusion
from geoseg.evaluation.scoring import Evaluation, evaluate
from geoseg.evaluation.task import Task
from geoseg.models import resolve
from geoseg.settings import Settings

#: Of each kind of model, by image.
type Scores = Mapping[str, Mapping[str, Confusion]]

_SCORES, _SAMPLES, _SECONDS = "scores.json", "samples.npz", "seconds.json"


@dataclass(frozen=True)
class Tried:
    """A trained configuration on what it held out.

    Attributes:
        scores: Of the network and the baselines.
        samples: Some pixels of each image, with what the network says of them.
        facts: Images and pixels that were trained on, and the like.
    """

    scores: Scores
    samples: Sequence[Sample]
    facts: Mapping[str, int]

    def total(self, kind: str) -> Confusion:
        """Of all images."""
        images = list(self.scores[kind].values())
        return reduce(add, images[1:], images[0])


@dataclass(frozen=True, slots=True)
class Took:
    """What a training took.

    Attributes:
        wall_s: Seconds by the clock, which others on the machine lengthen.
        cpu_s: Seconds of processors.
    """

    wall_s: float
    cpu_s: float

    def __str__(self) -> str:
        return f"{self.wall_s:.0f} s ({self.cpu_s:.0f} CPU s)"


def train_apart(config: Path, run: Path) -> Took:
    """Train by the command that users call, in a process of its own.

    Args:
        config: Of a training.
        run: Its folder.

    Returns:
        What it took, start included; that of the first time where it is over already.
    """
    kept = run / _SECONDS
    start, before = time.perf_counter(), _cpu_s()
    command = [sys.executable, "-m", "geoseg", "train", str(config), "--out", str(run), "--resume"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # our own words
    if not kept.exists():
        kept.write_text(json.dumps([time.perf_counter() - start, _cpu_s() - before]), encoding="utf-8")
    return Took(*json.loads(kept.read_text(encoding="utf-8")))


def _cpu_s() -> float:
    """Of all processes that this one started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def tried(config: Path, run: Path) -> Tried:
    """The network of a run and the baselines on what was held out, mapped by the road of ``geoseg run``.

    Args:
        config: Of the training.
        run: Its folder.

    Raises:
        GeosegError: If the data are wrong.
    """
    model, path = resolve(str(run / "model"), cache=Settings().cache), run / _SCORES
    if path.exists() and (kept := json.loads(path.read_text(encoding="utf-8")))["weights"] == model.spec.weights.sha256:
        return Tried(_read(kept["scores"]), _read_samples(run / _SAMPLES), kept["facts"])
    task = Task.read(config)
    with task.mapper(model, Settings.with_options()) as mapper:
        network = evaluate(mapper, task.held, task.measures)
    evaluations: list[Evaluation] = [network, *task.baselines()]
    scores = {one.kind: {member.name: member.confusion for member in one.members} for one in evaluations}
    _write_samples(run / _SAMPLES, network.samples)
    facts = {
        "trained": len(task.train.members) if task.train is not None else 0,
        "held": len(task.held.members),
        "weights_bytes": model.spec.weights.size_bytes or 0,
    }
    plain = {kind: {image: one.counts.tolist() for image, one in images.items()} for kind, images in scores.items()}
    document = {"weights": model.spec.weights.sha256, "facts": facts, "scores": plain}
    path.write_text(json.dumps(document), encoding="utf-8")
    return Tried(scores, network.samples, facts)


def _read(scores: Any) -> Scores:  # Any: JSON that this module wrote
    return {
        kind: {image: Confusion(np.array(counts, np.int64)) for image, counts in images.items()}
        for kind, images in scores.items()
    }


def _write_samples(path: Path, samples: Sequence[Sample]) -> None:
    parts: dict[str, Any] = {"names": np.array([(one.name, one.group) for one in samples])}
    for at, one in enumerate(samples):
        parts |= {f"truth-{at}": one.truth, f"scores-{at}": one.scores}
    np.savez_compressed(path, **parts)


def _read_samples(path: Path) -> list[Sample]:
    with np.load(path) as kept:
        return [
            Sample(str(name), str(group), kept[f"truth-{at}"], kept[f"scores-{at}"])
            for at, (name, group) in enumerate(kept["names"])
        ]
