"""One map for each date: each is that of a job for the date alone, and they hold together as a STAC collection."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
import worlds

import geoseg
from geoseg.cli import main
from geoseg.errors import InterruptedRunError, NothingToDoError
from geoseg.models import ModelFolder
from geoseg.pipeline import run
from geoseg.settings import Settings
from geoseg.spec import JobSpec

DAYS = ("2022-01-01", "2022-02-01", "2022-03-01")
FILES = {"classes.tif", "confidence.tif", "polygons.parquet", "item.json", "report.json", "report.html", "areas.csv"}
RASTERS = ("classes.tif", "confidence.tif", "polygons.parquet")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Three days on one grid; on the second two parts that overlap, on the third nothing was seen."""
    folder, made = tmp_path_factory.mktemp("scenes"), []
    for number, (name, first_col) in enumerate(
        (("a_20220101", 0), ("b_20220201", 0), ("c_20220201", 40), ("d_20220301", 0))
    ):
        image = worlds.landscape((90, 100), 3, seed=number).astype("uint8")
        image[:, :20, :30] = 0
        if name.startswith("d"):
            image[:] = 0
        origin = (500_003.0 + 10 * first_col, 5_000_007.0)
        path = worlds.write_raster(folder / f"{name}.tif", image, names=worlds.BANDS, nodata=0, origin=origin)
        made.append(str(path))
    return tuple(made)


def options(folder: Path, model: ModelFolder, scenes: tuple[str, ...], **more: object) -> dict[str, object]:
    common = {"model": str(model.path), "cache": folder / "cache", "out": folder / "map", "tile_size": 64}
    return {"scenes": scenes, "composite": "per-date", **common, **more}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory, scenes: tuple[str, ...], finite: ModelFolder) -> geoseg.Result:
    folder = tmp_path_factory.mktemp("dates")
    return geoseg.run(**options(folder, finite, scenes))


def test_every_date_has_a_folder_with_all_files_on_one_grid(result: geoseg.Result) -> None:
    assert tuple(result.dates) == DAYS
    places = set()
    for day, one in result.dates.items():
        assert {path.name for path in (result.out / day).iterdir()} >= FILES
        with rasterio.open(one.out / "classes.tif") as file:
            places.add((file.transform, file.shape, str(file.crs)))
        taken = {scene["id"] for scene in one.report["scenes"]}
        assert all(name.endswith(day.replace("-", "")) for name in taken), day
    assert len(places) == 1
    assert {path.name for path in result.out.iterdir()} == {*DAYS, "job", "report.json", "collection.json"}


def test_a_date_has_the_map_of_a_job_for_it_alone_and_shares_its_tiles(
    tmp_path: Path, result: geoseg.Result, scenes: tuple[str, ...], finite: ModelFolder
) -> None:
    more = {"composite": "least-cloudy", "like": str(result.out / DAYS[1]), "cache": result.out.parent / "cache"}
    # The region of all dates, so that both maps are cut alike.
    alone = geoseg.run(**options(tmp_path, finite, scenes[1:3], **more))
    assert alone.report["tiles"]["computed"] == 0
    together = worlds.read(result.dates[DAYS[1]].out / "classes.tif")
    single = worlds.read(alone.out / "classes.tif")
    np.testing.assert_array_equal(together[: single.shape[0], : single.shape[1]], single)
    assert (single < 254).any()


def test_a_second_run_computes_nothing_and_changes_nothing(
    result: geoseg.Result, scenes: tuple[str, ...], finite: ModelFolder
) -> None:
    before = {path: path.read_bytes() for path in result.out.rglob("*") if path.name in RASTERS}
    stale = result.out / "2020-01-01"  # a date that an earlier search had found
    stale.mkdir()
    (stale / "classes.tif").touch()
    (result.out / "my notes").mkdir()
    (result.out / DAYS[0] / ".classes.part-7-ab.tif").touch()
    again = geoseg.run(**options(result.out.parent, finite, scenes))
    assert again.report["tiles"]["computed"] == 0
    assert {path: path.read_bytes() for path in result.out.rglob("*") if path.name in RASTERS} == before
    assert not stale.exists()
    (result.out / "my notes").rmdir()
    assert not list(result.out.rglob(".*part*"))


def test_the_collection_leads_to_every_map_and_back(result: geoseg.Result) -> None:
    collection = pystac.Collection.from_file(str(result.out / "collection.json"))
    items = list(collection.get_items())
    assert len(items) == len({item.id for item in items}) == len(DAYS)
    for item, day in zip(items, DAYS, strict=True):
        assert item.collection_id == collection.id
        assert item.get_parent() is collection
        assert all(Path(asset.get_absolute_href()).is_file() for asset in item.assets.values())
        assert Path(item.self_href).parent.name == day
        assert item.get_collection().id == collection.id
    (interval,) = collection.extent.temporal.intervals
    assert [time.date().isoformat() for time in interval] == [DAYS[0], DAYS[1]]  # nothing was seen on the third
    (west, south, east, north) = collection.extent.spatial.bboxes[0]
    assert west < east
    assert south < north


