"""How far a class map is from one pass over the whole image, and whether its tiles can be seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from geoseg.bench.peers.subject import load_network, normalise, write_classes

_CHIP_PX, _HALO_PX = 1024, 384  # the network looks 311 px far
_MILLION = 1e6


@dataclass(frozen=True, slots=True)
class Score:
    """A map against the whole-image map.

    Attributes:
        wrong_ppm: Pixels of another class, per million.
        inner_wrong_ppm: The same of the pixels that lie further from the scene's rim than the network looks.
        seam_permille: Of the line between two rows or columns with the most borders of classes that the whole-image map
            has not: share of its pixels. A map without seams has no such line.
    """

    wrong_ppm: float
    inner_wrong_ppm: float
    seam_permille: float


def make_whole_map(scene: Path, weights: Path, out: Path) -> Path:
    """The map of torch float32 in large chips, each with more around it than the network looks; made once."""
    import torch  # noqa: PLC0415  # seconds

    if out.exists():
        return out
    network = load_network(weights).to(memory_format=torch.channels_last)
    with rasterio.open(scene) as file:
        numbers = file.read()
    rows, cols = numbers.shape[1:]
    classes = np.empty((rows, cols), np.uint8)
    for row in range(0, rows, _CHIP_PX):
        for col in range(0, cols, _CHIP_PX):
            # Chips end where the scene ends, as one pass over the whole image does.
            top, left = max(0, row - _HALO_PX), max(0, col - _HALO_PX)
            chip = normalise(numbers[:, top : row + _CHIP_PX + _HALO_PX, left : col + _CHIP_PX + _HALO_PX])
            with torch.inference_mode():
                image = torch.from_numpy(chip)[None].contiguous(memory_format=torch.channels_last)
                found = network(image)[0].argmax(0).numpy()
            core = found[row - top : row - top + _CHIP_PX, col - left : col - left + _CHIP_PX]
            classes[row : row + core.shape[0], col : col + core.shape[1]] = core
    write_classes(out, scene, classes)
    return out


def score(path: Path, whole: Path) -> Score:
    """Compare two class maps of the same grid.

    Raises:
        ValueError: If their sizes differ.
    """
    found, wanted = (_read(file) for file in (path, whole))
    if found.shape != wanted.shape:
        raise ValueError(f"{path.name} has {found.shape} pixels, not {wanted.shape}")
    wrong = found != wanted
    inner = wrong[_HALO_PX:-_HALO_PX, _HALO_PX:-_HALO_PX]
    seams = [_worst_line(found, wanted), _worst_line(found.T, wanted.T)]
    return Score(_MILLION * float(wrong.mean()), _MILLION * float(inner.mean() if inner.size else 0), 1e3 * max(seams))


def _worst_line(found: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> float:
    false = (found[1:] != found[:-1]) & (wanted[1:] == wanted[:-1])
    return float(false.mean(axis=1).max())


def _read(path: Path) -> NDArray[np.uint8]:
    with rasterio.open(path) as file:
        return np.asarray(file.read(1))
