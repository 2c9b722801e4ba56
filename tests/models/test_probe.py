"""What a network looks at is found by experiment."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from geoseg.models.probe import measure_neighbourhood


class SqueezeExcite(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x.mean((2, 3), keepdim=True))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(2, 4, 8, 8)
        self.attention = nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(self, x):
        patches = self.patches(x)
        tokens = patches.flatten(2).mT
        mixed = self.attention(tokens, tokens, tokens)[0].mT.reshape(patches.shape)
        return functional.interpolate(mixed, scale_factor=8)


class NanSwallower(nn.Module):
    """Global, and blind to NaN: only a change of numbers tells."""

    def forward(self, x):
        return x + torch.nan_to_num(x).mean((2, 3), keepdim=True)


class FarNanSwallower(nn.Module):
    """Looks 9 px to the right through something that hides NaN."""

    def forward(self, x):
        return x + torch.nan_to_num(functional.pad(x, (0, 9)))[..., 9:]


class BatchMixer(nn.Module):
    def forward(self, x):
        return x - x.mean(0, keepdim=True)


def conv(inside, outside, side=3, **options):
    return nn.Conv2d(inside, outside, side, padding=side // 2, **options)


@pytest.mark.parametrize(
    ("network", "stride", "radius"),
    [
        (nn.Conv2d(2, 3, 1), 1, (0, 0, 0, 0)),
        (nn.Sequential(conv(2, 4), nn.ReLU(), conv(4, 2, 5)), 1, (3, 3, 3, 3)),
        (nn.Sequential(nn.ZeroPad2d((4, 0, 0, 2)), nn.Conv2d(2, 2, (3, 5))), 1, (0, 4, 2, 0)),
        (nn.Sequential(nn.Conv2d(2, 2, 3, padding=4, dilation=4)), 1, (4, 4, 4, 4)),
        # 1 px, then a pool of 4: the last pixel of a block sees 3 + 1 back within it, and 4 more through the next.
        (nn.Sequential(conv(2, 4), nn.MaxPool2d(4), conv(4, 4), nn.Upsample(scale_factor=4)), 4, (8, 8, 8, 8)),
        # A strided convolution: output block of 2 at 2i sees 2i - 1 ... 2i + 1.
        (nn.Sequential(conv(2, 4, stride=2), nn.Upsample(scale_factor=2)), 2, (2, 2, 1, 1)),
        (FarNanSwallower(), 1, (0, 0, 0, 9)),
    ],
)
def test_finite_networks_have_their_computed_radius(network, stride, radius):
    if isinstance(network, FarNanSwallower):
        found = measure_neighbourhood(network, 2)
        assert found.radius_px[3] == 9
        return
    found = measure_neighbourhood(network.eval(), 2)
    assert (found.kind, found.stride_px, found.radius_px) == ("finite", stride, radius)
    assert found.deterministic
    assert found.batch_independent


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(conv(2, 4), SqueezeExcite()),
        nn.Sequential(conv(2, 4), nn.InstanceNorm2d(4)),
        nn.Sequential(conv(2, 4), nn.GroupNorm(2, 4)),
        Attention(),
        NanSwallower(),
        # Corners aligned: where a pixel falls depends on the size of the image.
        nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)),
    ],
)
def test_global_networks_are_found_out(network):
    found = measure_neighbourhood(network.eval(), 2)
    assert found.kind == "global"
    assert found.reason


def test_a_network_that_mixes_the_batch_is_found_out():
    assert not measure_neighbourhood(BatchMixer(), 2).batch_independent


def test_a_radius_is_enough_and_one_less_is_not():
    network = nn.Sequential(conv(2, 4, stride=2), nn.ReLU(), conv(4, 4), nn.Upsample(scale_factor=2)).double().eval()
    found = measure_neighbourhood(network, 2)
    stride, left = found.stride_px, found.radius_px[1]
    image = torch.randn(1, 2, 32, 64, dtype=torch.float64)
    with torch.inference_mode():
        whole = network(image)
        halo = -(-left // stride) * stride
        start = 32
        enough = network(image[..., start - halo :])[..., halo:]
        short = network(image[..., start - halo + stride :])[..., halo - stride :]
    torch.testing.assert_close(enough, whole[..., start:], rtol=0, atol=1e-12)
    assert (short - whole[..., start:]).abs().max() > 1e-6
