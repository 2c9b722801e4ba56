"""Promise 1: on one grid the answer does not depend on how the work was cut."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import worlds
from numpy.typing import NDArray
from rasterio.warp import transform_bounds

import geoseg
from geoseg.models import ModelFolder
from geoseg.models.network import load_network

ROUNDING = 1e-5


def make_map(out: Path, scene: Path, model: ModelFolder, **options: object) -> geoseg.Result:
    """Run the road on one raster, with a tile store of its own."""
    options.setdefault("cache", out.parent / f"{out.name}-cache")
    return geoseg.run(scenes=(str(scene),), model=str(model.path), out=out, **options)


def whole_image_scores(scene: Path, model: ModelFolder, anchor: list[int]) -> NDArray[np.float32]:
    """One forward pass over the whole raster, padded with ``fill`` by more than the radius, in phase with the grid."""
    network, stride = load_network(model), model.spec.stride_px
    with rasterio.open(scene) as file:
        image, usable = file.read().astype("float32"), (file.read() != 0).all(axis=0)
    rows, cols = usable.shape
    pad = [64 + place % stride for place in anchor]
    shape = [-(-(before + size + 64) // stride) * stride for before, size in zip(pad, (rows, cols), strict=True)]
    values, valid = np.zeros((3, *shape), dtype="float32"), np.zeros(shape, dtype=bool)
    part = (slice(pad[0], pad[0] + rows), slice(pad[1], pad[1] + cols))
    values[(slice(None), *part)], valid[part] = image, usable
    scores = network.scores(torch.from_numpy(values)[None], torch.from_numpy(valid)[None])[0].numpy()
    return scores[(slice(None), *part)]


def margin_of(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Highest score less the second highest."""
    ordered = np.sort(scores, axis=0)
    return ordered[-1] - ordered[-2]


@pytest.mark.parametrize("tile_size", [1, 96, 512])
def test_finite_network_equals_one_pass_over_the_whole_image(
    tmp_path: Path, scene: Path, finite: ModelFolder, tile_size: int
) -> None:
    result = make_map(tmp_path / "map", scene, finite, tile_size=tile_size)
    scores = whole_image_scores(scene, finite, result.report["grid"]["anchor"])
    classes, confidence = worlds.read(result.out / "classes.tif"), worlds.read(result.out / "confidence.tif")
    with rasterio.open(scene) as file:
        usable = (file.read() != 0).all(axis=0)
        assert rasterio.open(result.out / "classes.tif").transform == file.transform
    assert len(np.unique(classes[usable])) > 1
    sure = usable & (margin_of(scores) > ROUNDING)
    assert (classes[sure] == scores.argmax(axis=0)[sure]).all()
    assert np.abs(confidence[usable] - np.rint(scores.max(axis=0)[usable] * 100)).max() <= 1
    assert (classes[~usable] == 255).all()
    assert (confidence[~usable] == 255).all()


def test_global_network_does_not_depend_on_tile_size(tmp_path: Path, scene: Path, chip_global: ModelFolder) -> None:
    maps = [make_map(tmp_path / f"map{size}", scene, chip_global, tile_size=size) for size in (1, 96, 512)]
    classes = [worlds.read(result.out / "classes.tif") for result in maps]
    confidence = [worlds.read(result.out / "confidence.tif").astype(int) for result in maps]
    assert len(np.unique(classes[0])) > 2
    for other in (1, 2):
        assert (classes[0] == classes[other]).all()
        assert np.abs(confidence[0] - confidence[other]).max() <= 1


def inner_box(scene: Path, share: float) -> tuple[float, float, float, float]:
    """A box in degrees around the middle of a raster."""
    with rasterio.open(scene) as file:
        west, south, east, north = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    dx, dy = (east - west) * (1 - share) / 2, (north - south) * (1 - share) / 2
    return west + dx, south + dy, east - dx, north - dy


@pytest.mark.parametrize("kind", ["finite", "chip_global"])
def test_larger_region_agrees_on_the_shared_part(
    tmp_path: Path, scene: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(kind)
    small, large = (
        make_map(
            tmp_path / name, scene, model, aoi=str(worlds.region(tmp_path / f"{name}.geojson", *inner_box(scene, s)))
        )
        for name, s in (("small", 0.3), ("large", 0.7))
    )
    with rasterio.open(small.out / "classes.tif") as inner, rasterio.open(large.out / "classes.tif") as outer:
        window = outer.window(*inner.bounds)
        row, col = round(window.row_off), round(window.col_off)
        ours, around = inner.read(1), outer.read(1)[row : row + inner.height, col : col + inner.width]
    shared = ours != 255
    assert shared.sum() > 1000
    assert (ours[shared] == around[shared]).all()
    assert (around != 255).sum() > shared.sum()


def test_number_of_passes_at_once_does_not_change_a_byte(
    tmp_path: Path, scene: Path, finite: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of worker processes is in tests/cluster."""
    made = []
    for cores in (1, 2):
        monkeypatch.setattr(import_module("geoseg.pipeline.sizes"), "usable_cores", lambda n=cores: n)
        made.append(make_map(tmp_path / f"w{cores}", scene, finite, tile_size=64, backend="torch"))
    assert [result.report["settings"]["passes_at_once"] for result in made] == [1, 2]
    one, two = made
    for name in ("classes.tif", "confidence.tif", "polygons.parquet", "areas.csv", "preview.png"):
        assert (one.out / name).read_bytes() == (two.out / name).read_bytes(), name
    stores = [
        {path.name: path.read_bytes() for path in sorted((tmp_path / f"w{n}-cache" / "tiles").rglob("*.zip"))}
        for n in (1, 2)
    ]
    assert stores[0] == stores[1]
    assert len(stores[0]) > 4


def test_like_pins_the_grid_of_an_earlier_result(tmp_path: Path, scene: Path, finite: ModelFolder) -> None:
    first = make_map(tmp_path / "first", scene, finite)
    shifted = worlds.write_raster(
        tmp_path / "other.tif",
        worlds.landscape((120, 120), 3, seed=5).astype("uint8"),
        origin=(500_206.0, 4_999_804.0),
        names=worlds.BANDS,
    )
    second = make_map(tmp_path / "second", shifted, finite, like=str(first.out))
    with rasterio.open(first.out / "classes.tif") as one, rasterio.open(second.out / "classes.tif") as other:
        col, row = ~one.transform @ (other.transform.c, other.transform.f)
    assert abs(col - round(col)) < 1e-6
    assert abs(row - round(row)) < 1e-6
