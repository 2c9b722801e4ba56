"""What a user writes: prompts, each a class with its synonyms."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from geoseg.errors import RequestError

#: Class 0 of a map of prompts.
BACKGROUND = "background"
#: Most classes of a map, background included, and most phrases: each is a map of scores while a tile is computed.
MOST_CLASSES, MOST_PHRASES = 64, 200
#: Most phrases, those of the background included, and classes of examples together: each has a number of a byte.
MOST_ANSWERS = 255
_WORD = re.compile(r"[^\W\d_]+")
#: Words that join others and mean no thing.
_JOINING = frozenset(("a", "an", "and", "at", "by", "from", "in", "of", "on", "or", "some", "the", "to", "with"))


@dataclass(frozen=True, slots=True)
class Prompt:
    """A class in words.

    Attributes:
        text: As the user wrote it.
        synonyms: Phrases that mean it, the first one names the class; in the user's order.
    """

    text: str
    synonyms: tuple[str, ...]

    @property
    def name(self) -> str:
        """What the class is called."""
        return self.synonyms[0]

    @property
    def meaning(self) -> tuple[str, ...]:
        """What pixels depend on: the phrases in an order that is nobody's, in lower case."""
        return tuple(sorted({phrase.casefold() for phrase in self.synonyms}))


def parse_prompts(texts: Sequence[str]) -> tuple[Prompt, ...]:
    """Prompts in an order that does not depend on that in which they were given.

    Args:
        texts: Each a phrase, or several with commas between them that mean the same.

    Raises:
        RequestError: If one is empty, two mean the same, or there are too many.
    """
    prompts = []
    for text in texts:
        phrases = tuple(dict.fromkeys(" ".join(part.split()) for part in text.split(",") if part.strip()))
        if not phrases:
            raise RequestError(f"--prompt {text!r}", "a word or several, such as 'forest, trees'", "write what to find")
        prompts.append(Prompt(", ".join(phrases), phrases))
    prompts.sort(key=lambda prompt: prompt.meaning)
    seen: dict[str, str] = {}
    for prompt in prompts:
        for phrase in prompt.meaning:
            if phrase == BACKGROUND:
                raise RequestError(
                    f"a class {phrase!r}",
                    "another name: what is none of the classes is called so",
                    "call it 'other land', for instance",
                )
            if phrase in seen:
                raise RequestError(
                    f"--prompt {prompt.text!r} and --prompt {seen[phrase]!r}, which share {phrase!r}",
                    "a phrase in one prompt only",
                    "drop it from one of them",
                )
            seen[phrase] = prompt.text
    if len(prompts) >= MOST_CLASSES or len(seen) > MOST_PHRASES:
        raise RequestError(
            f"{len(prompts)} prompts of {len(seen)} phrases",
            f"less than {MOST_CLASSES} prompts, {MOST_PHRASES} phrases at most",
            "ask for fewer at a time: image features are kept, a second run is quick",
        )
    return tuple(prompts)


def unknown_words(phrase: str, vocabulary: Collection[str]) -> tuple[str, ...]:
    """The words of a phrase that a vocabulary lacks; words that only join others are not missed."""
    words = _WORD.findall(phrase.casefold())
    missing = tuple(word for word in words if word not in vocabulary and word not in _JOINING)
    return missing or (() if any(word in vocabulary for word in words) else (phrase,))
