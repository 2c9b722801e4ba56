"""A few outlined examples per class on a real scene: Dynamic World's features against the raw bands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray

from geoseg.models import ModelFolder, resolve
from geoseg.models.networks.text_image.loading import load_text_image
from geoseg.words.features import unit
from geoseg.words.scoring import to_pixels

_BANDS_OF_FILE = (
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12",
)  # fmt: skip
_CLEAR = ("20150711", "20150830", "20150909")
# Kinds of features, and whether they are compared by their angle.
_KINDS = {
    "Dynamic World's 144": True,
    "bands, by angle": True,
    "bands, by distance": False,
    "bands of one spread, by distance": False,
}
_CLASSES = {2: "forest", 3: "grassland", 4: "shrubland", 8: "artificial surface"}
_EXAMPLES, _DRAWS, _SIDE_PX = 5, 10, 3


def measure_examples(data: Path, say: Callable[[str], object]) -> None:
    """Draw examples ten times and print what each kind of features makes of the rest.

    An example is a square of 3 x 3 pixels of one class in the western half; the eastern half, which no example touches, is
    judged. A class is the mean of its examples.

    Args:
        data: The shared data.
        say: Takes the text.
    """
    place = data / "s2-slovenia-lulc"
    with rasterio.open(place / "lulc.tif") as file:
        truth = file.read(1)
    folder = resolve("embedding:dynamic-world", models_dirs=(data / "weights",))
    images = {day: _read(place / f"s2_l1c_{day}.tif") for day in _CLEAR}
    images["median of the three"] = np.median(np.stack(list(images.values())), axis=0)
    say(f"\nexamples: {_EXAMPLES} squares of {_SIDE_PX} x {_SIDE_PX} px per class in the western half of {place.name} ")
    say(f"(as many as there are), {_DRAWS} draws; mIoU of {', '.join(_CLASSES.values())} in the eastern half\n\n")
    say(f"| image | {' | '.join(_KINDS)} | draws won against bands as they are |\n|{' --- |' * (len(_KINDS) + 2)}\n")
    totals = []
    for name, bands in images.items():
        features = [
            unit(_features(folder, bands)),
            np.moveaxis(bands, 0, -1),
            np.moveaxis(bands, 0, -1),
            _scaled(bands),
        ]
        found = np.array([_draw(features, truth, draw) for draw in range(_DRAWS)])
        totals.append(found.mean(axis=0))
        won = int((found[:, 0] > found[:, 1:3].max(axis=1)).sum())
        say(f"| {name} | {' | '.join(_spread(values) for values in found.T)} | {won} of {_DRAWS} |\n")
    say(f"| mean | {' | '.join(f'{value:.3f}' for value in np.mean(totals, axis=0))} | |\n")


def _draw(features: list[NDArray[np.float32]], truth: NDArray[np.uint8], draw: int) -> list[float]:
    """Scores of all kinds of features with the same examples."""
    examples = _drawn(truth, np.random.default_rng([draw, 5]))
    return [
        _score(vectors, examples, truth, angular=angular)
        for vectors, angular in zip(features, _KINDS.values(), strict=True)
    ]


def _spread(values: NDArray[np.float64]) -> str:
    return f"{values.mean():.3f} ({values.min():.3f} to {values.max():.3f})"


def _read(path: Path) -> NDArray[np.float32]:
    with rasterio.open(path) as file:
        bands: NDArray[np.float32] = file.read().astype("float32") / np.float32(10_000)
    return bands


def _features(folder: ModelFolder, bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """Features of all pixels (y, x, 144), from one window around the scene."""
    model = load_text_image(folder)
    rows, cols = bands.shape[1:]
    side = 2 * max(rows, cols)
    values, valid = np.zeros((len(model.spec.bands), side, side), np.float32), np.zeros((side, side), bool)
    scale = 10_000 if model.spec.quantity == "digital-number" else 1
    for at, band in enumerate(model.spec.bands):
        values[at, :rows, :cols] = bands[_BANDS_OF_FILE.index(band)] * scale
    valid[:rows, :cols] = True
    cells, _ = model.encode_image(torch.from_numpy(values)[None], torch.from_numpy(valid)[None])
    doubled = to_pixels(np.moveaxis(cells, -1, 0), None, model.stride_px, 1.0)
    return np.moveaxis(doubled, 0, -1)[:rows, :cols]


def _scaled(bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bands with one spread each, (y, x, band)."""
    spread = np.maximum(bands.std(axis=(1, 2), keepdims=True), 1e-6)
    return np.moveaxis(((bands - bands.mean(axis=(1, 2), keepdims=True)) / spread).astype(np.float32), 0, -1)


def _drawn(truth: NDArray[np.uint8], rng: np.random.Generator) -> dict[int, list[tuple[int, int]]]:
    """Upper left corners of the examples of each class."""
    half = truth.shape[1] // 2
    found = {}
    for value in _CLASSES:
        whole = np.lib.stride_tricks.sliding_window_view(truth[:, :half] == value, (_SIDE_PX, _SIDE_PX)).all(
            axis=(2, 3)
        )
        places = np.argwhere(whole)
        taken = rng.choice(len(places), min(_EXAMPLES, len(places)), replace=False)
        found[value] = [(int(row), int(col)) for row, col in places[taken]]
    return found


def _score(
    vectors: NDArray[np.float32], examples: dict[int, list[tuple[int, int]]], truth: NDArray[np.uint8], *, angular: bool
) -> float:
    """Mean IoU over the classes, each pixel of the class whose examples it is most like."""
    best = []
    for corners in examples.values():
        mean = np.mean([vectors[r : r + _SIDE_PX, c : c + _SIDE_PX].mean(axis=(0, 1)) for r, c in corners], axis=0)
        likeness = vectors @ unit(mean) if angular else -np.square(vectors - mean).sum(axis=-1, dtype=np.float64)
        best.append(likeness / np.linalg.norm(vectors, axis=-1) if angular else likeness)
    told = np.array(list(examples))[np.argmax(best, axis=0)]
    east = np.zeros(truth.shape, bool)
    east[:, truth.shape[1] // 2 :] = True
    judged = east & np.isin(truth, list(_CLASSES))
    ious = []
    for value in _CLASSES:
        both, either = (truth == value) & (told == value) & judged, ((truth == value) | (told == value)) & judged
        if (judged & (truth == value)).any():
            ious.append(both.sum() / either.sum())
    return float(np.mean(ious))
