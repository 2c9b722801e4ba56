"""Evidence of whole runs: the same for any cut, schema-valid, and told in words that equal the JSON."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import jsonschema
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
import worlds
from rasterio.transform import from_origin

import geoseg
from geoseg.errors import ModelMismatchError, RequestError
from geoseg.evidence import json_schema, load_rules
from geoseg.evidence.facts import QUANTITIES
from geoseg.models import ClassInfo

CLASSES = tuple(
    ClassInfo(index, name, colour)
    for index, (name, colour) in enumerate(
        zip(("Water", "cropland", "landslide", "forest"), worlds.COLOURS, strict=True)
    )
)
SECOND = 1 / 3600
Maker = Callable[..., geoseg.Result]


def elevations() -> tuple[np.ndarray, float, float]:
    """Hills on a grid of arc seconds around the scene, and its corner."""
    to_degrees = pyproj.Transformer.from_crs(32633, 4326, always_xy=True)
    west, south, east, north = to_degrees.transform_bounds(499_000, 4_997_000, 503_500, 5_001_000)
    shape = int((north - south) / SECOND) + 1, int((east - west) / SECOND) + 1
    hills = worlds.gaussian_filter(np.random.default_rng(5).normal(size=shape), 8)
    return (800 + 2500 * hills).astype("float32"), west, north


def write_dem(path: Path, heights: np.ndarray, west: float, north: float) -> Path:
    path.parent.mkdir(exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", height=heights.shape[0], width=heights.shape[1], count=1, dtype="float32",
        crs="EPSG:4326", transform=from_origin(west, north, SECOND, SECOND), nodata=-9999,
    ) as file:  # fmt: skip
        file.write(heights, 1)
    return path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene, a model with landslides, water and fields, and a DEM in one file and in four."""
    folder = tmp_path_factory.mktemp("slides")
    image = worlds.landscape((66, 76), 3).astype("uint8")
    image[:, 30:38, 10:45] = 0
    worlds.write_raster(folder / "scene_20220101.tif", image, names=worlds.BANDS, nodata=0)
    worlds.finite_model(folder / "model", classes=CLASSES)
    heights, west, north = elevations()
    write_dem(folder / "dem.tif", heights, west, north)
    for number, (row, col) in enumerate([(0, 0), (0, 50), (40, 0), (40, 50)]):
        part = heights[row : row + 40 if row == 0 else None, col : col + 50 if col == 0 else None]
        write_dem(folder / "parts" / f"{number}.tif", part, west + col * SECOND, north - row * SECOND)
    return folder


@pytest.fixture(scope="module")
def make(world: Path) -> Maker:
    def run(name: str, **options: Any) -> geoseg.Result:
        cut = options.get("tile_size", 32)
        options = {
            "tile_size": 32,
            "evidence": "landslide",
            "dem": str(world / "dem.tif"),
            "min_area_m2": 8000,
            **options,
        }
        return geoseg.run(
            scenes=(str(world / "scene_20220101.tif"),), model=str(world / "model"), out=world / name,
            cache=world / f"cache-{cut}", **options,
        )  # fmt: skip

    return run


@pytest.fixture(scope="module")
def plain(make: Maker) -> geoseg.Result:
    return make("plain")


def judged(table: geopandas.GeoDataFrame) -> pd.DataFrame:
    """What evidence says, without the outlines, by id."""
    columns = ["id", "verdict", "confidence_evidence", "likely_kind", *(n for n in QUANTITIES if n in table)]
    return pd.DataFrame(table[columns]).sort_values("id", ignore_index=True)


def test_every_polygon_of_the_class_carries_its_evidence_and_no_other(plain):
    table = plain.polygons
    slides = table["name"] == "landslide"
    assert slides.sum() > 10
    assert table.loc[slides, "verdict"].isin(["kept", "demoted"]).all()
    assert (
        table.loc[slides, ["confidence_evidence", "slope_mean_deg", "height_drop_m", "elongation"]]
        .notna()
        .all(axis=None)
    )
    assert table.loc[~slides, ["verdict", "confidence_evidence", "likely_kind", "slope_mean_deg"]].isna().all(axis=None)
    assert set(table.loc[slides, "verdict"]) == {"kept", "demoted"}
    features = json.loads((plain.out / "polygons.geojson").read_text())["features"]
    found = {f["id"]: f["properties"]["slope_mean_deg"] for f in features if f["properties"]["verdict"]}
    assert found == dict(zip(table.loc[slides, "id"], table.loc[slides, "slope_mean_deg"], strict=True))


@pytest.mark.parametrize("tile_size", [64, 1000])
def test_facts_do_not_depend_on_tiles(plain, make, tile_size):
    other = make(f"tiles-{tile_size}", tile_size=tile_size)
    pd.testing.assert_frame_equal(judged(plain.polygons), judged(other.polygons))
    assert plain.report["evidence"] == other.report["evidence"]


def test_facts_do_not_depend_on_how_the_dem_is_cut(plain, make, world):
    parts = make("parts-of-dem", dem=str(world / "parts"))
    pd.testing.assert_frame_equal(judged(plain.polygons), judged(parts.polygons))
    assert parts.report["evidence"]["dem"]["files"] == 4


