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
_SCENE = "s2_l1c_20150711.tif"
_CLASSES = {2: "forest", 3: "grassland", 4: "shrubland", 8: "artificial surface"}
_EXAMPLES, _DRAWS, _SIDE_PX = 5, 10, 3


def measure_examples(data: Path, say: Callable[[str], object]) -> None:
    """Draw examples ten times and print what each kind of features makes of the rest.

    An example is a square of 3 x 3 pixels of one class in the western half; the eastern half, which no example touches, is
    judged.

    Args:
        data: The shared data.
        say: Takes the text.
    """
    place = data / "s2-slovenia-lulc"
    with rasterio.open(place / _SCENE) as file:
        bands = file.read().astype("float32") / 10_000
    with rasterio.open(place / "lulc.tif") as file:
        truth = file.read(1)
    folder = resolve("embedding:dynamic-world", models_dirs=(data / "weights",))
    kinds = {
        "Dynamic World's 144 features": unit(_features(folder, bands)),
        "raw bands, nearest in reflectance": _nearest(bands),
        "raw bands, nearest in angle": unit(np.moveaxis(bands, 0, -1)),
    }
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for draw in range(_DRAWS):
        examples = _drawn(truth, np.random.default_rng([draw, 5]))
        for name, vectors in kinds.items():
            found[name].append(_score(vectors, examples, truth, angular="reflectance" not in name))
    say(
        f"\nexamples: {_EXAMPLES} squares of {_SIDE_PX} x {_SIDE_PX} px per class in the western half of {place.name}, "
    )
    say(f"{_DRAWS} draws; mIoU of {', '.join(_CLASSES.values())} in the eastern half\n\n")
    say("| features | mIoU, mean (range) | draws won against every kind of raw bands |\n| --- | ---: | ---: |\n")
    raw = np.max([values for name, values in found.items() if "raw" in name], axis=0)
    for name, values in found.items():
        won = "" if "raw" in name else f"{int((np.array(values) > raw).sum())} of {_DRAWS}"
        say(f"| {name} | {np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f}) | {won} |\n")


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


def _nearest(bands: NDArray[np.float32]) -> NDArray[np.float32]:
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
    """Mean IoU over the classes, each pixel of the class of the most similar example."""
    best = []
    for corners in examples.values():
        means = [vectors[r : r + _SIDE_PX, c : c + _SIDE_PX].mean(axis=(0, 1)) for r, c in corners]
        likeness = [
            vectors @ unit(mean) if angular else -np.square(vectors - mean).sum(axis=-1, dtype=np.float64)
            for mean in means
        ]
        best.append(np.max(likeness, axis=0))
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
