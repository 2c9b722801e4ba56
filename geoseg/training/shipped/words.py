"""Train, measure and describe the shipped text-image model: ``python -m geoseg.training.shipped.words``.

It learns colours and textures from generated patches, without the pairs that are held out, and the names of land cover
from generated Sentinel-2 scenes of other seeds than the shipped demo's.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from geoseg.demo.attributes import COLOURS, OTHER, TEXTURES, held_out, make_attributes
from geoseg.demo.noise import Floats
from geoseg.models.networks.text_image.own import STRIDE, SmallWords
from geoseg.models.saving import save_model
from geoseg.models.spec import WORDS, ClassInfo, ModelSpec, WeightsRef
from geoseg.models.steps import Step
from geoseg.training.shipped.samples import landcover_samples
from geoseg.training.shipped.words_fit import (
    IGNORED,
    MEAN,
    STD,
    TEMPERATURE,
    Lesson,
    WordsRecipe,
    fit_words,
    pair_phrases,
)
from geoseg.words import WordSettings
from geoseg.words.scoring import strongholds

_LOG = logging.getLogger(__name__)
_BUILTIN = Path(__file__).parents[2] / "models" / "builtin"
NAME, BANDS = "small-words", ("B04", "B03", "B02")
RECIPE = WordsRecipe(steps=900)
#: How much the gate takes off, and the side in cells of the neighbourhood that it asks about.
GATE, GATE_SIDE = 2.0, 5
_THERE = 0.02  # share of a window from which a prompt should be found in it
#: Side of a window, and of the step from one to the next.
WINDOW_PX, STEP_PX = 128, 64
#: Names of the classes of generated land cover.
LAND: tuple[tuple[str, ...], ...] = (
    ("water", "river", "lake"),
    ("forest", "trees", "woodland"),
    ("grassland", "meadow", "pasture", "grass"),
    ("cropland", "crops", "fields", "farmland"),
    ("settlement", "houses", "buildings", "town"),
    ("gravel", "stones"),
    ("landslide", "scar"),
)
_LAND_SEEDS = (301, 302, 303)
_SCENES = 60
_EVERY = 97  # pixels of a class of which one may be the middle of a chip
_NOTE = (
    "small-words was trained on generated scenes alone and knows the words of its card; for real imagery use a large "
    "text-image model (docs/howto/words.md)"
)


def vocabulary() -> tuple[str, ...]:
    """All words that the model is taught."""
    groups = (*COLOURS, *TEXTURES, *LAND)
    return tuple(sorted({word for group in groups for word in group}))


def attribute_lessons(rng: np.random.Generator, side_px: int, pairs: Sequence[int], kinds: int = 3) -> Iterator[Lesson]:
    """Patches of colours and textures, asked for by pair; with three kinds also by colour or by texture alone."""
    scenes = [make_attributes(rng, (2 * side_px, 2 * side_px), pairs) for _ in range(_SCENES)]
    while True:
        scene = scenes[int(rng.integers(len(scenes)))]
        values, truth = _chip(rng, scene.values, scene.truth, side_px)
        kind = int(rng.integers(kinds))
        if kind == 0:
            yield values, truth, {number: pair_phrases(number) for number in pairs}
            continue
        part = truth // len(TEXTURES) if kind == 1 else truth % len(TEXTURES)
        names = dict(enumerate(COLOURS if kind == 1 else TEXTURES))
        yield values, np.where(truth == OTHER, OTHER, part).astype(np.uint8), names


def _chip(
    rng: np.random.Generator,
    values: Floats,
    truth: NDArray[np.uint8],
    side_px: int,
    holds: NDArray[np.int64] | None = None,
) -> tuple[Floats, NDArray[np.uint8]]:
    """A random square of a scene, or one that holds a pixel; turned at random, each band a little brighter or darker."""
    top, left = (int(rng.integers(length - side_px + 1)) for length in truth.shape)
    if holds is not None:
        offset = rng.integers(0, side_px, 2)
        top, left = (int(np.clip(v, 0, n - side_px)) for v, n in zip(holds - offset, truth.shape, strict=True))
    at = np.s_[top : top + side_px, left : left + side_px]
    turns = int(rng.integers(4))
    gains = (1 + 0.04 * rng.standard_normal((3, 1, 1))).astype(np.float32)
    return np.rot90(values[(slice(None), *at)], turns, (1, 2)) * gains, np.rot90(truth[at], turns).copy()


def land_lessons(rng: np.random.Generator, side_px: int, seeds: Sequence[int] = _LAND_SEEDS) -> Iterator[Lesson]:
    """Chips of generated Sentinel-2 scenes, as often of each class, however rare, asked for by the names of the classes."""
    samples = [sample for seed in seeds for sample in landcover_samples(seed, (768, 768), BANDS)]
    names = dict(enumerate(LAND))
    places = [
        [np.argwhere(sample.truth == value)[::_EVERY] for value in names if (sample.truth == value).sum() > _EVERY]
        for sample in samples
    ]
    while True:
        at = int(rng.integers(len(samples)))
        sample, wanted = samples[at], places[at][int(rng.integers(len(places[at])))]
        values, truth = _chip(rng, sample.values, sample.truth, side_px, wanted[int(rng.integers(len(wanted)))])
        seen = np.isfinite(values).all(axis=0)
        truth[~seen] = IGNORED
        values[:, ~seen] = MEAN
        yield values, truth, names


def _lessons(rng: np.random.Generator) -> Iterator[Lesson]:
    seen = [number for number in range(len(COLOURS) * len(TEXTURES)) if number not in held_out()]
    both = attribute_lessons(rng, RECIPE.chip_px, seen), land_lessons(rng, RECIPE.chip_px)
    while True:
        yield next(both[int(rng.random() < 0.5)])


def evidence(
    network: SmallWords, scenes: Iterator[Lesson], count: int, settings: WordSettings, words: Sequence[str] = ()
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the gate goes by, ``strongholds``, for prompts that a window lacks and for prompts that it has.

    Args:
        network: Trained.
        scenes: Windows.
        count: How many of them.
        settings: Of the scores.
        words: A prompt for each number, where it is not the first phrase of the lesson.
    """
    absent, present = [], []
    for _ in range(count):
        values, truth, names = next(scenes)
        with torch.inference_mode():
            features = network(torch.from_numpy(((values - MEAN) / STD).astype(np.float32))[None])[0]
            phrases = network.phrases([words[number] if words else names[number][0] for number in names])
            cosines = torch.einsum("dij,kd->kij", features, phrases)
            cosines = cosines + network.mixing(cosines, features.permute(1, 2, 0), phrases)
        rows, cols = cosines.shape[1:]
        seen = (truth != IGNORED).reshape(rows, STRIDE, cols, STRIDE).any(axis=(1, 3))
        for number, top in zip(names, strongholds(cosines.numpy(), seen, settings), strict=True):
            share = float((truth == number).mean())
            if share == 0:
                absent.append(float(top))
            elif share > _THERE:
                present.append(float(top))
    return np.array(absent), np.array(present)


