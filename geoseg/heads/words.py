"""Classes that the user wrote: windows are compared with phrases, and the choice is made when windows are blended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geoseg.heads.base import Chips, Finished, HeadOutput
from geoseg.models import ClassInfo
from geoseg.words import LAYERS, FeatureCache, Features, TextImage, WordsPlan
from geoseg.words.features import unit
from geoseg.words.plan import example_vectors
from geoseg.words.scoring import cell_scores, choose, cosines, to_pixels


class WordsHead:
    """Scores of phrases; see ``geoseg.words``.

    Args:
        load: Makes the text-image model; called when a window or a phrase is not known yet.
        stride_px: Side of a cell of its feature grid.
        plan: What is asked.
        cache: Where features of windows are kept.
        draws: Whether the model draws masks for phrases: it has ``phrase_scores``, and no features that can be kept.
    """

    further = LAYERS

    def __init__(
        self,
        load: Callable[[], TextImage],
        stride_px: int,
        plan: WordsPlan,
        cache: FeatureCache,
        *,
        draws: bool = False,
    ) -> None:
        self._draws = draws
        self._load, self._stride_px = load, stride_px
        self._plan, self._cache = plan, cache
        self._loading, self._speaking = threading.Lock(), threading.Lock()
        self._model: TextImage | None = None

    @property
    def class_table(self) -> tuple[ClassInfo, ...]:
        """Background, then the prompts."""
        return self._plan.classes

    @property
    def channels(self) -> int:
        """Phrases: each has a map of scores until windows are blended."""
        return len(self._plan.owners)

    def get_ready(self) -> None:
        """Have the vectors of the phrases, for which a text network is loaded."""
        if self.channels and not self._draws:
            _ = self._vectors

    def __call__(self, chips: Chips) -> HeadOutput:
        """Scores (1, phrase, y, x) of one window, in units of a cosine.

        Raises:
            ValueError: If there is not one image of one date.
        """
        (values,) = chips.inputs.values()
        if values.ndim != 5 or values.shape[:2] != (1, 1):
            raise ValueError(f"(1, 1, c, h, w) expected, got {tuple(values.shape)}")
        valid: NDArray[np.bool_] = chips.valid[0].cpu().numpy()
        pixels: NDArray[np.float32] = values[0, 0].cpu().numpy()
        if not valid.any() or not self.channels:
            return HeadOutput(torch.zeros((1, self.channels, *valid.shape), device=values.device))
        if self._draws:
            model: Any = self._loaded()  # Any: of the models that draw
            masks = torch.from_numpy(model.phrase_scores(values[:, 0], chips.valid, self._plan.phrases))
            return HeadOutput(masks[None].to(values.device))
        features = self._features(values[:, 0], chips.valid, pixels, valid)
        return HeadOutput(torch.from_numpy(self._scores(features, pixels, valid))[None].to(values.device))

    def finish(self, scores: torch.Tensor) -> Finished:
        """The choice, from blended scores (phrase, y, x)."""
        found = choose(scores.cpu().numpy(), self._plan.owners, self._plan.settings, len(self._plan.prompts))
        layers = dict(zip(LAYERS, (found.phrase, found.cosine), strict=True))
        return Finished(found.classes, found.percent, found.probabilities, layers)

    def features_of(self, pixels: NDArray[np.float32], valid: NDArray[np.bool_]) -> Features:
        """Features of a window of physical values (band, y, x)."""
        values = torch.from_numpy(np.ascontiguousarray(pixels))[None]
        return self._features(values, torch.from_numpy(valid)[None], pixels, valid)

    def _features(
        self, values: torch.Tensor, valid: torch.Tensor, pixels: NDArray[np.float32], seen: NDArray[np.bool_]
    ) -> Features:
        return self._cache.get(pixels, seen, lambda: Features.rounded(*self._loaded().encode_image(values, valid)))

    def _scores(self, features: Features, pixels: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        settings, owners, stride = self._plan.settings, self._plan.owners, self._stride_px
        cells, whole = features.units()
        rows, cols = cells.shape[:2]
        seen = valid.reshape(rows, stride, cols, stride).any(axis=(1, 3))
        mixed = None if "mixing" in self._plan.without else self._mixed(cells)
        scores = cell_scores(cells, whole, seen, self._vectors, owners, settings, mixed, self._generic)
        guide = None
        if "guide" not in self._plan.without:
            brightness = np.where(valid, pixels.mean(axis=0), 0) / np.float32(settings.guide_scale)
            guide = np.clip(brightness, 0, 1).astype(np.float32)
        return to_pixels(scores, guide, stride, settings.guide_eps)

    def _mixed(self, cells: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """What class mixing adds, where the model was trained for it and there are classes to mix."""
        if len(self._plan.prompts) < 2:
            return None
        owners = np.asarray(self._plan.owners)
        present = [number for number in range(len(self._plan.prompts)) if (owners == number).any()]
        scores = cosines(cells, self._vectors)
        best = np.stack([scores[owners == number].max(axis=0) for number in present])
        spoken = unit(np.stack([self._vectors[owners == number].mean(axis=0) for number in present]))
        gained = self._loaded().mixing(best, cells, spoken)
        if gained is None:
            return None
        every = np.zeros((len(self._plan.prompts) + 1, *gained.shape[1:]), np.float32)  # the last one: the background
        every[present] = gained
        return every

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        """Unit vectors (phrase, width): of each phrase the mean over the templates, then those of the examples."""
        with self._speaking:
            parts = [] if not self._plan.phrases else [self._spoken(self._plan.phrases)]
            parts += [] if not self._plan.examples else [unit(example_vectors(self._plan.examples))]
            return np.concatenate(parts)

    @cached_property
    def _generic(self) -> NDArray[np.float32] | None:
        """Mean vector of the phrases that mean nothing, as they are: sentences around them would mean something."""
        asked = self._plan.settings.generic
        if not asked:
            return None
        with self._speaking:
            mean: NDArray[np.float32] = unit(self._loaded().encode_text(asked)).mean(axis=0)
            return mean

    def _spoken(self, phrases: Sequence[str]) -> NDArray[np.float32]:
        templates = self._plan.settings.templates
        sentences = [template.format(phrase) for phrase in phrases for template in templates]
        vectors = unit(self._loaded().encode_text(sentences)).reshape(len(phrases), len(templates), -1)
        return unit(vectors.mean(axis=1))

    def _loaded(self) -> TextImage:
        with self._loading:
            if self._model is None:
                self._model = self._load()
            return self._model
