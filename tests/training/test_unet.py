"""The U-Net of any depth is local, however deep it is."""

from __future__ import annotations

import pytest
import torch

from geoseg.models.networks.unet import UNet


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_a_window_with_its_halo_gives_the_scores_of_the_whole(levels: int) -> None:
    torch.manual_seed(levels)
    network = UNet(2, 3, (4,) * levels, dropout=0.5).double().eval()
    image = torch.randn(1, 2, 256, 256, dtype=torch.float64)
    # Two convolutions at each level, twice at all but the lowest, and what halving and doubling add: 8 px for each.
    halo = 8 * 2 ** (levels - 1)
    with torch.inference_mode():
        whole, part = network(image), network(image[..., 64:, 32:])
    assert torch.equal(whole[..., 64 + halo :, 32 + halo :], part[..., halo:, halo:])
    assert not torch.equal(whole[..., 64:, 32:], part)


def test_every_level_takes_part() -> None:
    torch.manual_seed(0)
    network = UNet(1, 2, (4, 6, 8))
    network(torch.randn(2, 1, 16, 16)).square().mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())


@pytest.mark.parametrize("widths", [(8,), (8,) * 8])
def test_a_depth_that_is_none_is_refused(widths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="levels"):
        UNet(3, 2, widths)
