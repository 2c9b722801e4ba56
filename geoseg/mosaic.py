"""Tile records and the AOI to the finished map, block by block. The AOI is applied here and nowhere before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from geoseg.compiled import count_values
from geoseg.errors import OutputError
from geoseg.grid import Window
from geoseg.pixels import NEAR_FAILED_BIT, NO_CLASS, NO_CONFIDENCE, Reason
from geoseg.plan import Region, TileTask
from geoseg.store import Store, TileRecord

# Larger blocks make the tracing of noisy maps need more memory than they save time.
_MOST_BLOCK_PX = 512
_GAP = {"classes": NO_CLASS, "confidence": NO_CONFIDENCE, "reason": Reason.UNOBSERVED}
_RECORD_BYTES = 3  # per pixel: classes, confidence, reason


@dataclass(slots=True)
class Counts:
    """Pixels of the finished map, by reason.

    Attributes:
        aoi: Pixels inside the region.
        outside: Pixels of the raster outside it.
        unobserved: Pixels that no scene covers.
        masked: Pixels that were in the way of something on every date.
        failed: Pixels that should have been read and were not.
        failed_model: Pixels for which the network gave no finite score.
        failed_lost: Pixels of tiles with which worker processes ended.
        near_failed: Classified pixels whose surroundings hold a failed one.
    """

    aoi: int = 0
    outside: int = 0
    unobserved: int = 0
    masked: int = 0
    failed: int = 0
    failed_model: int = 0
    failed_lost: int = 0
    near_failed: int = 0


class Blocks:
    """A finished map, read block by block: the base of what knows how to make a block.

    Implements ``geoseg.polygons.ClassSource``.

    Args:
        region: The AOI on the lattice.
        block_px: Side of a block.
    """

    def __init__(self, region: Region, block_px: int) -> None:
        self._region = region
        window = region.window
        self.row_edges = _edges(window.row0, window.row1, block_px)
        self.col_edges = _edges(window.col0, window.col1, block_px)

    def pixels(self, window: Window) -> dict[str, NDArray[np.uint8]] | None:
        """Layers of any window, (y, x) uint8 by name, inside the region and around it as far as it was computed.

        Returns:
            ``None`` where the region wants nothing of it.
        """
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the map."""
        return self._region.window.shape

    def window(self, block_row: int, block_col: int) -> Window:
        """A block's pixels on the lattice."""
        row, col = self._region.window.row0, self._region.window.col0
        rows, cols = self.row_edges[block_row : block_row + 2], self.col_edges[block_col : block_col + 2]
        return Window(row + rows[0], col + cols[0], row + rows[1], col + cols[1])

    def read(self, block_row: int, block_col: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Classes and confidence of a block, (y, x) uint8; 255 outside the region."""
        window = self.window(block_row, block_col)
        inside = self._region.mask(window)
        layers = self.pixels(window)
        if layers is None:
            return np.full(window.shape, NO_CLASS, dtype="uint8"), np.full(window.shape, NO_CONFIDENCE, dtype="uint8")
        classes = np.where(inside, layers["classes"], np.uint8(NO_CLASS))
        return classes, np.where(inside, layers["confidence"], np.uint8(NO_CONFIDENCE))

    def layers(self, names: Sequence[str], block_row: int, block_col: int) -> NDArray[np.uint8]:
        """Further layers of a block, (layer, y, x) uint8 percent; 255 where there is no class and outside the region."""
        window = self.window(block_row, block_col)
        layers = self.pixels(window)
        if layers is None:
            return np.full((len(names), *window.shape), NO_CONFIDENCE, dtype="uint8")
        return np.where(self._region.mask(window), np.stack([layers[name] for name in names]), np.uint8(NO_CONFIDENCE))

    def blocks(self) -> Iterator[tuple[int, int]]:
        """All blocks, row by row."""
        for block_row in range(len(self.row_edges) - 1):
            for block_col in range(len(self.col_edges) - 1):
                yield block_row, block_col

    def slices(self, block_row: int, block_col: int) -> tuple[slice, slice]:
        """Where a block lies in the map."""
        rows, cols = self.row_edges[block_row : block_row + 2], self.col_edges[block_col : block_col + 2]
        return slice(*rows), slice(*cols)

    def count(self, counts: Counts, block_row: int, block_col: int) -> None:
        """Add a block's pixels, by reason."""
        window = self.window(block_row, block_col)
        inside = self._region.mask(window)
        total = int(np.count_nonzero(inside))
        counts.aoi += total
        counts.outside += inside.size - total
        layers = self.pixels(window)
        if layers is None:
            counts.unobserved += total
            return
        reason = layers["reason"] if total == inside.size else layers["reason"][inside][None]
        by_value = count_values(reason, reason.shape[0] + 1).sum(axis=0)
        values = np.arange(256)
        by_reason = np.bincount(values & ~NEAR_FAILED_BIT, by_value, minlength=len(Reason))
        counts.unobserved += int(by_reason[Reason.UNOBSERVED])
        counts.masked += int(by_reason[Reason.MASKED])
        counts.failed += int(by_reason[Reason.FAILED])
        counts.failed_model += int(by_reason[Reason.MODEL])
        counts.failed_lost += int(by_reason[Reason.LOST])
        counts.near_failed += int(by_value[(values & NEAR_FAILED_BIT) > 0].sum())


class Mosaic(Blocks):
    """The tile records of a job; a block is a part of one tile.

    Args:
        region: The AOI on the lattice.
        tasks: Tiles of the map with the cells that the region wants.
        keys: (row, col) of a tile to the key of its record.
        store: The records.
        memory_bytes: For records that are kept decoded.
        layers: Names of the further layers that the records hold.
    """

    def __init__(
        self,
        region: Region,
        tasks: Sequence[TileTask],
        keys: Mapping[tuple[int, int], str],
        store: Store,
        memory_bytes: int = 64 * 2**20,
        layers: Sequence[str] = (),
    ) -> None:
        self._tile_px = tasks[0].tile.side_px
        self._tasks = {(task.tile.row, task.tile.col): task for task in tasks}
        self._keys = keys
        self._store = store
        block_px = self._tile_px
        while block_px > _MOST_BLOCK_PX and block_px % 2 == 0:
            block_px //= 2
        super().__init__(region, block_px)
        kept = max(2, memory_bytes // (self._tile_px**2 * (_RECORD_BYTES + len(layers))))
        self._record = lru_cache(maxsize=kept)(self._load)
        self._loading = Lock()  # who reads the same blocks at the same time shares what is loaded

    def _load(self, place: tuple[int, int]) -> TileRecord | None:
        """The record of a tile; ``None`` where the region wants nothing of it.

        Raises:
            OutputError: If it lacks cells that were computed: somebody emptied the store meanwhile.
        """
        task = self._tasks.get(place)
        if task is None:
            return None
        record = self._store.get(self._keys[place])
        if record is None or (task.cells & ~record.cells).any():
            raise OutputError(
                f"the tile store, which no longer holds tile {place} as it was computed",
                "a store that nobody empties during a run",
                "run the same command again: it computes what is missing",
            )
        return record

    def pixels(self, window: Window) -> dict[str, NDArray[np.uint8]] | None:
        """See ``Blocks``; within one tile views of its record."""
        side = self._tile_px
        if not window:
            return None
        rows = range(window.row0 // side, (window.row1 - 1) // side + 1)
        cols = range(window.col0 // side, (window.col1 - 1) // side + 1)
        parts = [(tile, window & tile) for row in rows for col in cols for tile in [_tile(row, col, side)]]
        found = [(part, self._part(tile, part)) for tile, part in parts]
        known = [(part, layers) for part, layers in found if layers is not None]
        if not known or len(found) == 1:
            return known[0][1] if known else None
        made = {name: np.full(window.shape, _GAP.get(name, NO_CONFIDENCE), "uint8") for name in known[0][1]}
        for part, layers in known:
            for name, layer in layers.items():
                made[name][part.within(window)] = layer
        return made

    def _part(self, tile: Window, part: Window) -> dict[str, NDArray[np.uint8]] | None:
        """The layers of a tile's record, cut to a part of it."""
        with self._loading:
            record = self._record((tile.row0 // self._tile_px, tile.col0 // self._tile_px))
        if record is None:
            return None
        rows, cols = part.within(tile)
        return {name: layer[rows, cols] for name, layer in record.layers.items()}


def _tile(row: int, col: int, side: int) -> Window:
    return Window(row * side, col * side, (row + 1) * side, (col + 1) * side)


def _edges(first: int, last: int, step: int) -> tuple[int, ...]:
    """Borders of the blocks, counted from the map's first pixel."""
    inner = range((first // step + 1) * step, last, step)
    return (0, *(edge - first for edge in inner), last - first)
