"""Change detectors as users run them: whole jobs on real pairs, from files to files."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

import geoseg
from geoseg.bench.change import POST as CLUSTERED
from geoseg.bench.change import SHIFTS, Pair, confusion_of, found_by, read_levir, read_taizhou, shifted
from geoseg.change.detectors import DEFAULT, DETECTORS
from geoseg.errors import GeosegError, RequestError
from geoseg.evaluation.confusion import Confusion
from geoseg.pixels import FAILED_CLASS

_CHANGED = 1
_POST, _MODEL = "post-classification", "demo-uav"


@dataclass(frozen=True)
class Runs:
    """Makes change maps of pairs.

    Attributes:
        folder: Where scenes and results go.
    """

    folder: Path

    def change(
        self, pair: Pair, detector: str, name: str, align: str = "correct", model: str | None = None
    ) -> tuple[NDArray[np.bool_], geoseg.Result]:
        """Where a run sees change, and the run.

        Args:
            pair: The dates.
            detector: What finds the change.
            name: Of the folder, one for each run.
            align: Whether dates that lie apart are moved or refused, or taken as they lie.
            model: Land cover model, for post-classification.
        """
        scenes = [self._written(image, pair.bands, f"{name}-{when}") for when, image in _dates(pair)]
        result = self.files(scenes, name, pixel_grid=True, detector=detector, align=align, model=model)
        classes = self.classes(result)
        return (classes >= _CHANGED) & (classes < FAILED_CLASS), result

    def files(self, scenes: Sequence[Path], name: str, **options: Any) -> geoseg.Result:
        """A run on two rasters.

        Args:
            scenes: Of the earlier date and of the later one.
            name: See ``change``.
            **options: Of ``geoseg run``.
        """
        return geoseg.run(
            workflow="change",
            scenes_before=str(scenes[0]),
            scenes_after=str(scenes[1]),
            out=self.folder / name,
            cache=self.folder / "cache",
            **options,
        )

    @staticmethod
    def classes(result: geoseg.Result) -> NDArray[np.uint8]:
        """The map of a run."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(result.out / "classes.tif") as file:
                classes: NDArray[np.uint8] = file.read(1)
        return classes

    def _written(self, image: NDArray[np.float32], bands: Sequence[str], name: str) -> Path:
        """A date as a raster without a place; whole numbers of a byte stay such."""
        whole = np.rint(image)
        numbers = (
            whole.astype("uint8") if np.array_equal(whole, image) and 0 <= image.min() <= image.max() < 256 else image
        )
        path, (count, rows, cols) = self.folder / f"{name}.tif", image.shape
        facts = {"count": count, "height": rows, "width": cols, "dtype": numbers.dtype, "compress": "deflate"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, "w", driver="GTiff", **facts) as file:
                file.write(numbers)
                for number, band in enumerate(bands, start=1):
                    file.set_band_description(number, band)
        return path


def _dates(pair: Pair) -> tuple[tuple[str, NDArray[np.float32]], ...]:
    return ("before", pair.before), ("after", pair.after)


