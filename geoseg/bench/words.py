"""What prompts are worth: ``python -m geoseg.bench words``, or some of its parts by name.

Generated patches are pairs of a colour and a texture. A network that was trained without some of the pairs is asked for all
of them on scenes that mix all of them, so that every pair has neighbours that differ in one word.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from geoseg.bench.words_scenes import (
    PAIRS,
    SEEN,
    UNSEEN,
    Subject,
    guesses,
    iou_by_pair,
    mean_over,
    mixed_scenes,
    shipped_subject,
    train_subject,
)
from geoseg.demo.attributes import TEXTURES, Attributes
from geoseg.words import STEPS

type Say = Callable[[str], object]
_SCENES, _STEPS = 4, 300
#: Steps of the algorithm that are left out, one row each.
ABLATED: tuple[tuple[str, ...], ...] = ((), ("mixing",), ("gate",), ("reject",), ("guide",), STEPS)


def measure_words(folder: Path, data: Path, parts: Sequence[str], seeds: int, say: Say) -> None:
    """Measure and print.

    Args:
        folder: For runs.
        data: The shared data, with the weights of Dynamic World.
        parts: Of ``PARTS``; all where it is empty.
        seeds: Networks that are trained for ``pairs``.
        say: Takes the text.
    """
    from geoseg.bench.words_examples import measure_examples  # noqa: PLC0415  # needs data
    from geoseg.bench.words_second import measure_second  # noqa: PLC0415  # needs transformers

    made: Mapping[str, Callable[[], None]] = {
        "pairs": lambda: measure_pairs(seeds, say),
        "steps": lambda: measure_steps(shipped_subject(), say),
        "absent": lambda: measure_absent(shipped_subject(), say),
        "order": lambda: measure_order(shipped_subject(), say),
        "second": lambda: measure_second(folder, say),
        "examples": lambda: measure_examples(data, say),
    }
    for part in parts or made:
        made[part]()


def measure_pairs(seeds: int, say: Say) -> None:
    """Networks of several seeds and what they make of pairs that they were not shown, beside guessers and the control."""
    rows: list[tuple[float, ...]] = []
    for seed in range(1, seeds + 1):
        scenes = mixed_scenes(seed, _SCENES)
        rng = np.random.default_rng(seed)
        told = [_ious(train_subject(seed, _STEPS, private=private), scenes) for private in (False, True)]
        told += [iou_by_pair(guesses(scenes, part, rng), scenes) for part in ("colour", "texture")]
        rows.append(tuple(mean_over(ious, pairs) for ious in told for pairs in (SEEN, UNSEEN)))
        say(f"seed {seed}: seen {rows[-1][0]:.3f}, unseen {rows[-1][1]:.3f}; private words: unseen {rows[-1][3]:.3f}\n")
    say(f"\npairs: {len(SEEN)} seen, {len(UNSEEN)} unseen, all {len(PAIRS)} offered on the same {_SCENES} scenes; ")
    say(f"{_STEPS} steps, {seeds} seeds\n\n| who | seen mIoU | unseen mIoU |\n| --- | ---: | ---: |\n")
    columns = list(zip(*rows, strict=True))
    for title, at in (("words", 0), ("a private word for each pair", 2), ("colour only", 4), ("texture only", 6)):
        say(f"| {title} | {_spread(columns[at])} | {_spread(columns[at + 1])} |\n")
    ratios = [row[1] / row[0] for row in rows]
    over = [row[1] / max(row[5], row[7]) for row in rows]
    say(f"\nunseen / seen: {_spread(ratios)}; unseen / the better guesser: {_spread(over)}\n")


def measure_steps(subject: Subject, say: Say) -> None:
    """The shipped model, with steps of the algorithm left out."""
    scenes = mixed_scenes(101, _SCENES)
    few = [scene for seed in range(6) for scene in mixed_scenes(200 + seed, 1, _few(seed))]
    say("\n| left out | seen mIoU | unseen mIoU | false area per absent prompt |\n| --- | ---: | ---: | ---: |\n")
    for without in ABLATED:
        ious = _ious(subject, scenes, without)
        false = np.mean([_false_area(subject, scene, _few(seed), without) for seed, scene in enumerate(few)])
        numbers = f"{mean_over(ious, SEEN):.3f} | {mean_over(ious, UNSEEN):.3f} | {100 * false:.2f} %"
        say(f"| {', '.join(without) or 'nothing'} | {numbers} |\n")


def measure_absent(subject: Subject, say: Say) -> None:
    """False area of prompts for what a scene lacks: all pairs are asked for, a few are there."""
    found = {}
    for without in ((), ("gate",)):
        scenes = [(_few(seed), mixed_scenes(300 + seed, 1, _few(seed))[0]) for seed in range(10)]
        found[without] = [_false_area(subject, scene, there, without) for there, scene in scenes]
    gated, plain = (100 * float(np.mean(found[key])) for key in ((), ("gate",)))
    say(f"\nabsent prompts, mean area each on 10 scenes of 6 pairs with all {len(PAIRS)} asked for: ")
    say(f"{gated:.3f} % with the gate, {plain:.3f} % without it ({plain / max(gated, 1e-9):.1f} times)\n")


def measure_order(subject: Subject, say: Say) -> None:
    """Whether the order of prompts changes a pixel."""
    scene, rng = mixed_scenes(400, 1)[0], np.random.default_rng(4)
    first = subject.ask(scene, PAIRS)
    same = [bool((subject.ask(scene, rng.permutation(PAIRS).tolist()) == first).all()) for _ in range(3)]
    say(f"\norder of prompts: {sum(same)} of {len(same)} permutations give the same map\n")


def _few(seed: int) -> tuple[int, ...]:
    """Six pairs, of all colours, and textures as they come."""
    textures = np.random.default_rng([seed, 6]).integers(0, len(TEXTURES), 6)
    return tuple(int(colour * len(TEXTURES) + texture) for colour, texture in enumerate(textures))


def _false_area(subject: Subject, scene: Attributes, there: Sequence[int], without: Sequence[str]) -> float:
    """Mean share of a scene that goes to a prompt for a pair that it lacks."""
    told = subject.ask(scene, PAIRS, without)
    absent = [pair for pair in PAIRS if pair not in there]
    return float(np.mean([(told == pair).mean() for pair in absent]))


def _ious(subject: Subject, scenes: Sequence[Attributes], without: Sequence[str] = ()) -> Mapping[int, float]:
    return iou_by_pair([subject.ask(scene, PAIRS, without) for scene in scenes], scenes)


def _spread(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{statistics.fmean(values):.3f} ({low:.3f} to {high:.3f})"
