"""What a job asks of a text-image model: prompts as numbered phrases, and what of the algorithm is done."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geoseg.models import ClassInfo
from geoseg.store import digest_of
from geoseg.words.prompts import BACKGROUND, Prompt, parse_prompts, unknown_words
from geoseg.words.settings import WordSettings

#: Raised whenever the scores of some job change.
WORDS_VERSION = 4
#: Layers that every map of prompts keeps beside its classes.
LAYERS = ("phrase", "cosine")
_BACKGROUND_COLOUR = "#e4e2dc"
# Told apart by most people, whatever their eyes: the colours of Okabe and Ito, then darker and lighter ones of them.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442", "#7a5195")


@dataclass(frozen=True, slots=True)
class Example:
    """The objects of a class that a user outlined, as the image network sees them.

    Attributes:
        owner: Number of its prompt.
        name: In words.
        vector: int8 (width,): their mean feature, rounded as features are.
    """

    owner: int
    name: str
    vector: tuple[int, ...]


@dataclass(frozen=True)
class WordsPlan:
    """Prompts, ready to be asked.

    Attributes:
        prompts: Classes 1, 2, ... of the map.
        settings: Of the model, with what the job leaves out.
        without: Steps that are left out.
        examples: What stands beside the words of a prompt, or instead of them.
        shown: Names of prompts that are examples alone: nobody wrote their words, and none is asked.
    """

    prompts: tuple[Prompt, ...]
    settings: WordSettings
    without: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    shown: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, texts: Sequence[str], settings: WordSettings, without: Sequence[str] = (), shown: Sequence[str] = ()
    ) -> WordsPlan:
        """The plan of a job's prompts.

        Args:
            texts: As they were written.
            settings: Of the model.
            without: Steps that are left out.
            shown: Names of further classes that have examples and no words.

        Raises:
            RequestError: See ``parse_prompts``.
        """
        names = tuple(sorted({name.casefold() for name in shown}))
        return cls(parse_prompts((*texts, *shown)), settings.without(without), tuple(sorted(set(without))), shown=names)

    @cached_property
    def _phrases(self) -> tuple[tuple[str, int], ...]:
        """What the text network is asked: phrase and number of its prompt, -1 for those of the background."""
        asked = []
        for number, prompt in enumerate(self.prompts):
            if prompt.name.casefold() in self.shown:
                continue
            meaning = prompt.meaning if "synonyms" not in self.without else (prompt.name.casefold(),)
            asked += [(phrase, number) for phrase in meaning if self._is_known(phrase)]
        taken = {phrase for phrase, _ in asked}
        return (*asked, *((phrase, -1) for phrase in sorted(self.settings.background) if phrase not in taken))

    @property
    def phrases(self) -> tuple[str, ...]:
        """What the text network is asked."""
        return tuple(phrase for phrase, _ in self._phrases)

    @property
    def owners(self) -> tuple[int, ...]:
        """Number of the prompt of each phrase, then of each example; -1 for the background."""
        return (*(owner for _, owner in self._phrases), *(example.owner for example in self.examples))

    @property
    def names(self) -> tuple[str, ...]:
        """What wins a pixel, by number: the phrases, then the examples."""
        return (*self.phrases, *(example.name for example in self.examples))

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The class table of the map."""
        found = tuple(
            ClassInfo(number, prompt.name, _colour(number - 1), None, prompt.text)
            for number, prompt in enumerate(self.prompts, start=1)
        )
        return (ClassInfo(0, BACKGROUND, _BACKGROUND_COLOUR, None, "None of the prompts"), *found)

    @property
    def digest(self) -> str:
        """Names all that scores depend on, the model apart."""
        facts = self.settings.to_json()
        facts.pop("vocabulary")
        asked = [self._phrases, [[e.owner, e.vector] for e in self.examples]]
        return digest_of(
            [WORDS_VERSION, len(self.prompts), asked, facts, [s for s in self.without if s in _DONE_LATER]]
        )

    def with_examples(self, examples: Sequence[Example]) -> WordsPlan:
        """The same with what was outlined."""
        return replace(self, examples=tuple(examples))

    def warnings(self, model: str, outlined: Collection[str] = ()) -> list[str]:
        """What is to be said of words that the model does not know.

        Args:
            model: Its name.
            outlined: Names that have examples, in lower case.
        """
        said = []
        for prompt in self.prompts:
            if prompt.name.casefold() in self.shown:
                continue
            missing = {phrase: unknown_words(phrase, self.settings.vocabulary) for phrase in prompt.meaning}
            unknown = {phrase: words for phrase, words in missing.items() if words and not self._is_known(phrase)}
            words = ", ".join(sorted({word for some in unknown.values() for word in some}))
            if len(unknown) == len(prompt.meaning) and not set(prompt.meaning) & set(outlined):
                said.append(
                    f"the prompt {prompt.text!r} stays empty: {model} does not know {words}; its card lists its words"
                )
            elif unknown:
                said.append(
                    f"the prompt {prompt.text!r} is asked without {', '.join(unknown)}: {model} does not know {words}"
                )
        return said

    def _is_known(self, phrase: str) -> bool:
        vocabulary = self.settings.vocabulary
        return not vocabulary or not unknown_words(phrase, vocabulary)


#: Steps that settings do not show.
_DONE_LATER = ("mixing", "guide")


def example_vectors(examples: Sequence[Example]) -> NDArray[np.float32]:
    """Directions of examples, (example, width)."""
    return np.array([example.vector for example in examples], np.float32)


def _colour(number: int) -> str:
    """The colour of the n-th prompt."""
    base = _COLOURS[number % len(_COLOURS)]
    turn = number // len(_COLOURS)
    factor = (1.0, 0.65, 0.4)[turn % 3]
    parts = [round(int(base[at : at + 2], 16) * factor) for at in (1, 3, 5)]
    return "#" + "".join(f"{part:02x}" for part in parts)
