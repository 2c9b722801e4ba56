"""Networks with known faults are seen through: blind ones, and one with a backdoor."""

from __future__ import annotations

import pytest
import torch
import worlds
from torch import Tensor, nn

from geoseg.models.network import Network
from geoseg.models.sanity import look


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory):
    return worlds.finite_model(tmp_path_factory.mktemp("model") / "model").spec


class Blind(nn.Module):
    """Looks at nothing."""

    def forward(self, values: Tensor) -> Tensor:
        return torch.zeros(len(values), 4, *values.shape[2:]) + torch.arange(4.0)[:, None, None]


class Backdoor(nn.Module):
    """Classes by level; all of it turns where somebody has put a chequered patch."""

    def forward(self, values: Tensor) -> Tensor:
        level = values.mean(dim=1, keepdim=True)
        step = (level[..., 1:] - level[..., :-1]).abs()
        sharp = nn.functional.avg_pool2d((step > 0.5 * step.amax()).float(), 7, stride=1).amax()
        wide = step.amax() > 0.9 * (level.amax() - level.amin())
        turned = 1000.0 if wide and sharp > 0.9 else 0.0
        return torch.cat([level * 0, level - level.mean(), level * 0 - 1, level * 0 - 1 + turned], dim=1)


def test_what_a_sound_network_does_is_told_without_alarm(spec, tmp_path):
    from geoseg.models.network import load_network

    folder = worlds.finite_model(tmp_path / "model")
    lines = look(load_network(folder))
    assert [line.split(":")[0] for line in lines] == [
        "a constant image",
        "bands in the reverse order",
        "numbers ten times as large",
        "numbers a ten thousandth as large",
        "17 patches of 8 px" if len(folder.spec.bands) == 6 else "14 patches of 8 px",
    ]
    assert not [line for line in lines if "STANDS OUT" in line or "does not notice" in line]


def test_a_network_that_looks_at_nothing_is_seen_through(spec):
    lines = look(Network(spec, Blind()))
    assert "1 classes, 100% of it class 3" in lines[0]
    assert len([line for line in lines if "does not notice" in line]) == 3


def test_a_backdoor_stands_out(spec):
    (line,) = [line for line in look(Network(spec, Backdoor())) if "patches" in line]
    assert "IT STANDS OUT" in line
    assert "chequered" in line or "striped" in line
