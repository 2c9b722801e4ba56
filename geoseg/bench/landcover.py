"""Dynamic World against a land-cover register: each date alone, the mean of the dates' probabilities, their median image.

The data are `s2-slovenia-lulc`: five Sentinel-2 scenes of one square kilometre, a cloud mask of each, and the register of
agricultural and actual land use of Slovenia. A table, not a contest: the square is far too small to rank anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

import geoseg
from geoseg.errors import RequestError

# Value of the register to the model's class. Unused land (0) is no class; the square has no others.
REGISTER: Mapping[int, tuple[str, str]] = {
    2: ("forest", "trees"),
    3: ("grassland", "grass"),
    4: ("shrubland", "shrub and scrub"),
    8: ("artificial surface", "built area"),
    1: ("cultivated land", "crops"),
}
_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_CLOUDY = 0.5  # share of a scene from which it is left out of what combines dates


@dataclass(frozen=True, slots=True)
class Score:
    """How one map agrees with the register.

    Attributes:
        title: Which map.
        accuracy: Share of the labelled pixels that agree.
        f1: Register value to F1; NaN for a class that is in neither.
        recall: Register value to the share of its pixels that the map has.
        precision: Register value to the share of the map's pixels that the register has.
    """

    title: str
    accuracy: float
    f1: Mapping[int, float]
    recall: Mapping[int, float]
    precision: Mapping[int, float]


def measure_landcover(folder: Path, data: Path, write: Callable[[str], object], model: str = "dynamic-world") -> None:
    """Run the maps and print their tables.

    Args:
        folder: Where results go.
        data: The folder `s2-slovenia-lulc`.
        write: Takes the text.
        model: Dynamic World, under whatever name.

    Raises:
        GeosegError: If data or weights are missing.
    """
    scenes = sorted(data.glob("s2_l1c_*.tif"))
    if not scenes:
        raise RequestError(f"{data}", "the folder s2-slovenia-lulc of the shared data", "name it: landcover FOLDER")
    clear = [path for path in scenes if _cloud(data, path) < _CLOUDY]
    with rasterio.open(data / "lulc.tif") as file:
        register = file.read(1)
    cases = [(f"{_day(path)}{'' if path in clear else ', cloudy'}", [path], "first") for path in scenes]
    for words, paths in ((f"{len(clear)} clear dates", clear), (f"all {len(scenes)} dates", scenes)):
        cases += [(f"mean of {words}", paths, "mean-scores"), (f"median of {words}", paths, "median")]
    scores = []
    for number, (title, paths, rule) in enumerate(cases):
        result = geoseg.run(
            scenes=tuple(map(str, paths)),
            model=model,
            sensor="sentinel-2-l1c",
            bands=_BANDS,
            scale=1e-4,
            offset=0.0,
            composite=rule,
            out=folder / f"map-{number}",
        )
        names = {entry["index"]: entry["name"].replace("-", " ") for entry in result.report["classes"]}
        scores.append(score(title, np.asarray(result.classes), names, register))
    _tabulate(scores, register, write)


def score(title: str, classes: NDArray[Any], names: Mapping[int, str], register: NDArray[Any]) -> Score:
    """Agreement of a map with the register.

    Args:
        title: Which map.
        classes: (y, x), of the map.
        names: Class index to name.
        register: (y, x), values of `REGISTER`; others are not looked at.
    """
    meant = {name: value for value, (_, name) in REGISTER.items()}
    mapped = np.full(classes.shape, -1, np.int64)
    for index, name in names.items():
        mapped[classes == index] = meant.get(name, -1)
    known = np.isin(register, list(REGISTER))
    right, f1, recall, precision = known & (mapped == register), {}, {}, {}
    for value in REGISTER:
        both = _count(right & (register == value))
        there, said = _count(register == value), _count(known & (mapped == value))
        recall[value], precision[value] = _over(both, there), _over(both, said)
        f1[value] = _over(2 * both, there + said)
    return Score(title, _over(_count(right), _count(known)), f1, recall, precision)


def _count(flags: NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(flags))


def _over(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _day(path: Path) -> str:
    digits = path.stem[-8:]
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"


def _cloud(data: Path, scene: Path) -> float:
    with rasterio.open(data / f"cloud_{scene.stem[-8:]}.tif") as file:
        return float((file.read(1) == 1).mean())


def _tabulate(scores: Sequence[Score], register: NDArray[Any], write: Callable[[str], object]) -> None:
    pixels = {value: _count(register == value) for value in REGISTER}
    head = " | ".join(f"{REGISTER[value][0]} ({pixels[value]} px)" for value in REGISTER)
    for title, field in (("F1", "f1"), ("recall", "recall"), ("precision", "precision")):
        write(f"\n| {title} | all: accuracy | {head} |\n| --- |{' ---: |' * (len(REGISTER) + 1)}\n")
        for one in scores:
            numbers = " | ".join(_percent(getattr(one, field)[value]) for value in REGISTER)
            write(f"| {one.title} | {_percent(one.accuracy)} | {numbers} |\n")


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}"
