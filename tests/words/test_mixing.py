"""Class mixing: no order, and no class that hears of none."""

from __future__ import annotations

import pytest
import torch

from geoseg.models.networks.text_image.mixing import ClassMixing


@pytest.fixture
def mixing() -> ClassMixing:
    torch.manual_seed(0)
    made = ClassMixing(8)
    torch.nn.init.normal_(made.judge[2].weight)  # training starts from nothing added
    return made


def given(classes: int) -> list[torch.Tensor]:
    parts = torch.randn(classes, 5, 7), torch.randn(5, 7, 8), torch.randn(classes, 8)
    return [parts[0], *(torch.nn.functional.normalize(part, dim=-1) for part in parts[1:])]


def test_the_order_of_classes_does_not_matter(mixing):
    scores, cells, phrases = given(4)
    turned = torch.tensor([2, 0, 3, 1])
    assert torch.allclose(
        mixing(scores, cells, phrases)[turned], mixing(scores[turned], cells, phrases[turned]), atol=1e-6
    )


def test_every_class_influences_every_other(mixing):
    scores, cells, phrases = given(3)
    scores *= 0.1  # cosines are near each other
    scores.requires_grad_(requires_grad=True)
    for b in range(3):
        (change,) = torch.autograd.grad(mixing(scores, cells, phrases)[b, 2, 3], scores)
        for a in range(3):
            assert change[a, 2, 3].abs() > 1e-6, f"class {a} does not reach class {b}"


def test_cells_hear_of_cells_around_them_and_of_no_others(mixing):
    scores, cells, phrases = given(2)
    scores.requires_grad_(requires_grad=True)
    (change,) = torch.autograd.grad(mixing(scores, cells, phrases)[0, 2, 1], scores)
    assert change[0, 0, 3].abs() > 0
    assert change[:, :, 4:].abs().max() == 0
