"""geoseg's own small text-image network: a few convolutions, and a vector for each word."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from geoseg.models.networks.text_image.base import Floats, Windows, array
from geoseg.models.networks.text_image.mixing import ClassMixing

#: Image features lie on a grid of so many pixels.
STRIDE = 4
_AROUND_PX, _LEAST_SPREAD = 15, 0.15
_WORD = re.compile(r"[a-z]+")


class SmallWords(nn.Module):
    """Dense image features and phrase vectors of one width, both of them sums.

    A phrase is the sum of the vectors of its words. A cell is the sum of what two branches see: one the mean tone around
    it and no pattern, the other the pattern of brightness, whatever its tone and contrast. So a pair of words, or a tone
    with a pattern, that never met in training lies where the sum of both says.

    Args:
        in_channels: Bands.
        words: The vocabulary.
        width: Of features and phrases.
        widths: Channels of the branch of patterns at 1/2 and 1/4 of the resolution.
        tone_px: Side of the square around a cell whose mean tone counts: 4, 8, 12 ...; where it is wider than a pattern's
            period, no pattern shows in it.
    """

    def __init__(
        self,
        in_channels: int,
        words: Sequence[str],
        width: int = 64,
        widths: tuple[int, int] = (24, 64),
        tone_px: int = 8,
    ) -> None:
        super().__init__()
        self._number = {word: number for number, word in enumerate(words)}
        half, quarter = widths
        self.tone = nn.Sequential(
            nn.AvgPool2d(tone_px, STRIDE, (tone_px - STRIDE) // 2, count_include_pad=False),
            nn.Conv2d(in_channels, width, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 1),
        )
        self.pattern = nn.Sequential(
            _block(1, half),
            _block(half, half, stride=2),
            _block(half, quarter, stride=2),
            _block(quarter, quarter),
            _block(quarter, quarter, dilation=2),
            nn.Conv2d(quarter, width, 1),
        )
        self.words = nn.Embedding(len(words), width)
        self.mixing = ClassMixing(width)
        #: Cosine that a prompt must beat where none of them may be true, learnt with the rest.
        self.null = nn.Parameter(torch.tensor(0.3))

    def forward(self, x: Tensor) -> Tensor:
        """Unit features (b, width, h / 4, w / 4) of normalised images (b, in_channels, h, w)."""
        return functional.normalize(self.tone(x) + self.pattern(_contrast(x)), dim=1)

    def phrases(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors (phrase, width); words that are not in the vocabulary say nothing."""
        rows = []
        for text in texts:
            known = [self._number[word] for word in words_of(text) if word in self._number]
            rows.append(self.words.weight[sorted(set(known))].sum(dim=0))
        return functional.normalize(torch.stack(rows), dim=1)


def words_of(text: str) -> list[str]:
    """The words of a phrase, lower case."""
    return _WORD.findall(text.lower())


def _contrast(x: Tensor) -> Tensor:
    """Brightness (b, 1, h, w) less its mean around each pixel, in units of its spread there."""
    bright = x.mean(dim=1, keepdim=True)
    mean = functional.avg_pool2d(bright, _AROUND_PX, 1, _AROUND_PX // 2, count_include_pad=False)
    around = functional.avg_pool2d((bright - mean) ** 2, _AROUND_PX, 1, _AROUND_PX // 2, count_include_pad=False)
    return (bright - mean) / torch.sqrt(around + _LEAST_SPREAD**2)


def _block(inside: int, outside: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride=stride, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


class OwnTextImage(Windows):
    """The network as ``geoseg.words.TextImage``."""

    @torch.inference_mode()
    def encode_image(self, values: Tensor, valid: Tensor) -> tuple[Floats, Floats]:
        """See ``geoseg.words.TextImage``; the window as a whole is the mean of its cells."""
        features = self.module(self.seen(values, valid))[0]
        return array(features.permute(1, 2, 0)), array(features.mean(dim=(1, 2)))

    @torch.inference_mode()
    def encode_text(self, sentences: Sequence[str]) -> Floats:
        """See ``geoseg.words.TextImage``."""
        return array(self.module.phrases(sentences))

    @torch.inference_mode()
    def mixing(self, scores: Floats, cells: Floats, phrases: Floats) -> Floats | None:
        """See ``geoseg.words.TextImage``."""
        given = (torch.from_numpy(part).to(self.device) for part in (scores, cells, phrases))
        return array(self.module.mixing(*given))
