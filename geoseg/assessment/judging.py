"""What the labels say of a map: the one value that the table, the JSON and the page are made from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from pyproj import Transformer

from geoseg.assessment.design import Design, LabelClass
from geoseg.assessment.estimators import Accuracy, Estimate, estimate_accuracy
from geoseg.assessment.finished import FinishedMap
from geoseg.assessment.sizes import LEAST
from geoseg.errors import RequestError
from geoseg.outputs.record_parts import ClassFacts

NO_CLASS = "no class"

_LARGE = 0.05  # of the drawn samples without a label


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Share(_Part):
    """A share of the area, or of a part of it, 0 to 1."""

    value: float
    """As estimated."""
    standard_error: float
    """Of the estimate."""
    margin: float
    """1.96 standard errors."""
    low: float
    """Lower end of the 95 % interval; see docs/decisions/024 for why it is not the value minus the margin."""
    high: float
    """Upper end of it."""


class Area(_Part):
    """An area of a class, in square metres, or in pixels where the map has no CRS."""

    value: float
    """As estimated."""
    standard_error: float
    """Of the estimate."""
    margin: float
    """1.96 standard errors."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of it."""


class ClassAccuracy(_Part):
    """What is known of one class."""

    name: str
    """Name for people."""
    index: int | None
    """Pixel value; none for a class that the map does not have."""
    code: int | None
    """Code in the legend."""
    colour: str
    """``#rrggbb``."""
    mapped_samples: int
    """Samples that the map calls so."""
    labelled_samples: int
    """Samples that were labelled so."""
    mapped_area: float
    """Pixels that the map calls so, counted: square metres, or pixels."""
    area: Area
    """Adjusted for the map's errors."""
    area_share: Share
    """The same as a share of the whole area."""
    users_accuracy: Share | None
    """Of what the map calls so, what is so; none where no sample tells."""
    producers_accuracy: Share | None
    """Of what is so, what the map calls so; none where no sample tells."""


class Assessment(_Part):
    """Accuracy of a map and areas of its classes, from a labelled sample."""

    version: int = 1
    """Of this format."""
    map_key: str
    """Key of the job that made the map."""
    map_title: str
    """What the map is, in words."""
    is_own_sample: bool
    """Whether the sample was drawn from this map; else its strata are those of another one."""
    drawn: int
    """Samples drawn."""
    labelled: int
    """Samples with a label, which all estimates are from."""
    seed: int
    """Of the drawing."""
    unit: str
    """``m2``, or ``px`` where the map has no CRS."""
    total_area: float
    """Of all strata."""
    overall_accuracy: Share
    """Share of the area that the map has right."""
    classes: tuple[ClassAccuracy, ...]
    """In the order of the class table."""
    matrix_names: tuple[str, ...]
    """Rows (map) and columns (reference) of the matrices."""
    matrix_samples: tuple[tuple[int, ...], ...]
    """Samples."""
    matrix_shares: tuple[tuple[float, ...], ...]
    """Shares of the area, together 1."""
    notes: tuple[str, ...]
    """What to know, in plain words."""


def assess_map(finished: FinishedMap, design: Design, labels: Mapping[int, int]) -> Assessment:
    """Accuracy and areas from labels.

    Args:
        finished: The map; the one that was drawn from, or another of the same ground.
        design: The sample.
        labels: Id to the position of the class in ``design.classes``.

    Raises:
        RequestError: If a stratum has fewer than two labels, or the map has none of the labels' classes.
    """
    _check_strata(design, labels)
    is_own = finished.key == design.map_key
    names, mapped_names, label_names = _names(finished, design)
    samples = [one for one in design.samples if one.id in labels]
    mapped = _mapped(
        finished, design, np.array([(one.col, one.row) for one in samples]), [one.stratum for one in samples]
    )
    classes_of_map = {one.index: names.index(one.name) for one in finished.classes}
    absent = len(names)  # a row of its own for pixels to which the map gives no class
    has_absent = bool((mapped < 0).any())
    found = estimate_accuracy(
        np.array([one.stratum for one in samples]),
        np.array([classes_of_map.get(int(value), absent) for value in mapped]),
        np.array([names.index(label_names[labels[one.id]]) for one in samples]),
        len(names) + has_absent,
        np.array([one.weight for one in design.strata]),
        np.array([one.pixels for one in design.strata]),
    )
    shown = (*names, NO_CLASS) if has_absent else tuple(names)
    total = sum(one.pixels if one.area_m2 is None else one.area_m2 for one in design.strata)
    return Assessment(
        map_key=finished.key,
        map_title=finished.title,
        is_own_sample=is_own,
        drawn=len(design.samples),
        labelled=len(samples),
        seed=design.seed,
        unit="px" if design.grid.crs is None else "m2",
        total_area=total,
        overall_accuracy=_share(found.overall, ()),
        classes=tuple(_class(number, name, finished, design, found, total) for number, name in enumerate(names)),
        matrix_names=shown,
        matrix_samples=tuple(tuple(row) for row in found.counts.tolist()),
        matrix_shares=tuple(tuple(row) for row in found.matrix.tolist()),
        notes=tuple(
            _notes(finished, design, len(samples), mapped, is_own=is_own, unknown=len(label_names) - len(mapped_names))
        ),
    )


