"""The built-in Dynamic World equals the published one, and is exact under tiling."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from geoseg.models import resolve
from geoseg.models.network import Network, load_network
from geoseg.models.networks import build
from geoseg.models.networks.dynamic_world import DynamicWorld
from geoseg.models.probe import measure_neighbourhood
from geoseg.models.transform import Transform

P = [1.7417268007636313, 1.7261204997060209, 1.6798346251414997, 1.7734969472909623, 2.289154079164943]
P += [2.382939712192371, 2.3828939530384052, 2.1952484264967844, 1.554812948247501]
Q = [2.023298706048351, 2.038905204308012, 2.179592821212937, 2.2890068333026603, 2.6171674549378166]
Q += [2.773418590375327, 2.7578332604178284, 2.789092484314204, 2.4140534947492487]


def random_network():
    """Random weights with statistics that do something."""
    network = DynamicWorld().eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)
    return network


@pytest.fixture
def network(request):
    """The published weights where they are, else random ones."""
    folder = resolve("dynamic-world")
    try:
        shared = request.getfixturevalue("shared")
    except pytest.skip.Exception:
        return Network(folder.spec, random_network())
    return load_network(resolve("dynamic-world", models_dirs=[shared / "data" / "weights"], offline=True))


@pytest.mark.parametrize("name", ["random_101x75", "slovenia_20150830"])
def test_logits_equal_those_of_the_published_model(shared, network, name):
    oracle = np.load(shared / "data" / "weights" / "dynamic-world" / f"oracle_{name}.npz")
    image = torch.from_numpy(oracle["normalised"]).permute(2, 0, 1)[None]
    logits = network._logits(image)[0].permute(1, 2, 0).numpy()
    assert np.abs(logits - oracle["logits"]).max() < 2e-5
    assert (logits.argmax(-1) == oracle["logits"].argmax(-1)).all()


def test_the_transform_is_the_published_formula_on_digital_numbers():
    spec = resolve("dynamic-world").spec
    numbers = np.random.default_rng(0).integers(0, 12000, (9, 20, 30)).astype("float64")
    p, q = np.reshape(P, (-1, 1, 1)), np.reshape(Q, (-1, 1, 1))
    c = np.exp(5 * (np.log(numbers * 0.005 + 1) - p) / q - 1)
    expected = c / (c + 1)
    transform = Transform(spec.transform, 9)
    reflectance = (numbers / 10000).astype("float32")
    np.testing.assert_allclose(transform.numpy(reflectance), expected, atol=2e-6)
    np.testing.assert_allclose(transform.torch_(torch.from_numpy(reflectance)[None])[0], expected, atol=2e-6)
    assert np.isfinite(transform.numpy(np.full((9, 1, 1), -0.1))).all()


@pytest.mark.parametrize("size", [(2, 2), (2, 90), (90, 4), (62, 38), (400, 96)])
def test_strips_equal_the_plain_layers(size):
    network = random_network().double()
    image = torch.randn(2, 9, *size, dtype=torch.float64)
    with torch.inference_mode():
        half = functional.interpolate(
            network.stem(image), (size[0] // 2, size[1] // 2), mode="bilinear", antialias=True, align_corners=False
        )
        plain = network._classify(network._features(half), size)
        for given in (image, image.contiguous(memory_format=torch.channels_last)):
            torch.testing.assert_close(network(given), plain, rtol=0, atol=1e-12)
    with torch.no_grad(), torch.enable_grad():
        torch.testing.assert_close(network(image), plain, rtol=0, atol=1e-12)


def test_its_neighbourhood_is_the_declared_one():
    spec = resolve("dynamic-world").spec
    found = measure_neighbourhood(build(spec), 9)
    assert (found.kind, found.stride_px, found.radius_px) == ("finite", 2, (22, 22, 22, 22))
    assert (spec.kind, spec.stride_px, spec.radius_px) == ("finite", 2, (22, 22, 22, 22))


def test_tiles_with_a_halo_of_the_radius_equal_the_whole_image(network):
    generator = torch.Generator().manual_seed(3)
    values = functional.interpolate(torch.rand(1, 9, 20, 22, generator=generator) * 0.4, (160, 176), mode="bilinear")
    valid = torch.rand(1, 160, 176, generator=generator) > 0.02
    whole = network.scores(values, valid)
    top2 = whole.topk(2, dim=1).values
    sure = (top2[:, 0] - top2[:, 1]) > 1e-5
    halo = 22
    for row, column in ((32, 48), (64, 30), (22, 22)):
        window = (slice(row - halo, row + 32 + halo), slice(column - halo, column + 40 + halo))
        tile = network.scores(values[..., *window], valid[..., *window])[..., halo:-halo, halo:-halo]
        there = whole[..., row : row + 32, column : column + 40]
        assert (tile - there).abs().max() <= 1e-5
        at = sure[..., row : row + 32, column : column + 40]
        assert (tile.argmax(1) == there.argmax(1))[at].all()
