"""Outlined examples in place of words, and beside them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import worlds
from rasterio.warp import transform
from scipy.ndimage import distance_transform_edt

import geoseg
from geoseg.aoi.examples import read_examples
from geoseg.demo.attributes import make_attributes, pair_name
from geoseg.errors import RequestError
from geoseg.models import resolve
from geoseg.pipeline.words import words_of
from geoseg.spec import JobSpec

PAIRS = (1, 10, 18)


def square(path: Path, row: int, col: int, half: int, name: str) -> dict[str, Any]:
    """A square of pixels of a raster as a feature in longitude and latitude."""
    corners = [(-half, -half), (-half, half), (half, half), (half, -half), (-half, -half)]
    with rasterio.open(path) as file:
        xy = [file.transform @ (col + 0.5 + dx, row + 0.5 + dy) for dy, dx in corners]
        lonlat = transform(file.crs, "EPSG:4326", *zip(*xy, strict=True))
    ring = [list(point) for point in zip(*lonlat, strict=True)]
    return {"type": "Feature", "properties": {"prompt": name}, "geometry": {"type": "Polygon", "coordinates": [ring]}}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> tuple[Path, np.ndarray, dict[str, Any]]:
    """A scene, its truth, and two examples of each pair, from the middle of its widest patches."""
    made = make_attributes(np.random.default_rng(8), (150, 160), PAIRS)
    image = np.rint(made.values * 10_000).astype("uint16")
    path = worlds.write_raster(tmp_path_factory.mktemp("world") / "s_20220101.tif", image, names=("B04", "B03", "B02"))
    features = []
    for pair in PAIRS:
        inner = distance_transform_edt(np.pad(made.truth == pair, 1))[1:-1, 1:-1]
        for _ in range(2):
            row, col = (int(v) for v in np.unravel_index(inner.argmax(), inner.shape))
            features.append(square(path, row, col, 4, pair_name(pair)))
            inner[max(0, row - 20) : row + 20, max(0, col - 20) : col + 20] = 0
    return path, made.truth, {"type": "FeatureCollection", "features": features}


def ask(out: Path, scene: Path, **options: Any) -> geoseg.Result:
    where = {"scenes": (str(scene),), "sensor": "sentinel-2-l2a", "scale": 1e-4, "offset": 0.0}
    return geoseg.run(**where, out=out, cache=out.parent / "cache", **options)


def test_examples_find_what_they_show_without_a_word(world, tmp_path):
    scene, truth, examples = world
    # Names that the model does not know: only the features can tell.
    named = json.loads(json.dumps(examples).replace("red striped", "alpha").replace("blue plain", "beta"))
    (tmp_path / "examples.geojson").write_text(json.dumps(named))
    result = ask(tmp_path / "map", scene, example=str(tmp_path / "examples.geojson"))
    names = {info["name"]: info["index"] for info in result.report["classes"]}
    classes = worlds.read(result.out / "classes.tif")
    for pair, name in ((1, "alpha"), (10, "beta")):
        is_true, is_told = truth == pair, classes == names[name]
        assert (is_true & is_told).sum() / (is_true | is_told).sum() > 0.5
    again = ask(tmp_path / "again", scene, example=str(tmp_path / "examples.geojson"), tile_size=512)
    assert (worlds.read(again.out / "classes.tif") == classes).all()


def test_examples_stand_beside_the_words_of_their_class(world, tmp_path):
    scene, _, examples = world
    result = ask(tmp_path / "map", scene, example=examples, prompt=("red striped, crimson stripes", "white plain"))
    assert {info["name"] for info in result.report["classes"]} == {
        "background", "red striped", "white plain", *(pair_name(pair) for pair in PAIRS[1:])
    }  # fmt: skip


def test_an_example_outside_the_region_is_refused(world, tmp_path):
    scene, _, _ = world
    outside = {"type": "FeatureCollection", "features": [square(scene, -400, 20, 4, "x")]}
    with pytest.raises(RequestError, match="outside"):
        ask(tmp_path / "map", scene, example=outside)


@pytest.mark.parametrize(
    "document",
    [
        {"type": "FeatureCollection", "features": []},
        {"type": "Point", "coordinates": [9, 47]},
        {"type": "Polygon", "coordinates": [[[9, 47], [500, 47], [9.1, 47.1], [9, 47]]]},
        {"type": "Polygon", "coordinates": "none"},
    ],
)
def test_what_outlines_nothing_is_refused(document):
    with pytest.raises(RequestError):
        read_examples(document)


def test_there_are_no_more_answers_than_numbers_of_a_byte():
    """As many phrases as prompts may have, and examples of most of these prompts besides."""
    model = resolve("small-words").spec
    model = replace(model, head_settings={**model.head_settings, "vocabulary": []})
    prompts = tuple(f"name{n}, " + ", ".join(f"other{n}of{k}" for k in range(2)) for n in range(60))
    ring = [[9, 47], [9.1, 47], [9.1, 47.1], [9, 47]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    features = [{"type": "Feature", "properties": {"prompt": f"name{n}"}, "geometry": geometry} for n in range(60)]
    asked = {"aoi": "9,47,9.1,47.1", "workflow": "prompt", "prompt": prompts}
    fewer = {"type": "FeatureCollection", "features": features[:40]}
    assert len(words_of(JobSpec.build(**asked, example=fewer), model).phrases) == 180
    longer = (f"{prompts[0]}, {', '.join(f'more{n}' for n in range(20))}", *prompts[1:])
    more = {"type": "FeatureCollection", "features": features}
    with pytest.raises(RequestError, match="260 phrases"):
        words_of(JobSpec.build(**asked | {"prompt": longer}, example=more), model)


def test_the_class_of_an_example_is_its_prompt_or_the_name_of_its_file(tmp_path):
    ring = [[9, 47], [9.1, 47], [9.1, 47.1], [9, 47]]
    bare = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (tmp_path / "river bars.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [bare]}))
    made = read_examples(tmp_path / "river bars.geojson")
    assert made["features"][0]["properties"] == {"prompt": "river bars"}
    assert read_examples(made) == made


def test_features_of_dynamic_world_take_examples_of_a_real_scene(shared, tmp_path):
    place = shared / "data" / "s2-slovenia-lulc"
    scene = place / "s2_l1c_20150711.tif"
    truth = worlds.read(place / "lulc.tif")
    features = []
    for value, name in ((2, "forest"), (3, "grassland")):
        inner = distance_transform_edt(truth == value)
        row, col = (int(v) for v in np.unravel_index(inner.argmax(), inner.shape))
        features.append(square(scene, row, col, 2, name))
    bands = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
    result = geoseg.run(
        scenes=(str(scene),),
        bands=bands,
        sensor="sentinel-2-l1c",
        scale=1e-4,
        offset=0.0,
        model="embedding:dynamic-world",
        models=(shared / "data" / "weights",),
        example={"type": "FeatureCollection", "features": features},
        out=tmp_path / "map",
        cache=tmp_path / "cache",
    )
    names = {info["name"]: info["index"] for info in result.report["classes"]}
    classes = worlds.read(result.out / "classes.tif")
    known = np.isin(truth, (2, 3))
    told = np.select([classes == names["forest"], classes == names["grassland"]], [2, 3], 0)
    assert (told == truth)[known].mean() > 0.8