def measure_runs(data: Path, folder: Path, say: Callable[[str], object]) -> None:
    """Print the tables.

    Args:
        data: Folder of the shared data sets.
        folder: Where scenes and results go.
        say: Takes the text.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # pictures without a place are what is measured
        _tell(data, Runs(folder), say)


def _tell(data: Path, runs: Runs, say: Callable[[str], object]) -> None:
    taizhou = read_taizhou(data / "change-landsat-taizhou")
    pairs = list(read_levir(data / "change-levir-samples"))
    say(
        "\nThrough `geoseg run --workflow change --pixel-grid --detector ...`, the LEVIR pairs with `--align measure`\n\n"
    )
    columns = [f"{taizhou.name}: kappa", "F1", *(f"{pair.name}: F1" for pair in pairs), "all LEVIR: F1"]
    say(f"| detector | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}\n")
    for name in DETECTORS:
        say(f"| {name}{' (default)' if name == DEFAULT else ''} | {' | '.join(_row(runs, name, taizhou, pairs))} |\n")
    say(
        f"| {_POST} with {_MODEL}, which knows generated flights | | | {' | '.join(_levir(runs, _POST, pairs, _MODEL))} |\n"
    )
    clustered = [confusion_of(taizhou, found_by(CLUSTERED, taizhou))]
    numbers = [_number(clustered[0].kappa), _number(clustered[0].classes[1].f1)]
    numbers += _f1([confusion_of(pair, found_by(CLUSTERED, pair)) for pair in pairs])
    say(f"| {CLUSTERED}, which is no model of a run: on the arrays | {' | '.join(numbers)} |\n")
    _tell_shifts(runs, taizhou, say)
    _tell_naip(sorted((data / "scenes-naip-series").glob("*.tif")), runs, say)


def _row(runs: Runs, detector: str, taizhou: Pair, pairs: Sequence[Pair]) -> list[str]:
    changed, _ = runs.change(taizhou, detector, f"{taizhou.name}-{detector}")
    counts = confusion_of(taizhou, changed)
    numbers = [_number(counts.kappa), _number(counts.classes[1].f1)]
    try:
        return [*numbers, *_levir(runs, detector, pairs)]
    except GeosegError as err:  # colours alone are not enough for each of them
        return [*numbers, err.given]


def _levir(runs: Runs, detector: str, pairs: Sequence[Pair], model: str | None = None) -> list[str]:
    """F1 of building change of each pair, and of all."""
    found = []
    for pair in pairs:
        changed, _ = runs.change(pair, detector, f"{pair.name}-{detector}", "measure", model)
        found.append(confusion_of(pair, changed))
    return _f1(found)


def _f1(found: Sequence[Confusion]) -> list[str]:
    """Of each pair, and of all."""
    total = Confusion(sum((counts.counts for counts in found), np.zeros((2, 3), np.int64)))
    return [_number(counts.classes[1].f1) for counts in (*found, total)]


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _tell_shifts(runs: Runs, pair: Pair, say: Callable[[str], object]) -> None:
    """The later date moved by a known shift, which the job has to find and take back."""
    say(f"\n{pair.name} through the default workflow, the later date moved\n\n")
    say("| shift (rows, columns) | found (the pair's own taken off) | error px | correction | F1 of change |\n")
    say(f"|{' --- |' * 5}\n")
    own = (0.0, 0.0)
    for rows, cols in ((0.0, 0.0), *SHIFTS):
        moved = shifted(pair, rows, cols) if rows or cols else pair
        changed, result = runs.change(moved, DEFAULT, f"shift-{rows}-{cols}")
        lies = result.report["change"]["alignment"]
        if not rows and not cols:
            own = (lies["dy_px"], lies["dx_px"])
        found = (lies["dy_px"] - own[0], lies["dx_px"] - own[1])
        error = max(abs(found[0] - rows), abs(found[1] - cols))
        back = ", ".join(f"{value:+.2f}" for value in lies["correction_px"])
        f1 = confusion_of(pair, changed).classes[1].f1 or 0.0
        say(f"| {rows:+.1f}, {cols:+.1f} | {found[0]:+.2f}, {found[1]:+.2f} | {error:.2f} | {back} | {f1:.3f} |\n")


def _tell_naip(files: Sequence[Path], runs: Runs, say: Callable[[str], object]) -> None:
    """Dates of a series without labels, on grids that differ by parts of a pixel: what a run makes of them."""
    say(
        "\nscenes-naip-series through `geoseg run --workflow change`, neighbouring dates: area changed (there are no labels)\n\n"
    )
    names = [f"{first.stem[-8:-4]} and {second.stem[-8:-4]}" for first, second in pairwise(files)]
    say(f"| detector | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}\n")
    lies: dict[str, str] = {}
    for detector in DETECTORS:
        cells = []
        for name, pair in zip(names, pairwise(files), strict=True):
            options: dict[str, Any] = {"detector": detector, "bands": ("red", "green", "blue", "nir")}
            folder = f"naip-{pair[0].stem[-8:-4]}-{detector}"
            try:
                result = runs.files(pair, folder, **options)
                alignment = result.report["change"]["alignment"]
                lies[name] = (
                    f"{alignment['verdict']}, {alignment['dy_px']:+.2f} rows and {alignment['dx_px']:+.2f} columns"
                )
            except RequestError as err:  # no single shift mends it: taken as it lies
                lies[name] = f"refused: {err.given}"
                result = runs.files(pair, f"{folder}-left", align="measure", **options)
            classes = runs.classes(result)
            cells.append(f"{(classes == _CHANGED).sum() / (classes < FAILED_CLASS).sum():.1%}")
        say(f"| {detector} | {' | '.join(cells)} |\n")
    say("\nHow they lie on each other (refused ones above are taken with `--align measure`):\n\n")
    for name, told in lies.items():
        say(f"- {name}: {told}\n")
