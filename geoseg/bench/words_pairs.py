"""Pairs of words that were never shown, beside guessers and a control, over several trainings."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geoseg.bench.words_scenes import (
    PAIRS,
    SEEN,
    UNSEEN,
    Subject,
    false_areas,
    guesses,
    iou_by_pair,
    mean_over,
    mixed_scenes,
    train_subject,
)
from geoseg.demo.attributes import OTHER, TEXTURES, Attributes
from geoseg.store import digest_of
from geoseg.words.plan import WORDS_VERSION

_SCENES, _STEPS, _ABSENT_SCENES = 4, 300, 6
#: Their mixing of classes is not trained: it adds nothing measurable to the shipped model, and half of the time.
_WITHOUT = ("mixing",)
_GUESSERS = ("colour", "texture")


@dataclass(frozen=True, slots=True)
class Row:
    """What one seed gave: mean IoU of the pairs that were shown, and of those that were not.

    Attributes:
        words: Of the network that was taught words.
        private: Of the network that was taught a word of its own for each pair.
        colour: Of who sees colours and guesses textures.
        texture: The reverse.
        mistaken: Shares of the pixels of pairs that were not shown: found, only the colour right, only the texture right,
            neither, given to no prompt.
        gated: Mean share of a scene that goes to an absent prompt.
        plain: The same without the gate.
    """

    words: tuple[float, float]
    private: tuple[float, float]
    colour: tuple[float, float]
    texture: tuple[float, float]
    mistaken: tuple[float, ...]
    gated: float
    plain: float


def measure_pairs(folder: Path, seeds: int, say: Callable[[str], object]) -> None:
    """Train networks of several seeds and print what they make of pairs that they were not shown.

    Args:
        folder: For a folder of each seed: trained networks and what they scored are taken from there if they are there.
        seeds: How many.
        say: Takes the text.
    """
    rows = []
    for seed in range(1, seeds + 1):
        rows.append(_row(folder / f"seed-{seed}", seed))
        row = rows[-1]
        say(
            f"seed {seed}: seen {row.words[0]:.3f}, unseen {row.words[1]:.3f}; private words: unseen {row.private[1]:.3f}; "
        )
        say(f"absent prompts {100 * row.gated:.3f} % with the gate, {100 * row.plain:.3f} % without\n")
    say(f"\npairs: {len(SEEN)} seen, {len(UNSEEN)} unseen, all {len(PAIRS)} offered on the same {_SCENES} scenes; ")
    say(f"{_STEPS} steps, {seeds} seeds, mean (lowest to highest)\n\n")
    say("| who | seen mIoU | unseen mIoU |\n| --- | ---: | ---: |\n")
    told = {
        "words": "words",
        "private": "a private word for each pair",
        "colour": "colour only",
        "texture": "texture only",
    }
    for name, title in told.items():
        seen, unseen = zip(*(getattr(row, name) for row in rows), strict=True)
        say(f"| {title} | {_spread(seen)} | {_spread(unseen)} |\n")
    ratios = [row.words[1] / row.words[0] for row in rows]
    over = [row.words[1] / max(row.colour[1], row.texture[1]) for row in rows]
    say(f"\nunseen / seen: {_spread(ratios)}; unseen / the better guesser: {_spread(over)}\n")
    kinds = ("found", "only the colour right", "only the texture right", "neither", "given to no prompt")
    shares = (100 * statistics.fmean(row.mistaken[at] for row in rows) for at in range(len(kinds)))
    say(
        f"pixels of unseen pairs: {', '.join(f'{kind} {share:.1f} %' for kind, share in zip(kinds, shares, strict=True))}\n"
    )
    gated, plain = (
        [100 * value for value in values] for values in zip(*((r.gated, r.plain) for r in rows), strict=True)
    )
    less = min(without / max(with_gate, 1e-9) for with_gate, without in zip(gated, plain, strict=True))
    say(f"absent prompts on {_ABSENT_SCENES} scenes of 6 pairs: {_spread(gated)} % with the gate, ")
    say(f"{_spread(plain)} % without it; at least {less:.0f} times less\n")


def _row(folder: Path, seed: int) -> Row:
    """Of one seed; kept beside its networks, for as long as scores are read in the same way."""
    words, private = (train_subject(seed, _STEPS, private=is_private, folder=folder) for is_private in (False, True))
    made_by = digest_of([WORDS_VERSION, words.settings.to_json(), private.settings.to_json(), _SCENES, _ABSENT_SCENES])
    kept = folder / "row.json"
    if kept.is_file() and (found := json.loads(kept.read_text(encoding="utf-8")))["made_by"] == made_by:
        return Row(**found["row"])
    row = _measured(seed, words, private)
    kept.write_text(json.dumps({"made_by": made_by, "row": asdict(row)}), encoding="utf-8")
    return row


def _measured(seed: int, words: Subject, private: Subject) -> Row:
    scenes = mixed_scenes(seed, _SCENES)
    maps = [words.ask(scene, PAIRS, _WITHOUT) for scene in scenes]
    rng = np.random.default_rng(seed)
    colour, texture = (_both(iou_by_pair(guesses(scenes, part, rng), scenes)) for part in _GUESSERS)
    return Row(
        words=_both(iou_by_pair(maps, scenes)),
        private=_both(iou_by_pair([private.ask(scene, PAIRS, _WITHOUT) for scene in scenes], scenes)),
        colour=colour,
        texture=texture,
        mistaken=_mistaken(maps, scenes),
        gated=false_areas(words, 1000 * seed, _ABSENT_SCENES, _WITHOUT),
        plain=false_areas(words, 1000 * seed, _ABSENT_SCENES, (*_WITHOUT, "gate")),
    )


def _both(ious: Mapping[int, float]) -> tuple[float, float]:
    return mean_over(ious, SEEN), mean_over(ious, UNSEEN)


def _mistaken(maps: Sequence[NDArray[np.uint8]], scenes: Sequence[Attributes]) -> tuple[float, ...]:
    """See ``Row.mistaken``."""
    truth, told = np.stack([scene.truth for scene in scenes]), np.stack(maps)
    asked = np.isin(truth, UNSEEN)
    truth, told = truth[asked].astype(int), told[asked].astype(int)
    (colour, texture), (own_colour, own_texture) = np.divmod(truth, len(TEXTURES)), np.divmod(told, len(TEXTURES))
    none = told == OTHER
    same = (colour == own_colour) & ~none, (texture == own_texture) & ~none
    kinds = same[0] & same[1], same[0] & ~same[1], same[1] & ~same[0], ~same[0] & ~same[1] & ~none, none
    return tuple(float(kind.mean()) for kind in kinds)


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
