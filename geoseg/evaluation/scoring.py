"""Maps of labelled images against the labels: image by image, so that anything can be summed over any of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from typing import Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from geoseg.evaluation.baselines import windows_of
from geoseg.evaluation.bootstrap import LEAST_GROUPS
from geoseg.evaluation.boundary import BoundaryCounts
from geoseg.evaluation.calibration import Sample
from geoseg.evaluation.confusion import NO_ANSWER, NOTHING, Confusion
from geoseg.evaluation.legend import Legend
from geoseg.evaluation.maps import MapPart, Mapper
from geoseg.evaluation.objects import MOST_PX, ObjectCounts
from geoseg.evaluation.reliability import Reliability
from geoseg.grid import Window
from geoseg.labels import IGNORE, Labelled, LabelSet

#: Pixels of a square of this side resemble each other: so many of them say what all say of confidences.
SAMPLE_SQUARE_PX = 512
SAMPLED_PER_SQUARE = 2000


@dataclass(frozen=True, slots=True)
class Measures:
    """What is a matter of choice.

    Attributes:
        boundary_px: Tolerance of borders, at least 1.
        seed: Of pixels and resamples that are drawn.
    """

    boundary_px: int = 2
    seed: int = 0


@dataclass(frozen=True)
class MemberScore:
    """What is known of one image.

    Attributes:
        name: Its name.
        group: Its group.
        confusion: Pixels by class and by what they were taken for.
        boundary: Borders.
        objects: Regions; ``None`` for an image too large to be cut into them.
        reliability: Confidences.
        sample: Some pixels with their scores.
        unobserved: Labelled pixels that the image has nothing of: they are not counted.
        unanswered: Labelled pixels for which there is no class of the legend: they count as wrong.
    """

    name: str
    group: str
    confusion: Confusion
    boundary: BoundaryCounts
    objects: ObjectCounts | None
    reliability: Reliability
    sample: Sample
    unobserved: int
    unanswered: int


@dataclass(frozen=True)
class Evaluation:
    """A model, or a baseline, on some images.

    Attributes:
        name: What was evaluated.
        kind: ``network``, ``random forest`` or ``majority class``.
        facts: See ``Mapper``.
        legend: What its classes mean.
        measures: What was chosen.
        members: One score for each image.
    """

    name: str
    kind: str
    facts: Mapping[str, str | int | float]
    legend: Legend
    measures: Measures
    members: tuple[MemberScore, ...]

    @cached_property
    def confusion(self) -> Confusion:
        """Of all images."""
        return reduce(add, (member.confusion for member in self.members), Confusion.nothing(self._classes))

    @cached_property
    def boundary(self) -> BoundaryCounts:
        """Of all images."""
        return reduce(add, (member.boundary for member in self.members), BoundaryCounts.nothing(self._classes))

    @cached_property
    def objects(self) -> ObjectCounts:
        """Of all images that were cut into objects."""
        there = (member.objects for member in self.members if member.objects is not None)
        return reduce(add, there, ObjectCounts.nothing(self._classes))

    @cached_property
    def reliability(self) -> Reliability:
        """Of all images."""
        return reduce(add, (member.reliability for member in self.members), Reliability.nothing())

    @cached_property
    def by_group(self) -> dict[str, Confusion]:
        """Group to its matrix, in the order of the images."""
        made: dict[str, Confusion] = {}
        for member in self.members:
            made[member.group] = made.get(member.group, Confusion.nothing(self._classes)) + member.confusion
        return made

    @property
    def drawn_by_group(self) -> bool:
        """Whether groups, not images, are what a bootstrap draws and what class sets are fitted over."""
        return len(self.by_group) >= LEAST_GROUPS

    @property
    def units(self) -> tuple[Confusion, ...]:
        """Matrices of what a bootstrap draws."""
        return tuple(self.by_group.values()) if self.drawn_by_group else tuple(m.confusion for m in self.members)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Some pixels of each image."""
        return tuple(member.sample for member in self.members)

    @property
    def _classes(self) -> int:
        return len(self.legend.classes)

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> Self:
        """One evaluation of several on other images, such as those of the folds of a cross-validation.

        Speeds are averaged; other facts are those of the first part.

        Raises:
            ValueError: If parts share an image, or differ in legend or measures.
        """
        first = parts[0]
        members = tuple(member for part in parts for member in part.members)
        if len({member.name for member in members}) < len(members):
            raise ValueError("an image is in two parts")
        if any((p.legend.classes, p.measures) != (first.legend.classes, first.measures) for p in parts):
            raise ValueError("parts differ in their legend or measures")
        speeds = [float(part.facts["mpx_per_s"]) for part in parts if "mpx_per_s" in part.facts]
        facts = {**first.facts, **({"mpx_per_s": float(np.mean(speeds))} if speeds else {})}
        return cls(first.name, first.kind, facts, first.legend, first.measures, members)


