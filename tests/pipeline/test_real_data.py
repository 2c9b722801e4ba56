"""Real imagery through the whole road, where a checkout has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import worlds
from numpy.typing import NDArray

import geoseg
from geoseg.models import ClassInfo, ModelFolder, ModelSpec, Step, resolve
from geoseg.models.network import load_network
from geoseg.models.networks import build
from geoseg.models.saving import save_model

ROUNDING = 1e-5


@pytest.fixture(scope="module")
def slovenia(shared: Path) -> Path:
    return shared / "data" / "s2-slovenia-lulc" / "s2_l1c_20150830.tif"


@pytest.fixture
def dynamic_world(shared: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFolder:
    """The published weights, found as an offline user would have them found."""
    weights = shared / "data" / "weights"
    monkeypatch.setenv("GEOSEG_MODELS", str(weights))
    return resolve("dynamic-world", models_dirs=[weights], offline=True)


def one_pass(model: ModelFolder, image: NDArray[np.float32], anchor: list[int]) -> NDArray[np.float32]:
    """Scores of one forward pass, padded with fill, that starts on a multiple of the stride counted from the anchor."""
    stride, reach = model.spec.stride_px, max(model.spec.radius_px)
    before = [reach + (place - reach) % stride for place in anchor]
    assert all((place - ahead) % stride == 0 for place, ahead in zip(anchor, before, strict=True))
    rows, cols = image.shape[1:]
    shape = [-(-(b + n + reach) // stride) * stride for b, n in zip(before, (rows, cols), strict=True)]
    part = (slice(before[0], before[0] + rows), slice(before[1], before[1] + cols))
    values = np.zeros((len(image), *shape), dtype="float32")
    valid = np.zeros(shape, dtype=bool)
    values[(slice(None), *part)], valid[part] = image, True
    scores = load_network(model).scores(torch.from_numpy(values)[None], torch.from_numpy(valid)[None])
    return scores[0].numpy()[(slice(None), *part)]


@pytest.mark.slow
@pytest.mark.parametrize("tile_size", [1, 1024])
def test_dynamic_world_equals_one_pass_over_the_untouched_image(
    tmp_path: Path, slovenia: Path, dynamic_world: ModelFolder, tile_size: int
) -> None:
    result = geoseg.run(
        scenes=(str(slovenia),), model="dynamic-world", out=tmp_path / "map", tile_size=tile_size, offline=True
    )
    with rasterio.open(slovenia) as image, rasterio.open(result.out / "classes.tif") as file:
        assert file.transform == image.transform
        assert file.shape == image.shape
        assert file.crs == image.crs
        numbers = image.read([image.descriptions.index(band) + 1 for band in dynamic_world.spec.bands])
        classes = file.read(1)
    assert (numbers > 0).all()
    scores = one_pass(dynamic_world, numbers.astype("float32") * np.float32(1e-4), result.report["grid"]["anchor"])
    ordered = np.sort(scores, axis=0)
    sure = ordered[-1] - ordered[-2] > ROUNDING
    assert sure.mean() > 0.99
    np.testing.assert_array_equal(classes[sure], scores.argmax(axis=0)[sure])
    confidence = worlds.read(result.out / "confidence.tif").astype(int)
    assert np.abs(confidence - np.rint(scores.max(axis=0) * 100)).max() <= 1
    # The square is a forest; a wrong scale, offset or order of bands would not see one.
    trees = [info.name for info in dynamic_world.spec.classes].index("trees")
    assert (classes == trees).mean() > 0.5
    assert any("sentinel-2-l1c" in note or "Level-1C" in note for note in result.report["notes"])


def test_level_1c_reads_as_reflectance_without_an_offset(
    tmp_path: Path, slovenia: Path, dynamic_world: ModelFolder
) -> None:
    result = geoseg.run(scenes=(str(slovenia),), model="dynamic-world", out=tmp_path / "map", offline=True)
    (scene,) = result.report["scenes"]
    assert not any("offset" in note for note in scene["notes"])
    assert result.report["pixels"]["classified"] == 100 * 101


TWO_DATES = tuple(f"{date}.{band}" for date in "AB" for band in ("B04", "B03", "B02", "B08"))


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """torchgeo's U-Net for fields in its published layout, with random weights and small chips."""
    torch.manual_seed(4)
    spec = ModelSpec(
        **{
            **worlds.SPEC,
            "name": "fields",
            "bands": TWO_DATES,
            "quantity": "digital-number",
            "transform": (Step.of("divide", by=3000.0),),
            "classes": tuple(
                ClassInfo(i, name, colour)
                for i, (name, colour) in enumerate(
                    (("background", "#eeeeee"), ("field", "#00aa00"), ("boundary", "#aa5500"))
                )
            ),
            "kind": "global",
            "stride_px": 32,
            "cell_px": 96,
            "chip_px": 128,
            "chip_step_px": 96,
            "workspace_bytes_per_px": 1500.0,
            "architecture": "torchgeo:unet",
            "hyperparameters": {"encoder_name": "efficientnet-b3"},
        }
    )
    return save_model(tmp_path_factory.mktemp("fields"), spec, build(spec).eval())


@pytest.mark.slow
def test_a_torchgeo_network_of_two_dates_maps_the_whole_clip(tmp_path: Path, shared: Path, fields: ModelFolder) -> None:
    clip = shared / "data" / "ftw-two-window" / "two_window_s2.tif"
    maps = []
    for tile_size in (384, 1024):
        result = geoseg.run(
            scenes=(str(clip),),
            bands=TWO_DATES,
            model=str(fields.path),
            out=tmp_path / str(tile_size),
            cache=tmp_path / f"cache-{tile_size}",
            tile_size=tile_size,
        )
        with rasterio.open(clip) as image, rasterio.open(result.out / "classes.tif") as file:
            assert (file.shape, file.transform) == (image.shape, image.transform)
        classes = worlds.read(result.out / "classes.tif")
        assert classes.max() < 3  # every pixel has a class
        assert len(np.unique(classes)) > 1
        assert result.report["pixels"]["classified"] == 379 * 578
        maps.append((classes, worlds.read(result.out / "confidence.tif").astype(int)))
    np.testing.assert_array_equal(maps[0][0], maps[1][0])
    assert np.abs(maps[0][1] - maps[1][1]).max() <= 1


def test_a_clip_without_band_names_is_refused_with_what_to_do(
    tmp_path: Path, shared: Path, fields: ModelFolder
) -> None:
    clip = shared / "data" / "ftw-two-window" / "two_window_s2.tif"
    with pytest.raises(geoseg.GeosegError) as refused:
        geoseg.run(scenes=(str(clip),), model=str(fields.path), out=tmp_path / "map")
    assert "--bands" in refused.value.todo
