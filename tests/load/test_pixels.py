"""Items to pixels: units, masks, and what is usable, masked, missing or failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worlds
from numpy.typing import NDArray

from geoseg.load import Pixels, ReadFailure, lazy_item, pixels_of, reading
from geoseg.scenes import Item, find_scenes
from geoseg.spec import JobSpec
from tests import imagery

SHAPE = (128, 160)
CLEAR, CLOUD, SHADOW, EMPTY = 4, 9, 3, 0


def pixels(item: Item, quantity: str = "reflectance", rows: int = 50) -> tuple[Pixels, tuple[ReadFailure, ...]]:
    """All strips of an item on its own grid, put together, in the unit that was asked for."""
    lazy = lazy_item(item, item.geobox, rows, quantity)
    height = item.geobox.shape[0]
    with reading(2**24):
        found = [pixels_of(lazy, slice(start, min(height, start + rows)), 2) for start in range(0, height, rows)]
    parts, failures = zip(*found, strict=True)
    joined = (
        np.concatenate([getattr(p, name) for p in parts], axis=-2) for name in ("values", "usable", "masked", "failed")
    )
    values, *flags = joined
    whole = Pixels(tuple(values), (np.float32(1),) * len(values), *flags)
    return whole, tuple(failure for some in failures for failure in some)


def numbers(seed: int) -> NDArray[np.uint16]:
    """Digital numbers of a scene, none of them 0."""
    return np.random.default_rng(seed).integers(1, 9000, SHAPE).astype("uint16")


def scene(folder: Path, **changes: Any) -> Item:
    """Two bands at 10 m and a quality band at 20 m with a cloud, a shadow and a part without data."""
    codes = np.full((SHAPE[0] // 2, SHAPE[1] // 2), CLEAR, dtype="uint8")
    codes[:10, :10], codes[10:20, :10], codes[50:, 60:] = CLOUD, SHADOW, EMPTY
    bands = {"B04": numbers(1), "B08": numbers(2), "SCL": codes}
    bands.update(changes.pop("bands", {}))
    return imagery.make_item(folder, "scene", bands, pixels={"SCL": 20.0}, **changes)


@pytest.mark.parametrize(
    ("facts", "properties", "offset"),
    [
        ({}, {"s2:processing_baseline": "03.01"}, 0.0),
        ({}, {"s2:processing_baseline": "05.09"}, -0.1),
        ({"scale": 1e-4, "offset": -0.1}, {"s2:processing_baseline": "05.09"}, -0.1),
        ({"scale": 1e-4, "offset": -0.1}, {"earthsearch:boa_offset_applied": True}, 0.0),
        ({"scale": 1e-4, "offset": 0}, {"s2:processing_baseline": "05.09"}, 0.0),
        ({"scale": 2e-4, "offset": -0.2}, {}, -0.2),
    ],
)
def test_scale_and_offset_are_applied_once(
    tmp_path: Path, facts: dict[str, Any], properties: dict[str, Any], offset: float
) -> None:
    item = scene(tmp_path, facts=facts, **properties)
    found, failures = pixels(item)
    scale = facts.get("scale", 1e-4)
    for band, seed in enumerate((1, 2)):
        np.testing.assert_allclose(found.values[band], numbers(seed) * scale + offset, rtol=0, atol=1e-6)
    assert failures == ()


def test_quality_codes_say_what_is_usable(tmp_path: Path) -> None:
    found, _ = pixels(scene(tmp_path))
    masked, empty = np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    masked[:40, :20] = True
    empty[100:, 120:] = True
    np.testing.assert_array_equal(found.masked, masked)
    np.testing.assert_array_equal(found.usable, ~masked & ~empty)
    assert not found.failed.any()


def test_a_pixel_is_observed_only_where_every_band_is(tmp_path: Path) -> None:
    red, infrared = numbers(1), numbers(2)
    red[60:70, 30:40] = 0
    infrared[65:75, 35:45] = 0
    found, _ = pixels(scene(tmp_path, bands={"B04": red, "B08": infrared}))
    missing = (red == 0) | (infrared == 0)
    assert not found.usable[missing].any()
    assert not found.masked[missing].any()
    assert found.usable[60:100, 20:120].sum() == (~missing)[60:100, 20:120].sum()


def test_two_bands_that_fail_in_different_places_are_both_reported(tmp_path: Path) -> None:
    """Each band fails in a block; what the quality band rules out anyway is no loss."""
    clean, _ = pixels(scene(tmp_path / "clean"))
    item = scene(tmp_path / "broken")
    imagery.break_block(Path(item.bands["B04"].href), row=0, col=0)
    imagery.break_block(Path(item.bands["B08"].href), row=1, col=1)
    found, failures = pixels(item)
    lost = np.zeros(SHAPE, dtype=bool)
    lost[:64, :64] = lost[64:, 64:128] = True
    ruled_out = clean.masked | ~(clean.usable | clean.masked)
    np.testing.assert_array_equal(found.failed, lost & ~ruled_out)
    np.testing.assert_array_equal(found.usable, clean.usable & ~lost)
    np.testing.assert_array_equal(found.masked, clean.masked)
    intact = ~lost
    np.testing.assert_array_equal(found.values[:, intact], clean.values[:, intact])
    assert {failure.href for failure in failures} == {item.bands[band].href for band in ("B04", "B08")}


def test_a_failed_sample_where_another_band_saw_nothing_is_nodata(tmp_path: Path) -> None:
    infrared = numbers(2)
    infrared[:, :32] = 0
    item = scene(tmp_path, bands={"B08": infrared})
    imagery.break_block(Path(item.bands["B04"].href), row=0, col=0)
    found, _ = pixels(item)
    assert not found.failed[:, :32].any()
    assert found.failed[40:64, 32:64].all()


def test_an_unreadable_quality_band_fails_what_the_bands_saw(tmp_path: Path) -> None:
    red = numbers(1)
    red[:, 100:] = 0
    item = scene(tmp_path, bands={"B04": red})
    assert item.mask is not None
    Path(item.mask.href).unlink()
    found, failures = pixels(item)
    np.testing.assert_array_equal(found.failed, red != 0)
    assert not found.usable.any()
    assert not found.masked.any()
    assert {failure.href for failure in failures} == {item.mask.href}


def test_a_second_read_of_a_strip_reports_its_failures_again_and_no_others(tmp_path: Path) -> None:
    item = scene(tmp_path)
    imagery.break_block(Path(item.bands["B04"].href), row=1, col=0)
    lazy = lazy_item(item, item.geobox, 64, "reflectance")
    upper, lower = slice(0, 64), slice(64, 128)
    assert [len(pixels_of(lazy, rows, 1)[1]) for rows in (upper, lower, upper, lower)] == [0, 1, 0, 1]


def test_digital_numbers_have_no_scale(tmp_path: Path) -> None:
    found, _ = pixels(scene(tmp_path, **{"s2:processing_baseline": "03.00"}), "digital-number")
    np.testing.assert_array_equal(found.values[0], numbers(1))


def test_alpha_is_validity_and_black_is_a_colour(tmp_path: Path) -> None:
    image = worlds.landscape((90, 100), 4).astype("uint8")
    image[:3, 10:20] = 0
    image[3] = 255
    image[3, 50:, 60:] = 0
    path = worlds.write_raster(
        tmp_path / "uav.tif", image, names=("red", "green", "blue", "alpha"), photometric="RGB", ALPHA="YES"
    )
    (item,) = find_scenes(JobSpec.build(scenes=(str(path),), model="any"), None, worlds.BANDS).items
    found, _ = pixels(item, "digital-number")
    np.testing.assert_array_equal(found.usable, image[3] > 0)
    assert not found.masked.any()
    np.testing.assert_array_equal(found.values, image[:3].astype("float32"))


@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
def test_strips_do_not_change_pixels(tmp_path: Path, rows: int) -> None:
    item = scene(tmp_path)
    imagery.break_block(Path(item.bands["B08"].href), row=0, col=1)
    whole, strips = pixels(item)[0], pixels(item, rows=min(rows, SHAPE[0]))[0]
    for name in ("values", "usable", "masked", "failed"):
        part, full = getattr(strips, name), getattr(whole, name)
        assert part.shape == full.shape
        np.testing.assert_array_equal(part, full)


def test_a_rough_footprint_loses_no_strip(tmp_path: Path) -> None:
    """Which strips are read must not follow from the outline in the catalogue; here it is a mere point far away."""
    item = scene(tmp_path)
    assert item.document["geometry"] == {"type": "Point", "coordinates": [15.0, 45.0]}
    assert "stac_extensions" not in item.document or not item.document["stac_extensions"]
    assert pixels(item, rows=16)[0].usable.any(axis=1).all()
