"""A classifier of pixels without its last layer: its features are the image side, and examples take the place of words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from geoseg.errors import RequestError
from geoseg.models.networks.dynamic_world import DynamicWorld
from geoseg.models.networks.text_image.base import Floats, Windows, array


class PixelEmbedding(Windows):
    """Dynamic World's 144 features of length 1 as ``geoseg.words.TextImage``, at half the resolution where it has them."""

    module: DynamicWorld

    @torch.inference_mode()
    def encode_image(self, values: Tensor, valid: Tensor) -> tuple[Floats, Floats]:
        """See ``geoseg.words.TextImage``; the window as a whole is the mean of its cells."""
        features = torch.nn.functional.normalize(self.module.half_features(self.seen(values, valid))[0], dim=0)
        return array(features.permute(1, 2, 0)), array(features.mean(dim=(1, 2)))

    def encode_text(self, sentences: Sequence[str]) -> Floats:
        """It knows no words.

        Raises:
            RequestError: Always.
        """
        raise RequestError(
            f"--prompt {sentences[0]!r} with {self.spec.name}, which has features and knows no words",
            "outlined examples of each class",
            "add --example FILE and drop --prompt, or name a text-image model",
        )

    def mixing(self, scores: Floats, cells: Floats, phrases: Floats) -> Floats | None:
        """See ``geoseg.words.TextImage``: it was not trained for it."""
        del scores, cells, phrases
        return None
