"""What plants lost between two dates, in the evidence of whole runs."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import rasterio
import worlds
from numpy.typing import NDArray
from rasterio.features import geometry_mask

import geoseg
from geoseg.cli import main
from geoseg.demo import DemoCatalog, write_demo
from geoseg.errors import NothingToDoError, RequestError
from geoseg.evidence import json_schema, load_rules
from geoseg.models import ClassInfo

BANDS = ("red", "green", "blue", "nir")
CLASSES = tuple(
    ClassInfo(index, name, colour)
    for index, (name, colour) in enumerate(
        zip(("water", "cropland", "landslide", "forest"), worlds.COLOURS, strict=True)
    )
)
GREEN = ["ndvi_drop", "ndvi_lost_share", "ndvi_seen_share"]


@dataclass(frozen=True, eq=False)
class Dates:
    """Two rasters with near infrared, of which the earlier one is greener in the west."""

    folder: Path
    before: Path
    after: Path
    drop: NDArray[np.float64]

    def run(self, name: str, **options: Any) -> geoseg.Result:
        options = {
            "scenes_before": (str(self.before),),
            "scenes_after": (str(self.after),),
            "tile_size": 32,
            "min_area_m2": 8000,
            "cache": self.folder / "cache",
            **options,
        }
        return geoseg.run(
            workflow="landslide", model=str(self.folder / "model"), out=self.folder / name, **options
        )  # fmt: skip


@pytest.fixture(scope="module")
def dates(tmp_path_factory: pytest.TempPathFactory) -> Dates:
    folder = tmp_path_factory.mktemp("dates")
    after = np.clip(worlds.landscape((66, 76), len(BANDS)), 1, 255).astype("uint8")
    before = after.copy()
    before[3, :, :40] = np.minimum(255, before[3, :, :40].astype(int) * 3)
    before[0, :, :40] //= 2
    before[:, 10:25, 20:55] = 0
    after[:, 30:38, 10:45] = 0
    worlds.finite_model(folder / "model", classes=CLASSES)  # reads red, green, blue

    def greenness(image: NDArray[np.uint8]) -> NDArray[np.float64]:
        red, nir = image[0].astype(float), image[3].astype(float)
        return np.where((image != 0).all(axis=0), (nir - red) / np.maximum(nir + red, 1), np.nan)

    paths = [
        worlds.write_raster(folder / f"scene_{year}0601.tif", image, names=BANDS, nodata=0)
        for year, image in ((2022, before), (2023, after))
    ]
    return Dates(folder, paths[0], paths[1], greenness(before) - greenness(after))


@pytest.fixture(scope="module")
def result(dates: Dates) -> geoseg.Result:
    return dates.run("map")


def slides_of(result: geoseg.Result) -> pd.DataFrame:
    table = result.polygons
    return table[table["name"] == "landslide"].sort_values("id", ignore_index=True)


def test_every_candidate_has_the_loss_of_its_own_pixels(dates: Dates, result: geoseg.Result) -> None:
    slides = slides_of(result)
    with rasterio.open(result.out / "classes.tif") as file:
        masks = [~geometry_mask([shape], file.shape, file.transform) for shape in slides.geometry]
    known = 0
    for mask, (_, row) in zip(masks, slides.iterrows(), strict=True):
        seen = dates.drop[mask & np.isfinite(dates.drop)]
        assert row["ndvi_seen_share"] == round(len(seen) / mask.sum(), 2)
        if len(seen) < 0.5 * mask.sum():
            assert np.isnan([row["ndvi_drop"], row["ndvi_lost_share"]]).all()
            continue
        known += 1
        assert row["ndvi_drop"] == pytest.approx(seen.mean(), abs=0.0051)
        assert row["ndvi_lost_share"] == pytest.approx((seen >= 0.15).mean(), abs=0.0051)
    assert known > 5
    assert known < len(slides)
    assert slides["ndvi_drop"].max() > 0.3
    assert slides["ndvi_drop"].min() < 0.01
    assert result.polygons.loc[result.polygons["name"] != "landslide", GREEN].isna().all(axis=None)


def test_the_report_names_both_dates_and_rules_use_the_loss(result: geoseg.Result) -> None:
    evidence = json.loads((result.out / "report.json").read_text())["evidence"]
    jsonschema.validate(evidence, json_schema())
    assert evidence["greenness"] == {
        "before": ["2022-06-01"], "after": ["2023-06-01"], "bands": ["red", "nir"], "quantity": "digital-number"
    }  # fmt: skip
    slides = slides_of(result)  # the report lists the likeliest alone
    confidence = slides["confidence_evidence"]
    lost, kept = confidence[slides["ndvi_drop"] > 0.3], confidence[slides["ndvi_drop"] < 0.05]
    assert lost.median() > kept.median() + 0.3
    assert "lost-plants" in {reason["rule"] for entry in evidence["listed"] for reason in entry["reasons"]}
    lost = next(entry for entry in evidence["listed"] if (entry["facts"]["ndvi_drop"] or 0) > 0.3)
    assert f"greenness fell by {lost['facts']['ndvi_drop']}" in lost["words"].lower()
    page = html.unescape((result.out / "report.html").read_text())
    assert "Greenness of 2022-06-01 was compared with that of 2023-06-01." in page
    scenes = {scene["used_as"]: scene["id"] for scene in result.report["scenes"]}
    assert scenes == {"before": "scene_20220601", "after": "scene_20230601"}


def test_the_map_is_that_of_the_later_date_and_shares_its_tiles(dates: Dates, result: geoseg.Result) -> None:
    alone = dates.run("alone", scenes_before=(), scenes_after=(), scenes=(str(dates.after),))
    assert alone.report["tiles"]["computed"] == 0
    np.testing.assert_array_equal(worlds.read(alone.out / "classes.tif"), worlds.read(result.out / "classes.tif"))
    assert (alone.report["evidence"]["greenness"], alone.report["evidence"]["greenness_unknown"]) == (None, "")
    assert alone.polygons[GREEN].isna().all(axis=None)
    assert "There was one date" in (alone.out / "report.html").read_text()


@pytest.mark.parametrize("tile_size", [64, 1000])
def test_the_loss_does_not_depend_on_tiles(dates: Dates, result: geoseg.Result, tile_size: int) -> None:
    other = dates.run(f"tiles-{tile_size}", tile_size=tile_size, cache=dates.folder / f"cache-{tile_size}")
    pd.testing.assert_frame_equal(slides_of(result)[["id", *GREEN]], slides_of(other)[["id", *GREEN]])
    assert result.report["evidence"] == other.report["evidence"]


def test_without_near_infrared_it_says_that_nothing_was_measured(dates: Dates) -> None:
    with rasterio.open(dates.before) as file:
        worlds.write_raster(dates.folder / "rgb_20220601.tif", file.read()[:3], names=BANDS[:3], nodata=0)
    bare = dates.run("rgb", scenes_before=(str(dates.folder / "rgb_20220601.tif"),))
    evidence = bare.report["evidence"]
    assert evidence["greenness"] is None
    assert "rgb_20220601 has red, green, blue" in evidence["greenness_unknown"]
    assert any("plants lost between the dates is not measured" in text for text in bare.report["warnings"])
    assert "was not measured: rgb_20220601 has" in (bare.out / "report.html").read_text()
    assert bare.polygons[GREEN].isna().all(axis=None)
    assert all("ndvi_drop" in entry["unknown"] for entry in evidence["listed"])
    assert [scene["used_as"] for scene in bare.report["scenes"]] == ["after"]


def test_an_earlier_date_of_another_place_is_refused(dates: Dates) -> None:
    with rasterio.open(dates.before) as file:
        far = worlds.write_raster(dates.folder / "far.tif", file.read(), names=BANDS, origin=(600_003.0, 5_000_007.0))
    with pytest.raises(NothingToDoError, match="earlier date"):
        dates.run("far", scenes_before=(str(far),))


def test_a_broken_file_of_the_earlier_date_is_refused(dates: Dates) -> None:
    torn = dates.folder / "torn_20220601.tif"
    whole = dates.before.read_bytes()
    torn.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RequestError, match="damaged TIFF"):
        dates.run("torn", scenes_before=(str(torn),))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCatalog:
    return write_demo(tmp_path_factory.mktemp("demo"), shape=(256, 384), uav_shape=(256, 256), later=True)


def command(*words: str) -> int | str | None:
    """Exit status of the command line."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code


