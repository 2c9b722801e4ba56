"""The change network of a configuration, trained from several seeds, beside detectors without weights, on generated pairs."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import yaml
from numpy.typing import NDArray

from geoseg.bench.change import Pair, confusion_of, corrected, found_by
from geoseg.bench.context import describe_machine
from geoseg.change.detectors import DETECTORS
from geoseg.demo.pairs import Nuisances, PairLand, make_pair_land
from geoseg.evaluation.confusion import Confusion
from geoseg.evaluation.tables import aligned
from geoseg.labels.config import read_yaml
from geoseg.models import resolve
from geoseg.models.network import Network, load_network
from geoseg.predict.tensors import Tensors
from geoseg.settings import Settings

type Say = Callable[[str], object]
type Changes = Mapping[str, Mapping[str, object]]
type Finder = Callable[[Pair], NDArray[np.bool_]]

#: Landscapes of the tests: seeds that no configuration trains on.
_FIRST_SEED, _LANDSCAPES, _SHAPE = 9001, 3, (384, 384)
_STRENGTHS = (0.5, 1.0, 2.0)
_POST = "post-classification, demo-landcover"
_TRAINED = "trained network"


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        number: From 0; the seed of the training, and which landscapes it is tested on.
        network: What came out.
        seconds: From the command to the model folder; ``None`` where it was there.
    """

    number: int
    network: Network
    seconds: float | None

    @property
    def seeds(self) -> range:
        """Landscapes of its test."""
        first = _FIRST_SEED + self.number * _LANDSCAPES
        return range(first, first + _LANDSCAPES)


def measure_trained(config: Path, runs: int, folder: Path, changes: Changes, say: Say) -> None:
    """Train, test, and print both tables.

    Args:
        config: Of a training with two dates.
        runs: How many.
        folder: Where runs go; trainings that are there are not made again.
        changes: Fields of the configuration that are to be different: block to field to value. The detectors without weights
            are left out of the tables then.
        say: Prints.

    Raises:
        GeosegError: If a training fails.
    """
    other = (f", {name} {value}" for fields in changes.values() for name, value in fields.items())
    say(f"{config.name}{''.join(other)}; {describe_machine()}\n\n")
    trained = [_trained(config, number, folder, changes) for number in range(runs)]
    bands = trained[0].network.spec.bands
    made = [f"{run.seconds:.0f} s" for run in trained if run.seconds is not None]
    say(f"trainings: {', '.join(made) or 'all were there'}; generating the scenes included\n\n")
    finders = {} if changes else _finders()  # what a change of the training does not change
    _tell_f1(trained, finders, bands, say)
    _tell_nuisances(trained, finders, bands, say)


