"""The table of change detectors, on made pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from geoseg.bench.change import (
    Pair,
    confusion_of,
    corrected,
    found_by,
    measure_change,
    read_taizhou,
    shifted,
    variants_of,
)
from geoseg.change.detectors import DEFAULT
from geoseg.errors import RequestError
from tests.change.scenery import pair


def made(seed: int = 1) -> Pair:
    before, after, changed = pair(seed, shape=(250, 380))
    truth = changed.astype("uint8")
    truth[:, :10] = 255
    valid = np.ones(truth.shape, dtype=bool)
    return Pair("made", before.astype("float32"), after.astype("float32"), valid, ("a", "b", "red", "nir"), truth)


def test_pixels_that_nobody_looked_at_do_not_count():
    one = made()
    right = one.truth == 1
    assert confusion_of(one, right).pixels == (one.truth != 255).sum()
    assert confusion_of(one, right).kappa == 1
    wrong = right.copy()
    wrong[:, :10] = True
    assert confusion_of(one, wrong).kappa == 1
    assert confusion_of(one, ~right).accuracy == 0


def test_a_shift_is_mended_and_what_was_lost_is_not_scored():
    one = made(2)
    away = shifted(one, 0.7, -1.6)
    back = corrected(away)
    assert not back.valid.all()
    assert (back.truth[~back.valid] == 255).all()
    mended, as_it_is = (confusion_of(pair, found_by(DEFAULT, pair)).classes[1] for pair in (back, away))
    assert mended.recall > 0.999 > as_it_is.recall
    assert mended.f1 > 0.85  # an edge that was resampled twice stays blurred


def test_the_default_on_the_real_pair(shared):
    real = read_taizhou(shared / "data" / "change-landsat-taizhou")
    assert confusion_of(real, found_by(DEFAULT, real)).kappa >= 0.90


def test_variants_are_pairs_of_their_own():
    one = replace(made(), bands=("a", "b", "red", "nir", "c", "d"))
    one = replace(one, before=np.tile(one.before, (2, 1, 1))[:6], after=np.tile(one.after, (2, 1, 1))[:6])
    variants = list(variants_of(one))
    assert len(variants) == 12
    assert sum(variant.valid.size for variant in variants[:4]) == one.valid.size
    for variant in variants:
        assert variant.before.shape == variant.after.shape == (len(variant.bands), *variant.truth.shape)
        assert variant.after.dtype == np.float32


def test_data_that_are_not_there_are_asked_for(tmp_path):
    with pytest.raises(RequestError, match="change-landsat-taizhou"):
        measure_change(tmp_path, print)
