"""Training on pairs of dates: what is done to a window, and the road from the configuration to a model of two dates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from geoseg.cli.train import command_for, watching
from geoseg.errors import RequestError
from geoseg.labels import IGNORE
from geoseg.models import ModelFolder
from geoseg.models.network import load_network
from geoseg.training.augment import Bands
from geoseg.training.config import PairsConfig
from geoseg.training.loop import train
from geoseg.training.pair_windows import repaired, weathered
from geoseg.training.windows import Patch

STILL = PairsConfig(swap=0, same=0, shift_px=0, shade=0, haze=0, mix=0)
BANDS = Bands(np.array([100, 200], np.float32), np.array([20, 30], np.float32))


@pytest.fixture
def patch():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, (24, 20)).astype(np.uint8)
    labels[0, 0] = IGNORE
    return Patch(rng.integers(1, 500, (4, 24, 20)).astype(np.uint16), np.ones((24, 20), bool), labels)


def with_(**fields):
    return STILL.model_copy(update=fields)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_without_anything_a_pair_stays_as_it_is(patch):
    made = repaired(rng(), patch, STILL)
    np.testing.assert_array_equal(made.image, patch.image)
    np.testing.assert_array_equal(made.labels, patch.labels)


def test_swapped_dates_keep_their_labels(patch):
    made = repaired(rng(), patch, with_(swap=1))
    np.testing.assert_array_equal(made.image, np.concatenate([patch.image[2:], patch.image[:2]]))
    np.testing.assert_array_equal(made.labels, patch.labels)


def test_one_date_twice_has_no_change(patch):
    made = repaired(rng(), patch, with_(same=1))
    np.testing.assert_array_equal(made.image[:2], made.image[2:])
    assert made.labels[0, 0] == IGNORE
    assert not made.labels[patch.labels != IGNORE].any()


def test_the_label_of_a_mix_follows_its_share(patch):
    image = np.zeros_like(patch.image)
    image[2:] = 1000
    seen = set()
    for seed in range(40):
        made = repaired(rng(seed), replace(patch, image=image), with_(mix=1))
        (share,) = np.unique(made.image[2:] / 1000)
        changed = bool(made.labels[patch.labels == 1].any())
        assert changed == (share > 0.5)
        seen.add(changed)
    assert seen == {True, False}


def test_a_moved_date_moves_by_the_shift_and_loses_its_edge(patch):
    rows = np.arange(24, dtype=np.float32)[:, None] * np.ones((1, 20), np.float32)
    cols = np.arange(20, dtype=np.float32)[None, :] * np.ones((24, 1), np.float32)
    ramp = replace(patch, image=np.stack([rows, cols, rows, cols]))
    lengths = []
    for seed in range(20):
        made = repaired(rng(seed), ramp, with_(shift_px=1.5))
        inner = np.s_[4:-4, 4:-4]
        shift = [float((made.image[at] - made.image[at + 2])[inner].mean()) for at in (0, 1)]
        spread = [float((made.image[at] - made.image[at + 2])[inner].std()) for at in (0, 1)]
        assert max(spread) < 1e-4
        lengths.append(np.hypot(*shift))
        assert made.valid[inner].all()
        assert not made.valid.all()
        assert (made.labels[~made.valid] == IGNORE).all()
    assert max(lengths) <= 1.5 + 1e-4
    assert max(lengths) - min(lengths) > 0.7


def test_what_is_not_believed_never_reaches_a_neighbour_that_is(patch):
    image = patch.image.copy()
    image[:, 10, 10] = 60000
    valid = patch.valid.copy()
    valid[10, 10] = False
    made = repaired(rng(4), replace(patch, image=image, valid=valid), with_(shift_px=1))
    assert made.image[:, made.valid].max() < 1000


def test_weather_touches_one_date_at_a_time():
    for seed in range(10):
        for config in (with_(shade=1), with_(haze=1)):
            values = np.full((4, 32, 32), 100, np.float32)
            weathered(rng(seed), values, BANDS, config)
            touched = [bool((date != 100).any()) for date in np.split(values, 2)]
            assert sum(touched) == 1
            date = values[:2] if touched[0] else values[2:]
            assert (date <= 100).all() if config.shade else (date >= 100).all()


class Watcher:
    """Is told, and says nothing."""

    def stage(self, name):
        del name

    note = stage

    def step(self, step, total, loss, mean_iou):
        del step, total, loss, mean_iou


CONFIG = {
    "name": "tiny-change",
    "data": {
        "reader": "generated-pairs", "seeds": [5, 6], "shape": [128, 128], "changed": 1, "same": 1,
        "bands": ["B04", "B08"], "held_out": {"groups": ["seed-6"]},
    },
    "network": {"architecture": "geoseg:siamese", "hyperparameters": {"widths": [4, 4, 4]}},
    "pairs": {"mix": 0.3},
    "sampling": {"window_px": 32, "batch": 2},
    "schedule": {"steps": 3, "precision": "float32"},
    "validation": {"every": 3, "windows": 2},
}  # fmt: skip


@pytest.mark.parametrize("architecture", ["geoseg:siamese", "geoseg:unet"])
def test_a_training_on_pairs_gives_a_model_of_two_dates(tmp_path, architecture):
    config = {**CONFIG, "network": {**CONFIG["network"], "architecture": architecture}}
    path = tmp_path / "change.yaml"
    path.write_text(yaml.safe_dump(config))
    done = train(path, tmp_path / "run", Watcher(), device="cpu")
    assert command_for(done.model, done.dates).split()[4:7:2] == ["--workflow", "--scenes-before"]
    folder = ModelFolder.open(tmp_path / "run" / "model")
    assert (folder.spec.dates, folder.spec.channels) == (2, 4)
    assert len(folder.spec.transform[0]["mean"]) == 2
    image = torch.rand(1, 2, 64, 64) * 0.4
    valid = torch.rand(1, 64, 64) > 0.2
    scores = load_network(folder).scores(torch.cat([image, image], dim=1), valid)
    assert (scores[:, 1] < 0.5).all()
    assert "of two dates" in (folder.path / "README.md").read_text()
    assert (tmp_path / "run" / "report.html").stat().st_size > 1000


def test_shares_above_one_are_refused(tmp_path):
    path = tmp_path / "change.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "pairs": {"swap": 2}}))
    with pytest.raises(RequestError, match="swap: 2"):
        train(path, tmp_path / "run", Watcher(), device="cpu")


def test_every_look_at_the_held_out_groups_is_told(capsys):
    with watching(quiet=False) as watcher:
        for step, mean_iou in enumerate([None, None, 0.25, 0.25], start=1):
            watcher.step(step, 9, 0.5, mean_iou)
    told = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in told] == ["step 1 of 9", "step 3 of 9"]
    assert "IoU 0.250" in told[1]
