"""Detectors of change that need no weights on real pairs, and known shifts found again in real imagery."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.vrt import WarpedVRT
from scipy import ndimage as ndi
from scipy.cluster.vq import kmeans2

from geoseg.bench.context import describe_machine
from geoseg.change.alignment import Alignment, moved
from geoseg.change.detectors import DEFAULT, DETECTORS, fit_detector
from geoseg.change.sample import Part, alignment_of, gather, parts_of
from geoseg.errors import GeosegError, RequestError
from geoseg.evaluation.confusion import Confusion
from geoseg.grid import Window

# Rows down and columns right, all three lengths on both axes.
SHIFTS = ((0.3, -0.7), (0.7, 1.6), (-1.6, 0.3))
_UNLABELLED = 255
_CLUSTERS, _SEED = 6, 0
#: Post-classification with the only classes that there are without weights.
POST = f"post-classification, k-means of {_CLUSTERS}"


@dataclass(frozen=True, eq=False)
class Pair:
    """Two dates on one grid.

    Attributes:
        name: For the table.
        before: Earlier date ``(band, row, col)``.
        after: Later date ``(band, row, col)``.
        valid: ``(row, col)``.
        bands: Names.
        truth: ``(row, col)``, 1 = changed, 255 = nobody looked.
    """

    name: str
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    valid: NDArray[np.bool_]
    bands: tuple[str, ...]
    truth: NDArray[np.uint8]

    @property
    def parts(self) -> Iterator[Part]:
        """The windows of its sample."""
        return parts_of(self.before, self.after, self.valid, self.window)

    @property
    def window(self) -> Window:
        """The whole of it."""
        return Window(0, 0, *self.valid.shape)


def measure_change(data: Path, say: Callable[[str], object]) -> None:
    """Print all tables.

    Args:
        data: Folder of the shared data sets.
        say: Takes the text.

    Raises:
        RequestError: If the data are not there.
    """
    if not (data / "change-landsat-taizhou").is_dir():
        raise RequestError(f"no change-landsat-taizhou in {data}", "the shared data sets", "name their folder")
    say(f"{describe_machine()}\n\n")
    taizhou = read_taizhou(data / "change-landsat-taizhou")
    _tell_taizhou(taizhou, say)
    _tell_variants(taizhou, say)
    _tell_levir(data / "change-levir-samples", say)
    _tell_shifts([taizhou, *(read_naip(data / "scenes-naip-series", number) for number in range(3))], say)
    _tell_correction(taizhou, say)


def read_taizhou(folder: Path) -> Pair:
    """The pair of Landsat clips, with labels."""
    images = []
    for year in (2000, 2003):
        with rasterio.open(folder / f"landsat7_{year}.tif") as file:
            images.append(file.read().astype("float32"))
    with rasterio.open(folder / "change.tif") as file:
        truth = file.read(1)
    bands = ("blue", "green", "red", "nir", "swir16", "swir22")
    return Pair("change-landsat-taizhou", images[0], images[1], np.ones(truth.shape, dtype=bool), bands, truth)


def read_levir(folder: Path) -> Iterator[Pair]:
    """Pairs without a place."""
    for path in sorted((folder / "label").glob("*.png")):
        images = []
        for part in ("A", "B", "label"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with rasterio.open(folder / part / path.name) as file:
                    images.append(file.read())
        before, after = (image.astype("float32") for image in images[:2])
        truth = images[2][0]
        yield Pair(path.stem, before, after, np.ones(truth.shape, dtype=bool), ("red", "green", "blue"), truth)


def read_naip(folder: Path, number: int = 0) -> Pair:
    """Two dates of a series whose grids differ by parts of a pixel, on the grid of the earlier one.

    Args:
        folder: Files in the order of their names, that of time.
        number: Of the earlier date.
    """
    first, second = sorted(folder.glob("*.tif"))[number : number + 2]
    with rasterio.open(first) as file:
        before = file.read().astype("float32")
        grid = {"crs": file.crs, "transform": file.transform, "width": file.width, "height": file.height}
    with rasterio.open(second) as file, WarpedVRT(file, resampling=Resampling.cubic, **grid) as placed:
        after = placed.read().astype("float32")
    valid = before.any(axis=0) & after.any(axis=0)
    name = f"scenes-naip-series {first.stem[-8:-4]} and {second.stem[-8:-4]}"
    return Pair(name, before, after, valid, ("red", "green", "blue", "nir"), np.zeros_like(valid))


def found_by(name: str, pair: Pair) -> NDArray[np.bool_]:
    """Where a detector sees change, fitted as a job would fit it."""
    if name == POST:
        return _clustered(pair)
    sample = gather(pair.parts, pair.window)
    detector = fit_detector(name, sample.before, sample.after, pair.bands)
    return detector.changed(pair.before, pair.after, pair.valid)


def _clustered(pair: Pair) -> NDArray[np.bool_]:
    """Post-classification with the only classes that there are without weights: clusters of both dates together."""
    spectra = []
    for image in (pair.before, pair.after):
        flat = image.reshape(len(image), -1).astype("float64")
        spectra.append((flat - flat.mean(axis=1, keepdims=True)) / np.maximum(flat.std(axis=1, keepdims=True), 1e-9))
    _, labels = kmeans2(np.concatenate(spectra, axis=1).T, _CLUSTERS, minit="++", rng=_SEED)
    earlier, later = np.split(labels, 2)
    differs: NDArray[np.bool_] = (earlier != later).reshape(pair.valid.shape) & pair.valid
    return differs


def confusion_of(pair: Pair, changed: NDArray[np.bool_]) -> Confusion:
    """Counts of labelled pixels."""
    return Confusion.of(pair.truth, changed.astype("uint8"), 2)


def _tell_taizhou(pair: Pair, say: Callable[[str], object]) -> None:
    say(f"{pair.name}: {int((pair.truth != _UNLABELLED).sum())} labelled pixels, no threshold set by hand\n\n")
    say("| detector | accuracy | kappa | F1 of change | area changed |\n| --- | --- | --- | --- | --- |\n")
    for name in (*DETECTORS, POST):
        changed = found_by(name, pair)
        counts = confusion_of(pair, changed)
        cells = (counts.accuracy, counts.kappa, counts.classes[1].f1)
        mark = " (default)" if name == DEFAULT else ""
        say(f"| {name}{mark} | {' | '.join(_number(cell) for cell in cells)} | {changed.mean():.1%} |\n")


def variants_of(pair: Pair) -> Iterator[Pair]:
    """What other pairs may be like: parts of this one, fewer bands, worse light."""
    rows, cols = pair.valid.shape
    for name, down, right in (("NW", 0, 0), ("NE", 0, 1), ("SW", 1, 0), ("SE", 1, 1)):
        at = slice(down * rows // 2, (down + 1) * rows // 2), slice(right * cols // 2, (right + 1) * cols // 2)
        before, after = pair.before[:, *at], pair.after[:, *at]
        yield Pair(f"{name} quarter", before, after, pair.valid[at], pair.bands, pair.truth[at])
    for chosen in ([0, 1, 2], [0, 1, 2, 3], [3, 4, 5], [2, 3]):
        bands = tuple(pair.bands[number] for number in chosen)
        yield replace(pair, name=", ".join(bands), before=pair.before[chosen], after=pair.after[chosen], bands=bands)
    down, right = np.mgrid[:rows, :cols]
    cloud = np.hypot(down - rows * 0.225, right - cols * 0.75) < rows / 10
    noise = np.random.default_rng(_SEED).normal(0, 4, pair.after.shape)
    for name, after in {
        "gamma 0.6": 255 * (np.maximum(pair.after, 0) / 255) ** 0.6,
        "noise of 4": pair.after + noise,
        "saturated": np.minimum(pair.after * 1.6, 255),
        "cloud without a mask": np.where(cloud, 240, pair.after),
    }.items():
        yield replace(pair, name=name, after=after.astype("float32"))


def _tell_variants(pair: Pair, say: Callable[[str], object]) -> None:
    names = (DEFAULT, "ir-mad-otsu", "change-vectors-standardised")
    say(f"\n{pair.name}: kappa of variants\n\n| variant | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}\n")
    found = []
    for variant in variants_of(pair):
        found.append([confusion_of(variant, found_by(name, variant)).kappa or 0.0 for name in names])
        say(f"| {variant.name} | {' | '.join(map(_number, found[-1]))} |\n")
    say(f"| mean | {' | '.join(map(_number, np.mean(found, axis=0).tolist()))} |\n")


def _tell_levir(folder: Path, say: Callable[[str], object]) -> None:
    pairs = list(read_levir(folder))
    say(f"\nchange-levir-samples: F1 of building change ({len(pairs)} pairs, too few to train on)\n\n")
    say(f"| detector | {' | '.join(pair.name for pair in pairs)} | all |\n| --- |{' --- |' * (len(pairs) + 1)}\n")
    for name in (*DETECTORS, POST):
        try:
            found = [confusion_of(pair, found_by(name, pair)) for pair in pairs]
        except GeosegError as err:
            say(f"| {name} | {err.given}{' |' * (len(pairs) + 1)}\n")
            continue
        total = Confusion(sum((counts.counts for counts in found), np.zeros((2, 3), np.int64)))
        say(f"| {name} | {' | '.join(_number(counts.classes[1].f1) for counts in (*found, total))} |\n")


def _tell_shifts(pairs: Sequence[Pair], say: Callable[[str], object]) -> None:
    say("\nKnown shifts, found again by phase correlation (the shift of the pair itself taken off)\n\n")
    say("| pair | put in (rows, columns) | found | error px | scatter px | good windows | verdict |\n")
    say(f"|{' --- |' * 7}\n")
    for pair, same in product(pairs, (True, False)):
        chosen = replace(pair, after=pair.before, valid=pair.before.any(axis=0)) if same else pair
        what = f"{pair.name}, {'one date with itself' if same else 'two dates'}"
        own = alignment_of(chosen.parts)
        say(f"| {what} | none | {own.dy_px:+.2f}, {own.dx_px:+.2f} | | {_quality(own)} |\n")
        for rows, cols in SHIFTS:
            found = alignment_of(shifted(chosen, rows, cols).parts)
            down, right = found.dy_px - own.dy_px, found.dx_px - own.dx_px
            error = max(abs(down - rows), abs(right - cols))
            say(
                f"| {what} | {rows:+.1f}, {cols:+.1f} | {down:+.2f}, {right:+.2f} | {error:.2f} | {_quality(found)} |\n"
            )


def _quality(alignment: Alignment) -> str:
    return f"{alignment.scatter_px:.2f} | {alignment.good} of {alignment.windows} | {alignment.verdict}"


def shifted(pair: Pair, rows: float, cols: float) -> Pair:
    """The pair with its later date moved down and right, by splines of the fifth order: another kernel than ours."""
    after = np.stack([ndi.shift(band, (rows, cols), order=5, mode="mirror") for band in pair.after])
    return replace(pair, after=after.astype("float32"))


def corrected(pair: Pair) -> Pair:
    """The pair with its later date moved back by what alignment says."""
    dy, dx = alignment_of(pair.parts).correction
    after = moved(pair.after, dy, dx)
    valid = pair.valid & np.isfinite(after).all(axis=0)
    return replace(pair, after=after, valid=valid, truth=np.where(valid, pair.truth, np.uint8(_UNLABELLED)))


def _tell_correction(pair: Pair, say: Callable[[str], object]) -> None:
    say(f"\n{pair.name}: F1 of change of {DEFAULT} when the later date is moved\n\n")
    say("| shift (rows, columns) | as it is | corrected |\n| --- | --- | --- |\n")
    for rows, cols in ((0.0, 0.0), *SHIFTS):
        off = shifted(pair, rows, cols) if rows or cols else pair
        scores: Mapping[str, float | None] = {
            what: confusion_of(one, found_by(DEFAULT, one)).classes[1].f1
            for what, one in (("off", off), ("corrected", corrected(off)))
        }
        say(f"| {rows:+.1f}, {cols:+.1f} | {_number(scores['off'])} | {_number(scores['corrected'])} |\n")


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
