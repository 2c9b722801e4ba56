"""What all of them run: a ResNet-18 U-Net of four bands, its input transform, and how a class map is written."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import nn

BANDS = ("B02", "B03", "B04", "B08")
MEAN, STD = (0.040, 0.069, 0.064, 0.295), (0.018, 0.022, 0.034, 0.075)
CLASSES = 7
CHIP_PX, CUT_PX = 512, 64
_NUMBERS_PER_REFLECTANCE = 10_000


def new_network() -> nn.Module:
    """The network with random weights."""
    import segmentation_models_pytorch as smp  # noqa: PLC0415  # imports torch

    network: nn.Module = smp.Unet("resnet18", encoder_weights=None, in_channels=len(BANDS), classes=CLASSES)
    return network


def load_network(weights: Path) -> nn.Module:
    """The network with its weights, ready to run."""
    from safetensors.torch import load_file  # noqa: PLC0415  # imports torch

    network = new_network()
    network.load_state_dict(load_file(weights))
    return network.eval()


def normalise(numbers: NDArray[Any]) -> NDArray[np.float32]:
    """Z-scores per band of digital numbers (band, y, x)."""
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (MEAN, STD))
    return np.asarray((numbers.astype(np.float32) / np.float32(_NUMBERS_PER_REFLECTANCE) - mean) / std)


def write_classes(path: Path, like: Path, classes: NDArray[np.uint8]) -> None:
    """A compressed GeoTIFF of classes (y, x) on the grid of the scene."""
    import rasterio  # noqa: PLC0415  # takes a while

    with rasterio.open(like) as file:
        profile = {"height": file.height, "width": file.width, "crs": file.crs, "transform": file.transform}
    tiling = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "zlevel": 1}
    with rasterio.open(path, "w", driver="GTiff", count=1, dtype="uint8", nodata=255, **profile, **tiling) as file:
        file.write(classes, 1)


def run_peer(work: Callable[[Path, Path, Path], None], *packages: str) -> None:
    """The command line of a peer's script, ``SCENE WEIGHTS OUT``; says which versions ran."""
    work(*map(Path, sys.argv[1:4]))
    sys.stdout.write(json.dumps({name: version(name) for name in (*packages, "torch")}) + "\n")
