"""Losses against formulas written out, and what a pixel without a label does: nothing, exactly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from geoseg.labels import IGNORE
from geoseg.models.networks.small_unet import SmallUNet
from geoseg.training.config import LossConfig
from geoseg.training.losses import loss_of, two_logits
from geoseg.training.scores import Confusion

NAMES = ("cross-entropy", "dice", "focal", "ohem")
PIXELS = (900, 90, 10)


def problem(seed=0, ignored=0.4):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, (2, 8, 8))
    labels[rng.random(labels.shape) < ignored] = IGNORE
    return torch.from_numpy(rng.standard_normal((2, 3, 8, 8))).float(), torch.from_numpy(labels)


def one(name, **fields):
    return loss_of([LossConfig(name=name, **fields)], PIXELS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("there", ["number", "nan", "infinity"])
def test_a_pixel_without_label_has_a_gradient_of_exactly_zero(name, there):
    logits, labels = problem()
    ignored = labels == IGNORE
    fields = {} if name == "dice" else {"class_weights": "root"}
    logits[ignored[:, None].expand_as(logits)] = {"number": 7.0, "nan": torch.nan, "infinity": torch.inf}[there]
    logits.requires_grad_()
    one(name, **fields)(logits, labels).backward()
    by_pixel = logits.grad.abs().amax(dim=1)
    assert torch.equal(by_pixel[ignored], torch.zeros_like(by_pixel[ignored]))
    assert (by_pixel[~ignored] > 0).any()


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_does_not_see_what_has_no_label(name):
    logits, labels = problem()
    other = torch.where((labels == IGNORE)[:, None], torch.randn_like(logits), logits)
    assert torch.equal(one(name)(logits, labels), one(name)(other, labels))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_labels_moves_nothing(name):
    torch.manual_seed(0)
    network = SmallUNet(2, 3, (8, 8, 8))
    loss = one(name)(network(torch.randn(2, 2, 16, 16)), torch.full((2, 16, 16), IGNORE))
    loss.backward()
    assert float(loss.detach()) == 0
    assert all(torch.equal(w.grad, torch.zeros_like(w)) for w in network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_a_class_that_is_absent_makes_no_nan(name):
    logits, labels = problem()
    labels[labels == 2] = 0
    loss = loss_of([LossConfig(name=name)], (5, 5, 0))(logits.requires_grad_(), labels)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def scores_and_truth(logits, labels):
    seen = (labels != IGNORE).numpy()
    raw = np.moveaxis(logits.double().numpy(), 1, -1)[seen]
    scores = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    return scores, labels.numpy()[seen]


def test_cross_entropy_with_weights_is_what_it_says():
    logits, labels = problem()
    scores, truth = scores_and_truth(logits, labels)
    weights = np.array([1, 10**0.5, 90**0.5])
    each = -np.log(scores[np.arange(len(truth)), truth])
    expected = (weights[truth] * each).sum() / weights[truth].sum()
    assert float(one("cross-entropy", class_weights="root")(logits, labels)) == pytest.approx(expected, rel=1e-5)
    inverse = np.array([1, 10, 10])  # 90 times as rare counts 10 times at most
    expected = (inverse[truth] * each).sum() / inverse[truth].sum()
    assert float(one("cross-entropy", class_weights="inverse")(logits, labels)) == pytest.approx(expected, rel=1e-5)


def test_focal_is_what_it_says():
    logits, labels = problem()
    scores, truth = scores_and_truth(logits, labels)
    right = scores[np.arange(len(truth)), truth]
    expected = ((1 - right) ** 1.5 * -np.log(right)).mean()
    assert float(one("focal", gamma=1.5)(logits, labels)) == pytest.approx(expected, rel=1e-5)


def test_ohem_is_the_mean_of_the_worst():
    logits, labels = problem()
    scores, truth = scores_and_truth(logits, labels)
    each = np.sort(-np.log(scores[np.arange(len(truth)), truth]))[::-1]
    expected = each[: round(0.25 * len(each))].mean()
    assert float(one("ohem", share=0.25)(logits, labels)) == pytest.approx(expected, rel=1e-5)


def test_dice_is_the_overlap_of_the_classes_that_are_there():
    logits, labels = problem()
    labels[labels == 1] = IGNORE
    scores, truth = scores_and_truth(logits, labels)
    parts = [1 - 2 * scores[truth == c, c].sum() / (scores[:, c].sum() + (truth == c).sum()) for c in (0, 2)]
    assert float(one("dice")(logits, labels)) == pytest.approx(np.mean(parts), rel=1e-5)


def test_terms_add_up():
    logits, labels = problem()
    both = loss_of([LossConfig(weight=2.0), LossConfig(name="dice", weight=0.5)], PIXELS)(logits, labels)
    expected = 2 * one("cross-entropy")(logits, labels) + 0.5 * one("dice")(logits, labels)
    torch.testing.assert_close(both, expected)


def test_one_logit_is_two():
    single = torch.randn(2, 1, 4, 4)
    torch.testing.assert_close(torch.softmax(two_logits(single), dim=1)[:, 1:], torch.sigmoid(single))


def test_confusion_leaves_out_what_is_not_there():
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([0, 1, IGNORE], np.uint8), (20, 20))
    predicted = rng.integers(0, 3, (20, 20)).astype(np.uint8)
    found = Confusion.of(labels, predicted, 5) + Confusion.of(labels[:0], predicted[:0], 5)
    seen = labels != IGNORE
    for c in range(5):
        union = (seen & ((labels == c) | (predicted == c))).sum()
        assert found.ious[c] == (None if not union else (seen & (labels == c) & (predicted == c)).sum() / union)
    assert found.ious[2] == 0  # predicted, never labelled
    assert found.mean_iou == pytest.approx(np.mean(found.ious[:2]))
    assert found.accuracy == (labels == predicted)[seen].mean()
    assert (found.present, found.ious[3]) == (2, None)
    nothing = Confusion.of(np.full((2, 2), IGNORE, np.uint8), predicted[:2, :2], 5)
    assert (nothing.mean_iou, nothing.accuracy) == (None, None)
