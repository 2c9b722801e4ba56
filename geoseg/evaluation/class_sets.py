"""Class sets of a model, fitted on some scenes and tried on the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from geoseg.errors import RequestError
from geoseg.evaluation.calibration import ClassSets, Sample, fit_class_sets
from geoseg.evaluation.confusion import known
from geoseg.evaluation.legend import Legend
from geoseg.evaluation.scoring import Evaluation

#: Scenes are left out one by one up to so many, then in as many folds.
MOST_FOLDS = 10


class ClassSetFacts(BaseModel):
    """Sets of classes that hold the true one as often as promised."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    miss: float = Field(description="Share of the pixels of a class whose set may lack it.")
    thresholds: tuple[float | None, ...] = Field(
        description="Least probability of each class in a set; null where there were too few scenes to promise anything."
    )
    scenes: tuple[int, ...] = Field(description="Scenes with each class.")
    coverage: tuple[float | None, ...] = Field(
        description="Of each class, share of the pixels whose set holds it, on scenes that were not fitted on; each scene counts as one."
    )
    mean_size: float | None = Field(description="Mean number of classes in a set.")
    single: float | None = Field(description="Share of sets with one class.")


def unit_of(sample: Sample, *, by_group: bool) -> str:
    """What a sample is exchangeable as."""
    return sample.group if by_group else sample.name


def folds_of(units: Iterable[str]) -> Iterator[frozenset[str]]:
    """Units to leave out, one after the other or in runs; each once."""
    names = list(dict.fromkeys(units))
    for part in np.array_split(np.arange(len(names)), min(MOST_FOLDS, len(names))):
        yield frozenset(names[at] for at in part)


def check_miss(miss: float) -> None:
    """Refuse a share that is none.

    Raises:
        RequestError: If it is none.
    """
    if not 0 < miss < 1:
        raise RequestError(f"--conformal {miss}", "a share between 0 and 1, such as 0.1", "correct it")


def make_class_sets(evaluation: Evaluation, miss: float) -> ClassSetFacts:
    """Thresholds from all scenes, and what thresholds from the other scenes do on each.

    Args:
        evaluation: Of the model as it is used, its temperature included.
        miss: See ``ClassSets``.

    Raises:
        RequestError: If there is no labelled pixel with scores.
    """
    return class_sets_on(evaluation.samples, evaluation.legend, miss, by_group=evaluation.drawn_by_group)


def class_sets_on(given: Sequence[Sample], legend: Legend, miss: float, *, by_group: bool) -> ClassSetFacts:
    """The same of some pixels.

    Args:
        given: Pixels of held-out scenes with the probabilities of the model as it is used.
        legend: What classes of the network are.
        miss: See ``ClassSets``.
        by_group: Scenes are groups, not images.

    Raises:
        RequestError: If there is no labelled pixel with scores.
    """
    samples = [sample for sample in given if len(sample.truth)]
    if not samples:
        raise RequestError("--conformal without labelled pixels", "at least one scene", "look at the labels")
    units = [unit_of(sample, by_group=by_group) for sample in samples]
    truths = [sample.truth for sample in samples]
    scores = [legend.scores(sample.scores.T).T for sample in samples]
    covered: list[list[float]] = [[] for _ in legend.classes]
    sizes: list[NDArray[np.int64]] = []
    for left_out in folds_of(units) if len(set(units)) > 1 else ():
        kept = [at for at, unit in enumerate(units) if unit not in left_out]
        sets = fit_class_sets(
            [units[at] for at in kept], [truths[at] for at in kept], [scores[at] for at in kept], miss
        )
        for unit in sorted(left_out):
            own = [at for at, other in enumerate(units) if other == unit]
            inside = sets.sets(np.concatenate([scores[at] for at in own]))
            _cover(inside, np.concatenate([truths[at] for at in own]), covered)
            sizes.append(inside.sum(axis=1))
    return _facts(fit_class_sets(units, truths, scores, miss), covered, sizes)


def _cover(inside: NDArray[np.bool_], truth: NDArray[np.int64], covered: Sequence[list[float]]) -> None:
    for index, shares in enumerate(covered):
        if (its := truth == index).any():
            shares.append(float(inside[its, index].mean()))


def _facts(sets: ClassSets, covered: Sequence[list[float]], sizes: list[NDArray[np.int64]]) -> ClassSetFacts:
    every = np.concatenate(sizes) if sizes else np.empty(0)
    return ClassSetFacts(
        miss=sets.miss,
        thresholds=tuple(None if np.isinf(q) else float(1 - q) for q in sets.quantiles),
        scenes=tuple(sets.scenes.tolist()),
        coverage=tuple(float(np.mean(shares)) if shares else None for shares in covered),
        mean_size=known(every.mean()) if every.size else None,
        single=known((every == 1).mean()) if every.size else None,
    )
