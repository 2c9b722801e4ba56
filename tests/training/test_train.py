"""geoseg train: from chips to a model folder that runs; killed and resumed, the same weights."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from geoseg.cli import main
from geoseg.errors import InterruptedRunError, OutputOccupiedError, RequestError
from geoseg.models import ModelFolder
from geoseg.models.check import check_model
from geoseg.models.network import load_network
from geoseg.training.checkpoint import Checkpoint
from geoseg.training.config import TrainConfig
from geoseg.training.loop import train
from geoseg.training.module import Segmenting, _mean_by

STEPS, EVERY = 10, 4
CONFIG = {
    "name": "stripes",
    "title": "Stripes of a test",
    "data": {
        "reader": "chips",
        "classes": ["dark", {"name": "bright", "colour": "#ffcc00"}],
        "held_out": {"groups": ["chip_3"]},
        "licence": "CC-BY-4.0",
        "attribution": "Somebody, 2026",
        "gsd_m": 0.5,
        "title": "Stripes",
    },
    "network": {"hyperparameters": {"widths": [8, 8, 8]}},
    "loss": [{"name": "cross-entropy", "class_weights": "root"}, {"name": "dice"}],
    "augment": {"scale": True, "holes": 0.3},
    "sampling": {"window_px": 32, "batch": 2},
    "schedule": {"steps": STEPS, "rate": 0.01, "ema": 0.8, "precision": "float32"},
    "validation": {"every": EVERY},
}

# Stands still after a step, so that it can be killed there.
KILLED = """
import sys
from pathlib import Path
from geoseg.training.loop import train

class Watcher:
    def stage(self, name): pass
    note = stage
    def step(self, step, total, loss, mean_iou):
        if step == int(sys.argv[3]):
            print("here", flush=True)
            sys.stdin.read()

train(Path(sys.argv[1]), Path(sys.argv[2]), Watcher(), device="cpu")
"""


class Watcher:
    """Keeps what it is told."""

    def __init__(self):
        self.steps, self.notes = [], []

    def stage(self, name):
        self.notes.append(name)

    note = stage

    def step(self, step, total, loss, mean_iou):
        self.steps.append((step, total, mean_iou))


@pytest.fixture(scope="module")
def chips(tmp_path_factory):
    """Four chips of bright and dark stripes, and a configuration beside them."""
    folder = tmp_path_factory.mktemp("chips")
    rng = np.random.default_rng(0)
    for number in range(4):
        mask = np.broadcast_to((np.arange(48) // (4 + number)) % 2, (40, 48)).astype(np.uint8)
        image = np.clip(60 + 110 * mask[..., None] + rng.normal(0, 20, (40, 48, 3)), 0, 255).astype(np.uint8)
        for name, pixels in (("images", image), ("masks", mask)):
            (folder / name).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(folder / name / f"chip_{number}.png")
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def undisturbed(chips):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    watcher = Watcher()
    done = train(chips / "config.yaml", chips / "whole", watcher, device="cpu")
    torch.set_num_threads(threads)
    return done, watcher


def weights(folder):
    return load_file(folder / "model" / "weights.safetensors")


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.slow
def test_killed_and_resumed_twice_it_ends_with_the_same_weights(chips, undisturbed, tmp_path):
    """Killed after a step beyond the first checkpoint; stopped by a signal between two looks; then to the end."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, chips / "config.yaml", tmp_path / "run", str(EVERY + 2)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True,
    )  # fmt: skip
    assert child.stdout.readline() == "here\n"
    child.kill()
    assert child.wait() == -signal.SIGKILL
    child.stdin.close()
    child.stdout.close()
    assert not (tmp_path / "run" / "model").exists()

    watcher = Watcher()
    with pytest.raises(InterruptedRunError, match="9 of 10 steps"):
        train(
            chips / "config.yaml", tmp_path / "run", watcher, resume=True, device="cpu",
            is_stopped=lambda: bool(watcher.steps) and watcher.steps[-1][0] == 9,
        )  # fmt: skip
    assert [step for step, *_ in watcher.steps] == [5, 6, 7, 8, 9]  # from the checkpoint of step 4
    watcher = Watcher()
    done = train(chips / "config.yaml", tmp_path / "run", watcher, resume=True, device="cpu")
    assert [step for step, *_ in watcher.steps] == [10]

    whole, _ = undisturbed
    assert_same(weights(whole.folder), weights(done.folder))
    assert whole.mean_iou == done.mean_iou
    one, other = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (whole.folder, done.folder))
    assert_same(one["network"], other["network"])
    for state, again in zip(one["optimizer"]["state"].values(), other["optimizer"]["state"].values(), strict=True):
        assert_same(state, again)


