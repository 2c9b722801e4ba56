"""The command line: exit statuses, three lines for every refusal, and nothing left behind by a request that is wrong."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pystac
import pytest
import rasterio
import worlds

import geoseg
from geoseg.cli import main

ELSEWHERE = "100,10,100.1,10.1"
FILES = {
    "classes.tif",
    "confidence.tif",
    "polygons.parquet",
    "areas.csv",
    "item.json",
    "report.json",
    "report.html",
    "preview.png",
}
EMPTY_CATALOG = {"type": "Catalog", "id": "none", "stac_version": "1.0.0", "description": "nothing", "links": []}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A folder with a raster and a model."""
    folder = tmp_path_factory.mktemp("world")
    image = worlds.landscape((100, 130), 3).astype("uint8")
    worlds.write_raster(folder / "scene.tif", image, names=worlds.BANDS)
    worlds.finite_model(folder / "model")
    return folder


@pytest.fixture
def words(world, tmp_path) -> list[str]:
    """A request that is right."""
    return ["--scenes", str(world / "scene.tif"), "--model", str(world / "model"), "--out", str(tmp_path / "map")]


@pytest.fixture
def ends(capfd) -> Callable[..., tuple[int, str, str]]:
    """Calls the command line; gives exit status, stdout and stderr, those of libraries included."""

    def call(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return call


def three_lines(err: str) -> list[str]:
    """The last three lines; they are given, expected and to do, and no traceback comes before them."""
    lines = err.rstrip("\n").splitlines()[-3:]
    assert [line[:10].rstrip() for line in lines] == ["given:", "expected:", "to do:"]
    assert all(len(line) > 10 for line in lines)
    assert "Traceback" not in err
    return lines


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_run_writes_its_files_and_prints_its_report_last(ends, words, tmp_path):
    status, out, err = ends("run", *words, "--json")
    assert status == 0
    report = json.loads(out.splitlines()[-1])
    assert report == json.loads((tmp_path / "map" / "report.json").read_text())
    assert {path.name for path in (tmp_path / "map").iterdir()} >= FILES
    assert "tiles: " in err
    status, out, err = ends("run", *words, "--json", "--quiet")
    assert (status, err) == (0, "")
    assert json.loads(out)["tiles"]["computed"] == 0
    assert ends("run", *words, "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    "more",
    [
        ["--workflow", "landcovr"],
        ["--workflow", "no/such.yaml"],
        ["--model", "no-such-model"],
        ["--aoi", "no/such.geojson"],
        ["--aoi", "10,0,9,1"],
        ["--aoi", "47,191,48,192"],
        ["--composite", "mean"],
        ["--resolution", "-10"],
        ["--format", "shp"],
        ["--datetime", "yesterday"],
        ["--sensor", "no-such-sensor"],
        ["--bands", "red,green"],
        ["--scenes", "no-such.tif"],
        ["--crs", "EPSG:1"],
        ["--crs", "EPSG:4978"],
        ["--crs", "EPSG:5773"],
        ["--crs", "EPSG:32633+5773"],
        ["--resolution", "1e9"],
        ["--resolution", "inf"],
        ["--offset", "inf"],
        ["--offset", "nan"],
        ["--scale", "inf"],
        ["--min-area", "inf"],
        ["--simplify", "nan"],
        ["--like", "no-such-map"],
        ["--max-memory", "lots"],
        ["--max-memory", "500MB"],
        ["--workers", "0"],
        ["--device", "tpu"],
        ["--max-failed", "1.5"],
        ["--tile-size", "0"],
    ],
    ids=" ".join,
)
def test_a_wrong_request_ends_with_2_in_three_lines_and_leaves_nothing(ends, words, tmp_path, more):
    status, out, err = ends("run", *words, *more)
    assert status == 2
    three_lines(err)
    assert out == ""
    assert list(tmp_path.iterdir()) == []
    assert ends("plan", *words, *more)[0] == 2


@pytest.mark.parametrize(
    ("typed", "given", "right"),
    [
        (["run", "--zzz"], "--zzz", "--sensor"),
        (["run", "--min-arae", "5"], "--min-arae", "--min-area"),
        (["run", "--resolution", "ten"], "--resolution ten", "number"),
        (["plan", "--workers=many"], "--workers many", "integer"),
        (["run", "--aoi"], "--aoi", "a value"),
        (["run", "--fresh=1"], "--fresh", "no value"),
        (["run", "region.geojson"], "region.geojson", "an option before"),
        (["rnu"], "rnu", "run"),
        (["models", "sow"], "sow", "show"),
        (["models", "show"], "geoseg models show", "MODEL"),
    ],
    ids=" ".join,
)
def test_words_that_make_no_command_end_with_2_in_three_lines(ends, tmp_path, monkeypatch, typed, given, right):
    monkeypatch.chdir(tmp_path)
    status, out, err = ends(*typed)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 3
    lines = three_lines(err)
    assert given in lines[0]
    assert right in lines[1]
    assert "--help" in lines[2]
    assert list(tmp_path.iterdir()) == []


def test_an_option_is_named_as_it_was_typed(ends, words):
    for more in (["--min-area", "-1"], ["--simplify", "-2"], ["--tile-size", "0"], ["--composite", "mean"]):
        assert " ".join(more) in three_lines(ends("run", *words, *more)[2])[0].replace(".0", "")


@pytest.mark.parametrize("typed", [[], ["models"], ["--help"], ["run", "--help"], ["--version"]], ids=" ".join)
def test_asking_for_help_is_no_mistake(ends, typed):
    status, out, err = ends(*typed)
    assert status == (0 if any(word.startswith("-") for word in typed) else 2)
    assert "Usage" in out + err or geoseg.__version__ in out
    assert "given:" not in err


def test_too_small_memory_names_the_least_and_that_is_enough(ends, words):
    status, _, err = ends("run", *words, "--max-memory", "500MB")
    assert status == 2
    least = three_lines(err)[1].split("at least ")[1].split(" for")[0]
    assert ends("plan", *words, "--max-memory", least)[0] == 0


def test_an_occupied_folder_is_refused_and_fresh_replaces_it(ends, words, tmp_path):
    out = tmp_path / "map"
    assert ends("run", *words, "--quiet")[0] == 0
    before = contents(out)
    other = [*words, "--min-area", "500"]
    for command in ("run", "plan"):
        status, _, err = ends(command, *other)
        assert status == 2
        assert "another job" in three_lines(err)[0]
        assert "--fresh" in three_lines(err)[2]
    assert contents(out) == before
    (out / "left over").write_text("of the earlier job")
    assert ends("run", *other, "--fresh", "--quiet")[0] == 0
    assert not (out / "left over").exists()
    assert json.loads((out / "report.json").read_text())["job"]["spec"]["min_area_m2"] == 500


def test_fresh_keeps_the_results_until_the_new_job_can_begin(ends, words, tmp_path):
    assert ends("run", *words, "--quiet")[0] == 0
    before = contents(tmp_path / "map")
    assert ends("run", *words, "--fresh", "--max-memory", "500MB")[0] == 2
    assert ends("run", *words, "--fresh", "--aoi", ELSEWHERE)[0] == 3
    assert ends("plan", *words, "--fresh")[0] == 0
    assert contents(tmp_path / "map") == before


@pytest.mark.parametrize("fresh", [[], ["--fresh"]])
def test_a_folder_of_other_files_is_never_touched(ends, words, tmp_path, fresh):
    (tmp_path / "map" / "photos").mkdir(parents=True)
    (tmp_path / "map" / "photos" / "a.jpg").write_bytes(b"mine")
    status, _, err = ends("run", *words, *fresh)
    assert status == 2
    assert "did not write" in three_lines(err)[0]
    assert contents(tmp_path / "map") == {"photos/a.jpg": b"mine"}


def test_a_file_in_place_of_the_folder_is_refused(ends, words, tmp_path):
    (tmp_path / "map").write_text("a file")
    status, _, err = ends("run", *words, "--fresh")
    assert status == 2
    three_lines(err)
    assert (tmp_path / "map").read_text() == "a file"


def test_a_request_that_was_corrected_does_not_find_its_folder_occupied(ends, words):
    assert ends("run", *words, "--aoi", ELSEWHERE)[0] == 3
    assert ends("run", *words, "--quiet")[0] == 0


def test_nothing_to_work_on_ends_with_3(ends, world, words, tmp_path):
    catalog = tmp_path / "catalog.json"
    catalog.write_text(json.dumps(EMPTY_CATALOG))
    model = ["--model", str(world / "model"), "--out", str(tmp_path / "map")]
    status, _, err = ends("run", "--catalog", str(catalog), "--aoi", "15,45,15.01,45.01", *model)
    assert status == 3, err
    assert "no item" in three_lines(err)[0]
    status, _, err = ends("run", *words, "--aoi", ELSEWHERE)
    assert status == 3, err
    three_lines(err)
    assert not (tmp_path / "map").exists()


def test_a_wide_region_far_from_the_scenes_is_refused_before_its_tiles_are_counted(ends, words, monkeypatch):
    def counted(*_: object) -> None:
        raise AssertionError("the tiles of a region without scenes were asked for")

    monkeypatch.setattr("geoseg.plan.tasks_of", counted)
    status, _, err = ends("plan", *words, "--aoi", "100,10,120,30", "--max-area", "1e7", "--max-pixels", "1" + 15 * "0")
    assert status == 3
    assert "longitude 15.0000 E to 15.01" in three_lines(err)[1]  # where the raster lies


def test_a_raster_of_nodata_ends_with_3_and_with_files_that_are_valid_and_empty(ends, world, tmp_path):
    blank = worlds.write_raster(tmp_path / "blank.tif", np.zeros((3, 70, 90), "uint8"), names=worlds.BANDS, nodata=0)
    out = tmp_path / "map"
    status, _, err = ends("run", "--scenes", str(blank), "--model", str(world / "model"), "--out", str(out))
    assert status == 3
    three_lines(err)
    assert {path.name for path in out.iterdir()} >= FILES
    for name in ("classes.tif", "confidence.tif"):
        with rasterio.open(out / name) as file:
            assert file.crs.to_epsg() == 32633
            assert (file.read(1) == 255).all()
    polygons = geopandas.read_parquet(out / "polygons.parquet")
    assert len(polygons) == 0
    assert polygons.crs.to_epsg() == 32633
    with (out / "areas.csv").open(newline="") as file:
        assert all(int(row["pixels"]) == 0 for row in csv.DictReader(file))
    assert pystac.Item.from_file(str(out / "item.json")).assets["classes"]
    report = geoseg.Result.open(out).report
    assert report["pixels"]["nodata_unobserved"] + report["pixels"]["nodata_masked"] == 70 * 90
    assert report["pixels"]["classified"] == 0


def test_a_fault_of_our_own_ends_with_1_in_three_lines_and_a_traceback_only_with_debug(ends, words, monkeypatch):
    def breaks(*_: object) -> None:
        raise RuntimeError("one line\nand another")

    monkeypatch.setattr("geoseg.pipeline.run", breaks)
    status, out, err = ends("run", *words)
    assert (status, out) == (1, "")
    assert len(err.splitlines()) == 3
    assert "one line and another" in three_lines(err)[1]
    assert "--debug" in three_lines(err)[2]
    with pytest.raises(RuntimeError, match="one line"):
        main(["run", *words, "--debug"])


def test_debug_shows_where_a_refusal_comes_from(words):
    with pytest.raises(geoseg.GeosegError):
        main(["run", *words, "--model", "no-such-model", "--debug"])


def garble(path: Path) -> None:
    """Fill every block of a raster with bytes that are not deflate; the header stays."""
    with rasterio.open(path) as file:
        rows, cols = -(-file.height // 64), -(-file.width // 64)
        places = [
            [int(file.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE")]
            for row in range(rows)
            for col in range(cols)
        ]
    with path.open("r+b") as file:
        for offset, size in places:
            file.seek(offset)
            file.write(b"\xff" * size)


def test_plan_reads_no_pixels_and_writes_nothing(ends, world, words, tmp_path, monkeypatch):
    scene = tmp_path / "scene.tif"
    shutil.copy(world / "scene.tif", scene)
    garble(scene)
    with rasterio.open(scene) as file, pytest.raises(rasterio.errors.RasterioIOError):
        file.read()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path / "cache"))
    request = ["--scenes", str(scene), *words[2:]]
    status, out, err = ends("plan", *request, "--json")
    assert status == 0
    assert [path.name for path in tmp_path.iterdir()] == ["scene.tif"]
    facts = json.loads(out.splitlines()[-1])
    assert facts["grid"]["shape"] == [100, 130]
    assert facts["grid"]["crs"] == "EPSG:32633"
    assert (facts["cell_px"], facts["stride_px"]) == (32, 8)
    # Radius 36, 36, 29, 29 in whole strides.
    assert facts["halo_px"] == [40, 40, 32, 32]
    assert facts["tile_px"] % 32 == facts["chip_px"] % 32 == 0
    assert "130 x 100 px (width x height)" in err
    assert ends("plan", *request, "--quiet") == (0, "", "")


def test_plan_says_what_a_run_then_does(ends, words, tmp_path):
    _, out, _ = ends("plan", *words, "--json", "--tile-size", "1")
    facts = json.loads(out)
    _, out, _ = ends("run", *words, "--json", "--tile-size", "1", "--quiet")
    report = json.loads(out)
    assert facts["tiles"] == report["tiles"]["total"] == report["tiles"]["computed"]
    assert facts["megapixels"] == pytest.approx(report["timing"]["computed_megapixels"], abs=1e-3)
    assert facts["anchor"] == report["grid"]["anchor"]
    assert facts["grid"]["shape"] == report["grid"]["shape"]


def test_plan_says_which_weights_are_missing_and_what_a_run_would_fetch(ends, world, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = ends("plan", *words, "--json")
    assert json.loads(out)["weights"]["here"]
    assert "not on this machine" not in err
    item = json.loads((world / "model" / "item.json").read_text())
    size = item["assets"]["weights"]["file:size"]
    item["assets"]["weights"]["href"] = "https://models.example/tiny.safetensors"
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "item.json").write_text(json.dumps(item))
    bare = [*words, "--model", str(tmp_path / "bare")]
    status, out, err = ends("plan", *bare, "--json")
    weights = json.loads(out)["weights"]
    assert status == 0
    assert (weights["here"], weights["fetched"], weights["size_bytes"]) == (False, True, size)
    assert f"fetches {size / 1000:.1f} kB from https://models.example" in err
    monkeypatch.setenv("GEOSEG_OFFLINE", "1")
    status, out, err = ends("plan", *bare, "--json")
    assert not json.loads(out)["weights"]["fetched"]
    assert "GEOSEG_MODELS" in err


def test_scenes_without_a_cloud_mask_are_the_first_thing_to_look_at(ends, tmp_path):
    bands = ("B02", "B03", "B04")
    model = worlds.finite_model(tmp_path / "model", bands, quantity="reflectance")
    scene = worlds.write_raster(tmp_path / "s.tif", worlds.landscape((40, 50), 3).astype("uint16"), names=bands)
    out = tmp_path / "map"
    assert ends("run", "--scenes", str(scene), "--model", str(model.path), "--out", str(out), "--quiet")[0] == 0
    page = (out / "report.html").read_text()
    first = page[page.index("Look at this first") : page.index("<h2>Map</h2>")]
    assert "cloud mask" in first


def test_a_model_is_shown_as_a_table_or_as_its_item(ends):
    status, out, _ = ends("models", "show", "demo-landcover")
    assert status == 0
    facts = dict(line.split(maxsplit=1) for line in out.splitlines() if line)
    assert facts["reads"] == "B02, B03, B04, B08, B11, B12 (reflectance)"
    assert "256 x 256 px" in facts["kind"]
    item = json.loads(ends("models", "show", "demo-landcover", "--json")[1])
    assert all(entry["name"] in out for entry in item["properties"]["bands"])
    assert item["id"] == facts["name"] == "demo-landcover"


@pytest.mark.parametrize("command", [["cache", "info"], ["cache", "clear"], ["models", "list"]])
def test_a_wrong_environment_is_a_wrong_request(ends, monkeypatch, command):
    monkeypatch.setenv("GEOSEG_WORKERS", "many")
    status, out, err = ends(*command)
    assert (status, out) == (2, "")
    assert "many" in three_lines(err)[0]


def test_clearing_the_cache_removes_tiles_and_keeps_weights(ends, words, monkeypatch, tmp_path):
    cache = tmp_path / "cache"
    monkeypatch.setenv("GEOSEG_CACHE", str(cache))
    (cache / "weights").mkdir(parents=True)
    (cache / "weights" / "w.safetensors").write_bytes(b"w")
    tiles = json.loads(ends("run", *words, "--quiet", "--json")[1])["tiles"]["computed"]
    assert f"tiles: {tiles} files" in ends("cache", "info")[1]
    mine = cache / "tiles" / "of my bathroom" / "plan.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    assert ends("cache", "clear")[0] == 0
    assert mine.read_text() == "mine", "a folder of that name may be somebody's, where GEOSEG_CACHE says another place"
    assert list((cache / "tiles").iterdir()) == [mine.parent]
    shutil.rmtree(mine.parent)
    assert "tiles: 0 files" in ends("cache", "info")[1]
    assert not any(cache.rglob("*.zip"))
    assert (cache / "weights" / "w.safetensors").is_file()
    status, out, _ = ends("run", *words, "--quiet", "--json")
    assert (status, json.loads(out)["tiles"]["computed"]) == (0, tiles)
