"""Rasters beside classes and confidence: what the network said of every class, and how sure it was."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from odc.geo.geobox import GeoBox

from geoseg.outputs.legend import ClassTable
from geoseg.outputs.raster import Block, write_cog
from geoseg.pixels import LAYERS, layer_names

_DESCRIPTIONS = {
    "entropy": "entropy of the probabilities, in percent of the largest possible",
    "margin": "lead of the first choice, in percent",
}


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
    """Writes ``scores.tif`` with a band for each class, ``entropy.tif`` and ``margin.tif``, as far as they are wanted.

    Args:
        folder: Where to write.
        geobox: Of the map.
        wanted: Of ``geoseg.pixels.LAYERS``.
        classes: The class table; band n of the scores is the n-th class.
        blocks: From names of layers to their blocks, uint8 percent of shape (layer, row, col); 255 is nodata.
        memory_bytes: Bound of GDAL's block cache.
        threads: For compression.

    Raises:
        OutputError: If a file could not be written whole.
    """
    written = []
    for layer in (layer for layer in LAYERS if layer in wanted):
        names = layer_names([layer], len(classes))
        words = [entry.name for entry in classes] if layer == "scores" else [_DESCRIPTIONS[layer]]
        raster = write_cog(
            folder / f"{layer}.tif",
            geobox,
            blocks(names),
            overview_resampling="average",
            description=words,
            memory_bytes=memory_bytes,
            threads=threads,
        )
        written.append(raster.path)
    return written