def test_in_mixed_precision_it_resumes_to_the_same_weights_which_are_others(chips, undisturbed, tmp_path):
    """Steps compute in bfloat16, weights and their means stay float32."""
    settings = {**CONFIG, "data": {**CONFIG["data"], "path": str(chips)}}
    settings["schedule"] = {**CONFIG["schedule"], "precision": "bf16"}
    (tmp_path / "mixed.yaml").write_text(yaml.safe_dump(settings))
    whole = train(tmp_path / "mixed.yaml", tmp_path / "whole", Watcher(), device="cpu")
    watcher = Watcher()
    with pytest.raises(InterruptedRunError):
        train(
            tmp_path / "mixed.yaml", tmp_path / "run", watcher, device="cpu",
            is_stopped=lambda: bool(watcher.steps) and watcher.steps[-1][0] == 7,
        )  # fmt: skip
    done = train(tmp_path / "mixed.yaml", tmp_path / "run", Watcher(), resume=True, device="cpu")
    assert_same(weights(whole.folder), weights(done.folder))
    exact = weights(undisturbed[0].folder)
    assert all(weight.dtype in {torch.float32, torch.int64} for weight in weights(done.folder).values())
    assert any(not torch.equal(weight, exact[name]) for name, weight in weights(done.folder).items())
    assert all(torch.allclose(weight, exact[name], atol=0.1) for name, weight in weights(done.folder).items())


def test_the_mean_of_weights_is_that_of_its_formula():
    """Weights of a line of steps, by hand: what is kept grows to the share that was asked for."""
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(60, 5))
    mean = torch.from_numpy(steps[0].copy())
    wanted = steps[0].copy()
    update = _mean_by(0.8)
    for number, step in enumerate(steps[1:], start=1):
        update([mean], [torch.from_numpy(step)], torch.tensor(number))
        kept = min(0.8, (1 + number) / (10 + number))
        wanted = kept * wanted + (1 - kept) * step
    np.testing.assert_allclose(mean.numpy(), wanted)
    last = torch.from_numpy(steps[0].copy())
    _mean_by(0)([last], [torch.from_numpy(steps[1])], torch.tensor(1))
    np.testing.assert_allclose(last.numpy(), steps[1])


def test_the_run_folder_tells_what_happened(undisturbed):
    done, watcher = undisturbed
    assert [step for step, *_ in watcher.steps] == list(range(1, STEPS + 1))
    with (done.folder / "metrics.csv").open() as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file)}
    assert sorted(rows) == [4, 8, 10]
    assert float(rows[10]["mean_iou"]) == pytest.approx(done.mean_iou, abs=1e-5)
    ious = [float(rows[10][f"iou {name}"]) for name in ("dark", "bright")]
    assert np.mean(ious) == pytest.approx(done.mean_iou, abs=1e-5)
    page = (done.folder / "report.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    for part in (
        "Stripes of a test",
        f"{100 * done.mean_iou:.1f} %",
        "bright",
        "data:image/webp",
        "<polyline",
        "chip_3",
    ):
        assert part in page
    assert page.count('class="triple"') == 1


def test_the_model_says_what_it_is_and_runs(undisturbed, tmp_path, chips):
    done, _ = undisturbed
    folder = ModelFolder.open(done.model)
    spec = folder.spec
    assert check_model(folder).agrees
    assert (spec.kind, spec.stride_px, spec.radius_px) == ("finite", 8, (36, 36, 29, 29))
    assert (spec.licence, spec.attribution, spec.resolution_m) == ("CC-BY-4.0", "Somebody, 2026", 0.5)
    assert [(info.name, info.colour) for info in spec.classes] == [("dark", "#b8b8b0"), ("bright", "#ffcc00")]
    card = (done.model / "README.md").read_text()
    for part in (
        "Stripes: 3 images of 3 groups",
        "Held-out groups (chip_3)",
        f"{100 * done.mean_iou:.1f} %",
        "CC-BY-4.0",
    ):
        assert part in card
    assert not list(done.folder.glob(".*"))
    image = np.asarray(Image.open(chips / "images" / "chip_3.png"))
    values = torch.from_numpy(image.copy()).movedim(-1, 0)[None].float()
    scores = load_network(folder).scores(values, torch.ones(1, 40, 48, dtype=torch.bool))
    assert scores.shape == (1, 2, 40, 48)
    # The look of the last step is that network's, on the whole chip.
    held = torch.load(done.folder / "checkpoint.pt", weights_only=True)["history"]["looks"][-1][1]
    assert int(held.sum()) == 40 * 48


