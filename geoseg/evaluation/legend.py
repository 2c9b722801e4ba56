"""From the classes of a network to those of the labels it is held against."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import ModelMismatchError, RequestError, unknown_name
from geoseg.evaluation.confusion import NO_ANSWER, NOTHING
from geoseg.pixels import FAILED_CLASS, NO_CLASS

#: In a crosswalk: all other classes of the network.
REST = "*"


@dataclass(frozen=True)
class Legend:
    """Which class of the labels each class of a network is.

    Attributes:
        classes: Names of the labels' classes.
        index: Per class of the network, the index of the labels' class, or ``NO_ANSWER`` where they have none for it.
    """

    classes: tuple[str, ...]
    index: tuple[int, ...]

    @classmethod
    def same(cls, classes: Sequence[str]) -> Self:
        """Of what has the labels' own classes."""
        return cls(tuple(classes), tuple(range(len(classes))))

    @classmethod
    def between(cls, network: Sequence[str], labels: Sequence[str], crosswalk: Mapping[str, str]) -> Self:
        """By what is written, else by equal names.

        Args:
            network: Names of the network's classes.
            labels: Names of the labels' classes.
            crosswalk: Class of the network to class of the labels, or to nothing (an empty text); ``*`` is every class of
                the network that neither stands there nor has a name that the labels have.

        Raises:
            RequestError: If the crosswalk names a class that neither has.
            ModelMismatchError: If no class of the network is one of the labels'.
        """
        known = {_plain(name): at for at, name in enumerate(labels)}
        for one, other in crosswalk.items():
            if one not in (*network, REST):
                raise unknown_name("crosswalk: the network's class", one, network, "correct the crosswalk")
            if other and _plain(other) not in known:
                raise unknown_name(f"crosswalk: {one}:", other, labels, "correct the crosswalk")
        rest = known.get(_plain(crosswalk.get(REST, "")), NO_ANSWER)
        index = tuple(
            known.get(_plain(crosswalk[name]), NO_ANSWER) if name in crosswalk else known.get(_plain(name), rest)
            for name in network
        )
        if all(at == NO_ANSWER for at in index):
            nearest = [near for name in network for near in difflib.get_close_matches(name, labels, 1, 0.6)]
            raise ModelMismatchError(
                f"a network of {', '.join(network)}",
                f"classes of the labels: {', '.join(labels)}" + (f" (near: {nearest[0]})" if nearest else ""),
                "write a crosswalk into the configuration: evaluate: {crosswalk: {class of the network: class of the labels}}",
            )
        return cls(tuple(labels), index)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(class of the network, class of the labels), 1 where the one is the other."""
        return np.array([[float(at == other) for other in range(len(self.classes))] for at in self.index])

    def read(self, found: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Classes of a network's map in the labels' terms; ``NO_ANSWER`` also where it failed."""
        table = np.full(256, NO_ANSWER, np.uint8)
        table[: len(self.index)] = self.index
        table[NO_CLASS], table[FAILED_CLASS] = NOTHING, NO_ANSWER
        return np.asarray(table[found])

    def scores(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """Probabilities (class of the network, …) as those of the labels' classes; what the labels lack is missing.

        Raises:
            RequestError: If there is not one score for each class of the network.
        """
        if len(scores) != len(self.index):
            raise RequestError(f"{len(scores)} scores", f"{len(self.index)}", "this is a fault in geoseg: report it")
        if self.index == tuple(range(len(self.classes))):
            return scores
        total = np.zeros((len(self.classes), *scores.shape[1:]), scores.dtype)
        for at, score in zip(self.index, scores, strict=True):
            if at != NO_ANSWER:
                total[at] += score
        return total


def _plain(name: str) -> str:
    """A name without what people write differently."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
