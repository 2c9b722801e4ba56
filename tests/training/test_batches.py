"""What a step sees: a pure function of (seed, step), balanced, the same numbers as in prediction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from geoseg.grid import Window
from geoseg.labels import IGNORE, ClassName, LabelSet
from geoseg.models.network import Network
from geoseg.models.networks.small_unet import SmallUNet
from geoseg.models.spec import ClassInfo, ModelSpec, WeightsRef
from geoseg.models.steps import Step
from geoseg.models.transform import Transform
from geoseg.training.augment import Bands, holed, resized, turned
from geoseg.training.batches import HeldOut, Preparing, Steps, Training
from geoseg.training.config import AugmentConfig, SamplingConfig, ScaleConfig
from geoseg.training.sampler import LabelIndex, Sampler, grid
from geoseg.training.statistics import bands_of, measured_steps, sample_values
from geoseg.training.windows import Patch, Windows

CLASSES = tuple(ClassName(name) for name in "abc")
STILL = AugmentConfig(dihedral=False, gain=0, contrast=0, brightness=0, shift=0, holes=0)


@dataclass
class Image:
    """A member in memory that counts how often it is read."""

    name: str
    group: str
    pixels: np.ndarray
    drawn: np.ndarray
    seen: np.ndarray
    reads: int = 0
    bands = ("x", "y")
    crs = transform = gsd_m = path = None

    @property
    def shape(self):
        return self.drawn.shape

    def image(self, window):
        self.reads += 1
        part = window.within(Window(0, 0, *self.shape))
        return self.pixels[:, *part], self.seen[part]

    def labels(self, window):
        return self.drawn[window.within(Window(0, 0, *self.shape))]


def member(name, group, shape, seed, shares=(0.5, 0.4, 0.1)):
    rng = np.random.default_rng(seed)
    drawn = rng.choice(3, shape, p=shares).astype(np.uint8)
    drawn[rng.random(shape) < 0.1] = IGNORE
    pixels = rng.integers(0, 1000, (2, *shape)).astype(np.uint16)
    return Image(name, group, pixels, drawn, rng.random(shape) > 0.1)


@pytest.fixture
def labels():
    rare = member("rare", "g2", (70, 90), 2, (0.98, 0.0, 0.02))
    members = (member("a", "g1", (300, 200), 0, (1, 0, 0)), member("b", "g1", (100, 130), 1, (0.5, 0.5, 0)), rare)
    return LabelSet(CLASSES, members, scale=0.001, offset=-0.1, quantity="reflectance")


def training(labels, augment=STILL, memory=10**8, **sampling):
    windows = Windows(labels.members, memory)
    config = SamplingConfig(window_px=64, batch=3, **sampling)
    index = LabelIndex.build(windows, 3)
    values = sample_values(labels, windows)
    steps = measured_steps([{"op": "zscore"}], values)
    preparing = Preparing(labels, Transform(steps, 2), torch.tensor([0.5, -2.0]).view(1, 2, 1, 1))
    return Training(windows, Sampler(index, config, 5), preparing, bands_of(values), augment, 64, 3), steps


def test_a_batch_is_a_function_of_its_step(labels):
    augment = AugmentConfig(scale=ScaleConfig(), noise=0.1, holes=0.5)
    here, _ = training(labels, augment)
    there, _ = training(labels, augment, memory=20_000)  # nothing is kept in memory
    first = {step: here.at(step) for step in (0, 7, 3)}
    for step in (3, 0, 7):
        for one, other in zip(first[step], there.at(step), strict=True):
            assert torch.equal(one, other)
    assert not torch.equal(first[0][0], first[7][0])
    loader = Steps(here, 3, 8)
    assert len(loader) == 5
    assert torch.equal(loader[4][0], first[7][0])


def test_what_is_learned_from_is_what_prediction_sees(labels):
    here, steps = training(labels)
    spec = ModelSpec(
        name="m", title="m", licence="MIT", source="", bands=("x", "y"), quantity="reflectance", transform=steps,
        classes=tuple(ClassInfo(i, n, "#000000") for i, n in enumerate("abc")), kind="finite", stride_px=8,
        architecture="geoseg:small-unet", weights=WeightsRef("w", "0" * 64, None, "w", "safetensors"), fill=(0.5, -2.0),
    )  # fmt: skip
    network = Network(spec, SmallUNet(2, 3, (8, 8, 8)))
    inputs, truth = here.at(4)
    for place in range(3):
        rng = here.sampler.rng(4, place)
        spot = here.sampler.place(rng, 64)
        image = labels.members[spot.member]
        window = spot.window(64, image)
        pixels, seen = image.image(window)
        values = torch.from_numpy(pixels.astype(np.float32) * np.float32(0.001) - np.float32(0.1))
        expected = network._input(values[None], torch.from_numpy(seen)[None])[0]
        torch.testing.assert_close(inputs[place], expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(inputs[place][:, ~seen], expected[:, ~seen])  # the fill, exactly
        np.testing.assert_array_equal(truth[place], np.where(seen, image.labels(window), IGNORE))


def test_zscore_is_measured_on_what_is_valid(labels):
    _, (step,) = training(labels)
    seen = (
        np.concatenate([m.pixels[:, 2::4, 2::4][:, m.seen[2::4, 2::4]] for m in labels.members], axis=1) * 0.001 - 0.1
    )
    # Windows of the sample begin at multiples of 256 pixels, so the larger image is thinned in two parts.
    assert step["mean"] == pytest.approx(seen.mean(axis=1), abs=0.01)
    assert step["std"] == pytest.approx(seen.std(axis=1), abs=0.01)
    one, two = measured_steps([{"op": "multiply", "by": 2.0}, {"op": "minmax"}], np.array([[0.0, 1, 2, 3, 4]], "f4"))
    assert one == Step.of("multiply", by=2.0)
    assert (two["minimum"][0], two["maximum"][0]) == pytest.approx((0.08, 7.92))


def test_classes_and_groups_come_up_as_often(labels):
    def drawn(**shares):
        here, _ = training(labels, **shares)
        spots = [here.sampler.place(here.sampler.rng(step, 0), 16) for step in range(600)]
        return np.bincount([spot.member for spot in spots], minlength=3) / 600, spots

    by_pixels, _ = drawn(classes=0, groups=0)
    valid = np.array([(m.drawn != IGNORE)[m.seen].sum() for m in labels.members])
    assert by_pixels == pytest.approx(valid / valid.sum(), abs=0.06)
    by_groups, _ = drawn(classes=0, groups=1)
    assert by_groups[2] == pytest.approx(0.5, abs=0.06)
    by_classes, _ = drawn(classes=1, groups=0)
    assert by_classes[2] > 1 / 3 - 0.06  # the third class is in no other image
    assert by_classes[1] > 1 / 3 - 0.06


def test_windows_hold_the_block_that_they_were_drawn_for(labels):
    here, _ = training(labels, classes=1, groups=0)
    for step in range(50):
        spot = here.sampler.place(here.sampler.rng(step, 1), 64)
        image = labels.members[spot.member]
        window = spot.window(64, image)
        assert window.shape == (64, 64)
        assert window & Window(0, 0, *image.shape)


@pytest.mark.parametrize("memory", [10**8, 1000])
def test_windows_over_an_edge_are_padded(labels, memory):
    windows = Windows(labels.members, memory)
    image = labels.members[2]
    patch = windows.read(2, Window(-5, 60, 20, 100))
    assert patch.image.shape == (2, 25, 40)
    np.testing.assert_array_equal(patch.image[:, 5:, :30], image.pixels[:, :20, 60:])
    np.testing.assert_array_equal(patch.valid[5:, :30], image.seen[:20, 60:])
    inside = np.where(image.seen, image.drawn, IGNORE)[:20, 60:]
    np.testing.assert_array_equal(patch.labels[5:, :30], inside)
    assert not patch.valid[:5].any()
    assert not patch.valid[:, 30:].any()
    assert (patch.labels[:5] == IGNORE).all()
    assert not windows.read(2, Window(500, 500, 510, 510)).valid.any()


def test_small_images_are_decoded_once_and_memory_is_bounded(labels):
    windows = Windows(labels.members, 10**8)
    for _ in range(3):
        for number in range(3):
            windows.read(number, Window(0, 0, 10, 10))
    assert [image.reads for image in labels.members] == [1, 1, 1]
    many = [member(f"m{n}", "g", (64, 64), n) for n in range(20)]
    bounded = Windows(many, 150_000)  # about six of them
    for number in range(20):
        bounded.read(number, Window(0, 0, 8, 8))
    assert 0 < bounded._used <= 150_000
    assert sum(patch.size_bytes for patch in bounded._kept.values()) == bounded._used


def test_turns_keep_image_and_labels_together():
    drawn = np.arange(64, dtype=np.uint8).reshape(8, 8)
    patch = Patch(drawn[None].astype(np.uint16), drawn % 3 > 0, drawn)
    found = set()
    for seed in range(100):
        result = turned(np.random.default_rng(seed), patch)
        np.testing.assert_array_equal(result.image[0], result.labels)
        np.testing.assert_array_equal(result.valid, result.labels % 3 > 0)
        found.add(result.labels.tobytes())
    assert len(found) == 8


@pytest.mark.parametrize("side", [32, 48, 96])
def test_resized_windows_keep_places(side):
    drawn = np.zeros((64, 64), np.uint8)
    drawn[:, 32:] = 1
    seen = np.ones((64, 64), bool)
    seen[:16] = False
    patch = resized(Patch(np.where(seen, drawn * np.uint16(100), 7777)[None].astype(np.uint16), seen, drawn), side)
    assert patch.image.shape == (1, side, side)
    assert (patch.labels[:, : side // 2 - 1][patch.valid[:, : side // 2 - 1]] == 0).all()
    assert (patch.labels[:, side // 2 + 1 :][patch.valid[:, side // 2 + 1 :]] == 1).all()
    assert patch.image[0][patch.valid].max() <= 100.001  # nothing of what is invalid shines through
    assert patch.valid[side // 4 + 1 :].all()
    assert not patch.valid[: side // 4].any()
    assert (patch.labels[~patch.valid] == IGNORE).all()


def test_holes_take_labels_away():
    rng = np.random.default_rng(0)
    valid = np.ones((32, 32), bool)
    shares = [holed(rng, valid, AugmentConfig(holes=1)).mean() for _ in range(50)]
    assert valid.all()
    assert max(shares) < 1
    assert holed(rng, valid, AugmentConfig(holes=0)) is valid


def test_held_out_windows_cover_every_pixel_once(labels):
    places = tuple(grid(labels.members, 64, 1000))
    here, _ = training(labels)
    held = HeldOut(Windows(labels.members, 10**8), places, here.preparing, 32)
    counts = [np.zeros(m.shape, int) for m in labels.members]
    for number in range(len(held)):
        image, part, patch = held.at(number)
        place, window = places[number]
        assert image.shape[-1] % 32 == 0
        assert image[0, 0][part].shape == patch.labels.shape == window.shape
        seen = torch.from_numpy(patch.valid)
        values = here.preparing.values(patch)
        torch.testing.assert_close(
            image[0][:, *part][:, seen], here.preparing.transform.torch_(values)[:, seen], rtol=1e-5, atol=1e-5
        )
        counts[place][window.within(Window(0, 0, *labels.members[place].shape))] += 1
    assert all((count == 1).all() for count in counts)
    assert len(grid(labels.members, 16, 10)) == 10


def test_bands_of_a_flat_image_can_be_divided_by():
    assert (bands_of(np.zeros((2, 5), np.float32)).std > 0).all()
    assert isinstance(bands_of(np.zeros((2, 5), np.float32)), Bands)