def evaluate(
    mapper: Mapper,
    labels: LabelSet,
    measures: Measures | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> Evaluation:
    """Map labelled images and hold the maps against the labels.

    Args:
        mapper: A model or a baseline.
        labels: Images that it was not trained on.
        measures: What is a matter of choice.
        say: Told what is being done.

    Raises:
        GeosegError: If an image or its labels cannot be read, or mapped.
    """
    measures = measures or Measures()
    scores = []
    for number, member in enumerate(labels.members, start=1):
        say(f"{mapper.name}: {member.name} ({number} of {len(labels.members)})")
        scores.append(score_member(mapper, member, measures))
    return Evaluation(mapper.name, mapper.kind, mapper.facts, mapper.legend, measures, tuple(scores))


def score_member(mapper: Mapper, member: Labelled, measures: Measures) -> MemberScore:
    """One image; two bytes of each of its pixels are held."""
    legend, classes = mapper.legend, len(mapper.legend.classes)
    reference, found = np.full(member.shape, NOTHING, np.uint8), np.full(member.shape, NOTHING, np.uint8)
    reliability, sampler = Reliability.nothing(), _Sampler(member, measures.seed)
    for part in mapper.maps(member):
        at = slice(part.window.row0, part.window.row1), slice(part.window.col0, part.window.col1)
        reference[at] = np.where((truth := member.labels(part.window)) == IGNORE, NOTHING, truth)
        found[at] = legend.read(part.classes)
        reliability += _reliability(reference[at], found[at], part, legend)
        sampler.take(part)
    labelled = reference != NOTHING
    is_small = reference.size <= MOST_PX
    return MemberScore(
        member.name,
        member.group,
        Confusion.of(reference, found, classes),
        BoundaryCounts.of(reference, found, classes, measures.boundary_px),
        ObjectCounts.of(reference, found, classes) if is_small else None,
        reliability,
        sampler.sample(),
        int((labelled & (found == NOTHING)).sum()),
        int((labelled & (found == NO_ANSWER)).sum()),
    )


def _reliability(reference: NDArray[np.uint8], found: NDArray[np.uint8], part: MapPart, legend: Legend) -> Reliability:
    """Of pixels with a label and a class of the legend."""
    asked = (reference != NOTHING) & (found < NO_ANSWER)
    if not asked.any():
        return Reliability.nothing()
    return Reliability.of(reference[asked], found[asked], legend.scores(part.scores[:, asked]))


class _Sampler:
    """Labelled pixels of an image, spread over it, chosen before it is mapped: how a map is cut does not choose them.

    Args:
        member: The image.
        seed: Of the choice.
    """

    def __init__(self, member: Labelled, seed: int) -> None:
        self._member = member
        chosen = list(self._choose(seed))
        self._places = np.concatenate([places for places, _ in chosen])
        self._truth = np.concatenate([truth for _, truth in chosen]).astype(np.int64)
        self._scores: NDArray[np.float32] | None = None

    def _choose(self, seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
        """Rows and columns (pixel, 2) with their classes, square by square."""
        rng = np.random.default_rng([seed, crc32(self._member.name.encode())])
        for window in windows_of(self._member.shape, SAMPLE_SQUARE_PX):
            found = self._member.labels(window)
            places = np.argwhere(found != IGNORE)
            if len(places) > SAMPLED_PER_SQUARE:
                places = places[np.sort(rng.choice(len(places), SAMPLED_PER_SQUARE, replace=False))]
            yield places + np.array([window.row0, window.col0]), found[places[:, 0], places[:, 1]]

    def take(self, part: MapPart) -> None:
        """Keep what a part of the map says of the chosen pixels in it."""
        if self._scores is None:
            self._scores = np.full((len(self._places), len(part.scores)), np.nan, np.float32)
        inside = _inside(self._places, part.window)
        rows, cols = (self._places[inside] - np.array([part.window.row0, part.window.col0])).T
        self._scores[inside] = part.scores[:, rows, cols].T

    def sample(self) -> Sample:
        """The chosen pixels that have scores."""
        scores = np.empty((len(self._places), 0), np.float32) if self._scores is None else self._scores
        there = np.isfinite(scores).all(axis=1) & (scores.shape[1] > 0)
        return Sample(self._member.name, self._member.group, self._truth[there], scores[there])


def _inside(places: NDArray[np.int64], window: Window) -> NDArray[np.bool_]:
    first, last = np.array([window.row0, window.col0]), np.array([window.row1, window.col1])
    inside: NDArray[np.bool_] = ((places >= first) & (places < last)).all(axis=1)
    return inside
