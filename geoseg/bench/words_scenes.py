"""Prompts on generated scenes with truth: a network and its settings, the map of a scene, and scores by pair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from geoseg.demo.attributes import COLOURS, OTHER, TEXTURES, Attributes, held_out, make_attributes, pair_name
from geoseg.grid import Window
from geoseg.heads.base import Chips
from geoseg.heads.words import WordsHead
from geoseg.models import resolve
from geoseg.models.networks.text_image.loading import load_text_image
from geoseg.models.networks.text_image.own import OwnTextImage, SmallWords
from geoseg.predict.parts import taper_of
from geoseg.tiles import global_chips
from geoseg.training.shipped.words import (
    BANDS,
    NAME,
    STEP_PX,
    WINDOW_PX,
    attribute_lessons,
    settings_of,
    spec_of,
    vocabulary,
)
from geoseg.training.shipped.words_fit import Lesson, WordsRecipe, fit_words
from geoseg.words import FeatureCache, WordSettings, WordsPlan
from geoseg.words.scoring import Verdict, choose

PAIRS = tuple(range(len(COLOURS) * len(TEXTURES)))
UNSEEN = held_out()
SEEN = tuple(number for number in PAIRS if number not in UNSEEN)
SCENE_PX = 256
#: A word of its own for each pair, so that words tell nothing of pairs that were not shown.
PRIVATE = tuple("pair" + chr(97 + number // 26) + chr(97 + number % 26) for number in PAIRS)


@dataclass(frozen=True)
class Subject:
    """A network that was trained on generated scenes, and how its scores are read.

    Attributes:
        model: The network.
        settings: Of its scores.
        names: Prompt of each pair.
    """

    model: OwnTextImage
    settings: WordSettings
    names: tuple[str, ...]

    def ask(self, scene: Attributes, pairs: Sequence[int], without: Sequence[str] = ()) -> NDArray[np.uint8]:
        """The pair of each pixel of a scene, or ``OTHER``: windows on their lattice, blended, chosen from, as in a run."""
        plan = WordsPlan.of([self.names[number] for number in pairs], self.settings, without)
        of_class = {
            prompt.text: number for prompt in plan.prompts for number in pairs if self.names[number] == prompt.text
        }
        table = np.full(256, OTHER, np.uint8)
        table[1 : len(plan.prompts) + 1] = [of_class[prompt.text] for prompt in plan.prompts]
        return table[self.verdict(scene, plan).classes]

    def verdict(self, scene: Attributes, plan: WordsPlan) -> Verdict:
        """What is said of a scene's pixels."""
        head = WordsHead(lambda: self.model, self.model.stride_px, plan, FeatureCache(None, "", 0))
        shape = scene.truth.shape
        around = Window(-WINDOW_PX, -WINDOW_PX, shape[0] + WINDOW_PX, shape[1] + WINDOW_PX)
        values = np.pad(scene.values, ((0, 0), (WINDOW_PX,) * 2, (WINDOW_PX,) * 2))
        valid = np.pad(np.ones(shape, bool), WINDOW_PX)
        total = np.zeros((head.channels, *around.shape), np.float32)
        weight, taper = np.zeros(around.shape, np.float32), taper_of(WINDOW_PX)
        for chip in global_chips(Window(0, 0, *shape), WINDOW_PX, STEP_PX):
            at = chip.window.within(around)
            pixels = torch.from_numpy(values[(slice(None), *at)].copy())[None, None]
            made = head(Chips({"image": pixels}, torch.from_numpy(valid[at].copy())[None])).scores[0].numpy()
            total[(slice(None), *at)] += made * taper
            weight[at] += taper
        inside = np.s_[:, WINDOW_PX:-WINDOW_PX, WINDOW_PX:-WINDOW_PX]
        return choose(total[inside] / weight[inside[1:]], plan.owners, plan.settings)


