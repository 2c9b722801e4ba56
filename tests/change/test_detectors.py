"""Identities of every detector: equal images, swapped images, masked pixels, and no pixel asks another."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.change.detectors import DEFAULT, DETECTORS, Detector, compare_classes, fit_detector
from geoseg.errors import RequestError
from tests.change.scenery import flat, land, pair

BANDS = ("blue", "green", "red", "nir")
every = pytest.mark.parametrize("name", DETECTORS)
seeds = st.integers(0, 30)


def fitted(name, before, after):
    return fit_detector(name, flat(before), flat(after), BANDS)


@every
@settings(max_examples=5)
@given(seed=seeds)
def test_an_image_has_not_changed_from_itself(name, seed):
    image = land(seed)
    valid = np.ones(image.shape[1:], dtype=bool)
    assert not fitted(name, image, image).changed(image, image, valid).any()
    before, after, _ = pair(seed)
    made = fitted(name, before, after)
    if made.measure.facts() in ({}, {"nir": 3, "red": 2}, {"before": None, "after": None}):  # no fit to the other light
        assert not made.changed(image, image, valid).any()


@every
@settings(max_examples=5)
@given(seed=seeds)
def test_the_order_of_the_dates_does_not_matter_to_the_bit(name, seed):
    before, after, _ = pair(seed)
    valid = np.ones(before.shape[1:], dtype=bool)
    one, other = fitted(name, before, after), fitted(name, after, before)
    assert one.split == other.split
    assert np.array_equal(one.scores(before, after, valid), other.scores(after, before, valid))


@every
@settings(max_examples=5)
@given(seed=seeds, masked=st.integers(0, 2**31))
def test_masked_pixels_never_change_and_do_not_touch_others(name, seed, masked):
    before, after, _ = pair(seed)
    valid = np.random.default_rng(masked).random(before.shape[1:]) < 0.7
    made = fitted(name, before, after)
    holes = np.where(valid, after, np.nan)
    found, scores = made.changed(before, holes, valid), made.scores(before, holes, valid)
    assert not found[~valid].any()
    assert np.isnan(scores[:, ~valid]).all()
    assert np.array_equal(found, made.changed(before, after, np.ones_like(valid)) & valid)
    assert np.array_equal(scores[1, valid] > scores[0, valid], found[valid])
    assert scores[:, valid].sum(axis=0) == pytest.approx(1)


@every
def test_a_part_of_an_image_gives_that_part_of_the_answer_to_the_bit(name):
    before, after, _ = pair(7)
    made = fitted(name, before, after)
    whole = made.scores(before, after, np.ones(before.shape[1:], dtype=bool))
    part = (slice(None), slice(13, 57), slice(31, 90))
    assert np.array_equal(
        whole[part], made.scores(before[part], after[part], np.ones(before[part].shape[1:], dtype=bool))
    )


def test_the_default_finds_a_change_through_other_light():
    before, after, truth = pair(11)
    found = fitted(DEFAULT, before, after).changed(before, after, np.ones(truth.shape, dtype=bool))
    assert (found & truth).sum() > 0.95 * truth.sum()
    assert (found & ~truth).sum() < 0.002 * truth.size


def test_the_default_sees_no_change_in_light_and_noise_alone():
    rng = np.random.default_rng(1)
    before = land(1)
    after = before * 1.4 - 20 + rng.normal(0, 1, before.shape)
    before = before + rng.normal(0, 1, before.shape)
    found = fitted(DEFAULT, before, after).changed(before, after, np.ones(before.shape[1:], dtype=bool))
    assert found.mean() < 0.005


def test_a_line_through_unchanged_pixels_takes_the_light_off_the_vectors():
    before, after, truth = pair(11)
    after = np.where(truth, after, after * 1.5 + 30)  # other light than that of the changed land, which moves means
    valid = np.ones(truth.shape, dtype=bool)
    made = fitted("change-vectors-fitted", before, after)
    found = made.changed(before, after, valid)
    assert found[truth].mean() > 0.9
    assert found[~truth].mean() < 0.01
    assert made.measure(before, after)[~truth].mean() < 5  # noise of both dates: sqrt(2 x 4 bands)
    assert fitted("change-vectors", before, after).measure(before, after)[~truth].mean() > 30


def test_a_cloud_that_no_mask_knows_does_not_hide_the_change():
    before, after, truth = pair(11)
    after[:, 70:85, 90:120] = 5000
    valid = np.ones(truth.shape, dtype=bool)
    found = fitted(DEFAULT, before, after).changed(before, after, valid)
    assert found[truth].mean() > 0.9
    assert found[70:85, 90:120].all()
    assert fitted("ir-mad-otsu", before, after).changed(before, after, valid)[truth].mean() < 0.1


def test_names_and_bands_are_asked_for():
    image = flat(land(0))
    with pytest.raises(RequestError, match="ir-mad"):
        fit_detector("ir_mad", image, image)
    with pytest.raises(RequestError, match="near infrared"):
        fit_detector("ndvi-difference", image, image, ("red", "green", "blue", "alpha"))


@every
def test_a_detector_comes_back_from_json_to_the_bit(name):
    before, after, _ = pair(5)
    made = fitted(name, before, after)
    assert Detector.from_facts(json.loads(json.dumps(made.facts()))) == made


def test_facts_tell_two_fits_apart():
    before, after, _ = pair(1)
    assert fitted("ir-mad", before, after).facts() == fitted("ir-mad", before, after).facts()
    assert fitted("ir-mad", before, after).facts() != fitted("ir-mad", before + before**2 / 500, after).facts()


def test_classes_compared():
    before = np.array([[0.9, 0.6, 0.2], [0.1, 0.4, 0.8]], "float32")[:, None]
    after = np.array([[0.8, 0.3, 0.2], [0.2, 0.7, 0.8]], "float32")[:, None]
    valid = np.array([[True, True, False]])
    changed, sure = compare_classes(before, after, valid)
    assert changed.tolist() == [[False, True, False]]
    assert sure[0, :2] == pytest.approx([0.72, 0.42])
    assert np.isnan(sure[0, 2])
    assert not compare_classes(before, before, valid)[0].any()
    assert np.array_equal(compare_classes(after, before, valid)[1], sure, equal_nan=True)