def test_from_a_catalogue_by_the_command_line_once_and_again(demo: DemoCatalog, tmp_path: Path) -> None:
    out = tmp_path / "map"
    rules = load_rules("landslide").model_dump(mode="json") | {"landslide_classes": ["forest", "grassland"]}
    (tmp_path / "rules.yaml").write_text(json.dumps(rules))  # JSON is YAML
    words = [
        *("run", "--workflow", "landslide", "--catalog", str(demo.catalog), "--aoi", str(demo.region)),
        *("--before", "2021-12/2022-02", "--after", "2023-12", "--dem", str(demo.dem)),
        *("--evidence", str(tmp_path / "rules.yaml"), "--min-area", "20000"),
        *("--device", "cpu", "--out", str(out), "--quiet"),
    ]
    assert command(*words) == 0
    result = geoseg.Result.open(out)
    assert {scene["datetime"][:4] for scene in result.report["scenes"] if scene["used_as"] == "after"} == {"2023"}
    evidence = result.report["evidence"]
    jsonschema.validate(evidence, json_schema())
    assert evidence["greenness"]["before"] == ["2021-12-19", "2022-01-13", "2022-02-07"]
    assert (evidence["greenness"]["bands"], evidence["greenness"]["quantity"]) == (["B04", "B08"], "reflectance")
    judged = result.polygons[result.polygons["verdict"].notna()]
    assert len(judged) == evidence["candidates"] > 5
    assert judged["ndvi_seen_share"].median() > 0.9
    assert judged["ndvi_drop"].dropna().between(-0.6, 0.9).all()
    assert judged["ndvi_drop"].notna().sum() > 5
    # A second run asks no catalogue.
    (demo.folder / "catalog.json").rename(demo.folder / "gone.json")
    try:
        assert command(*words) == 0
    finally:
        (demo.folder / "gone.json").rename(demo.folder / "catalog.json")
    again = geoseg.Result.open(out)
    assert again.report["tiles"]["computed"] == 0
    assert again.report["evidence"] == result.report["evidence"]
