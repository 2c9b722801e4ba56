"""Small worlds for tests: rasters, catalogues and models that are made, never fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray
from rasterio.transform import from_origin
from scipy.ndimage import gaussian_filter
from torch import nn

from geoseg.models import ClassInfo, ModelFolder, ModelSpec, Step, WeightsRef
from geoseg.models.networks import build
from geoseg.models.saving import save_model

BANDS = ("red", "green", "blue")
COLOURS = ("#1b9e77", "#d95f02", "#7570b3", "#e7298a")
SPEC = {
    "name": "tiny",
    "title": "a tiny network with random weights",
    "licence": "Apache-2.0",
    "source": "https://example.org/tiny",
    "transform": (Step.of("zscore", mean=120.0, std=40.0),),
    "classes": tuple(ClassInfo(i, f"class {i}", colour) for i, colour in enumerate(COLOURS)),
    "weights": WeightsRef("model.safetensors", "0" * 64, 1, "model.safetensors", "safetensors"),
}


def landscape(shape: tuple[int, int], bands: int, seed: int = 0) -> NDArray[np.float64]:
    """Smooth blobs and noise, (band, y, x), roughly 0 ... 255."""
    rng = np.random.default_rng(seed)
    image = np.stack([gaussian_filter(rng.normal(size=shape), 6) for _ in range(bands)])
    image = image / image.std() * 45 + 120 + rng.normal(size=image.shape) * 8
    return np.clip(image, 1, 254)


def write_raster(
    path: Path,
    image: NDArray[Any],
    *,
    crs: str = "EPSG:32633",
    origin: tuple[float, float] = (500_003.0, 5_000_007.0),
    pixel: float = 10.0,
    names: tuple[str, ...] = (),
    **profile: Any,
) -> Path:
    """A GeoTIFF of an array (band, y, x); ``origin`` is the upper left corner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, rows, cols = image.shape
    options = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", **profile}
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=rows,
        width=cols,
        count=bands,
        dtype=image.dtype,
        crs=crs,
        transform=from_origin(*origin, pixel, pixel),
        **options,
    ) as file:
        file.write(image)
        for number, name in enumerate(names, start=1):
            file.set_band_description(number, name)
    return path


def _lively(module: nn.Module, seed: int) -> nn.Module:
    """Random weights whose scores differ from pixel to pixel by much more than rounding."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return module.eval()


def finite_model(folder: Path, bands: tuple[str, ...] = BANDS, seed: int = 1, **facts: Any) -> ModelFolder:
    """A U-Net of 10,000 weights; radius 36 above and left, 29 below and right, stride 8 (measured by a test)."""
    spec = ModelSpec(
        **{
            **SPEC,
            "bands": bands,
            "quantity": "digital-number",
            "kind": "finite",
            "stride_px": 8,
            "radius_px": (36, 36, 29, 29),
            "cell_px": 32,
            "workspace_bytes_per_px": 400.0,
            "architecture": "geoseg:small-unet",
            "hyperparameters": {"widths": [8, 12, 16]},
            **facts,
        }
    )
    return save_model(folder, spec, _lively(build(spec), seed))


def exact_model(folder: Path) -> ModelFolder:
    """A finite network whose weights are small integers: its sums are exact in float32, on every machine."""
    spec = ModelSpec(
        **{
            **SPEC,
            "transform": (Step.of("divide", by=4.0),),
            "bands": BANDS,
            "quantity": "digital-number",
            "kind": "finite",
            "stride_px": 8,
            "radius_px": (36, 36, 29, 29),
            "cell_px": 32,
            "workspace_bytes_per_px": 400.0,
            "architecture": "geoseg:small-unet",
            "hyperparameters": {"widths": [4, 4, 4]},
        }
    )
    module, rng = build(spec), np.random.default_rng(3)
    for name, value in module.state_dict().items():
        if value.ndim == 4:  # a kernel: mostly zeros, so that sums stay far below 2**24
            value.copy_(torch.from_numpy(rng.choice([-1.0, 0.0, 0.0, 0.0, 1.0], size=value.shape).astype("float32")))
        elif name.endswith("bias"):
            value.fill_(0.0)
        elif name.endswith("running_var"):
            value.fill_(1 - 1e-5)  # with the norm's epsilon: a division by one
    return save_model(folder, spec, module.eval())


def global_model(folder: Path, bands: tuple[str, ...] = BANDS, seed: int = 1) -> ModelFolder:
    """A U-Net with squeeze-and-excite: every pixel of a chip depends on the whole chip."""
    spec = ModelSpec(
        **{
            **SPEC,
            "bands": bands,
            "quantity": "digital-number",
            "kind": "global",
            "stride_px": 32,
            "cell_px": 32,
            "chip_px": 64,
            "chip_step_px": 32,
            "workspace_bytes_per_px": 800.0,
            "architecture": "smp:Unet",
            "hyperparameters": {
                "encoder_name": "tu-mobilenetv3_small_050",
                "encoder_depth": 3,
                "decoder_channels": [16, 12, 8],
            },
        }
    )
    return save_model(folder, spec, _lively(build(spec), seed))


def region(path: Path, west: float, south: float, east: float, north: float) -> Path:
    """A box as GeoJSON, in degrees."""
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    return path


def read(path: Path) -> NDArray[Any]:
    """The first band."""
    with rasterio.open(path) as file:
        return file.read(1)
