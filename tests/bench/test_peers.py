"""Side by side with other tools: what is compared, and what goes into the page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from geoseg.bench.peers.measuring import GEOSEG, PEERS, Comparison, Row
from geoseg.bench.peers.page import BEGIN, END, HISTORY, PAGE, record
from geoseg.bench.peers.scoring import Score, make_whole_map, score
from geoseg.bench.peers.subject import BANDS, new_network, write_classes

SIDE = 1024


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    path = tmp_path / "grid.tif"
    profile = {"driver": "GTiff", "height": SIDE, "width": SIDE, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", transform=from_origin(400_000, 5_200_000, 10, 10), **profile) as file:
        file.write(np.zeros((1, SIDE, SIDE), "uint8"))
    return path


def scored(tmp_path, grid, found, wanted):
    paths = tmp_path / "found.tif", tmp_path / "wanted.tif"
    for path, classes in zip(paths, (found, wanted), strict=True):
        write_classes(path, grid, classes)
    return score(*paths)


def test_a_map_that_is_the_whole_image_map_has_nothing_wrong(tmp_path, grid):
    classes = np.random.default_rng(1).integers(0, 7, (SIDE, SIDE)).astype(np.uint8)
    assert scored(tmp_path, grid, classes, classes) == Score(0, 0, 0)


def test_wrong_pixels_count_per_million_and_apart_inside(tmp_path, grid):
    wanted = np.zeros((SIDE, SIDE), np.uint8)
    found = wanted.copy()
    found[0, 0] = found[SIDE // 2, SIDE // 2] = 1
    got = scored(tmp_path, grid, found, wanted)
    assert got.wrong_ppm == pytest.approx(2 / SIDE**2 * 1e6)
    assert got.inner_wrong_ppm == pytest.approx(1 / (SIDE - 768) ** 2 * 1e6)


def test_a_seam_is_a_line_of_borders_that_the_whole_image_has_not(tmp_path, grid):
    wanted = np.zeros((SIDE, SIDE), np.uint8)
    wanted[:, 300:] = 1  # a true border is no seam
    found = wanted.copy()
    found[512:, : SIDE // 4] += 2  # also a line of half the height
    assert scored(tmp_path, grid, found, wanted).seam_permille == pytest.approx(500)


def test_maps_of_other_sizes_are_refused(tmp_path, grid):
    small = tmp_path / "small.tif"
    with rasterio.open(small, "w", driver="GTiff", height=9, width=9, count=1, dtype="uint8") as file:
        file.write(np.zeros((1, 9, 9), "uint8"))
    with pytest.raises(ValueError, match=r"small\.tif has \(9, 9\) pixels"):
        score(small, grid)


def test_the_page_takes_the_table_and_the_history_a_line(tmp_path):
    (tmp_path / PAGE).write_text(f"# Before\n{BEGIN}\nold\n{END}\nAfter\n")
    ours = Row(GEOSEG, [4.0, 2.0, 3.0], 2 * 10**9, 0.04, {}, Score(0.5, 0.0, 0.25))
    fast, missing = (
        Row("fast", [6.0], 10**9, 0.0, {"dask": "1"}, Score(40, 30, 2)),
        Row("away", failure="no module 'away'"),
    )
    for _ in range(2):
        record(tmp_path, Comparison("a machine", 1000, 3, 1.5, "openvino", (ours, fast, missing)))
    page = (tmp_path / PAGE).read_text()
    assert page.startswith(f"# Before\n{BEGIN}\na machine.")
    assert page.endswith(f"{END}\nAfter\n")
    assert "old" not in page
    assert page.count("| geoseg | 3.0 | 0.33 | 2.00 | 0.50 | 0.00 | 0.25 | 4 |  |") == 1
    assert "| away | not measured: no module 'away' |" in page
    assert "1 / 2.00 of the wall time" in page
    lines = [json.loads(line) for line in (tmp_path / HISTORY).read_text().splitlines()]
    assert [line["speedup"] for line in lines] == [2.0, 2.0]


def test_a_page_without_markers_is_left_alone(tmp_path):
    (tmp_path / PAGE).write_text("# Mine\n")
    with pytest.raises(ValueError, match="has no lines"):
        record(tmp_path, Comparison("a machine", 1000, 3, 1.5, "openvino", ()))
    assert (tmp_path / PAGE).read_text() == "# Mine\n"


def test_the_repository_has_the_page_with_its_markers(repository):
    text = (repository / "docs" / PAGE).read_text()
    assert text.index(BEGIN) < text.index(END)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Use torchgeo.samplers.GriddedPatchSampler:DeprecationWarning")
@pytest.mark.parametrize("module", [peer.module for peer in PEERS if peer.ours])
def test_peers_cover_the_scene(tmp_path, monkeypatch, module):
    """With any weights: each pixel gets a class, and inside almost all get that of the whole-image map."""
    import importlib

    import torch
    from safetensors.torch import save_file

    torch.manual_seed(3)
    save_file(new_network().state_dict(), tmp_path / "weights.safetensors")
    side, scene = 704, tmp_path / "scene.tif"  # a multiple of the stride, and none of the step
    numbers = np.random.default_rng(2).integers(1, 3000, (len(BANDS), side, side)).astype("uint16")
    profile = {"driver": "GTiff", "height": side, "width": side, "count": len(BANDS), "dtype": "uint16"}
    with rasterio.open(
        scene, "w", crs="EPSG:32633", transform=from_origin(400_000, 5_200_000, 10, 10), **profile
    ) as file:
        file.write(numbers)
    importlib.import_module(f"geoseg.bench.peers.{module}").classify(
        scene, tmp_path / "weights.safetensors", tmp_path / "out.tif"
    )
    with rasterio.open(tmp_path / "out.tif") as file:
        found = file.read(1)
    assert found.shape == (side, side)
    assert found.max() < 7
    whole = make_whole_map(scene, tmp_path / "weights.safetensors", tmp_path / "whole.tif")
    assert score(tmp_path / "out.tif", whole).wrong_ppm < 100_000  # a shifted or turned map has most classes wrong
