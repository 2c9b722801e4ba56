"""Claims of offset and range against real and generated numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from worlds import write_raster

from geoseg.errors import InputsContradictError
from geoseg.inputs import Sample, check_inputs, judge_offset, judge_range, sample_of
from geoseg.load import Rasters
from geoseg.scenes import Item
from geoseg.scenes.rasters import items_of_rasters

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
