"""What `make demo` promises, at its full size."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.features
import worlds
from numpy.typing import NDArray
from rasterio.warp import transform_geom
from sklearn.ensemble import RandomForestClassifier

import geoseg
from geoseg.composite import make_composite
from geoseg.grid import Window
from geoseg.load import reading
from geoseg.scenes import find_scenes, group_scenes, order_scenes
from geoseg.spec import JobSpec

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Demo:
    """The demo's folder, its map, and the truth on the map's pixels (255 outside the map)."""

    folder: Path
    result: geoseg.Result
    classes: NDArray[np.uint8]
    truth: NDArray[np.uint8]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Pixels with a class and a truth."""
        return (self.classes < 254) & (self.truth != 255)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The two commands of `make demo`."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "geoseg"]
    subprocess.run([*command, "demo", str(folder / "data")], check=True, capture_output=True, timeout=250)
    words = ["run", "--aoi", "region.geojson", "--catalog", "catalog.json", "--workflow", "demo", "--out", "map"]
    subprocess.run([*command, *words, "--quiet"], check=True, capture_output=True, timeout=250, cwd=folder / "data")
    result = geoseg.Result.open(folder / "data" / "map")
    with rasterio.open(result.out / "classes.tif") as file, rasterio.open(folder / "data/truth/landcover.tif") as truth:
        window = truth.window(*file.bounds)
        inside = truth.read(1, window=window, boundless=True, fill_value=255)
        assert inside.shape == file.shape
        return Demo(folder / "data", result, file.read(1), inside)


def test_the_map_agrees_with_the_truth(demo: Demo) -> None:
    assert demo.valid.sum() > 1_500_000
    assert (demo.classes == demo.truth)[demo.valid].mean() >= 0.90


def test_the_map_is_better_than_a_forest_of_single_pixels(demo: Demo) -> None:
    """Trained on the same composite of the same scenes, with the truth of the very place."""
    features = composite(demo)
    known = demo.valid & np.isfinite(features).all(axis=0)
    rng = np.random.default_rng(0)
    pixels = rng.permutation(np.flatnonzero(known))
    chosen, judged = pixels[:20_000], pixels[20_000:220_000]
    columns, truth = features.reshape(len(features), -1).T, demo.truth.ravel()
    forest = RandomForestClassifier(40, min_samples_leaf=3, n_jobs=1, random_state=0)
    forest.fit(columns[chosen], truth[chosen])
    by_pixel = (forest.predict(columns[judged]) == truth[judged]).mean()
    by_network = (demo.classes.ravel()[judged] == truth[judged]).mean()
    assert by_pixel > 0.6  # a forest that knows something
    assert by_network >= by_pixel + 0.05


def composite(demo: Demo) -> NDArray[np.float32]:
    """The image that the network saw."""
    spec = JobSpec(**demo.result.report["job"]["spec"])
    bands = ("B02", "B03", "B04", "B08", "B11", "B12")
    found = find_scenes(spec, (-180.0, -90.0, 180.0, 90.0), bands)
    scenes = order_scenes(group_scenes(found.items), spec.composite)
    geobox = demo.result.classes.odc.geobox
    with reading(2**26):
        image = make_composite(
            scenes,
            geobox,
            len(bands),
            spec.composite,
            "reflectance",
            counted=np.zeros(geobox.shape, dtype=bool),
            strip_bytes=2**26,
            threads=2,
        )
    return image.values


def test_nothing_failed_and_little_is_missing(demo: Demo) -> None:
    pixels = demo.result.report["pixels"]
    assert pixels["failed"] == {}
    assert pixels["near_failed"] == 0
    assert pixels["classified"] > 0.97 * pixels["aoi"]
    assert not (demo.classes == 254).any()
    assert len({scene["id"] for scene in demo.result.report["scenes"]}) >= 4


def test_the_region_holds_thirty_whole_cells(demo: Demo) -> None:
    grid = demo.result.report["grid"]
    cell, (row0, col0), (rows, cols) = grid["cell_px"], grid["anchor"], grid["shape"]
    with rasterio.open(demo.result.out / "classes.tif") as file:
        outlines = [
            transform_geom("EPSG:4326", str(file.crs), feature["geometry"])
            for feature in json.loads((demo.folder / "region.geojson").read_text())["features"]
        ]
        inside = rasterio.features.geometry_mask(outlines, file.shape, file.transform, invert=True)
    assert inside.sum() == demo.result.report["pixels"]["aoi"]
    window, whole = Window(row0, col0, row0 + rows, col0 + cols), 0
    for row in range(-(-row0 // cell), (row0 + rows) // cell):
        for col in range(-(-col0 // cell), (col0 + cols) // cell):
            part = Window(row * cell, col * cell, (row + 1) * cell, (col + 1) * cell)
            whole += bool(inside[part.within(window)].all())
    assert whole >= 30


def test_the_report_says_what_it_is(demo: Demo) -> None:
    report = demo.result.report
    assert report["model"]["name"] == "demo-landcover"
    assert {scene["collection"] for scene in report["scenes"]} == {"sentinel-2-l2a"}
    offsets = {scene["id"]: any("offset" in note for note in scene["notes"]) for scene in report["scenes"]}
    assert set(offsets.values()) == {True, False}  # one item older and one newer than baseline 04.00
    assert worlds.read(demo.result.out / "confidence.tif")[demo.valid].mean() > 80
