"""A change map from the embedded catalogue, by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import worlds
from numpy.typing import NDArray
from pairs import write_pair

import geoseg
from geoseg.cli import main
from geoseg.demo import DemoCatalog, write_demo
from geoseg.demo import classes as c

WORDS = ["--workflow", "change", "--before", "2021-12/2022-02", "--after", "2023-12", "--device", "cpu"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCatalog:
    return write_demo(tmp_path_factory.mktemp("demo"), shape=(256, 384), uav_shape=(256, 256), later=True)


def words_of(demo: DemoCatalog, *more: str) -> list[str]:
    return [*WORDS, "--catalog", str(demo.catalog), "--aoi", str(demo.region), *more]


def command(*words: str) -> int | str | None:
    """Exit status of the command line."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code


def truth_on(result: geoseg.Result, path: Path) -> NDArray[np.uint8]:
    with rasterio.open(result.out / "classes.tif") as file, rasterio.open(path) as truth:
        window = truth.window(*file.bounds).round_offsets().round_lengths()
        return truth.read(1, window=window, boundless=True, fill_value=255)


def test_from_catalogue_to_polygons_with_before_and_after(demo: DemoCatalog, tmp_path: Path) -> None:
    out = tmp_path / "map"
    words = ["run", *words_of(demo, "--model", "demo-landcover", "--out", str(out), "--quiet")]
    assert command(*words) == 0
    result = geoseg.Result.open(out)
    assert demo.change_truth is not None
    classes, truth = worlds.read(out / "classes.tif"), truth_on(result, demo.change_truth)
    seen = (classes < 250) & (truth != c.NODATA)
    found, real = (classes != 0)[seen], (truth != 0)[seen]
    assert (found & real).sum() / real.sum() > 0.5
    assert (found & ~real).sum() / (~real).sum() < 0.05
    rows = result.polygons
    assert {"before", "after", "confidence_before", "confidence_after", "cloud_share", "code"} <= set(rows.columns)
    assert (rows["before"] == "forest").any()
    assert {scene["used_as"] for scene in result.report["scenes"]} == {"before", "after"}
    dates = {scene["used_as"]: scene["datetime"][:4] for scene in result.report["scenes"]}
    assert dates["after"] == "2023"
    assert result.report["classes"][0]["code"] is None
    names = {
        asset["name"]
        for asset in json.loads((out / "item.json").read_text())["assets"]["classes"]["classification:classes"]
    }
    assert any("-to-" in name for name in names)
    # A second run finds all tiles, and the items as they were frozen.
    assert json.loads((out / "job" / "items-later.json").read_text())
    (demo.folder / "catalog.json").rename(demo.folder / "gone.json")
    try:
        assert command(*words) == 0
    finally:
        (demo.folder / "gone.json").rename(demo.folder / "catalog.json")
    again = geoseg.Result.open(out)
    assert again.report["tiles"]["computed"] == 0
    assert again.report["change"]["values"] == result.report["change"]["values"]


def test_filters_leave_polygons_out_and_say_how_many(demo: DemoCatalog, tmp_path: Path) -> None:
    every, some = (
        geoseg.run(
            workflow="change",
            before="2021-12/2022-02",
            after="2023-12",
            catalog=str(demo.catalog),
            aoi=str(demo.region),
            out=tmp_path / name,
            cache=tmp_path / "cache",
            **options,
        )
        for name, options in (("every", {}), ("some", {"max_cloud": 0.0, "drop_thin": True}))
    )
    rows = every.polygons
    assert rows["cloud_share"].between(0, 1).all()
    left_px = every.report["change"]["alignment"]["left_px"]
    thick = ~rows.geometry.buffer(-left_px * 10 * (1 - 1e-9), join_style="mitre").is_empty
    kept = rows[(rows["cloud_share"] == 0) & thick]
    assert set(some.polygons["id"]) == set(kept["id"])
    assert some.report["polygons"]["dropped"] == len(rows) - len(kept)
    np.testing.assert_array_equal(worlds.read(every.out / "classes.tif"), worlds.read(some.out / "classes.tif"))


def test_plan_says_what_a_run_would_do(demo: DemoCatalog, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("plan", *words_of(demo, "--model", "demo-landcover", "--json")) == 0
    said = capsys.readouterr()
    facts = json.loads(said.out.splitlines()[-1])
    assert facts["tiles"] == 3
    assert sum(len(scene["items"]) for scene in facts["scenes"]) == 8
    assert "before 2021-12-01/2022-02-28, after 2023-12-01/2023-12-31" in said.err


def test_dates_without_scenes_are_refused(demo: DemoCatalog, tmp_path: Path, capfd) -> None:
    words = words_of(demo, "--out", str(tmp_path / "map"))
    words[words.index("2023-12")] = "2030-01"
    assert command("run", *words) == 3
    assert len(capfd.readouterr().err.strip().splitlines()) >= 3


def test_no_torch_is_needed_where_no_network_runs(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, shape=(64, 64))
    program = (
        "import sys; sys.modules['torch'] = None; import geoseg; "
        f"geoseg.run(workflow='change', scenes_before={str(pair.before)!r}, scenes_after={str(pair.after)!r}, "
        f"out={str(tmp_path / 'map')!r}, cache={str(tmp_path / 'cache')!r})"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    assert (tmp_path / "map" / "report.html").is_file()
