"""Train and score the two shipped demo networks: ``python -m geoseg.training.shipped.demo landcover|uav|score``.

The facts below are the ones that the shipped folders' item and card state. Training uses generated scenes of other
seeds than the shipped demo's; scoring uses the demo's own.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from sklearn.ensemble import RandomForestClassifier

from geoseg.demo.catalog import SHAPE, UAV_SHAPE
from geoseg.demo.classes import LANDCOVER, UAV, DemoClass
from geoseg.demo.noise import Floats
from geoseg.models.networks.small_unet import SmallUNet
from geoseg.training.shipped.fit import Recipe, fit, predict
from geoseg.training.shipped.samples import Sample, first_clear, landcover_dates, landcover_samples, median, uav_sample

_LOG = logging.getLogger(__name__)
_BUILTIN = Path(__file__).parents[2] / "models" / "builtin"
DEMO_SEED = 7


@dataclass(frozen=True, slots=True)
class DemoModel:
    """Facts of one shipped network.

    Attributes:
        name: Folder under the built-in models.
        bands: Input bands in order.
        mean: Z-score constants per band: reflectance, or 0 to 255 for RGB.
        std: Z-score constants per band.
        classes: Class table.
        widths: Argument of the network.
        seeds: Landscapes trained on.
        shape: Rows and columns of each.
        recipe: How it was trained.
    """

    name: str
    bands: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[DemoClass, ...]
    seeds: tuple[int, ...]
    shape: tuple[int, int]
    widths: tuple[int, int, int] = (32, 64, 96)
    recipe: Recipe = field(default_factory=Recipe)

    @property
    def weights(self) -> Path:
        """The shipped weights."""
        return _BUILTIN / self.name / "model.safetensors"

    def network(self) -> SmallUNet:
        """A network of this model with random weights."""
        return SmallUNet(len(self.bands), len(self.classes), self.widths)


MODELS = {
    "landcover": DemoModel(
        name="demo-landcover",
        bands=("B02", "B03", "B04", "B08", "B11", "B12"),
        mean=(0.040, 0.069, 0.064, 0.295, 0.203, 0.126),
        std=(0.018, 0.022, 0.034, 0.075, 0.058, 0.050),
        classes=LANDCOVER,
        seeds=tuple(range(101, 109)),
        shape=(1024, 1024),
    ),
    "uav": DemoModel(
        name="demo-uav",
        bands=("red", "green", "blue"),
        mean=(96.0, 106.0, 65.0),
        std=(37.0, 33.0, 28.0),
        classes=UAV,
        seeds=tuple(range(201, 213)),
        shape=(1280, 1280),
        recipe=Recipe(steps=600),
    ),
}


def train(model: DemoModel, folder: Path) -> Path:
    """Train one model and write ``model.safetensors``.

    Args:
        model: What to train.
        folder: Where to write; made if it does not exist.

    Returns:
        The file.
    """
    torch.manual_seed(model.recipe.seed)
    torch.use_deterministic_algorithms(True)
    samples = list(_samples(model))
    network = fit(model.network(), samples, model.mean, model.std, model.recipe)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.safetensors"
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, path, metadata={"format": "pt"})
    _LOG.info("%s: %d bytes", path, path.stat().st_size)
    return path


def score(model: DemoModel, weights: Path) -> None:
    """Log how the network and a per-pixel random forest agree with the truth of the shipped demo."""
    network = model.network()
    network.load_state_dict(load_file(weights))
    network = network.to(memory_format=torch.channels_last).eval()
    for title, sample in _demo_samples(model):
        valid = sample.valid
        found = predict(network, sample.values, model.mean, model.std)
        forest = forest_classes(sample)
        _LOG.info(
            "%s, %s: network %.2f %%, random forest %.2f %% of %d pixels",
            model.name, title, *(100 * float((m[valid] == sample.truth[valid]).mean()) for m in (found, forest)),
            int(valid.sum()),
        )  # fmt: skip
        for item in model.classes:
            its = valid & (sample.truth == item.index)
            union = valid & ((sample.truth == item.index) | (found == item.index))
            hit = its & (found == item.index)
            _LOG.info(
                "  %-12s share %5.2f %%, recall %5.1f %%, IoU %5.1f %%, forest's recall %5.1f %%", item.name,
                100 * its.sum() / valid.sum(), 100 * hit.sum() / its.sum(), 100 * hit.sum() / union.sum(),
                100 * (forest[its] == item.index).mean(),
            )  # fmt: skip


def forest_classes(sample: Sample, count: int = 50_000) -> NDArray[np.uint8]:
    """What a random forest, trained on ``count`` pixels of the sample itself, makes of every pixel alone."""
    valid = sample.valid
    pixels, truth = sample.values[:, valid].T, sample.truth[valid]
    chosen = np.random.default_rng(0).choice(len(truth), min(count, len(truth)), replace=False)
    forest = RandomForestClassifier(100, min_samples_leaf=3, n_jobs=2, random_state=0)
    forest.fit(pixels[chosen], truth[chosen])
    result = np.full(sample.truth.shape, 255, np.uint8)
    result[valid] = forest.predict(pixels)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m geoseg.training.shipped.demo", description=__doc__)
    parser.add_argument("task", choices=[*MODELS, "score"])
    parser.add_argument("--out", type=Path, help="folder for model.safetensors (default: the shipped model's)")
    parser.add_argument("--threads", type=int, default=1, help="threads of one forward pass")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    if options.task == "score":
        for model in MODELS.values():
            score(model, model.weights)
        return
    model = MODELS[options.task]
    score(model, train(model, options.out or model.weights.parent))


def _samples(model: DemoModel) -> Iterable[Sample]:
    for seed in model.seeds:
        _LOG.info("%s: making scene of seed %d", model.name, seed)
        if model.classes is UAV:
            yield uav_sample(seed, model.shape)
        else:
            yield from landcover_samples(seed, model.shape, model.bands)


def _demo_samples(model: DemoModel) -> Iterable[tuple[str, Sample]]:
    if model.classes is UAV:
        yield "orthomosaic", uav_sample(DEMO_SEED, UAV_SHAPE)
        return
    dates, truth = landcover_dates(DEMO_SEED, SHAPE, model.bands)
    composites: dict[str, Floats] = {"least cloudy": first_clear(dates), "median": median(dates)}
    for title, values in composites.items():
        yield title, Sample(values, truth)


if __name__ == "__main__":
    main()
