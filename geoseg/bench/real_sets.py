"""The configurations of ``workflows/train``, each trained and held against a random forest and the commonest class.

Maps are made by the road of ``geoseg run``, of images whose groups nobody trained on. Rows are Markdown, for a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from geoseg.bench.context import describe_machine
from geoseg.bench.trained import Took, Tried, train_apart, tried
from geoseg.evaluation.confusion import iou
from geoseg.evaluation.tables import in_words
from geoseg.evaluation.task import Task

WORKFLOWS = Path("workflows/train")
#: Trained on all there is; and the one whose folds ``bench folds`` trains.
_ELSEWHERE = ("landslide-rgb", "landslide-sichuan")
_KINDS = ("network", "random forest", "majority class")


def measure_real_sets(configs: Sequence[Path], folder: Path, say: Callable[[str], object]) -> None:
    """Train and map each set, and print two tables: a row for each set, and a row for each of its classes.

    Args:
        configs: Of trainings that hold something out; all of ``workflows/train`` where none is named.
        folder: Where runs go; trainings and scores that are there are not made again.
        say: Prints.

    Raises:
        GeosegError: If the data are wrong.
    """
    say(f"{describe_machine()}\n\n")
    chosen = configs or [path for path in sorted(WORKFLOWS.glob("*.yaml")) if path.stem not in _ELSEWHERE]
    rows, classes = [], []
    for config in chosen:
        run = folder / config.stem
        took, found = train_apart(config, run), tried(config, run)
        task = Task.read(config)
        rows.append(set_row(config.stem, task, took, found))
        classes += class_rows(config.stem, [entry.name for entry in task.held.classes], found)
        say(f"{rows[-1]}\n")
    head = ("set", "trained on", "held out", "training", *(f"mean IoU, {kind}" for kind in _KINDS))
    say("\n" + "\n".join([*_header(head), *rows, "", *_header(("set", "class", "share", *_KINDS)), *classes]) + "\n")


def set_row(name: str, task: Task, took: Took, found: Tried) -> str:
    """What one set says.

    Args:
        name: Of the set.
        task: Its images.
        took: By the training.
        found: The network and the baselines on what was held out.
    """
    kept = f"{found.facts['trained']} images"
    held = f"{found.facts['held']} ({', '.join(task.held.groups)})"
    means = (in_words(found.total(kind).mean(iou).value) for kind in _KINDS)
    return _row((name, kept, held, str(took), *means))


def class_rows(name: str, classes: Sequence[str], found: Tried) -> list[str]:
    """IoU of each class that the held-out images have.

    Args:
        name: Of the set.
        classes: Names.
        found: The network and the baselines on what was held out.
    """
    totals = [found.total(kind) for kind in _KINDS]
    pixels = totals[0].counts.sum(axis=1)
    return [
        _row((name, classes[at], f"{pixels[at] / pixels.sum():.1%}", *(in_words(t.classes[at].iou) for t in totals)))
        for at in totals[0].present
    ]


def _header(names: Sequence[str]) -> list[str]:
    return [_row(names), _row(["---"] * len(names))]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
