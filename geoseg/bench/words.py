"""What prompts are worth: ``python -m geoseg.bench words``, or some of its parts by name.

Generated patches are pairs of a colour and a texture. A network that was trained without some of the pairs is asked for all
of them on scenes that mix all of them, so that every pair has neighbours that differ in one word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from geoseg.bench.words_pairs import measure_pairs
from geoseg.bench.words_scenes import (
    PAIRS,
    SEEN,
    UNSEEN,
    Subject,
    false_areas,
    iou_by_pair,
    mean_over,
    mixed_scenes,
    shipped_subject,
)
from geoseg.demo.attributes import Attributes
from geoseg.training.shipped.words_fit import pair_phrases
from geoseg.words import STEPS

#: Steps that the shipped model does without, each with what it would be.
ADDED: tuple[dict[str, Any], ...] = (
    {"bias": 0.3},
    {"generic": ("smooth", "rough", "town")},
    {"templates": ("{}", "a satellite image of {}")},
)

type Say = Callable[[str], object]
_SCENES = 4
#: Steps of the algorithm that are left out, one row each.
ABLATED: tuple[tuple[str, ...], ...] = ((), ("mixing",), ("gate",), ("reject",), ("guide",), STEPS)


def measure_words(folder: Path, data: Path, parts: Sequence[str], seeds: int, say: Say) -> None:
    """Measure and print.

    Args:
        folder: For runs.
        data: The shared data, with the weights of Dynamic World.
        parts: Their names: pairs, steps, absent, order, land, second, examples; all where it is empty.
        seeds: Networks that are trained for ``pairs``.
        say: Takes the text.
    """
    from geoseg.bench.words_examples import measure_examples  # noqa: PLC0415  # needs data
    from geoseg.bench.words_land import measure_land  # noqa: PLC0415  # the whole road
    from geoseg.bench.words_second import measure_second  # noqa: PLC0415  # needs transformers

    made: Mapping[str, Callable[[], None]] = {
        "pairs": lambda: measure_pairs(folder, seeds, say),
        "steps": lambda: measure_steps(shipped_subject(), say),
        "absent": lambda: measure_absent(shipped_subject(), say),
        "order": lambda: measure_order(shipped_subject(), say),
        "land": lambda: measure_land(folder, say),
        "second": lambda: measure_second(folder, say),
        "examples": lambda: measure_examples(data, say),
    }
    for part in parts or made:
        made[part]()


def measure_steps(subject: Subject, say: Say) -> None:
    """The shipped model, with steps of the algorithm left out, and with steps that it does without."""
    scenes = mixed_scenes(101, _SCENES)
    say("\n| steps | seen mIoU | unseen mIoU | false area per absent prompt |\n| --- | ---: | ---: | ---: |\n")
    rows: list[tuple[str, Subject, tuple[str, ...]]]
    rows = [(f"without {', '.join(without)}" if without else "as shipped", subject, without) for without in ABLATED]
    for change in ADDED:
        ((name, value),) = change.items()
        rows.append((f"with {name} {value}", replace(subject, settings=replace(subject.settings, **change)), ()))
    every = replace(subject, names=tuple(", ".join(pair_phrases(pair)) for pair in PAIRS))
    rows.append(("with all synonyms of each pair", every, ()))
    for title, asked, without in rows:
        ious = _ious(asked, scenes, without)
        false = false_areas(asked, 200, 6, without)
        say(f"| {title} | {mean_over(ious, SEEN):.3f} | {mean_over(ious, UNSEEN):.3f} | {100 * false:.3f} % |\n")


def measure_absent(subject: Subject, say: Say) -> None:
    """False area of prompts for what a scene lacks: all pairs are asked for, a few are there."""
    gated, plain = (100 * false_areas(subject, 300, 10, without) for without in ((), ("gate",)))
    say(f"\nabsent prompts, mean area each on 10 scenes of 6 pairs with all {len(PAIRS)} asked for: ")
    say(f"{gated:.3f} % with the gate, {plain:.3f} % without it ({plain / max(gated, 1e-9):.1f} times)\n")


def measure_order(subject: Subject, say: Say) -> None:
    """Whether the order of prompts changes a pixel."""
    scene, rng = mixed_scenes(400, 1)[0], np.random.default_rng(4)
    first = subject.ask(scene, PAIRS)
    same = [bool((subject.ask(scene, rng.permutation(PAIRS).tolist()) == first).all()) for _ in range(3)]
    say(f"\norder of prompts: {sum(same)} of {len(same)} permutations give the same map\n")


def _ious(subject: Subject, scenes: Sequence[Attributes], without: Sequence[str] = ()) -> Mapping[int, float]:
    return iou_by_pair([subject.ask(scene, PAIRS, without) for scene in scenes], scenes)