def _trained(config: Path, number: int, folder: Path, changes: Changes) -> Run:
    document = read_yaml(config)
    document["seed"] = number + 1
    name = f"run-{number}"
    for block, fields in changes.items():
        document[block] = {**document.get(block, {}), **fields}
        name += "".join(f"-{field}-{value}".replace(":", "-") for field, value in fields.items())
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    out = folder / name
    model = out / "model"
    was_there = model.exists()
    start = time.perf_counter()
    command = [sys.executable, "-m", "geoseg", "train", str(path), "--out", str(out), "--resume"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # our own words
    took_s = time.perf_counter() - start
    return Run(number, load_network(resolve(str(model), cache=Settings().cache)), None if was_there else took_s)


def pairs_of(seeds: Sequence[int], bands: tuple[str, ...], nuisances: Nuisances, *, same: bool) -> Iterator[Pair]:
    """Test pairs, aligned as a job aligns them.

    Args:
        seeds: Landscapes.
        bands: Of Sentinel-2.
        nuisances: How strongly dates differ where the land is the same.
        same: Whether nothing changed.
    """
    for seed in seeds:
        land = _land(seed)
        before, after = land.images(bands, nuisances, 0, same=same)
        truth = np.where(land.changed & (not same), np.uint8(1), np.uint8(0))
        yield corrected(Pair(f"seed {seed}", before, after, np.ones(truth.shape, bool), bands, truth))


@lru_cache(maxsize=32)
def _land(seed: int) -> PairLand:
    return make_pair_land(seed, _SHAPE)


def found_by_network(network: Network, pair: Pair) -> NDArray[np.bool_]:
    """Where a network sees change."""
    rows, cols = pair.valid.shape
    stride = network.spec.stride_px
    spare = ((0, 0), (0, -rows % stride), (0, -cols % stride))
    values = np.pad(np.concatenate([pair.before, pair.after]), spare)
    valid = np.pad(pair.valid, spare[1:])
    found: NDArray[np.bool_] = _classes(network, values, valid)[:rows, :cols] > 0
    return found & pair.valid


def _finders() -> dict[str, Finder]:
    """All that needs no training of its own; a land-cover model on both dates is one of them."""
    landcover = load_network(resolve("demo-landcover", cache=Settings().cache))

    def compared(pair: Pair) -> NDArray[np.bool_]:
        classes = [_classes(landcover, image, pair.valid) for image in (pair.before, pair.after)]
        differs: NDArray[np.bool_] = (classes[0] != classes[1]) & pair.valid
        return differs

    plain: dict[str, Finder] = {name: partial(found_by, name) for name in DETECTORS}
    return {**plain, _POST: compared}


def _classes(network: Network, image: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The most probable class of each pixel of an image (channel, rows, cols)."""
    arrays = Tensors("cpu")
    scores = network.scores(arrays.put(np.nan_to_num(image)[None]), arrays.put(valid[None]))
    classes: NDArray[np.int64] = arrays.get(scores[0]).argmax(axis=0)
    return classes


def _tell_f1(runs: Sequence[Run], finders: Mapping[str, Finder], bands: tuple[str, ...], say: Say) -> None:
    """F1 of change, run by run; each on landscapes of its own."""
    found: dict[str, list[float]] = {name: [] for name in (_TRAINED, *finders)}
    for run in runs:
        tested = list(pairs_of(run.seeds, bands, Nuisances(), same=False))
        asked: dict[str, Finder] = {_TRAINED: partial(found_by_network, run.network), **finders}
        for name, finder in asked.items():
            counts = sum((confusion_of(pair, finder(pair)) for pair in tested), Confusion.nothing(2))
            found[name].append(counts.classes[1].f1 or 0.0)
    say(f"F1 of change, {_LANDSCAPES} landscapes of held-out seeds for each run, all nuisances at nominal strength\n\n")
    headers = ("detector", *(f"run {run.number}" for run in runs), "mean", "spread")
    rows = [(name, *_cells(values)) for name, values in found.items()]
    if finders:
        best = [max(found[name][at] for name in finders) for at in range(len(runs))]
        ahead = [ours - theirs for ours, theirs in zip(found[_TRAINED], best, strict=True)]
        rows.append(("ahead of the best of the others", *_cells(ahead)))
    for line in aligned(headers, rows):
        say(f"{line}\n")


def _cells(values: Sequence[float]) -> tuple[str, ...]:
    return (
        *(f"{value:.3f}" for value in values),
        f"{mean(values):.3f}",
        f"{stdev(values) if len(values) > 1 else 0:.3f}",
    )


def _tell_nuisances(runs: Sequence[Run], finders: Mapping[str, Finder], bands: tuple[str, ...], say: Say) -> None:
    """False area where nothing changed, by nuisance and strength; of the network over all runs, mean and worst."""
    seeds = runs[0].seeds
    headers = ("nuisance", "strength", f"{_TRAINED}, mean", "worst run", *finders)
    rows = []
    for name in (*Nuisances.names(), "all of them"):
        for strength in _STRENGTHS:
            nuisances = Nuisances.all(strength) if name == "all of them" else Nuisances.only(name, strength)
            tested = list(pairs_of(seeds, bands, nuisances, same=True))
            ours = [_false_share(tested, partial(found_by_network, run.network)) for run in runs]
            theirs = (_false_share(tested, finder) for finder in finders.values())
            numbers = (f"{100 * value:.3f}" for value in (mean(ours), max(ours), *theirs))
            rows.append((name, f"{strength:g}", *numbers))
    say(f"\nfalse area in percent where nothing changed, {len(seeds)} landscapes\n\n")
    for line in aligned(headers, rows):
        say(f"{line}\n")


def _false_share(pairs: Sequence[Pair], finder: Finder) -> float:
    """Share of the observed pixels that a detector calls changed."""
    return sum(int(finder(pair).sum()) for pair in pairs) / sum(int(pair.valid.sum()) for pair in pairs)