def test_the_report_sums_what_the_dates_report(result: geoseg.Result) -> None:
    report = json.loads((result.out / "report.json").read_text())  # of whichever run was the last
    for name in ("aoi", "classified", "nodata_unobserved"):
        assert report["pixels"][name] == sum(one.report["pixels"][name] for one in result.dates.values())
    assert report["tiles"]["total"] == sum(one.report["tiles"]["total"] for one in result.dates.values())
    assert [line["date"] for line in report["dates"]] == list(DAYS)
    assert all((result.out / line["report"]).is_file() for line in report["dates"])
    assert report["dates"][2]["pixels"]["classified"] == 0
    assert "3 dates" in repr(result)


def test_dates_on_which_nothing_was_seen_are_a_reason_only_when_there_are_no_others(
    tmp_path: Path, scenes: tuple[str, ...], finite: ModelFolder
) -> None:
    with pytest.raises(NothingToDoError):
        geoseg.run(**options(tmp_path, finite, scenes[3:]))
    assert (tmp_path / "map" / DAYS[2] / "classes.tif").is_file()
    assert (tmp_path / "map" / "collection.json").is_file()


def test_scenes_without_a_date_are_called_by_their_ids(
    tmp_path: Path, scenes: tuple[str, ...], finite: ModelFolder
) -> None:
    image = worlds.landscape((90, 100), 3, seed=8).astype("uint8")
    undated = worlds.write_raster(tmp_path / "field one.tif", image, names=worlds.BANDS)
    result = geoseg.run(**options(tmp_path, finite, (scenes[0], str(undated))))
    assert list(result.dates) == [DAYS[0], "field-one"]


def parts_of(folder: Path, places: dict[str, tuple[int, int]], image: np.ndarray) -> tuple[str, ...]:
    """Parts of an image, 40 rows and 50 columns each, by row and column of their corners."""
    return tuple(
        str(
            worlds.write_raster(
                folder / f"{name}.tif",
                image[:, row : row + 40, col : col + 50],
                names=worlds.BANDS,
                origin=(500_003.0 + 10 * col, 5_000_007.0 - 10 * row),
            )
        )
        for name, (row, col) in places.items()
    )


def test_undated_parts_that_abut_are_one_map_equal_to_that_of_the_whole(tmp_path: Path, finite: ModelFolder) -> None:
    image = worlds.landscape((80, 100), 3, seed=8).astype("uint8")
    whole = worlds.write_raster(tmp_path / "whole.tif", image, names=worlds.BANDS)
    parts = parts_of(tmp_path, {"nw": (0, 0), "ne": (0, 50), "sw": (40, 0), "se": (40, 50)}, image)
    one = geoseg.run(**options(tmp_path, finite, parts))
    assert list(one.dates) == ["ne"]
    expected = geoseg.run(**options(tmp_path, finite, (str(whole),), out=tmp_path / "other", composite="first"))
    made, wanted = (worlds.read(run.out / "classes.tif") for run in (one.dates["ne"], expected))
    np.testing.assert_array_equal(made, wanted)


@pytest.mark.parametrize(
    ("places", "maps"),
    [
        ({"a": (0, 0), "b": (0, 50), "c": (10, 40), "d": (0, 160)}, ["a", "c", "d"]),
        ({"a": (0, 0), "b": (0, 50), "e": (20, 100), "f": (40, 60)}, ["a", "b", "e", "f"]),  # e and f overlap
    ],
)
def test_undated_scenes_that_overlap_or_lie_apart_are_maps_of_their_own(
    tmp_path: Path, finite: ModelFolder, places: dict[str, tuple[int, int]], maps: list[str]
) -> None:
    image = worlds.landscape((80, 220), 3, seed=8).astype("uint8")
    assert list(geoseg.run(**options(tmp_path, finite, parts_of(tmp_path, places, image))).dates) == maps


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, scenes: tuple[str, ...], finite: ModelFolder) -> None:
    words = options(tmp_path, finite, scenes[:2])
    settings = Settings.with_options(**{name: words.pop(name) for name in ("cache", "out", "tile_size")})
    spec = JobSpec.build(**words)
    with pytest.raises(InterruptedRunError):
        run(spec, settings, should_stop=(tmp_path / "map" / DAYS[0] / "report.json").exists)
    assert not (tmp_path / "map" / "collection.json").exists()
    result = run(spec, settings)
    assert result.dates[DAYS[0]].report["tiles"]["computed"] == 0
    assert result.dates[DAYS[1]].report["tiles"]["computed"] > 0


def test_the_command_line_says_how_many_maps_there_will_be_and_were(
    result: geoseg.Result, scenes: tuple[str, ...], finite: ModelFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model", str(finite.path), "--composite", "per-date", "--tile-size", "64", "--out", str(result.out)]
    for scene in scenes:
        words += ["--scenes", scene]
    for command in ("plan", "run"):
        with pytest.raises(SystemExit) as ended:
            main([command, *words, "--json"])
        assert not ended.value.code
        out, err = capsys.readouterr()
        said = json.loads(out)
        if command == "plan":
            assert said["maps"] == len(DAYS)
            assert said["tiles"] == sum(one.report["tiles"]["total"] for one in result.dates.values())
        else:
            assert len(said["dates"]) == len(DAYS)
            assert all(day in err for day in DAYS)
            assert "collection.json" in err
