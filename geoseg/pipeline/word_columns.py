"""What polygons of prompts say of themselves: the prompt, the phrase that won most of their pixels, score and margin.

The outlining of the map gives mean values of one layer beside it. For each of a few layers the map is outlined once more,
in step with the polygons that are written, so that memory stays that of one outlining each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoseg.mosaic import Blocks
from geoseg.outputs.vector import PolygonBatch
from geoseg.pixels import NO_CONFIDENCE
from geoseg.polygons import ClassSource, OverSource, RegionBatch, polygonize
from geoseg.words import WordsPlan

FIELDS = (
    pa.field("prompt", pa.string()),
    pa.field("synonym", pa.string()),
    pa.field("score", pa.float64()),
    pa.field("margin", pa.float64()),
)


class WordColumns:
    """Columns of the polygons of a map of prompts; implements ``geoseg.outputs.vector.FurtherColumns``.

    Args:
        plan: What was asked.
        source: The map as it is written.
        mosaic: The map as it was computed, with the layers of prompts.
    """

    fields: Sequence[pa.Field] = FIELDS

    def __init__(self, plan: WordsPlan, source: ClassSource, mosaic: Blocks) -> None:
        self._prompts = [prompt.text for prompt in plan.prompts]
        members = [[n for n, owner in enumerate(plan.owners) if owner == prompt] for prompt in range(len(plan.prompts))]
        most = max(map(len, members), default=0)
        self._names = [[plan.names[number] for number in numbers] for numbers in members]
        tables = []
        for rank in range(most if most > 1 else 0):
            table = np.zeros(256, np.uint8)
            table[[numbers[rank] for numbers in members if rank < len(numbers)]] = 100
            tables.append(table)
        percent = np.arange(256, dtype=np.uint8)
        percent[NO_CONFIDENCE] = 0  # small regions that took a neighbour's class
        layers = [_Layer(source, mosaic, "phrase", table) for table in tables]
        self._shares = [_Means(layer) for layer in layers]
        self._score = _Means(_Layer(source, mosaic, "cosine", percent))
        self._margin = _Means(_Layer(source, mosaic, "margin", percent))

    def arrays(self, batch: PolygonBatch, areas_m2: NDArray[np.float64] | None) -> Sequence[pa.Array]:
        """See ``FurtherColumns``; score and margin are means over the pixels, 0 to 1."""
        del areas_m2
        regions, owner = np.asarray(batch.first_pixel), np.asarray(batch.class_index).astype(int) - 1
        is_prompt = owner >= 0
        ranks = np.zeros(len(owner), int)
        if self._shares:
            ranks = np.stack([share.of(regions) for share in self._shares]).argmax(axis=0)
        prompts = [self._prompts[at] if at >= 0 else None for at in owner]
        names = [self._named(at, rank) for at, rank in zip(owner, ranks, strict=True)]
        score, margin = (means.of(regions) / 100 for means in (self._score, self._margin))
        return [
            pa.array(prompts, pa.string()),
            pa.array(names, pa.string()),
            pa.array(score, mask=~is_prompt),
            pa.array(margin),
        ]

    def _named(self, owner: int, rank: int) -> str | None:
        return self._names[owner][rank] if owner >= 0 and rank < len(self._names[owner]) else None


@dataclass(frozen=True, slots=True)
class _Layer(OverSource):
    """The classes of a map with one layer of its records where the confidence is."""

    source: ClassSource
    mosaic: Blocks
    name: str
    table: NDArray[np.uint8]

    def read(self, block_row: int, block_col: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Classes and the layer of a block."""
        classes, _ = self.source.read(block_row, block_col)
        return classes, self.table[self.mosaic.layers([self.name], block_row, block_col)[0]]


class _Means:
    """Mean values of a layer per region, asked for in about the order in which regions are outlined."""

    def __init__(self, layer: _Layer) -> None:
        self._batches: Iterator[RegionBatch] = polygonize(layer)
        self._means: dict[int, float] = {}

    def of(self, regions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of the regions that start at some pixels; each is asked for once."""
        wanted = regions.tolist()
        missing = set(wanted) - self._means.keys()
        while missing:
            batch = next(self._batches)
            found = dict(zip(batch.first_pixel.tolist(), batch.confidence_mean.tolist(), strict=True))
            self._means |= found
            missing -= found.keys()
        return np.array([self._means.pop(region) for region in wanted])