def settings_of(
    network: SmallWords, seed: int = 77, names: Sequence[str] = (), known: Sequence[str] = ()
) -> WordSettings:
    """What scores of a network mean, from scenes that it was not trained on.

    Args:
        network: Trained.
        seed: Of the scenes.
        names: Prompt of each pair, where it is not that of ``pair_name``.
        known: Its vocabulary, where it is not the shipped one.
    """
    settings = WordSettings(
        temperature=TEMPERATURE,
        null=round(float(network.null.detach()), 4),
        gate=GATE,
        gate_side=GATE_SIDE,
        guide_scale=0.35,
        least=0.4,
        lead=0.05,
        vocabulary=tuple(known) or vocabulary(),
    )
    rng = np.random.default_rng(seed)
    pairs = [number for number in range(len(COLOURS) * len(TEXTURES)) if number not in held_out()]
    absent, present = evidence(network, attribute_lessons(rng, WINDOW_PX, pairs, 1), 60, settings, names)
    tau, scale = _between(absent, present)
    _LOG.info(
        "gate: %.3f, %.3f; patches reach it: %.3f without, %.3f with", tau, scale, *_reaching(tau, absent, present)
    )
    if not names:
        land = evidence(network, land_lessons(rng, WINDOW_PX, _LAND_SEEDS[:1]), 60, settings)
        _LOG.info("land cover reaches it: %.3f without, %.3f with", *_reaching(tau, *land))
    return replace(settings, gate_tau=round(tau, 3), gate_scale=round(scale, 3))


def _between(absent: NDArray[np.float64], present: NDArray[np.float64]) -> tuple[float, float]:
    """Where the gate opens, and over how much: what hardly any absent prompt reaches, or few present ones fail to."""
    low, high = float(np.quantile(absent, 0.99)), float(np.quantile(present, 0.05))
    return (low + high) / 2, max(0.02, abs(high - low) / 6)


def _reaching(tau: float, *found: NDArray[np.float64]) -> list[float]:
    return [float((values > tau).mean()) for values in found]


def spec_of(settings: WordSettings, recipe: WordsRecipe) -> ModelSpec:
    """The facts of the shipped model."""
    return ModelSpec(
        name=NAME,
        title="Words for generated scenes: colours, textures and land cover",
        licence="Apache-2.0",
        source="",
        bands=BANDS,
        quantity="reflectance",
        transform=(Step.of("zscore", mean=MEAN, std=STD),),
        classes=(ClassInfo(0, "background", "#e4e2dc"), ClassInfo(1, "prompt", "#0072b2")),
        kind="global",
        stride_px=STRIDE,
        cell_px=256,
        chip_px=WINDOW_PX,
        chip_step_px=STEP_PX,
        workspace_bytes_per_px=700.0,
        resolution_m=10.0,
        architecture="geoseg:small-words",
        hyperparameters={"width": recipe.width, "widths": list(recipe.widths), "tone_px": recipe.tone_px},
        head=WORDS,
        head_settings={key: value for key, value in settings.to_json().items() if value is not None},
        notes=(_NOTE,),
        weights=WeightsRef("weights.safetensors", "0" * 64, 1, "weights.safetensors", "safetensors"),
    )


def train(folder: Path, recipe: WordsRecipe = RECIPE) -> None:
    """Train the shipped model and write its folder; the card stays."""
    torch.manual_seed(recipe.seed)
    torch.use_deterministic_algorithms(True)
    _LOG.info("recipe: %s", asdict(recipe))
    untrained = SmallWords(len(BANDS), vocabulary(), recipe.width, recipe.widths, recipe.tone_px)
    network = fit_words(untrained, _lessons, recipe)
    made = save_model(folder, spec_of(settings_of(network), recipe), network)
    _LOG.info("%s: %d bytes of weights", folder, made.spec.weights.size_bytes)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m geoseg.training.shipped.words", description=__doc__)
    parser.add_argument("--out", type=Path, default=_BUILTIN / NAME, help="folder of the model")
    parser.add_argument("--steps", type=int, default=RECIPE.steps, help="gradient steps")
    parser.add_argument("--threads", type=int, default=1, help="threads of one forward pass")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    train(options.out, replace(RECIPE, steps=options.steps))


if __name__ == "__main__":
    main()
