"""A network that is too sure of itself: held-out scenes mend that, and no class changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import worlds

from geoseg.evaluation.calibrate import calibrate, store
from geoseg.evaluation.legend import Legend
from geoseg.evaluation.maps import ModelMapper, Reading
from geoseg.evaluation.scoring import evaluate
from geoseg.evaluation.task import EvaluateConfig, Task
from geoseg.labels import LabelSet
from geoseg.models import ModelFolder
from geoseg.models.networks import build
from geoseg.models.saving import save_model
from geoseg.settings import Settings


def doubtful(labels: LabelSet, share: float) -> LabelSet:
    """The same images, with a class by chance for some pixels: nobody can be sure of them."""
    members = []
    for at, member in enumerate(labels.members):
        rng = np.random.default_rng(at)
        chance = rng.integers(0, 4, member.shape).astype("uint8")
        members.append(replace(member, truth=np.where(rng.random(member.shape) < share, chance, member.truth)))
    return replace(labels, members=tuple(members))


@pytest.fixture
def too_sure(tmp_path, painted) -> tuple[ModelFolder, Task]:
    """A network that was trained on some images, then made four times as sure; and other images."""
    labels = doubtful(painted(18, (64, 64), ignore=False), 0.25)
    train, held = labels.hold_out([f"g{at}" for at in range(6, 18)])
    spec = worlds.finite_model(tmp_path / "model").spec
    torch.manual_seed(0)
    module = build(spec).train()
    images = torch.stack([torch.from_numpy((m.pixels - 120.0) / 40).float() for m in train.members])
    truth = torch.stack([torch.from_numpy(m.truth.astype("int64")) for m in train.members])
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(images), truth).backward()
        optimizer.step()
    last = [part for part in module.modules() if isinstance(part, torch.nn.Conv2d)][-1]
    with torch.no_grad():
        last.weight *= 4
        last.bias *= 4
    return save_model(tmp_path / "model", spec, module.eval()), Task(held, train, EvaluateConfig())


def test_the_error_of_confidences_falls_below_the_bar_and_no_class_changes(too_sure):
    folder, task = too_sure
    made = calibrate(task, folder, Settings())
    assert min(made.fit.temperatures or (made.fit.temperature,)) > 1
    assert made.before.ece > 0.08
    # On scenes that the temperature was not fitted on.
    assert made.after.ece <= 0.02 or made.after.ece <= min(0.05, made.before.ece / 2)
    assert made.is_better
    stored = ModelFolder.open(store(folder, made).path)
    assert (stored.spec.temperature, stored.spec.temperatures) == (made.fit.temperature, made.fit.temperatures)
    legend = Legend.same([c.name for c in task.held.classes])
    found = []
    for one in (folder, stored):
        with ModelMapper(one, legend, Reading(), Settings()) as mapper:
            found.append(evaluate(mapper, task.held))
    assert (found[0].confusion.counts == found[1].confusion.counts).all()
    assert found[0].reliability.ece == pytest.approx(made.before.ece, abs=0.01)
    assert found[1].reliability.ece == pytest.approx(made.after.ece, abs=0.01)
