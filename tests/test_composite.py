"""Many dates to one image equals what numpy makes of the same dates by the written rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geoseg.composite import Composite, make_composite
from geoseg.load import reading
from geoseg.pixels import Reason
from geoseg.scenes import Scene, group_scenes, order_scenes
from tests import imagery

SHAPE = (96, 80)
BANDS = ("B04", "B08")
TARGET = imagery.box(SHAPE)
BIG, SMALL = 2**28, 1


def compose(scenes: tuple[Scene, ...], rule: str, strip_bytes: int = BIG, **options: Any) -> Composite:
    """All of ``TARGET`` counts."""
    ordered = order_scenes(scenes, rule)
    options.setdefault("counted", np.ones(SHAPE, dtype=bool))
    with reading(2**24):
        return make_composite(
            ordered, TARGET, len(BANDS), rule, "reflectance", strip_bytes=strip_bytes, threads=2, **options
        )


class Date:
    """One acquisition as arrays: numbers (band, y, x) with 0 for nodata, and quality codes."""

    def __init__(self, number: int, seed: int, cloud: float, *, sensor: str = "sentinel-2a") -> None:
        rng = np.random.default_rng(seed)
        self.name, self.cloud, self.sensor = f"date{number:02}", cloud, sensor
        self.datetime = f"2022-{1 + number % 12:02}-{1 + number // 12:02}T10:00:00Z"
        self.numbers = rng.integers(1, 9000, (2, *SHAPE)).astype("uint16")
        self.numbers[:, rng.random(SHAPE) < 0.15] = 0
        self.numbers[rng.random((2, *SHAPE)) < 0.05] = 0
        self.codes = np.where(rng.random(SHAPE) < cloud / 100, 9, 4).astype("uint8")

    def item(self, folder: Path) -> Any:
        bands = {**dict(zip(BANDS, self.numbers, strict=True)), "SCL": self.codes}
        return imagery.make_item(
            folder, self.name, bands, datetime=self.datetime, platform=self.sensor, **{"eo:cloud_cover": self.cloud}
        )

    @property
    def observed(self) -> NDArray[np.bool_]:
        return (self.numbers != 0).all(axis=0)

    @property
    def usable(self) -> NDArray[np.bool_]:
        return self.observed & (self.codes == 4)

    @property
    def values(self) -> NDArray[np.float64]:
        return np.where(self.usable, self.numbers * 1e-4, np.nan)


def key(name: str) -> str:
    """By which a composite counts an item."""
    return f"sentinel-2-l2a/{name}"


CLOUDS = (80.0, 20.0, 50.0, 35.0)


@pytest.fixture(scope="module")
def dates() -> list[Date]:
    """Four dates, newest last; none of them the least cloudy at an end."""
    return [Date(number, number, cloud) for number, cloud in enumerate(CLOUDS)]


@pytest.fixture(scope="module")
def scenes(dates: list[Date], tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, ...]:
    folder = tmp_path_factory.mktemp("dates")
    return group_scenes([date.item(folder) for date in dates])


def in_turn(dates: list[Date]) -> tuple[NDArray[np.float64], list[NDArray[np.bool_]]]:
    """Each pixel from the first date that has it, and which date gave which pixels."""
    values, taken = np.full((2, *SHAPE), np.nan), []
    for date in dates:
        take = np.isnan(values[0]) & date.usable
        values[:, take] = date.values[:, take]
        taken.append(take)
    return values, taken


def reasons(dates: list[Date]) -> NDArray[np.uint8]:
    """Why each pixel has a value or none."""
    usable = np.any([date.usable for date in dates], axis=0)
    observed = np.any([date.observed for date in dates], axis=0)
    return np.where(usable, Reason.OBSERVED, np.where(observed, Reason.MASKED, Reason.UNOBSERVED)).astype("uint8")


@pytest.mark.parametrize("rule", ["first", "least-cloudy"])
def test_pixels_come_from_the_first_date_that_has_them(dates: list[Date], scenes: tuple[Scene, ...], rule: str) -> None:
    order = dates[::-1] if rule == "first" else sorted(dates, key=lambda date: date.cloud)
    image = compose(scenes, rule)
    expected, taken = in_turn(order)
    np.testing.assert_allclose(image.values, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(image.reason, reasons(dates))
    assert {Reason.OBSERVED, Reason.MASKED} <= set(np.unique(image.reason))
    assert image.used_px == {key(date.name): take.sum() for date, take in zip(order, taken, strict=True) if take.any()}
    assert sum(image.used_px.values()) == (image.reason == Reason.OBSERVED).sum()


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_median_equals_numpys(dates: list[Date], scenes: tuple[Scene, ...]) -> None:
    image = compose(scenes, "median")
    expected = np.nanmedian([date.values for date in dates], axis=0)
    np.testing.assert_allclose(image.values, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(image.reason, reasons(dates))
    assert image.used_px == {key(date.name): date.usable.sum() for date in dates}


@pytest.mark.parametrize("rule", ["first", "least-cloudy", "median"])
def test_the_order_in_which_items_are_found_does_not_matter(scenes: tuple[Scene, ...], rule: str) -> None:
    items = [item for scene in scenes for item in scene.items]
    one, other = compose(group_scenes(items), rule), compose(group_scenes(items[::-1]), rule)
    assert one.values.tobytes() == other.values.tobytes()
    assert one.used_px == other.used_px


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strip_bytes=st.integers(1, 200_000), rule=st.sampled_from(["first", "least-cloudy", "median"]))
def test_the_height_of_strips_does_not_matter(scenes: tuple[Scene, ...], rule: str, strip_bytes: int) -> None:
    whole, strips = compose(scenes, rule), compose(scenes, rule, strip_bytes)
    assert whole.values.tobytes() == strips.values.tobytes()
    assert whole.reason.tobytes() == strips.reason.tobytes()
    assert whole.used_px == strips.used_px


def test_only_counted_pixels_are_counted(scenes: tuple[Scene, ...]) -> None:
    part = np.zeros(SHAPE, dtype=bool)
    part[10:50, 20:33] = True
    image = compose(scenes, "first", SMALL, counted=part)
    assert sum(image.used_px.values()) == (image.reason[part] == Reason.OBSERVED).sum()


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_forty_dates_in_thin_strips_equal_one_strip_and_numpy(tmp_path: Path) -> None:
    many = [Date(number, 100 + number, 60.0) for number in range(40)]
    scenes = group_scenes([date.item(tmp_path) for date in many])
    assert len(scenes) == 40
    thin, whole = compose(scenes, "median", SMALL), compose(scenes, "median")
    assert thin.values.tobytes() == whole.values.tobytes()
    np.testing.assert_allclose(whole.values, np.nanmedian([d.values for d in many], axis=0), rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def abutting(tmp_path_factory: pytest.TempPathFactory) -> tuple[NDArray[np.uint16], list[Any]]:
    """One acquisition in two items that overlap by ten columns, each with its own numbers, and an older one below."""
    folder = tmp_path_factory.mktemp("abutting")
    rng = np.random.default_rng(9)
    left, right, old = (rng.integers(1, 9000, (2, SHAPE[0], width)).astype("uint16") for width in (50, 40, 80))
    left[:, 30:40, 35:50] = 0  # a hole that the right item fills within the overlap only
    expected = np.zeros((2, *SHAPE), dtype="uint16")
    for image, col in ((left, 0), (right, 40), (old, 0)):
        part = expected[:, :, col : col + image.shape[2]]
        part[part == 0] = image[part == 0]
    made = [
        imagery.make_item(
            folder,
            name,
            {**dict(zip(BANDS, image, strict=True)), "SCL": np.full(image.shape[1:], 4, "uint8")},
            at=(imagery.CORNER[0] + 10 * col, imagery.CORNER[1]),
            datetime=moment,
        )
        for name, image, col, moment in (
            ("b-right", right, 40, "2022-05-01T10:00:31Z"),
            ("a-left", left, 0, "2022-05-01T10:00:02Z"),
            ("old", old, 0, "2022-04-01T10:00:00Z"),
        )
    ]
    return expected, made


def test_items_of_one_acquisition_are_one_scene(abutting: tuple[NDArray[np.uint16], list[Any]]) -> None:
    expected, items = abutting
    scenes = group_scenes(items)
    assert [[item.id for item in scene.items] for scene in scenes] == [["a-left", "b-right"], ["old"]]
    image = compose(scenes, "first", SMALL)
    np.testing.assert_allclose(image.values, expected * 1e-4, rtol=0, atol=1e-6)
    assert image.used_px[key("a-left")] == 96 * 50 - 10 * 15
    assert image.used_px[key("b-right")] == 96 * 30 + 10 * 10
    assert image.used_px[key("old")] == 10 * 5


def test_overlapping_items_of_one_scene_have_one_say_in_the_median(
    abutting: tuple[NDArray[np.uint16], list[Any]],
) -> None:
    _, items = abutting
    image = compose(group_scenes(items), "median")
    newer = compose(group_scenes(items[:2]), "first").values
    older = compose(group_scenes(items[2:]), "first").values
    both = ~np.isnan(newer[0])
    np.testing.assert_allclose(image.values[:, both], ((newer + older) / 2)[:, both], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(image.values[:, ~both], older[:, ~both])


@pytest.mark.parametrize("rule", ["first", "least-cloudy", "median"])
def test_a_failed_read_is_failed_where_the_rule_asks_for_it(tmp_path: Path, dates: list[Date], rule: str) -> None:
    """Where an earlier date settles the pixel, the failed one is never needed; the median needs them all."""
    items = [date.item(tmp_path) for date in dates]
    broken = 3 if rule != "least-cloudy" else 1  # the first that the rule asks
    imagery.break_block(Path(items[broken].bands["B08"].href), row=0, col=0)
    image = compose(group_scenes(items), rule, SMALL)
    block = np.zeros(SHAPE, dtype=bool)
    block[:64, :64] = True
    red = dates[broken].numbers[0] != 0
    lost = block & red & (dates[broken].codes == 4)
    np.testing.assert_array_equal(image.reason == Reason.FAILED, lost)
    assert np.isnan(image.values[:, lost]).all()
    assert list(image.failures) == [items[broken].bands["B08"].href]
    if rule != "median":  # nothing else gave a failed pixel
        assert sum(image.used_px.values()) == (image.reason == Reason.OBSERVED).sum()


def test_a_failed_read_that_is_not_needed_does_no_harm(tmp_path: Path, dates: list[Date]) -> None:
    items = [date.item(tmp_path) for date in dates]
    clean = compose(group_scenes(items), "first")
    imagery.break_block(Path(items[0].bands["B04"].href), row=0, col=0)  # the oldest
    image = compose(group_scenes(items), "first")
    _, taken = in_turn(dates[::-1])
    lost = image.reason == Reason.FAILED
    assert lost.any()
    assert not (lost & np.any(taken[:3], axis=0)).any()
    np.testing.assert_array_equal(image.values[:, ~lost], clean.values[:, ~lost])


@pytest.mark.parametrize("rule", ["first", "least-cloudy", "median"])
def test_without_scenes_nothing_is_observed(rule: str) -> None:
    image = compose((), rule)
    assert (image.reason == Reason.UNOBSERVED).all()
    assert np.isnan(image.values).all()
    assert image.used_px == {}
