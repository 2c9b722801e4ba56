"""Rasters beside classes and confidence: what the network said of every class, and how sure it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from odc.geo.geobox import GeoBox

from geoseg.outputs.legend import ClassTable
from geoseg.outputs.raster import Block, write_cog
from geoseg.pixels import LAYERS, NO_CONFIDENCE, SETS, layer_names

_DESCRIPTIONS = {
    "entropy": "entropy of the probabilities, in percent of the largest possible",
    "margin": "lead of the first choice, in percent",
}


_SIZE = "number of classes in the set"


def write_layers(
    folder: Path,
    geobox: GeoBox,
    wanted: Sequence[str],
    classes: ClassTable,
    blocks: Callable[[Sequence[str]], Iterable[Block]],
    *,
    memory_bytes: int,
    threads: int,
) -> list[Path]:
    """Writes ``scores.tif`` with a band for each class, ``entropy.tif``, ``margin.tif`` and ``sets.tif``, as far as wanted.

    The sets have the number of their classes in the first band, and then 1 or 0 for each class.

    Args:
        folder: Where to write.
        geobox: Of the map.
        wanted: Of ``geoseg.pixels.LAYERS``.
        classes: The class table; band n of the scores is the n-th class.
        blocks: From names of layers to their blocks, uint8 percent, of sets 1 or 0, of shape (layer, row, col); 255
            is nodata.
        memory_bytes: Bound of GDAL's block cache.
        threads: For compression.

    Raises:
        OutputError: If a file could not be written whole.
    """
    written = []
    for layer in (layer for layer in LAYERS if layer in wanted):
        names = layer_names([layer], len(classes))
        each = [entry.name for entry in classes]
        words = {"scores": each, SETS: [_SIZE, *each]}.get(layer) or [_DESCRIPTIONS[layer]]
        raster = write_cog(
            folder / f"{layer}.tif",
            geobox,
            _with_sizes(blocks(names)) if layer == SETS else blocks(names),
            overview_resampling="nearest" if layer == SETS else "average",
            description=words,
            memory_bytes=memory_bytes,
            threads=threads,
        )
        written.append(raster.path)
    return written


def _with_sizes(blocks: Iterable[Block]) -> Iterator[Block]:
    """Blocks of sets, before them a layer with how many classes they have."""
    for rows, cols, inside in blocks:
        gap = inside[:1] == NO_CONFIDENCE
        size = np.where(gap, NO_CONFIDENCE, inside.sum(axis=0, dtype="uint16", keepdims=True)).astype("uint8")
        yield rows, cols, np.concatenate([size, inside])
