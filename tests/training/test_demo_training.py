"""Training the demo networks: a few steps of it, and the pieces that decide what the networks see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from geoseg.models.networks.small_unet import SmallUNet
from geoseg.training.shipped.demo import DEMO_SEED, MODELS, forest_classes, train
from geoseg.training.shipped.fit import Recipe, fit, normalise, predict
from geoseg.training.shipped.samples import Sample, first_clear, landcover_dates, median, uav_sample

TINY = Recipe(steps=3, batch=2, chip_px=64)


@pytest.fixture(autouse=True)
def torch_settings() -> Iterator[None]:
    """One thread, since networks this small gain nothing from more; and torch's switches put back afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("task", sorted(MODELS))
def test_training_writes_the_same_weights_twice(task: str, tmp_path: Path) -> None:
    side = (256, 256)
    model = replace(MODELS[task], seeds=(11,), shape=side, widths=(8, 8, 8), recipe=TINY)
    first, second = (train(model, tmp_path / name) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    model.network().load_state_dict(load_file(first))


def test_training_never_sees_the_demo() -> None:
    assert all(DEMO_SEED not in model.seeds for model in MODELS.values())


@pytest.mark.parametrize("task", sorted(MODELS))
def test_shipped_weights_know_scenes_that_training_never_saw(task: str) -> None:
    model = MODELS[task]
    network = model.network()
    network.load_state_dict(load_file(model.weights))
    seed = 999
    assert seed not in model.seeds
    sample = uav_sample(seed, (512, 512))
    if task == "landcover":
        dates, truth = landcover_dates(seed, (384, 384), model.bands)
        sample = Sample(first_clear(dates), truth)
    found = predict(network.eval(), sample.values, model.mean, model.std)
    assert (found == sample.truth)[sample.valid].mean() > 0.9


def test_training_lowers_the_loss_of_a_task_of_brightness() -> None:
    rng = np.random.default_rng(0)
    truth = (np.arange(96)[:, None] // 24 % 2 * np.ones((1, 96))).astype(np.uint8)
    values = (truth + 0.2 * rng.standard_normal((1, 96, 96))).astype(np.float32)
    torch.manual_seed(0)
    network = SmallUNet(1, 2, (8, 8, 8))
    sample = Sample(values, truth)
    fit(network, [sample], (0.5,), (0.5,), Recipe(steps=30, batch=2, chip_px=64, rate=1e-2))
    assert (predict(network, values, (0.5,), (0.5,)) == truth).mean() > 0.9


def test_normalised_holes_are_zero_in_every_band() -> None:
    values = np.array([[[1.0, 2.0]], [[3.0, np.nan]]], np.float32)
    scores = normalise(values, (0.0, 1.0), (2.0, 2.0))
    np.testing.assert_array_equal(scores, [[[0.5, 0.0]], [[1.0, 0.0]]])


def test_median_equals_numpys() -> None:
    rng = np.random.default_rng(3)
    dates = []
    for _ in range(3):
        values = rng.random((2, 9, 7), dtype=np.float32)
        values[:, rng.random((9, 7)) < 0.3] = np.nan
        dates.append(values)
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning, match="All-NaN"):
        expected = np.nanmedian(np.stack(dates), axis=0)
    np.testing.assert_allclose(median(dates), expected, atol=1e-7)


def test_first_clear_takes_whole_pixels_in_order() -> None:
    dates, _ = landcover_dates(5, (128, 128), ("B02", "B11"))
    result = first_clear(dates)
    for k, values in enumerate(dates):
        earlier = np.isfinite(np.stack([d[0] for d in dates[:k]])).any(axis=0) if k else np.zeros((128, 128), bool)
        own = np.isfinite(values[0]) & ~earlier
        np.testing.assert_array_equal(result[:, own], values[:, own])


def test_forest_knows_pixels_that_differ_in_colour() -> None:
    truth = np.repeat(np.array([[0, 1]], np.uint8), 20, axis=0).repeat(10, axis=1)
    assert (forest_classes(Sample(truth[None].astype(np.float32), truth)) == truth).all()