def test_the_evidence_fits_its_schema_and_the_table(plain):
    evidence = json.loads((plain.out / "report.json").read_text())["evidence"]
    jsonschema.validate(evidence, json_schema())
    table = plain.polygons.set_index("id")
    slides = table[table["verdict"].notna()]
    assert evidence["candidates"] == len(slides) == evidence["kept"] + evidence["demoted"]
    assert evidence["rules_sha256"] == load_rules("landslide").sha256
    assert evidence["water_classes"] == ["Water"]
    assert evidence["dem"]["crs"] == "EPSG:4326"
    assert evidence["dem"]["pixel_m"] == pytest.approx(26, abs=3)  # 31 m by 22 m at 45 degrees
    for verdict in ("kept", "demoted"):  # geodesic, polygon by polygon
        areas = slides.loc[slides["verdict"] == verdict, "area_m2"].round().sum()
        assert evidence[f"{verdict}_area_m2"] == areas
    order = [(entry["confidence"], entry["facts"]["area_m2"]) for entry in evidence["listed"]]
    assert order == sorted(order, reverse=True)
    for entry in evidence["listed"]:
        row = slides.loc[entry["id"]]
        assert entry["verdict"] == row["verdict"]
        assert entry["facts"]["slope_mean_deg"] == row["slope_mean_deg"]
        assert entry["facts"]["area_m2"] == round(row["area_m2"])


def test_the_page_tells_it_in_words_whose_numbers_are_those_of_the_json(plain):
    page = html.unescape((plain.out / "report.html").read_text())
    section = page[page.index("<h2>Evidence</h2>") : page.index("<h2>Coverage</h2>")]
    listed = {entry["words"]: entry for entry in plain.report["evidence"]["listed"]}
    told = re.findall(r"<li>(.*?)\s*</li>", section, re.DOTALL)
    assert told == list(listed)
    for words, entry in listed.items():
        known = {entry["id"], entry["confidence"], *(v for v in entry["facts"].values() if v is not None)}
        assert {float(n) for n in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", words)} <= known


def test_no_more_are_listed_than_the_rules_say_and_these_are_the_likeliest(plain, make, world):
    rules = load_rules("landslide").model_dump(mode="json")
    (world / "short.yaml").write_text(json.dumps({**rules, "listed": 5}))  # JSON is YAML
    short = make("short", evidence=str(world / "short.yaml"))
    assert short.report["evidence"]["listed"] == plain.report["evidence"]["listed"][:5]
    assert short.report["evidence"]["candidates"] == plain.report["evidence"]["candidates"]


def test_without_elevations_it_says_what_is_not_known(make):
    bare = make("no-dem", dem=None)
    assert any("no --dem" in warning for warning in bare.report["warnings"])
    evidence = bare.report["evidence"]
    jsonschema.validate(evidence, json_schema())
    assert (evidence["dem"], evidence["calibration"]) == (None, "without-dem")
    assert all("slope_mean_deg" in entry["unknown"] for entry in evidence["listed"])
    assert all("Its slope is not known" in entry["words"] for entry in evidence["listed"])
    assert bare.polygons["slope_mean_deg"].isna().all()


def test_a_run_that_asks_for_none_has_none(make):
    plain = make("none", evidence=None, dem=None)
    assert plain.report["evidence"] is None
    assert "verdict" not in plain.polygons
    assert "<h2>Evidence</h2>" not in (plain.out / "report.html").read_text()


def test_a_commentator_of_another_package_comments_and_is_contradicted(make, world, tmp_path, monkeypatch):
    facts = tmp_path / "toy_words-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-words\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[geoseg.commentators]\ntoy = toy_words:comment\n")
    (tmp_path / "toy_words.py").write_text(
        "calls = []\n"
        "def comment(candidate, picture):\n"
        "    calls.append(candidate['id'])\n"
        "    assert picture.ndim == 3 and picture.dtype == 'uint8' and picture.any()\n"
        "    if len(calls) == 2:\n"
        "        raise ValueError('I am tired')\n"
        '    return f\'Steep <b>slope</b> of {candidate["facts"]["slope_mean_deg"] + 40} degrees.\'\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    rules = load_rules("landslide").model_dump(mode="json")
    (world / "four.yaml").write_text(json.dumps({**rules, "listed": 4}))
    spoken = make("spoken", comment="toy", evidence=str(world / "four.yaml"))
    evidence = spoken.report["evidence"]
    jsonschema.validate(evidence, json_schema())
    assert "toy-words 1.0" in evidence["commentator"]
    kept = [entry for entry in evidence["listed"] if entry["comment"]]
    assert len(kept) == 3
    for entry in kept:
        assert entry["comment"]["text"].startswith("Steep <b>")
    wrong = [one for entry in kept for one in entry["comment"]["contradictions"]]
    assert any(one["said"].endswith("degrees") for one in wrong)
    assert any("I am tired" in warning for warning in spoken.report["warnings"])
    assert "<b>slope</b>" not in (spoken.out / "report.html").read_text()


def test_what_cannot_be_judged_is_refused_before_a_tile(make, world):
    worlds.finite_model(world / "other")
    with pytest.raises(ModelMismatchError, match="landslide"):
        geoseg.run(
            scenes=(str(world / "scene_20220101.tif"),), model=str(world / "other"), evidence="landslide",
            out=world / "refused", cache=world / "cache-none",
        )  # fmt: skip
    assert not any((world / "cache-none" / "tiles").rglob("*"))
    (world / "empty").mkdir()
    with pytest.raises(RequestError, match="without a raster"):
        make("refused", dem=str(world / "empty"))
    with pytest.raises(RequestError, match="--scenes"):
        make("refused", dem="cop-dem-glo-30")
