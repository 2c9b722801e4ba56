"""Specs and networks that are made, never fetched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from geoseg.models import ClassInfo, ModelSpec, Step, WeightsRef

BASE = ModelSpec(
    name="tiny",
    title="A tiny network",
    licence="Apache-2.0",
    source="https://example.org/tiny",
    bands=("red", "green"),
    quantity="digital-number",
    transform=(Step.of("zscore", mean=[10.0, 20.0], std=[2.0, 4.0]),),
    classes=(ClassInfo(0, "open water", "#0000ff", 80, "Lakes"), ClassInfo(1, "land", "#00ff00", 30)),
    kind="finite",
    stride_px=8,
    radius_px=(40, 40, 40, 40),
    architecture="geoseg:small-unet",
    hyperparameters={"widths": [4, 4, 4]},
    weights=WeightsRef("weights.safetensors", "0" * 64, 1, "weights.safetensors", "safetensors"),
    workspace_bytes_per_px=100.0,
    resolution_m=10.0,
    resolution_range_m=(5.0, 20.0),
    expects="sentinel-2-l2a",
    attribution="Somebody",
    notes=("one", "two"),
    fill=(0.5, -1.0),
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def make_spec() -> Callable[..., ModelSpec]:
    """A valid spec with some fields replaced."""

    def make(**changes: Any) -> ModelSpec:
        return replace(BASE, **changes)

    return make
