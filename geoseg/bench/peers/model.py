"""Makes the network that is measured: trained briefly on generated land, so that its maps are landscapes and not noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from geoseg.bench.peers.subject import BANDS, MEAN, STD, new_network, normalise
from geoseg.demo.classes import LANDCOVER
from geoseg.demo.land import generated_land
from geoseg.demo.landscape import make_landscape
from geoseg.models import ClassInfo, ModelSpec, Step, WeightsRef
from geoseg.models.check import check_model
from geoseg.models.saving import WEIGHTS, save_model

_SEED, _LAND_PX = 21, 512  # the scene that is measured on has another seed
_STEPS, _BATCH, _CHIP_PX, _RATE = 60, 4, 128, 2e-3
_NAME = "bench-resnet18"


def make_model(folder: Path) -> Path:
    """The model folder; made once, found again afterwards.

    Args:
        folder: Where it goes.

    Returns:
        The folder, with weights and an item whose facts are measured.
    """
    path = folder / _NAME
    if not (path / "done").exists():
        saved = save_model(path, _spec(), _train())
        check_model(saved, write=True)
        (path / "done").touch()
    return path


def weights_of(model: Path) -> Path:
    """The weights file of a model folder."""
    return model / WEIGHTS


def _spec() -> ModelSpec:
    return ModelSpec(
        name=_NAME,
        title="ResNet-18 U-Net, trained for a minute on generated land",
        licence="Apache-2.0",
        source="",
        bands=BANDS,
        quantity="reflectance",
        transform=(Step.of("zscore", mean=MEAN, std=STD),),
        classes=tuple(ClassInfo(c.index, c.name, "#{:02x}{:02x}{:02x}".format(*c.colour)) for c in LANDCOVER),
        kind="finite",
        stride_px=32,
        resolution_m=10.0,
        resolution_range_m=(5.0, 20.0),
        architecture="smp:Unet",
        hyperparameters={"encoder_name": "resnet18"},
        weights=WeightsRef(WEIGHTS, "0" * 64, None, WEIGHTS, "safetensors"),
    )


def _train() -> nn.Module:
    """The same on every call on the same machine."""
    torch.manual_seed(_SEED)
    rng = np.random.default_rng(_SEED)
    values = normalise(generated_land(BANDS, _LAND_PX, _SEED))
    truth = make_landscape(_SEED, (_LAND_PX, _LAND_PX)).truth
    network = new_network().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS)
    loss_of = nn.CrossEntropyLoss()
    for _ in range(_STEPS):
        inputs, wanted = _batch(rng, values, truth)
        optimizer.zero_grad()
        loss_of(network(inputs), wanted).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def _batch(rng: np.random.Generator, values: NDArray[np.float32], truth: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    corners = rng.integers(0, _LAND_PX - _CHIP_PX + 1, (_BATCH, 2))
    parts = [np.s_[row : row + _CHIP_PX, col : col + _CHIP_PX] for row, col in corners]
    images = np.stack([values[(slice(None), *part)] for part in parts])
    labels = np.stack([truth[part] for part in parts]).astype(np.int64)
    return torch.from_numpy(images).contiguous(memory_format=torch.channels_last), torch.from_numpy(labels)
