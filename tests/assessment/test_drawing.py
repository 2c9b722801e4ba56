"""Samples of whole maps: reproducible, blind to how they are read, and true on grids whose pixels differ in area."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from geoseg.assessment import FinishedMap, Strata, Wish, assess_map, plan_sample, share
from geoseg.assessment.drawing import Urn, draw_pixels
from geoseg.assessment.sizes import allocate
from geoseg.errors import NothingToDoError, RequestError
from tests.assessment.finished_maps import DEGREES, NAMES, UTM, finished_map


def scene(geobox, seed=0):
    """A map and what is really there: bands of classes whose share changes from north to south, and errors."""
    rng = np.random.default_rng(seed)
    rows, cols = geobox.shape
    south = np.linspace(0, 1, rows)[:, None]
    truth = np.where(rng.random((rows, cols)) < 0.05 + 0.6 * south, 1, 2).astype(np.uint8)
    truth[rng.random((rows, cols)) < 0.06 * (1 - south)] = 0
    # Errors that are more frequent in the north, so that pixels of unlike area do not tell the same.
    wrong = rng.random((rows, cols)) < 0.25 - 0.2 * south
    return np.where(wrong, rng.integers(0, 3, truth.shape), truth).astype(np.uint8), truth


def test_the_same_seed_draws_the_same_and_another_draws_others(tmp_path):
    mapped, _ = scene(UTM)
    finished = finished_map(tmp_path, mapped, UTM)
    first, again, other = (plan_sample(finished, Wish(samples=200, seed=seed)) for seed in (4, 4, 5))
    assert first == again
    assert {(one.row, one.col) for one in first.samples} != {(one.row, one.col) for one in other.samples}
    assert len({(one.row, one.col) for one in first.samples}) == len(first.samples) == 200
    assert all(mapped[one.row, one.col] == first.strata[one.stratum].class_index for one in first.samples)
    assert [one.id for one in first.samples] == list(range(1, 201))
    strata = [one.stratum for one in first.samples]
    assert sum(a != b for a, b in itertools.pairwise(strata)) > 50  # the order tells nothing


def test_what_is_drawn_does_not_depend_on_blocks_or_on_the_map_around():
    mapped, _ = scene(UTM)
    wanted = {0: 20, 1: 50, 2: 60}

    def drawn(blocks, anchor=(0, 0)):
        urn = Urn(wanted, 3, anchor, None, 64)
        for row, col, height, width in blocks:
            rows, cols = slice(row, row + height), slice(col, col + width)
            urn.add(rows, cols, mapped[rows, cols])
        return {value: places.tolist() for value, places in urn.drawn().items()}

    whole = drawn([(0, 0, 180, 240)])
    assert whole == drawn([(70, 33, 110, 207), (0, 0, 70, 240), (70, 0, 110, 33)])
    assert whole != drawn([(0, 0, 180, 240)], anchor=(1, 0))
    part = Urn(wanted, 3, (40, 30), None, 64)  # a smaller map of the same lattice
    part.add(slice(0, 140), slice(0, 210), mapped[40:, 30:])
    shared = {(row + 40, col + 30) for places in part.drawn().values() for row, col in places.tolist()}
    inside = {(row, col) for places in whole.values() for row, col in places if row >= 40 and col >= 30}
    assert inside <= shared


@pytest.mark.parametrize("geobox", [UTM, DEGREES], ids=["metres", "degrees"])
def test_intervals_cover_the_true_areas_in_95_of_100_draws(tmp_path, geobox):
    mapped, truth = scene(geobox)
    finished = finished_map(tmp_path, mapped, geobox)
    rows = [(slice(row, row + 1), slice(0, 1)) for row in range(geobox.shape[0])]
    pixel_m2 = np.repeat(finished.geodesy.pixel_areas_m2(rows)[:, None], geobox.shape[1], axis=1)
    areas = np.array([pixel_m2[truth == k].sum() for k in range(3)]) / pixel_m2.sum()
    weights = np.array([pixel_m2[mapped == k].sum() for k in range(3)]) / pixel_m2.sum()
    pixels = np.bincount(mapped.ravel(), minlength=3)
    given = allocate(500, weights, 100, pixels)
    hits = np.zeros((1000, 3, 3), np.int64)  # draw, class, stratum
    for seed, of_draw in enumerate(hits):
        urn = Urn(dict(enumerate(given.tolist())), seed, (0, 0), finished.geodesy, 10)
        urn._areas = lambda strips, cols: [pixel_m2[one, 0].mean() for one in strips]  # the same, once for all draws
        urn.add(slice(0, geobox.shape[0]), slice(0, geobox.shape[1]), mapped)
        for stratum, places in urn.drawn().items():
            of_draw[:, stratum] = np.bincount(truth[tuple(places.T)], minlength=3)
    found = share(hits, Strata(weights, given, pixels))
    covered = ((found.low <= areas) & (areas <= found.high)).mean(axis=0)
    assert ((covered >= 0.93) & (covered <= 0.97)).all(), covered
    bias, error = found.value.mean(axis=0) - areas, found.value.std(axis=0) / np.sqrt(1000)
    assert (abs(bias) < 4 * error).all(), (bias, error)


def test_weights_are_areas_on_the_ellipsoid(tmp_path):
    mapped = np.zeros(DEGREES.shape, np.uint8)
    mapped[80:] = 1  # the southern half, from 40 degrees to the equator
    design = plan_sample(finished_map(tmp_path, mapped, DEGREES), Wish(samples=100))
    assert [one.pixels for one in design.strata] == [19200, 19200]
    # sin 80 - sin 40 against sin 40, but for the ellipsoid's flattening
    assert design.strata[0].weight == pytest.approx(1 - np.sin(np.radians(40)) / np.sin(np.radians(80)), abs=2e-3)


def test_pixels_of_low_confidence_are_strata_of_their_own(tmp_path):
    mapped, truth = scene(UTM)
    confidence = np.where(mapped == truth, 90, 40).astype(np.uint8)
    finished = finished_map(tmp_path, mapped, UTM, confidence=confidence)
    design = plan_sample(finished, Wish(samples=400, low_confidence=70))
    assert len(design.strata) == 6
    assert {one.name for one in design.strata} >= {"water, below 70 %", "water, from 70 %"}
    for one in design.samples:
        stratum = design.strata[one.stratum]
        assert stratum.class_index == mapped[one.row, one.col]
        assert ("below" in stratum.name) == (confidence[one.row, one.col] < 70)
    found = assess_map(finished, design, {one.id: int(truth[one.row, one.col]) for one in design.samples})
    assert found.overall_accuracy.value == pytest.approx((mapped == truth).mean(), abs=1e-3)
    assert found.overall_accuracy.margin < 0.01  # the confidence tells all errors


def test_another_map_is_judged_by_the_same_sample(tmp_path):
    mapped, truth = scene(UTM)
    first = finished_map(tmp_path / "first", mapped, UTM)
    design = plan_sample(first, Wish(samples=300))
    labels = {one.id: int(truth[one.row, one.col]) for one in design.samples}
    better = truth.copy()
    better[:20] = 255
    second = finished_map(tmp_path / "second", better, UTM, key="another")
    own, other = assess_map(first, design, labels), assess_map(second, design, labels)
    assert [row.area for row in own.classes] == [row.area for row in other.classes]  # the ground is the same
    rows = np.array([one.row for one in design.samples])
    assert other.matrix_names[-1] == "no class"
    assert sum(other.matrix_samples[-1]) == (rows < 20).sum()
    assert all(row.users_accuracy.value == 1 for row in other.classes)
    assert not other.is_own_sample
    assert any("another map" in note for note in other.notes)


def test_failed_and_nodata_are_never_drawn(tmp_path):
    mapped, _ = scene(UTM)
    mapped[:60] = 255
    mapped[60:100] = 254
    design = plan_sample(finished_map(tmp_path, mapped, UTM), Wish(samples=2000, least=2))
    assert min(one.row for one in design.samples) >= 100
    assert len(design.samples) == 2000
    every = plan_sample(FinishedMap.open(tmp_path), Wish(samples=10**6, least=2))
    assert len(every.samples) == 80 * 240


def test_what_is_no_map_is_refused(tmp_path):
    with pytest.raises(RequestError, match="finished geoseg run"):
        FinishedMap.open(tmp_path)
    empty = np.full(UTM.shape, 255, np.uint8)
    with pytest.raises(NothingToDoError):
        finished_map(tmp_path, empty, UTM)
    mapped, _ = scene(UTM)
    finished = finished_map(tmp_path, mapped, UTM)
    with pytest.raises(RequestError, match="forest"):
        plan_sample(finished, Wish(expected_of={"forst": 0.9}))
    with pytest.raises(RequestError, match="--also Forest"):
        plan_sample(finished, Wish(more_classes=("Forest",)))
    assert tuple(one.name for one in finished.classes) == NAMES
    assert draw_pixels(finished, {0: 5, 1: 0}, 1, None).keys() == {0}