def train_subject(seed: int, steps: int, *, private: bool = False, folder: Path | None = None) -> Subject:
    """A network trained on the pairs that are seen: on their words, or on a private word for each.

    Args:
        seed: Of weights and scenes.
        steps: Gradient steps of the encoders; the mixing of classes is left as it begins, which adds nothing.
        private: The control.
        folder: Where the weights are kept; what is there is not trained again.
    """
    recipe = WordsRecipe(steps=steps, mixing_steps=0, seed=seed)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    words = tuple(sorted(PRIVATE)) if private else vocabulary()
    network = SmallWords(len(BANDS), words, recipe.width, recipe.widths, recipe.tone_px)

    def lessons(rng: np.random.Generator) -> Iterator[Lesson]:
        kinds = 1 if private else 3
        for values, truth, names in attribute_lessons(rng, recipe.chip_px, SEEN, kinds):
            yield values, truth, {number: (PRIVATE[number],) for number in names} if private else names

    kept = None if folder is None else folder / f"{'private' if private else 'words'}-{steps}.safetensors"
    if kept is not None and kept.is_file():
        network.load_state_dict(load_file(kept))
        return subject_of(network.eval(), private=private)
    fit_words(network, lessons, recipe)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_file(network.state_dict(), kept.with_suffix(".part"))
        kept.with_suffix(".part").rename(kept)
    return subject_of(network, private=private)


def subject_of(network: SmallWords, settings: WordSettings | None = None, *, private: bool = False) -> Subject:
    """A trained network with what its scores mean, which is fitted on scenes of its own where it is not given."""
    names = PRIVATE if private else tuple(pair_name(number) for number in PAIRS)
    settings = settings or settings_of(network, names=names, known=tuple(sorted(PRIVATE)) if private else vocabulary())
    spec = spec_of(settings, WordsRecipe())
    return Subject(OwnTextImage(spec, network, "cpu"), settings, names)


def mixed_scenes(seed: int, count: int, pairs: Sequence[int] = PAIRS) -> list[Attributes]:
    """Scenes of some pairs that no training uses."""
    rng = np.random.default_rng([seed, 4711])
    return [make_attributes(rng, (SCENE_PX, SCENE_PX), pairs) for _ in range(count)]


def iou_by_pair(made: Sequence[NDArray[np.uint8]], scenes: Sequence[Attributes]) -> Mapping[int, float]:
    """Intersection over union of each pair that occurs."""
    found = {}
    truth = np.stack([scene.truth for scene in scenes])
    told = np.stack(made)
    for number in PAIRS:
        is_true, is_told = truth == number, told == number
        if is_true.any():
            found[number] = float((is_true & is_told).sum() / (is_true | is_told).sum())
    return found


def mean_over(ious: Mapping[int, float], pairs: Sequence[int]) -> float:
    """Mean over pairs."""
    return float(np.mean([ious[number] for number in pairs if number in ious]))


def few_pairs(seed: int) -> tuple[int, ...]:
    """Six pairs, of all colours, and textures as they come."""
    textures = np.random.default_rng([seed, 6]).integers(0, len(TEXTURES), 6)
    return tuple(int(colour * len(TEXTURES) + texture) for colour, texture in enumerate(textures))


def false_areas(subject: Subject, seed: int, count: int, without: Sequence[str] = ()) -> float:
    """Mean share of a scene of six pairs that goes to a prompt for a pair that it lacks, all pairs being asked for.

    Args:
        subject: Who is asked.
        seed: Of the first scene.
        count: Scenes.
        without: Steps that are left out.
    """
    shares = []
    for number in range(count):
        there = few_pairs(number)
        told = subject.ask(mixed_scenes(seed + number, 1, there)[0], PAIRS, without)
        shares += [float((told == pair).mean()) for pair in PAIRS if pair not in there]
    return float(np.mean(shares))


def guesses(scenes: Sequence[Attributes], part: str, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    """What one makes of scenes who knows the true colour of each pixel's patch and guesses the texture, or the reverse."""
    made = []
    for scene in scenes:
        colour, texture = np.divmod(scene.truth, len(TEXTURES))
        if part == "colour":
            texture = rng.integers(0, len(TEXTURES), texture.shape)
        else:
            colour = rng.integers(0, len(COLOURS), colour.shape)
        pair = (colour * len(TEXTURES) + texture).astype(np.uint8)
        made.append(np.where(scene.truth == OTHER, OTHER, pair).astype(np.uint8))
    return made


def shipped_subject() -> Subject:
    """The shipped model, with the settings of its item."""
    folder = resolve(NAME)
    model = load_text_image(folder)
    assert isinstance(model, OwnTextImage)  # noqa: S101  # it is
    settings = WordSettings.of(NAME, folder.spec.head_settings)
    return Subject(model, settings, tuple(pair_name(number) for number in PAIRS))
