"""The demo network is local, as its folder says: measured, not believed."""

from __future__ import annotations

import pytest
import torch

from geoseg.models.networks.small_unet import STRIDE, SmallUNet


@pytest.fixture(scope="module")
def network() -> SmallUNet:
    torch.manual_seed(0)
    return SmallUNet(2, 3, (8, 8, 8)).double().eval()


def reach(network: SmallUNet, axis: int) -> tuple[int, int]:
    """How far before and behind a pixel of NaN the scores turn NaN, at worst over the positions within a stride."""
    before = behind = 0
    size = 192
    for position in range(size // 2, size // 2 + STRIDE):
        probe = torch.zeros(1, 2, size, size, dtype=torch.float64)
        probe.select(axis, position).fill_(torch.nan)
        with torch.inference_mode():
            bad = torch.isnan(network(probe)).any(dim=1, keepdim=True).movedim(axis, 0).flatten(1).any(dim=1).nonzero()
        before, behind = max(before, position - int(bad.min())), max(behind, int(bad.max()) - position)
    return before, behind


@pytest.mark.parametrize("axis", [2, 3])
def test_a_score_looks_no_further_than_36_pixels(network: SmallUNet, axis: int) -> None:
    # Seen from the input: 29 pixels of scores before it and 36 behind it change. Seen from a score, the other way.
    assert reach(network, axis) == (29, 36)


def test_a_window_with_its_halo_gives_the_scores_of_the_whole(network: SmallUNet) -> None:
    image = torch.randn(1, 2, 256, 256, dtype=torch.float64)
    with torch.inference_mode():
        whole = network(image)
        part = network(image[..., 64:208, 56:200])
    torch.testing.assert_close(part[..., 40:104, 40:104], whole[..., 104:168, 96:160], atol=1e-12, rtol=0)


def test_every_pixel_gets_scores_of_its_own(network: SmallUNet) -> None:
    with torch.inference_mode():
        scores = network(torch.randn(2, 2, 64, 72, dtype=torch.float64))
    assert scores.shape == (2, 3, 64, 72)
    assert not torch.equal(scores[..., 0::2, :], scores[..., 1::2, :])


def test_shipped_widths_fit_two_megabytes() -> None:
    state = SmallUNet(6, 7).state_dict()
    assert sum(tensor.numel() * 4 for tensor in state.values()) < 2_000_000
