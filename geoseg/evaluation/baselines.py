"""Maps that cost nothing: the commonest class, and a random forest that sees one pixel at a time.

What a network is good for is what it has over these on the same images. The forest gets the numbers of all bands and the
normalised difference of every pair of bands, (a - b) / (a + b), which is where most spectral indices come from; it sees
no neighbours. Whether it is grown on pixels as they come or on as many of each class decides how often it says a rare
class; neither is better everywhere, so the one with the higher mean IoU on a part of the training groups is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Self
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import RequestError
from geoseg.evaluation.confusion import Confusion, iou
from geoseg.evaluation.legend import Legend
from geoseg.evaluation.maps import MapPart
from geoseg.grid import Window
from geoseg.labels import IGNORE, Labelled, LabelSet
from geoseg.pixels import NO_CLASS

#: Pixels that a forest is grown on, at most.
MOST_PIXELS = 100_000
TREES = 100
_LEAST_LEAF = 3
#: Of the forests that are tried out, and the folds of which one is tried on.
_TRIED_PIXELS, _TRIED_TREES, _TRIED_FOLDS = 20_000, 30, 4
#: Pairs of more bands would be mostly repetition.
_MOST_PAIRED = 8
_BLOCK_PX = 512
_WORTH_THREADS_PX = 20_000


def windows_of(shape: tuple[int, int], side: int = _BLOCK_PX) -> Iterator[Window]:
    """Squares that cover an image."""
    rows, cols = shape
    for row in range(0, rows, side):
        for col in range(0, cols, side):
            yield Window(row, col, min(rows, row + side), min(cols, col + side))


def features(image: NDArray[Any]) -> NDArray[np.float32]:
    """Bands, then the normalised difference of every pair of the first eight of them; 0 where a sum is 0.

    Args:
        image: (band, …), any numbers.
    """
    bands = image.astype(np.float32)
    pairs = list(combinations(range(min(len(bands), _MOST_PAIRED)), 2))
    made = np.zeros((len(bands) + len(pairs), *bands.shape[1:]), np.float32)
    made[: len(bands)] = bands
    for at, (one, other) in enumerate(pairs, start=len(bands)):
        total = bands[one] + bands[other]
        np.divide(bands[one] - bands[other], total, out=made[at], where=total != 0)
    return made


def count_labels(labels: LabelSet) -> NDArray[np.int64]:
    """Labelled pixels of each class."""
    total = np.zeros(len(labels.classes), np.int64)
    for member in labels.members:
        for window in windows_of(member.shape):
            found = member.labels(window)
            total += np.bincount(found[found != IGNORE], minlength=len(total))[: len(total)]
    return total


class MajorityMapper:
    """Says the commonest class of the training images everywhere, and the share of each class as its probability.

    Args:
        classes: Names.
        counts: Labelled training pixels of each class.

    Raises:
        RequestError: If there are none.
    """

    name = kind = "majority class"

    def __init__(self, classes: Sequence[str], counts: NDArray[np.int64]) -> None:
        if not counts.sum():
            raise RequestError("training images without labelled pixels", "at least one", "look at the label values")
        self.legend = Legend.same(classes)
        self._shares = (counts / counts.sum()).astype(np.float32)

    @classmethod
    def fit(cls, labels: LabelSet) -> Self:
        """From the training images."""
        return cls([c.name for c in labels.classes], count_labels(labels))

    @property
    def facts(self) -> Mapping[str, str | int | float]:
        """See ``Mapper``."""
        return {"class": self.legend.classes[int(self._shares.argmax())]}

    def maps(self, member: Labelled) -> Iterator[MapPart]:
        """See ``Mapper``."""
        for window in windows_of(member.shape):
            _, valid = member.image(window)
            scores = np.where(valid, self._shares[:, None, None], np.nan).astype(np.float32)
            classes = np.where(valid, self._shares.argmax(), NO_CLASS).astype(np.uint8)
            yield MapPart(window, classes, scores)


class ForestMapper:
    """A per-pixel random forest.

    Args:
        legend: The labels' own.
        forest: A fitted ``sklearn.ensemble.RandomForestClassifier``.
        pixels: Pixels it was grown on.
        balanced: Whether these are as many of each class.
    """

    name = kind = "random forest"

    def __init__(self, legend: Legend, forest: Any, pixels: int, *, balanced: bool) -> None:
        self.legend, self._forest, self._pixels, self._balanced = legend, forest, pixels, balanced

    @classmethod
    def fit(cls, labels: LabelSet, seed: int = 0, most: int = MOST_PIXELS) -> Self:
        """Grow a forest.

        Args:
            labels: Training images.
            seed: Of the pixels that are chosen and of the trees.
            most: Pixels to grow it on.

        Raises:
            RequestError: If scikit-learn is missing, or there is no labelled pixel.
        """
        balanced = _is_better_balanced(labels, seed)
        pixels, truth = sample_pixels(labels, seed, most, balanced=balanced)
        return cls(
            Legend.same([c.name for c in labels.classes]),
            _grown(pixels, truth, TREES, seed),
            len(truth),
            balanced=balanced,
        )

    @property
    def facts(self) -> Mapping[str, str | int | float]:
        """See ``Mapper``."""
        sampling = "as many of each class" if self._balanced else "as they come"
        return {"trees": len(self._forest.estimators_), "training_pixels": self._pixels, "sampling": sampling}

    def maps(self, member: Labelled) -> Iterator[MapPart]:
        """See ``Mapper``."""
        own = self._forest.classes_.astype(int)  # classes that no training pixel has are missing
        for window in windows_of(member.shape):
            image, valid = member.image(window)
            scores = np.full((len(self.legend.classes), *valid.shape), np.nan, np.float32)
            classes = np.full(valid.shape, NO_CLASS, np.uint8)
            if valid.any():
                # Threads for little work cost more than they give.
                self._forest.n_jobs = -1 if valid.sum() > _WORTH_THREADS_PX else 1
                shares = np.zeros((len(self.legend.classes), int(valid.sum())), np.float32)
                shares[own] = self._forest.predict_proba(features(image[:, valid]).T).T
                scores[:, valid] = shares
                classes[valid] = shares.argmax(axis=0)
            yield MapPart(window, classes, scores)


def _grown(pixels: NDArray[Any], truth: NDArray[np.uint8], trees: int, seed: int) -> Any:
    """A forest of pixels (pixel, band).

    Raises:
        RequestError: If scikit-learn is missing, or there is no pixel.
    """
    try:
        from sklearn.ensemble import RandomForestClassifier  # noqa: PLC0415  # an extra, and half a second
    except ImportError as err:
        raise RequestError(
            "a random forest without scikit-learn", "the extra train", "pip install 'geoseg[train]'"
        ) from err
    if not len(truth):
        raise RequestError("training images without labelled pixels", "at least one", "look at the label values")
    forest = RandomForestClassifier(trees, min_samples_leaf=_LEAST_LEAF, n_jobs=-1, random_state=seed)
    return forest.fit(features(pixels.T).T, truth)


def _is_better_balanced(labels: LabelSet, seed: int) -> bool:
    """Whether a forest grown on as many pixels of each class has the higher mean IoU on groups that it was not grown on."""
    if len(labels.groups) < 2:
        return False
    train, held = labels.hold_out(labels.folds(min(_TRIED_FOLDS, len(labels.groups)))[0])
    pixels, truth = sample_pixels(held, seed, _TRIED_PIXELS)
    means = []
    for balanced in (False, True):
        grown_on = sample_pixels(train, seed, _TRIED_PIXELS, balanced=balanced)
        if not len(truth) or not len(grown_on[1]):
            return False
        found = _grown(*grown_on, _TRIED_TREES, seed).predict(features(pixels.T).T)
        mean = Confusion.of(truth, found.astype(np.uint8), len(labels.classes)).mean(iou)
        means.append(mean.value or 0.0)
    return means[1] > means[0]


def sample_pixels(
    labels: LabelSet, seed: int, most: int, *, balanced: bool = False
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Labelled pixels of all images.

    They are thinned at one rate, or at one rate for each class so that all have as many as far as they have enough; square
    by square, so that no image is held whole.

    Args:
        labels: The images.
        seed: Of the choice.
        most: So many are wanted, about.
        balanced: See above.

    Returns:
        (pixel, band) and (pixel,).
    """
    counts = count_labels(labels)
    rates = np.full(len(counts), min(1.0, most / max(1, int(counts.sum()))))
    if balanced:
        rates = np.minimum(1.0, most / max(1, int((counts > 0).sum())) / np.maximum(counts, 1))
    pixels, truth = [], []
    for member in labels.members:
        rng = np.random.default_rng([seed, crc32(member.name.encode())])
        for window in windows_of(member.shape):
            found = member.labels(window)
            chosen = (found != IGNORE) & (rng.random(found.shape) < np.append(rates, 0)[np.minimum(found, len(rates))])
            if chosen.any():
                image, valid = member.image(window)
                chosen &= valid
                pixels.append(image[:, chosen].T)
                truth.append(found[chosen])
    if not truth:
        return np.empty((0, len(labels.bands))), np.empty(0, np.uint8)
    return np.concatenate(pixels), np.concatenate(truth)
