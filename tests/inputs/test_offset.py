"""Claims of offset and range against real and generated numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pystac
import pytest
from imagery import make_item
from numpy.typing import NDArray
from worlds import write_raster

from geoseg.errors import InputsContradictError
from geoseg.inputs import Sample, check_inputs, judge_offset, judge_range, sample_of
from geoseg.load import Rasters
from geoseg.scenes import SENSORS, Item, find_scenes
from geoseg.scenes.rasters import items_of_rasters
from geoseg.scenes.understand import understand
from geoseg.spec import JobSpec

BANDS = ("B04", "B08", "B12")
CLEAR = ("20150711", "20150830", "20150909")
ALL = (*CLEAR, "20150731", "20150820")


@pytest.fixture(scope="module")
def slovenia(request: pytest.FixtureRequest) -> Path:
    folder: Path = request.getfixturevalue("shared") / "data" / "s2-slovenia-lulc"
    if not folder.is_dir():
        pytest.skip("needs shared/data/s2-slovenia-lulc")
    return folder


def real(folder: Path, date: str) -> tuple[Item, Sample]:
    (item,) = items_of_rasters([str(folder / f"s2_l1c_{date}.tif")], (), "sentinel-2-l1c", BANDS).items
    return item, sample_of(item, Rasters())


def claiming(item: Item, offset: float) -> Item:
    return replace(item, bands={name: replace(source, offset=offset) for name, source in item.bands.items()})


def shifted(sample: Sample, by: int) -> Sample:
    return Sample({name: values.astype("int64") + by for name, values in sample.raw.items()}, sample.dtypes)


@pytest.mark.fault(40)
@pytest.mark.parametrize("date", ALL)
def test_fault_40_real_scenes_with_the_right_claim_are_never_stopped(slovenia: Path, date: str) -> None:
    """Clear, hazy and wholly clouded."""
    item, sample = real(slovenia, date)
    assert not judge_offset(claiming(item, 0.0), sample).contradiction
    assert not judge_offset(claiming(item, -0.1), shifted(sample, 1000)).contradiction
    assert not judge_range(item, sample).contradiction


@pytest.mark.fault(40)
@pytest.mark.parametrize("date", CLEAR)
def test_fault_40_clear_real_scenes_contradict_the_wrong_claim(slovenia: Path, date: str) -> None:
    item, sample = real(slovenia, date)
    for wrong in (
        judge_offset(claiming(item, -0.1), sample),
        judge_offset(claiming(item, 0.0), shifted(sample, 1000)),
    ):
        assert item.id in wrong.contradiction
        assert "--offset" in wrong.way_out
    assert not judge_offset(claiming(item, 0.0), sample).is_unverified


def test_a_wholly_clouded_scene_cannot_tell_and_says_so(slovenia: Path) -> None:
    item, sample = real(slovenia, "20150820")
    assert judge_offset(claiming(item, 0.0), sample).is_unverified


def generated(path: Path, image: NDArray[np.integer]) -> Item:
    """An image as a scene of Level-2A."""
    write_raster(path, image, names=BANDS)
    (item,) = items_of_rasters([str(path)], (), "sentinel-2-l2a", BANDS).items
    return item


def drawn(seed: int, **bands: tuple[float, float]) -> Sample:
    """Numbers of log-normal bands: median and spread of each."""
    rng = np.random.default_rng(seed)
    raw: dict[str, NDArray[np.integer]] = {
        name: np.maximum(rng.lognormal(np.log(median), spread, 60_000), 1).astype("uint16")
        for name, (median, spread) in bands.items()
    }
    return Sample(raw, dict.fromkeys(raw, "uint16"))


SNOW = {"B04": (8000, 0.15), "B08": (7000, 0.15), "B12": (700, 0.4)}
DESERT = {"B04": (2600, 0.18), "B08": (3300, 0.15), "B12": (4200, 0.18)}
CLOUD = {"B04": (5000, 0.3), "B08": (5500, 0.3), "B12": (3500, 0.35)}
FOREST = {"B04": (250, 0.3), "B08": (2500, 0.25), "B12": (600, 0.3)}
WATER = {"B04": (250, 0.3), "B08": (120, 0.4), "B12": (40, 0.5)}


@pytest.fixture
def l2a(tmp_path: Path) -> Item:
    """An item of Level-2A with the three bands; its pixels are not read."""
    return generated(tmp_path / "s2.tif", np.full((3, 64, 64), 1000, "uint16"))


@pytest.mark.fault(40)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("land", [SNOW, DESERT, CLOUD, FOREST, WATER])
def test_fault_40_no_kind_of_land_is_stopped_when_the_claim_is_right(
    l2a: Item, land: dict[str, tuple[float, float]], seed: int
) -> None:
    sample = drawn(seed, **land)
    assert not judge_offset(claiming(l2a, 0.0), sample).contradiction
    assert not judge_offset(claiming(l2a, -0.1), shifted(sample, 1000)).contradiction


@pytest.mark.parametrize("land", [FOREST, WATER])
def test_dark_land_contradicts_both_wrong_claims(l2a: Item, land: dict[str, tuple[float, float]]) -> None:
    sample = drawn(7, **land)
    assert judge_offset(claiming(l2a, -0.1), sample).contradiction
    assert judge_offset(claiming(l2a, 0.0), shifted(sample, 1000)).contradiction


def test_few_pixels_tell_nothing(l2a: Item) -> None:
    few = Sample({name: values[:100] for name, values in drawn(1, **FOREST).raw.items()}, {})
    verdict = judge_offset(claiming(l2a, -0.1), few)
    assert verdict.is_unverified
    assert not verdict.contradiction


def test_what_the_user_states_is_believed_and_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    image = rng.integers(100, 300, (3, 128, 128)).astype("uint16")
    item = claiming(generated(tmp_path / "s2.tif", image), -0.1)
    (words,) = check_inputs([item], Rasters(), is_stated=True)
    assert item.id in words
    assert "as stated" in words
    with pytest.raises(InputsContradictError, match="offset"):
        check_inputs([item], Rasters(), is_stated=False)


L1C = "sentinel-2-l1c"  # it has no mask that would be asked for
COLOURS = ("B02", "B03")


def land(shift: int, side: int) -> dict[str, NDArray[np.uint16]]:
    """Vegetated land, one pixel in two hundred of it in shadow, in bands of reflectance zero = ``shift``."""
    shadow = np.random.default_rng(4).random((side, side)) < 0.005
    medians = {"B02": 300, "B03": 450, "B04": 250, "B08": 2500, "B12": 500}
    bands = {}
    for seed, (band, median) in enumerate(medians.items()):
        lit = median * np.exp(np.random.default_rng(seed).normal(0, 0.25, (side, side)))
        bands[band] = (np.maximum(np.where(shadow, 60, lit), 1) + shift).astype("uint16")
    return bands


@pytest.mark.fault(40)
@pytest.mark.parametrize("kind", ["catalogue", "stack", "a file for each band"])
def test_fault_40_bands_that_the_model_does_not_read_tell(tmp_path: Path, kind: str) -> None:
    """A model of two bands that tell nothing, on scenes whose red and infrared do; no overviews."""
    for shift, right in ((0, 0.0), (1000, -0.1)):
        folder, bands = tmp_path / str(shift), land(shift, 640)
        if kind == "catalogue":
            document = make_item(folder, "S2", bands, sensor=L1C).document
            item = understand(pystac.Item.from_dict(dict(document)), COLOURS, SENSORS[L1C])
        elif kind == "stack":
            path = write_raster(folder / "s2.tif", np.stack(list(bands.values())), names=tuple(bands))
            (item,) = find_scenes(JobSpec.build(scenes=str(path), model="m"), None, COLOURS).items
        else:
            for name, band in bands.items():
                write_raster(folder / f"T60_{name}.tif", band[None])
            (item,) = find_scenes(JobSpec.build(scenes=str(folder), model="m"), None, COLOURS).items
        assert tuple(item.bands) == COLOURS
        assert check_inputs([with_claim(item, right)], Rasters(), is_stated=False) == []
        wrong = with_claim(item, -0.1 - right)
        with pytest.raises(InputsContradictError, match="--offset") as stopped:
            check_inputs([wrong], Rasters(), is_stated=False)
        assert stopped.value.exit_code == 2
        if shift:  # dark colours with the offset taken away twice are out of range by themselves
            (words,) = check_inputs([replace(wrong, witnesses={})], Rasters(), is_stated=False)
            assert words.startswith("unverified")


def with_claim(item: Item, offset: float) -> Item:
    """An item that claims an offset for all of its bands."""
    witnesses = {name: replace(source, offset=offset) for name, source in item.witnesses.items()}
    return replace(claiming(item, offset), witnesses=witnesses)


def test_what_is_stated_holds_for_bands_that_only_tell(tmp_path: Path) -> None:
    path = write_raster(tmp_path / "s2.tif", np.stack(list(land(1000, 128).values())), names=tuple(land(0, 1)))
    (item,) = find_scenes(JobSpec.build(scenes=str(path), model="m", offset=-0.1), None, COLOURS).items
    assert {source.offset for source in item.witnesses.values()} == {-0.1}
    assert check_inputs([item], Rasters(), is_stated=True) == []


@pytest.mark.fault(40)
def test_fault_40_a_band_that_cannot_be_read_is_no_reason_to_fail(tmp_path: Path) -> None:
    """The run does without the file."""
    item = make_item(tmp_path, "S2", land(0, 128), sensor=L1C)
    item = understand(pystac.Item.from_dict(dict(item.document)), ("B02", "B04", "B08"), SENSORS[L1C])
    assert check_inputs([item], Rasters(), is_stated=False) == []
    Path(item.witnesses["B12"].href).unlink()
    (words,) = check_inputs([item], Rasters(), is_stated=False)
    assert words.startswith("unverified")


def test_no_server_is_asked_for_a_witness_of_files_on_disk(tmp_path: Path) -> None:
    item = make_item(tmp_path, "S2", land(0, 128), sensor=L1C)
    item = understand(pystac.Item.from_dict(dict(item.document)), COLOURS, SENSORS[L1C])
    away = {name: replace(source, href="http://127.0.0.1:9/x.tif") for name, source in item.witnesses.items()}
    assert set(sample_of(replace(item, witnesses=away), Rasters()).raw) == set(COLOURS)
