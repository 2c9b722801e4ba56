"""From a finished map to a design: which strata, how many samples of each, which pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from geoseg.assessment.design import Design, Grid, LabelClass, Sample, Stratum
from geoseg.assessment.drawing import StratumSize, draw_pixels, measure_strata
from geoseg.assessment.finished import FinishedMap
from geoseg.assessment.sizes import allocate, sample_size
from geoseg.errors import RequestError, unknown_name

_MOST_SPLIT = 125  # classes whose numbers, twice, are numbers of classes


@dataclass(frozen=True, slots=True)
class Wish:
    """What a sample is to be like.

    Attributes:
        standard_error: Of overall accuracy, above 0 and below 0.5.
        samples: How many, instead of what the standard error asks for.
        expected: User's accuracy as it is expected, 0 to 1.
        expected_of: The same for single classes, by name.
        least: Samples of each stratum, at least.
        low_confidence: Percent below which a class's pixels are a stratum of their own.
        more_classes: Names of classes that the map does not have and the ground may.
        seed: Another seed draws other pixels.
    """

    standard_error: float = 0.01
    samples: int | None = None
    expected: float = 0.8
    expected_of: Mapping[str, float] = field(default_factory=dict)
    least: int = 50
    low_confidence: int | None = None
    more_classes: Sequence[str] = ()
    seed: int = 1


def plan_sample(finished: FinishedMap, wish: Wish) -> Design:
    """Draw a stratified random sample of a map's pixels. The same map and wish give the same pixels.

    Strata are the classes of the map, each in two where ``low_confidence`` is given.

    Raises:
        RequestError: If the wish contradicts itself or the map.
    """
    _check(finished, wish)
    classes = len(finished.classes)
    values = range(classes * (1 if wish.low_confidence is None else 2))
    sizes = measure_strata(finished, [_value(finished, value) for value in values], wish.low_confidence)
    weights = np.array([size.size for size in sizes]) / sum(size.size for size in sizes)
    pixels = np.array([size.pixels for size in sizes], np.int64)
    expected = np.array([_expected(finished, wish, size.value) for size in sizes])
    samples = wish.samples or sample_size(weights, expected, wish.standard_error)
    given = allocate(samples, weights, wish.least, pixels)
    drawn = draw_pixels(
        finished,
        {size.value: int(number) for size, number in zip(sizes, given, strict=True)},
        wish.seed,
        wish.low_confidence,
    )
    strata = tuple(
        _stratum(finished, wish, *facts)
        for facts in zip(sizes, weights.tolist(), expected.tolist(), given, strict=True)
    )
    grid = finished.geobox
    return Design(
        map_key=finished.key,
        map_title=finished.title,
        grid=Grid(
            crs=None if grid.crs is None else grid.crs.to_wkt(), transform=grid.transform[:6], shape=grid.shape.yx
        ),
        seed=wish.seed,
        standard_error=None if wish.samples else wish.standard_error,
        low_confidence=wish.low_confidence,
        classes=(
            *(LabelClass(name=one.name, index=one.index, code=one.code, colour=one.colour) for one in finished.classes),
            *(LabelClass(name=name) for name in wish.more_classes),
        ),
        strata=strata,
        samples=_shuffled([drawn[size.value] for size in sizes], wish.seed),
    )


def _value(finished: FinishedMap, position: int) -> int:
    """Of the blocks: class indices, then those of low confidence."""
    round_, place = divmod(position, len(finished.classes))
    return finished.classes[place].index + round_ * len(finished.classes)


def _stratum(
    finished: FinishedMap, wish: Wish, size: StratumSize, weight: float, expected: float, given: int
) -> Stratum:
    entry, is_low = _class_of(finished, size.value)
    words = "" if wish.low_confidence is None else f", {'below' if is_low else 'from'} {wish.low_confidence} %"
    return Stratum(
        name=entry.name + words,
        class_index=entry.index,
        weight=weight,
        area_m2=size.area_m2,
        pixels=size.pixels,
        expected_accuracy=expected,
        samples=int(given),
    )


def _class_of(finished: FinishedMap, value: int) -> tuple[LabelClass, bool]:
    known = {one.index: one for one in finished.classes}
    is_low = value not in known
    found = known[value - len(known) if is_low else value]
    return LabelClass(name=found.name, index=found.index), is_low


def _expected(finished: FinishedMap, wish: Wish, value: int) -> float:
    entry, _ = _class_of(finished, value)
    return wish.expected_of.get(entry.name, wish.expected)


def _shuffled(drawn: Sequence[NDArray[np.int64]], seed: int) -> tuple[Sample, ...]:
    """Samples numbered in random order: whoever labels them must not learn the stratum from the number."""
    places = np.concatenate(drawn)
    stratum = np.repeat(np.arange(len(drawn)), [len(one) for one in drawn])
    order = np.random.default_rng(seed).permutation(len(places))
    rows = zip(stratum[order].tolist(), places[order].tolist(), strict=True)
    return tuple(
        Sample(id=number, stratum=which, row=row, col=col) for number, (which, (row, col)) in enumerate(rows, 1)
    )


def _check(finished: FinishedMap, wish: Wish) -> None:
    names = [one.name for one in finished.classes]
    for name in wish.expected_of:
        if name not in names:
            raise unknown_name("--expected", name, names, "correct the name of the class")
    doubled = [name for name in wish.more_classes if name.casefold() in {one.casefold() for one in names}]
    if doubled:
        raise RequestError(f"--also {doubled[0]}", "a class that the map does not have", "leave it out")
    if wish.low_confidence is not None and len(names) > _MOST_SPLIT:
        raise RequestError(
            f"--low-confidence with {len(names)} classes", f"{_MOST_SPLIT} classes at most", "leave it out"
        )
