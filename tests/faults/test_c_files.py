"""Scenes of several files, and folders of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worlds
from affine import Affine

from geoseg.errors import RequestError
from geoseg.models import ModelFolder
from geoseg.spec import JobSpec
from tests.faults import painted
from tests.faults.rasters import RGB, found, image, read, refusal


def one_per_band(folder: Path, names: tuple[str, ...], suffix: str = "") -> Any:
    picture = worlds.landscape((60, 70), len(names)).astype("uint16")
    for name, band in zip(names, picture, strict=True):
        worlds.write_raster(folder / f"T33TVL_20220601_{name}{suffix}.tif", band[None])
    return picture.astype("float32")


@pytest.mark.fault(38)
def test_fault_38_one_band_per_file_is_one_scene(tmp_path: Path) -> None:
    bands = ("B02", "B03", "B04", "B08")
    picture = one_per_band(tmp_path / "scene", bands, "_10m")
    wanted = ("B04", "B08", "B02")
    files = [tmp_path / "scene" / f"T33TVL_20220601_{band}_10m.tif" for band in bands]
    for given in ([tmp_path / "scene"], files):
        (item,) = found(*given, wanted=wanted).items
        assert item.id == "T33TVL_20220601"
        assert item.datetime.startswith("2022-06-01")
        assert item.sensor.name == "sentinel-2-l2a"
        pixels, _ = read(item)
        assert np.allclose(pixels.values, picture[[2, 3, 0]] * 1e-4)
    (item,) = found(*files, wanted=("x", "y"), bands=("x", "y", "z", "w")).items
    assert [Path(item.bands[band].href) for band in ("x", "y")] == files[:2]


@pytest.mark.fault(38)
@pytest.mark.parametrize(
    ("names", "bands", "expected"),
    [
        (("B02", "B04"), (), "clip"),
        (("R10m/B02_10m", "R10m/B04_10m"), (), "clip"),
        (("2022_B02", "2022_B04"), (), "2022"),
        (("field_a", "field_b"), ("B02", "B04"), "field"),
        (("a", "b"), ("B02", "B04"), "clip"),
    ],
)
def test_fault_38_a_scene_of_several_files_is_named_as_people_call_it(
    tmp_path: Path, names: tuple[str, ...], bands: tuple[str, ...], expected: str
) -> None:
    for name in names:
        worlds.write_raster(tmp_path / "clip" / f"{name}.tif", image(bands=1))
    files = [tmp_path / "clip" / f"{name}.tif" for name in names]
    for given in ([tmp_path / "clip"], files):
        (item,) = found(*given, wanted=("B02", "B04"), bands=bands).items
        assert item.id == item.document["id"] == expected


@pytest.mark.fault(38)
def test_fault_38_a_folder_of_finer_and_coarser_bands_gives_the_finest(tmp_path: Path) -> None:
    for folder, pixel, bands in (("R10m", 10.0, ("B02", "B04")), ("R20m", 20.0, ("B02", "B11", "SCL"))):
        for band in bands:
            path = tmp_path / "A.SAFE" / "IMG_DATA" / folder / f"T33_20220601_{band}_{folder[1:]}.tif"
            side = int(400 / pixel)
            worlds.write_raster(path, np.full((1, side, side), 4, "uint8"), pixel=pixel)
    worlds.write_raster(tmp_path / "A.SAFE" / "QI_DATA" / "MSK_CLOUD.tif", image(bands=1))
    (item,) = found(tmp_path / "A.SAFE", wanted=("B02", "B04", "B11")).items
    assert {band: Path(source.href).parent.name for band, source in item.bands.items()} == {
        "B02": "R10m",
        "B04": "R10m",
        "B11": "R20m",
    }
    assert item.mask is not None
    assert "SCL" in item.mask.href
    assert item.geobox.shape == (40, 40)
    pixels, _ = read(item)
    assert pixels.usable.all()


@pytest.mark.fault(38)
def test_fault_38_two_files_of_one_band_are_refused_and_empty_folders_too(tmp_path: Path) -> None:
    one_per_band(tmp_path / "a", ("B02", "B04"))
    one_per_band(tmp_path / "a", ("B02",), "_v")
    (tmp_path / "a" / "T33TVL_20220601_B02_v.tif").rename(tmp_path / "a" / "T33TVL-20220601-B02.tif")
    assert "B02" in refusal(tmp_path / "a", wanted=("B02", "B04")).given
    (tmp_path / "none").mkdir()
    assert "without a raster" in refusal(tmp_path / "none").given


@pytest.mark.fault(38)
def test_fault_38_four_abutting_parts_are_one_map(tmp_path: Path, positions: ModelFolder) -> None:
    paths = [
        painted.paint(
            tmp_path / f"part_{row}{col}_20220601.tif",
            (40, 50),
            transform=Affine(10, 0, 500_000, 0, -10, 5_000_000) @ Affine.translation(50 * col, 40 * row),
        )
        for row in (0, 1)
        for col in (0, 1)
    ]
    prepared = painted.planned(positions, *paths, cache=tmp_path)
    errors, seen = painted.errors_px(prepared, paths)
    assert seen.shape == (80, 100)
    assert seen.all()
    assert errors.max() == 0
    assert len(prepared.coverage.scenes) == 1 or prepared.spec.composite == "least-cloudy"


def test_addresses_stay_as_they_are() -> None:
    assert JobSpec.build(scenes="https://example.org/a.tif", model="m").scenes == ("https://example.org/a.tif",)
    assert isinstance(refusal("/nowhere/a.tif"), RequestError)


# 38: names within a file


@pytest.mark.fault(38)
@pytest.mark.parametrize(
    ("names", "options", "order"),
    [
        (("Red", "Green", "Blue"), {}, (1, 2, 3)),
        (("BLUE", "GREEN", "RED"), {}, (3, 2, 1)),
        (("B", "G", "R"), {}, (3, 2, 1)),
        (("Blue", "Green", "Red"), {"photometric": "RGB"}, (3, 2, 1)),  # names before colours
        (("Band 1", "Band 2", "Band 3"), {"photometric": "RGB"}, (1, 2, 3)),
        (("NIR", "Red", "Green", "Blue"), {}, (2, 3, 4)),
        (("red", "green", "blue", "RED"), {"photometric": "minisblack"}, (1, 2, 3)),
    ],
)
def test_fault_38_names_within_a_file_are_compared_without_case(
    tmp_path: Path, names: tuple[str, ...], options: dict[str, str], order: tuple[int, ...]
) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", image(bands=len(names)), names=names, **options)
    (item,) = found(path).items
    assert tuple(item.bands[band].index for band in RGB) == order
    assert item.mask is None


@pytest.mark.fault(38)
@pytest.mark.parametrize("names", [("Band 1", "Band 2", "Band 3"), ("B4", "B3", "B2"), ("Red", "RED", "Blue")])
def test_fault_38_names_that_say_nothing_of_colours_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    err = refusal(worlds.write_raster(tmp_path / "a.tif", image(), names=names, photometric="minisblack"))
    assert names[0] in err.given
    assert "--bands" in err.todo


@pytest.mark.fault(38)
def test_fault_38_a_fourth_band_with_a_capital_name_is_no_mask(tmp_path: Path) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", image(bands=4), names=("Red", "Green", "Blue", "NIR"))
    (item,) = found(path, wanted=("red", "nir")).items
    assert item.sensor.name == "rgbn"
    assert item.bands["nir"].index == 4
    assert item.mask is None


@pytest.mark.fault(38)
@pytest.mark.parametrize(("number", "red", "nir"), [("LC09", 4, 5), ("LE07", 3, 4)])
@pytest.mark.parametrize("stated", [True, False])
def test_fault_38_a_landsat_folder_is_a_scene_with_its_mask(
    tmp_path: Path, number: str, red: int, nir: int, stated: bool
) -> None:
    stem = f"{number}_L2SP_190027_20220601_20220603_02_T1"
    for band in (1, 2, 3, 4, 5, 7):
        pixels = np.full((1, 40, 50), 8000 + band, "uint16")
        worlds.write_raster(tmp_path / stem / f"{stem}_SR_B{band}.TIF", pixels)
    quality = np.full((1, 40, 50), 1 << 6, "uint16")
    quality[0, :5] = 1 << 3  # cloud
    worlds.write_raster(tmp_path / stem / f"{stem}_QA_PIXEL.TIF", quality)
    worlds.write_raster(tmp_path / stem / f"{stem}_ST_B6.TIF", quality)
    entry = "landsat-c2-l2" if number == "LC09" else "landsat-tm-c2-l2"
    (item,) = found(tmp_path / stem, wanted=("red", "nir08"), **({"sensor": entry} if stated else {})).items
    assert item.id == stem
    assert item.sensor.name == entry
    assert item.datetime.startswith("2022-06-01")
    assert [Path(source.href).stem[-2:] for source in item.bands.values()] == [f"B{red}", f"B{nir}"]
    pixels, _ = read(item)
    assert np.array_equal(pixels.usable, quality[0] == 1 << 6)
    expected = np.array([8000 + red, 8000 + nir]) * 2.75e-5 - 0.2
    assert np.allclose(pixels.values[:, 10, 10], expected)
