"""Classes that hear of each other: what the score of a prompt gains from its surroundings and from the other prompts."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_REACH = 2


class ClassMixing(nn.Module):
    """Attention inside each class's map, guided by the image, then attention across the classes, guided by the text.

    No class has a number here: any order of the prompts gives the same sums, and every class is asked about every other.

    Args:
        width: Of features and phrases.
        inner: Of the comparison of phrases, and of what judges.
    """

    def __init__(self, width: int, inner: int = 16) -> None:
        super().__init__()
        self.near = nn.Parameter(torch.tensor(8.0))
        self.loud = nn.Parameter(torch.tensor(8.0))
        self.ask = nn.Linear(width, inner, bias=False)
        self.answer = nn.Linear(width, inner, bias=False)
        last = nn.Linear(inner, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.judge = nn.Sequential(nn.Linear(4, inner), nn.GELU(), last)

    def forward(self, scores: Tensor, cells: Tensor, phrases: Tensor) -> Tensor:
        """What is to be added to the scores.

        Args:
            scores: (prompt, rows, cols), cosines; two prompts or more.
            cells: Unit features (rows, cols, width).
            phrases: Unit vectors (prompt, width).

        Returns:
            (prompt, rows, cols).
        """
        around = self._around(scores, cells)
        count = len(scores)
        itself = torch.eye(count, dtype=torch.bool, device=scores.device)[:, :, None, None]
        likeness = self.ask(phrases) @ self.answer(phrases).T / self.ask.out_features**0.5
        heard = (likeness[:, :, None, None] + self.loud * scores[None]).masked_fill(itself, -torch.inf).softmax(dim=1)
        others = (heard * scores[None]).sum(dim=1)
        rival = scores[None].expand(count, -1, -1, -1).masked_fill(itself, -torch.inf).amax(dim=1)
        facts = torch.stack([scores, around, others, rival], dim=-1)
        gained: Tensor = self.judge(facts)[..., 0]
        return gained

    def _around(self, scores: Tensor, cells: Tensor) -> Tensor:
        """Scores of the cells around each cell, of those most that look like it."""
        rows, cols = scores.shape[1:]
        side = 2 * _REACH + 1
        features = cells.permute(2, 0, 1)[None]
        neighbours = functional.unfold(features, side, padding=_REACH).view(-1, side * side, rows, cols)
        alike = (neighbours * features[0][:, None]).sum(dim=0)
        inside = functional.unfold(torch.ones_like(features[:, :1]), side, padding=_REACH).view(side * side, rows, cols)
        weights = (self.near * alike).masked_fill(inside == 0, -torch.inf).softmax(dim=0)
        values = functional.unfold(scores[None], side, padding=_REACH).view(len(scores), side * side, rows, cols)
        return (values * weights).sum(dim=1)