def test_a_folder_with_a_training_is_not_overwritten(chips, undisturbed, tmp_path):
    done, _ = undisturbed
    with pytest.raises(OutputOccupiedError, match="--resume"):
        train(chips / "config.yaml", done.folder, Watcher(), device="cpu")
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({**CONFIG, "seed": 2, "data": {**CONFIG["data"], "path": str(chips)}}))
    with pytest.raises(RequestError, match="another configuration"):
        train(other, done.folder, Watcher(), resume=True, device="cpu")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"torn")
    with pytest.raises(RequestError, match="a checkpoint of geoseg train"):
        train(chips / "config.yaml", tmp_path / "run", Watcher(), resume=True, device="cpu")


def test_a_training_without_progress_ends_early_with_its_best_weights(chips, tmp_path):
    settings = {
        **CONFIG,
        "data": {**CONFIG["data"], "path": str(chips)},
        "schedule": {"steps": 50, "rate": 1e-12, "ema": 0, "precision": "float32"},
        "validation": {"every": 2, "patience": 2},
    }
    (tmp_path / "still.yaml").write_text(yaml.safe_dump(settings))
    done = train(tmp_path / "still.yaml", tmp_path / "run", Watcher(), device="cpu")
    assert 6 <= done.steps < 50
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    assert (state["done"], state["since_best"]) == (True, 2)
    assert_same(weights(done.folder), dict(state["best"]["state"].items()))
    watcher = Watcher()
    again = train(tmp_path / "still.yaml", tmp_path / "run", watcher, resume=True, device="cpu")
    assert (again.steps, watcher.steps) == (done.steps, [])


def test_a_checkpoint_is_whole_or_the_one_before(tmp_path, undisturbed):
    done, _ = undisturbed
    before = (done.folder / "checkpoint.pt").read_bytes()
    key = torch.load(done.folder / "checkpoint.pt", weights_only=True)["key"]
    state = Checkpoint.read(done.folder / "checkpoint.pt", key)
    path = tmp_path / "checkpoint.pt"
    state.write(path)
    whole = path.read_bytes()
    state.network = {"w": object()}  # what cannot be written, after half of it is
    state.best = {"unwritable": lambda: None}
    with pytest.raises(Exception, match="pickle"):
        state.write(path)
    assert path.read_bytes() == whole
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert before


def test_how_it_will_be_evaluated_is_no_part_of_a_training(tmp_path):
    """One file serves both; another crosswalk does not make it another training."""
    read = []
    for block in ({}, {"evaluate": {"crosswalk": {"dark": "night"}}}):
        (tmp_path / "c.yaml").write_text(yaml.safe_dump(CONFIG | block))
        read.append(TrainConfig.read(tmp_path / "c.yaml").model_dump())
    assert read[0] == read[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schedule": {"step": 3}}, "given:    the field schedule.step\nexpected: a field of this block"),
        ({"step": 3}, "given:    the field step"),
        ({"loss": "dise"}, "given:    loss.0.name: dise\nexpected: one of cross-entropy"),
        ({"loss": {"name": "dice", "class_weights": "root"}}, "loss.0"),
        ({"schedule": {"steps": "many"}}, "given:    schedule.steps: many\nexpected: a whole number"),
        ({"name": "a b"}, "given:    name: a b"),
        ({"transform": [{"op": "zskore"}]}, "steps whose op is one of"),
        ({"data": {**CONFIG["data"], "held_out": {}}, "validation": {"patience": 2}}, "validation.patience without"),
        ({"network": {"architecture": "smp:Umet"}}, "architecture 'smp:Umet'"),
        ({"network": {"hyperparameters": {"width": 3}}}, "hyperparameters that it takes"),
    ],
)
def test_what_is_wrong_is_told_in_three_lines(chips, tmp_path, change, words):
    data = {"path": str(chips), **CONFIG["data"], **change.get("data", {})}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({**CONFIG, **change, "data": data}))
    with pytest.raises(RequestError) as refusal:
        train(tmp_path / "c.yaml", tmp_path / "run", Watcher(), device="cpu")
    assert words in str(refusal.value)
    assert str(refusal.value).count("\n") == 2


