"""Plain rasters to items: what is read from the file, what is guessed, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import worlds
from rasterio.control import GroundControlPoint

from geoseg.errors import GeosegError, ModelMismatchError, RequestError
from geoseg.scenes import Found, find_scenes
from geoseg.scenes.raster_bands import name_in_path
from geoseg.spec import JobSpec

S2 = ("B02", "B03", "B04", "B08")
RGB = ("red", "green", "blue")


def raster(path: Path, count: int = 3, dtype: str = "uint8", **options: Any) -> Path:
    return worlds.write_raster(path, np.ones((count, 16, 20), dtype), **options)


def found(*paths: Path, wanted: tuple[str, ...] = RGB, **options: Any) -> Found:
    return find_scenes(JobSpec.build(scenes=tuple(map(str, paths)), model="any", **options), None, wanted)


def test_band_names_of_the_file_give_the_order(tmp_path: Path) -> None:
    path = raster(tmp_path / "a.tif", 4, names=("blue", "green", "red", "nir"))
    ((item,), notes) = (f := found(path)).items, f.notes
    assert {band: source.index for band, source in item.bands.items()} == {"red": 3, "green": 2, "blue": 1}
    assert item.sensor.name == "rgbn"
    assert "names in the file" in notes[0]


def test_colours_give_the_names_where_there_are_none(tmp_path: Path) -> None:
    path = raster(tmp_path / "a.tif", photometric="RGB")
    (item,) = found(path).items
    assert [item.bands[band].index for band in RGB] == [1, 2, 3]
    assert item.sensor.name == "rgb"


def test_alpha_is_found_whatever_the_bands_are_called(tmp_path: Path) -> None:
    for number, options in enumerate(({"names": (*RGB, "mask of some kind")}, {}, {"bands": RGB})):
        given = {"bands": options.pop("bands")} if "bands" in options else {}
        path = raster(tmp_path / f"{number}.tif", 4, photometric="RGB", ALPHA="YES", **options)
        (item,) = found(path, **given).items
        assert item.alpha
        assert item.mask is not None
        assert item.mask.index == 4
        assert list(item.bands) == list(RGB)


def test_eight_bits_and_three_bands_without_a_word_are_taken_for_colours(tmp_path: Path) -> None:
    path = raster(tmp_path / "a.tif", 3, photometric="MINISBLACK")
    result = found(path)
    assert "guessed" in result.notes[0]
    assert [result.items[0].bands[band].index for band in RGB] == [1, 2, 3]


def test_names_on_the_command_line_rule(tmp_path: Path) -> None:
    path = raster(tmp_path / "a.tif", 4, "uint16", names=("x", "y", "z", "w"))
    result = found(path, bands=S2, wanted=("B08", "B02"))
    (item,) = result.items
    assert {band: source.index for band, source in item.bands.items()} == {"B08": 4, "B02": 1}
    assert item.sensor.name == "sentinel-2-l2a"
    assert "named by --bands" in result.notes[0]


@pytest.mark.parametrize(
    ("names", "sensor", "quantity"),
    [
        (S2, "sentinel-2-l2a", "reflectance"),
        ((*S2, "B10"), "sentinel-2-l1c", "reflectance"),
        (RGB, "rgb", "digital-number"),
        ((*RGB, "nir"), "rgbn", "digital-number"),
        (("A.B04", "B.B04"), "raster", "digital-number"),
    ],
)
def test_the_sensor_follows_from_the_names(tmp_path: Path, names: tuple[str, ...], sensor: str, quantity: str) -> None:
    path = raster(tmp_path / "a.tif", len(names), "uint16", names=names)
    (item,) = found(path, wanted=names[:2]).items
    assert (item.sensor.name, item.sensor.quantity) == (sensor, quantity)
    assert set(item.bands) == set(names[:2])


def test_a_named_sensor_rules_over_the_guess(tmp_path: Path) -> None:
    path = raster(tmp_path / "a.tif", 4, "uint16", names=S2)
    (item,) = found(path, wanted=S2, sensor="sentinel-2-l1c").items
    assert item.sensor.name == "sentinel-2-l1c"


@pytest.mark.parametrize(
    ("dtype", "tag", "expected"),
    [
        ("uint8", None, None),
        ("uint8", 7, 7.0),
        ("float32", -9999.0, -9999.0),
        ("float32", float("nan"), float("nan")),
    ],
)
def test_nodata_is_the_files_own(tmp_path: Path, dtype: str, tag: float | None, expected: float | None) -> None:
    (item,) = found(raster(tmp_path / "a.tif", 3, dtype, names=RGB, nodata=tag)).items
    assert {source.nodata for source in item.bands.values()} == {expected} or np.isnan(expected or 0)


@pytest.mark.parametrize(
    ("name", "tag", "day"),
    [
        ("scene_20220103.tif", None, "2022-01-03"),
        ("m_4709963_se_14_1_20200831.tif", None, "2020-08-31"),
        ("s2-2021-12-19.tif", None, "2021-12-19"),
        ("scene_20229999.tif", None, ""),
        ("scene_1234567890.tif", None, ""),
        ("scene.tif", "2019:05:06 10:11:12", "2019-05-06"),
    ],
)
def test_the_day_is_in_the_name_or_in_the_file(tmp_path: Path, name: str, tag: str | None, day: str) -> None:
    path = raster(tmp_path / name, names=RGB)
    if tag:
        with rasterio.open(path, "r+") as file:
            file.update_tags(TIFFTAG_DATETIME=tag)
    assert found(path).items[0].datetime[:10] == day


def test_rasters_of_one_name_are_different_items(tmp_path: Path) -> None:
    paths = [raster(tmp_path / folder / "tile.tif", names=RGB) for folder in ("a", "b", "c")]
    items = found(*paths).items
    assert len({item.id for item in items}) == 3
    assert len({item.key for item in items}) == 3
    assert [item.document["id"] for item in items] == [item.id for item in items]
    assert [item.bands["red"].href for item in items] == [str(path) for path in paths]


def test_the_grid_is_that_of_the_file(tmp_path: Path) -> None:
    path = raster(tmp_path / "a.tif", names=RGB, origin=(465_181.052, 5_080_254.633), pixel=9.99479)
    (item,) = found(path).items
    with rasterio.open(path) as file:
        assert item.geobox.transform == file.transform
        assert item.geobox.shape == file.shape


def refusals(folder: Path) -> dict[str, tuple[type[GeosegError], dict[str, Any]]]:
    """What is refused: the error, and what to ask for."""
    text = folder / "text.tif"
    text.write_text("no raster")
    bare = raster(folder / "bare.tif", names=RGB)
    with rasterio.open(bare, "r+") as file:
        profile = {**file.profile, "crs": None}
    with rasterio.open(folder / "no-crs.tif", "w", **profile) as file:
        file.write(np.ones((3, 16, 20), "uint8"))
    with rasterio.open(
        folder / "no-place.tif", "w", driver="GTiff", count=3, width=20, height=16, dtype="uint8", crs="EPSG:4326"
    ) as file:
        file.write(np.ones((3, 16, 20), "uint8"))
    five = raster(folder / "five.tif", 5, "uint16")
    return {
        "gone.tif": (RequestError, {}),
        "text.tif": (RequestError, {}),
        "no-crs.tif": (RequestError, {}),
        "no-place.tif": (RequestError, {}),
        five.name: (ModelMismatchError, {}),
        "bare.tif": (ModelMismatchError, {"bands": ("red", "green", "nir")}),
        "./five.tif": (RequestError, {"given": ("a", "b", "c", "d")}),
        "./bare.tif": (RequestError, {"sensor": "landsat-99"}),
    }


@pytest.mark.parametrize(
    "name",
    ["gone.tif", "text.tif", "no-crs.tif", "no-place.tif", "five.tif", "bare.tif", "./five.tif", "./bare.tif"],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_cannot_be_used_is_refused_in_three_lines(tmp_path: Path, name: str) -> None:
    kind, asked = refusals(tmp_path)[name]
    spec = JobSpec.build(
        scenes=(str(tmp_path / name),), model="any", bands=asked.get("given", ()), sensor=asked.get("sensor")
    )
    with pytest.raises(kind) as refused:
        find_scenes(spec, None, asked.get("bands", RGB))
    lines = str(refused.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["given", "expected", "to do"]
    assert Path(name).name in lines[0] or "landsat-99" in lines[0]


def refusal(path: Path, wanted: tuple[str, ...] = RGB, **options: Any) -> GeosegError:
    with pytest.raises(GeosegError) as refused:
        found(path, wanted=wanted, **options)
    assert refused.value.exit_code == 2
    return refused.value


def test_a_file_of_one_band_is_sent_to_be_stacked_and_not_to_be_named(tmp_path: Path) -> None:
    """Naming cannot help a file that has fewer bands than the model reads."""
    path = raster(tmp_path / "one.tif", 1, "uint16")
    for given in ({}, {"bands": ("red",)}):
        err = refusal(path, **given)
        assert "red" in err.given if given else "1 band" in err.given
        assert all(band in err.expected for band in RGB)
        assert "gdalbuildvrt -separate" in err.todo
        assert "--bands red,green,blue" in err.todo
        assert "geoseg models show" in err.todo
    assert "--bands" not in str(refusal(path, wanted=("pan",))).splitlines()[1]


def test_a_file_of_enough_bands_is_sent_to_be_named(tmp_path: Path) -> None:
    for path in (raster(tmp_path / "five.tif", 5, "uint16"), raster(tmp_path / "abcde.tif", 5, names=tuple("abcde"))):
        err = refusal(path)
        assert "all 5 bands" in err.todo
        assert "--bands" in err.todo
        assert "gdalbuildvrt" not in err.todo
    assert all(name in err.given for name in "abcde")


def control_points(path: Path, crs: str | None) -> Path:
    corners = [(0, 0, 15.0, 45.1), (0, 20, 15.1, 45.1), (16, 0, 15.0, 45.0), (16, 20, 15.1, 45.0)]
    points = [GroundControlPoint(row, col, x, y) for row, col, x, y in corners]
    with rasterio.open(path, "w", driver="GTiff", count=3, width=20, height=16, dtype="uint8") as file:
        file.gcps = (points, rasterio.CRS.from_string(crs) if crs else rasterio.CRS())
        file.write(np.ones((3, 16, 20), "uint8"))
    return path


@pytest.mark.fault(45)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_control_points_are_named_and_sent_to_be_warped(tmp_path: Path) -> None:
    err = refusal(control_points(tmp_path / "placed.tif", "EPSG:4326"))
    assert "4 ground control points" in err.given
    assert "geotransform" in err.given
    assert "gdalwarp" in err.todo
    assert "-s_srs" not in err.todo
    assert "gdal_edit" not in err.todo
    assert "-s_srs" in refusal(control_points(tmp_path / "lost.tif", None)).todo


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_is_missing_of_a_place_is_named_and_nothing_else(tmp_path: Path) -> None:
    refusals(tmp_path)
    no_crs, no_place = refusal(tmp_path / "no-crs.tif"), refusal(tmp_path / "no-place.tif")
    assert "without a CRS," in no_crs.given
    assert "-a_srs" in no_crs.todo
    assert "-a_ullr" not in no_crs.todo
    assert "without a geotransform," in no_place.given
    assert "-a_ullr" in no_place.todo
    assert "-a_srs" not in no_place.todo


def test_rasters_of_one_kind_are_noted_in_one_line(tmp_path: Path) -> None:
    alike = [raster(tmp_path / f"{number}.tif", names=RGB) for number in range(3)]
    other = raster(tmp_path / "other.tif", 4, names=(*RGB, "nir"))
    notes = found(*alike, other).notes
    assert len(notes) == 2
    assert notes[0].startswith("3 rasters (0.tif")
    assert notes[1].startswith("other.tif:")


@pytest.mark.parametrize(
    ("name", "band"),
    [
        ("T33TVL_20220601T100031_B04_10m.tif", "B04"),
        ("S2A_B4.tif", "B04"),
        ("LC09_L2SP_190027_20220601_20220603_02_T1_SR_B4.TIF", ""),
        ("LT05_L2SP_190027_19900601_20200603_02_T1_SR_B4.TIF", ""),
        ("scene_SR_B4.TIF", ""),
    ],
)
def test_a_band_of_landsat_is_none_of_sentinel_2(name: str, band: str) -> None:
    assert name_in_path(name, ("B04", "B05"))[0] == band