def _check_strata(design: Design, labels: Mapping[int, int]) -> None:
    known = Counter(one.stratum for one in design.samples if one.id in labels)
    poor = [one.name for number, one in enumerate(design.strata) if known[number] < min(LEAST, one.pixels)]
    alone = [one.name for number, one in enumerate(design.strata) if known[number] == 0]
    if poor or alone:
        shown = ", ".join(dict.fromkeys((*alone, *poor)))
        raise RequestError(
            f"{len(labels)} labels, fewer than {LEAST} of them in {shown}",
            f"{LEAST} or more in each stratum",
            "label more: the samples of a stratum are spread over all ids",
        )


def _names(finished: FinishedMap, design: Design) -> tuple[list[str], list[str], list[str]]:
    """All class names, those of the map, and those of the labels by their position.

    Raises:
        RequestError: If map and labels share no class.
    """
    mapped = [one.name for one in finished.classes]
    labelled = [one.name for one in design.classes]
    if not set(mapped) & set(labelled):
        raise RequestError(
            f"a map of {', '.join(mapped)}",
            f"a map of {', '.join(labelled)}",
            "name a map with the legend of the labels",
        )
    return list(dict.fromkeys((*mapped, *labelled))), mapped, labelled


def _mapped(
    finished: FinishedMap, design: Design, places: NDArray[np.int64], strata: Sequence[int]
) -> NDArray[np.int64]:
    """The map's class at each sample (column, row); -1 where it has none."""
    if finished.key == design.map_key:
        return np.array([design.strata[number].class_index for number in strata], np.int64)
    middles = places + 0.5
    grid = finished.geobox
    if (grid.crs is None) != (design.grid.crs is None):
        raise RequestError(f"{finished.folder} on a grid of another kind", "a map of the same ground", "name one")
    a, b, c, d, e, f = design.grid.transform
    x, y = a * middles[:, 0] + b * middles[:, 1] + c, d * middles[:, 0] + e * middles[:, 1] + f
    if grid.crs is not None:
        x, y = Transformer.from_crs(design.grid.crs, grid.crs.proj, always_xy=True).transform(x, y)
    back = ~Affine(*tuple(grid.transform)[:6])
    points = np.column_stack((back.a * x + back.b * y + back.c, back.d * x + back.e * y + back.f))
    return finished.at(points)


def _class(
    number: int, name: str, finished: FinishedMap, design: Design, found: Accuracy, total: float
) -> ClassAccuracy:
    known: list[ClassFacts | LabelClass] = [*finished.classes, *design.classes]
    entry = next(one for one in known if one.name == name)
    is_mapped = any(one.name == name for one in finished.classes)
    pixels, area_m2 = finished.mapped_areas().get(int(entry.index or 0), (0, 0.0)) if is_mapped else (0, 0.0)
    share = _share(found.areas, (number,))
    return ClassAccuracy(
        name=name,
        index=entry.index if is_mapped else None,
        code=entry.code,
        colour=entry.colour,
        mapped_samples=int(found.counts[number].sum()),
        labelled_samples=int(found.counts[:, number].sum()),
        mapped_area=float(pixels) if area_m2 is None else area_m2,
        area=Area(**{field: value * total for field, value in share.model_dump().items()}),
        area_share=share,
        users_accuracy=_share_or_none(found.users, number),
        producers_accuracy=_share_or_none(found.producers, number),
    )


def _share(estimate: Estimate, at: tuple[int, ...]) -> Share:
    return Share(
        value=float(estimate.value[at]),
        standard_error=float(estimate.standard_error[at]),
        margin=float(estimate.margin[at]),
        low=float(estimate.low[at]),
        high=float(estimate.high[at]),
    )


def _share_or_none(estimate: Estimate, number: int) -> Share | None:
    return None if math.isnan(estimate.value[number]) else _share(estimate, (number,))


def _notes(
    finished: FinishedMap, design: Design, labelled: int, mapped: NDArray[np.int64], *, is_own: bool, unknown: int
) -> list[str]:
    notes = []
    missing = len(design.samples) - labelled
    if missing:
        words = f"{missing} of {len(design.samples)} samples have no label and are left out"
        large = missing > _LARGE * len(design.samples)
        notes.append(
            f"{words}: if these are harder to tell than others, accuracy is lower than it says" if large else words
        )
    if not is_own:
        notes.append(
            f"the sample was drawn from another map ({design.map_title}): its strata are not the classes of this one, and "
            "all numbers are of the ground that the other map covers"
        )
    if outside := int((mapped < 0).sum()):
        notes.append(f"{outside} samples lie where this map has no class; there it counts as wrong")
    pixels = finished.report["pixels"]
    if is_own and pixels["classified"] < pixels["aoi"]:
        share = 1 - pixels["classified"] / pixels["aoi"]
        notes.append(f"{share:.1%} of the region has no class and is in none of the areas")
    if unknown > 0 and is_own:
        notes.append(f"{unknown} classes of the labels are not in the map: what is so is mapped as something else")
    return notes