@pytest.mark.parametrize(
    ("architecture", "hyperparameters"),
    [
        ("smp:Unet", {"encoder_name": "tu-mobilenetv4_conv_small_050", "decoder_channels": [16, 8, 8, 8, 8]}),
        ("torchgeo:fcn", {"num_filters": 4}),
        ("geoseg:small-unet", {"widths": [8, 8, 8], "reduce": 2}),
        ("geoseg:unet", {"widths": [4, 8, 8], "dropout": 0.5, "reduce": 4}),
    ],
)
def test_any_network_of_the_registry_takes_a_step(chips, tmp_path, architecture, hyperparameters):
    settings = {
        **CONFIG,
        "network": {"architecture": architecture, "hyperparameters": hyperparameters},
        "data": {**CONFIG["data"], "path": str(chips), "bands": ["red", "green"]},
        "schedule": {"steps": 2, "precision": "float32"},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(InterruptedRunError):
        train(tmp_path / "c.yaml", tmp_path / "run", Watcher(), device="cpu", is_stopped=lambda: True)
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == 1


def test_learning_from_means_gives_a_model_for_all_pixels(chips, tmp_path):
    settings = {
        **CONFIG,
        "network": {"architecture": "geoseg:unet", "hyperparameters": {"widths": [4, 8], "reduce": 2}},
        "data": {**CONFIG["data"], "path": str(chips)},
        "sampling": {"window_px": 64, "batch": 2, "reduced": True},
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings))
    done = train(tmp_path / "c.yaml", tmp_path / "run", Watcher(), device="cpu")
    model = ModelFolder.open(done.model)
    assert model.spec.hyperparameters["reduce"] == 2
    assert "2 windows of 64 px" in (done.model / "README.md").read_text()
    assert load_network(model).module(torch.zeros(1, 3, 16, 24)).shape == (1, 2, 16, 24)
    assert done.mean_iou is not None


def test_a_signal_in_the_middle_of_a_look_lets_it_end_and_stops_after_the_next_step(chips, tmp_path, monkeypatch):
    came, look = [], Segmenting.validation_step

    def killed(module, number, batch_idx):
        os.kill(os.getpid(), signal.SIGTERM)
        return look(module, number, batch_idx)

    monkeypatch.setattr(Segmenting, "validation_step", killed)
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        with pytest.raises(InterruptedRunError):
            train(chips / "config.yaml", tmp_path, Watcher(), device="cpu", is_stopped=lambda: bool(came))
    finally:
        signal.signal(signal.SIGTERM, before)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == EVERY + 1
    assert [row["step"] for row in csv.DictReader((tmp_path / "metrics.csv").open()) if row["mean_iou"]] == [str(EVERY)]


@pytest.mark.slow
def test_the_command_stops_with_a_checkpoint(chips, tmp_path):
    settings = {**CONFIG, "data": {**CONFIG["data"], "path": str(chips)}, "schedule": {"steps": 100_000}}
    (tmp_path / "long.yaml").write_text(yaml.safe_dump(settings))
    child = subprocess.Popen(
        [sys.executable, "-m", "geoseg", "train", tmp_path / "long.yaml", "--out", tmp_path / "run", "--device", "cpu"],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    for line in child.stderr:
        if line.startswith("step"):
            break
    child.send_signal(signal.SIGTERM)
    words = child.stderr.read()
    child.stderr.close()
    assert child.wait() == 128 + signal.SIGTERM
    assert "given:    a signal to stop" in words
    assert "--resume" in words
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] > 0
    assert (tmp_path / "run" / "metrics.csv").exists()


def test_the_command_names_what_is_missing(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", str(tmp_path / "none.yaml")])
    assert end.value.code == 2
    assert "expected: a YAML file" in capsys.readouterr().err


def test_defaults_are_described():
    def blocks(model):
        yield model
        for field in model.model_fields.values():
            for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if hasattr(part, "model_fields"):
                    yield from blocks(part)

    for block in blocks(TrainConfig):
        undescribed = [name for name, field in block.model_fields.items() if not field.description and name != "name"]
        assert undescribed == [], json.dumps(undescribed)
