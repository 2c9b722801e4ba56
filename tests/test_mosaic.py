"""The finished map: blocks partition it, the region is cut by pixel centres, and every pixel is counted once."""

from __future__ import annotations

import collections
from dataclasses import dataclass

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geoseg.errors import OutputError
from geoseg.grid import Window
from geoseg.mosaic import Counts, Mosaic
from geoseg.pixels import FAILED_CLASS, NEAR_FAILED_BIT, NO_CLASS, NO_CONFIDENCE, Reason
from geoseg.plan import Region, TileTask
from geoseg.store import TileRecord
from geoseg.tiles import tiles_over

CELL = 4
WORLD = Window(-30, -40, 50, 60)


class Records(dict[str, TileRecord]):
    """A store in memory."""


@dataclass(frozen=True)
class World:
    """Layers of every pixel of ``WORLD``, as the tiles would hold them."""

    classes: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    reason: NDArray[np.uint8]

    @classmethod
    def random(cls, seed: int) -> World:
        rng = np.random.default_rng(seed)
        reason = rng.choice(list(Reason), WORLD.shape, p=[0.6, 0.1, 0.1, 0.1, 0.05, 0.05]).astype("uint8")
        observed = reason == Reason.OBSERVED
        failed = np.isin(reason, (Reason.FAILED, Reason.MODEL, Reason.LOST))
        classes = np.where(observed, rng.integers(0, 5, WORLD.shape), np.where(failed, FAILED_CLASS, NO_CLASS))
        confidence = np.where(observed, rng.integers(0, 101, WORLD.shape), NO_CONFIDENCE)
        reason[observed & (rng.random(WORLD.shape) < 0.2)] |= NEAR_FAILED_BIT
        return cls(classes.astype("uint8"), confidence.astype("uint8"), reason)

    def record(self, task: TileTask) -> TileRecord:
        """Wanted cells of a tile; the others hold what must never be seen."""
        layers = {}
        done = task.tile.expand(task.cells)
        for name, strange in (("classes", 77), ("confidence", 33), ("reason", int(Reason.MASKED))):
            layer = np.full(done.shape, strange, dtype="uint8")
            shared = task.tile.window & WORLD
            layer[shared.within(task.tile.window)] = getattr(self, name)[shared.within(WORLD)]
            layers[name] = np.where(done, layer, np.uint8(strange))
        return TileRecord(layers, task.cells)


def mosaic_of(world: World, region: Region, side_cells: int, **options: int) -> tuple[Mosaic, Records]:
    """The map of a region."""
    tasks, keys, store = [], {}, Records()
    for tile in tiles_over(region.window, side_cells, CELL):
        cells = tile.touched_cells(region.mask(tile.window))
        if cells.any():
            task = TileTask(tile, cells)
            keys[(tile.row, tile.col)] = f"{tile.row} {tile.col}"
            store[keys[(tile.row, tile.col)]] = world.record(task)
            tasks.append(task)
    return Mosaic(region, tasks, keys, store, **options), store  # type: ignore[arg-type]  # a store that only reads


@st.composite
def regions(draw: st.DrawFn) -> Region:
    """Some polygons with odd corners, holes among them; or the whole window."""
    if draw(st.booleans()) and draw(st.booleans()):
        row, col = draw(st.integers(-30, 10)), draw(st.integers(-40, 10))
        return Region(Window(row, col, row + draw(st.integers(1, 40)), col + draw(st.integers(1, 50))))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    features = {}
    for number in range(draw(st.integers(1, 3))):
        x, y, size = rng.uniform(-25, 45), rng.uniform(-15, 35), rng.uniform(3, 14)
        angle = np.sort(rng.uniform(0, 2 * np.pi, 9))
        ring = np.column_stack([x + size * np.cos(angle), y + size * np.sin(angle)])
        shape = shapely.make_valid(shapely.Polygon(ring)).difference(shapely.Point(x, y).buffer(size / 3))
        features[f"f{number}"] = shape
    west, north, east, south = shapely.union_all(list(features.values())).bounds
    window = Window(int(np.floor(north)), int(np.floor(west)), int(np.ceil(south)), int(np.ceil(east)))
    return Region(window, features)


def inside_of(region: Region) -> NDArray[np.bool_]:
    """Pixels of the window whose centre lies in the region, by geometry."""
    if not region.features:
        return np.ones(region.window.shape, dtype=bool)
    rows, cols = np.mgrid[: region.window.shape[0], : region.window.shape[1]]
    union = shapely.union_all(list(region.features.values()))
    return shapely.contains_xy(union, cols + region.window.col0 + 0.5, rows + region.window.row0 + 0.5)


@settings(deadline=None, max_examples=25)
@given(region=regions(), side_cells=st.integers(1, 9), seed=st.integers(0, 99))
def test_the_map_is_the_tiles_cut_by_the_region(region: Region, side_cells: int, seed: int) -> None:
    world, inside = World.random(seed), inside_of(region)
    if region.is_tiny:
        return
    mosaic, _ = mosaic_of(world, region, side_cells)
    assert mosaic.shape == region.window.shape
    times = np.zeros(mosaic.shape, dtype=int)
    classes, confidence = np.zeros(mosaic.shape, "uint8"), np.zeros(mosaic.shape, "uint8")
    counts = Counts()
    for block in mosaic.blocks():
        at = mosaic.slices(*block)
        times[at] += 1
        classes[at], confidence[at] = mosaic.read(*block)
        mosaic.count(counts, *block)
    assert (times == 1).all()
    part = region.window.within(WORLD)
    np.testing.assert_array_equal(classes, np.where(inside, world.classes[part], NO_CLASS))
    np.testing.assert_array_equal(confidence, np.where(inside, world.confidence[part], NO_CONFIDENCE))
    reason = world.reason[part][inside]
    plain = reason & ~np.uint8(NEAR_FAILED_BIT)
    assert (counts.aoi, counts.outside) == (inside.sum(), (~inside).sum())
    assert counts.unobserved == (plain == Reason.UNOBSERVED).sum()
    assert counts.masked == (plain == Reason.MASKED).sum()
    assert counts.failed == (plain == Reason.FAILED).sum()
    assert counts.failed_model == (plain == Reason.MODEL).sum()
    assert counts.failed_lost == (plain == Reason.LOST).sum()
    assert counts.near_failed == (reason >= NEAR_FAILED_BIT).sum()
    classified = (plain == Reason.OBSERVED).sum()
    accounted = classified + counts.unobserved + counts.masked + counts.failed + counts.failed_model
    accounted += counts.failed_lost
    assert accounted == counts.aoi


def test_a_region_without_a_pixel_centre_takes_what_it_touches() -> None:
    sliver = shapely.Polygon([(3.6, 2.55), (9.4, 2.55), (9.4, 2.65), (3.6, 2.65)])
    region = Region(Window(2, 3, 3, 10), {"sliver": sliver})
    mosaic, _ = mosaic_of(World.random(1), region, 1)
    counts = Counts()
    for block in mosaic.blocks():
        mosaic.count(counts, *block)
    assert (counts.aoi, counts.outside) == (7, 0)


def test_blocks_of_one_tile_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tile may be cut into several blocks; its record is decoded once for all of them."""
    monkeypatch.setattr("geoseg.mosaic._MOST_BLOCK_PX", 8)
    world, region = World.random(3), Region(Window(-7, -9, 40, 50))
    mosaic, store = mosaic_of(world, region, 8)
    assert len(list(mosaic.blocks())) > 4 * len(store)
    asked: list[str] = []
    monkeypatch.setattr(Records, "get", lambda self, key: asked.append(key) or self[key])
    for block in mosaic.blocks():
        mosaic.read(*block)
    assert len(asked) == len(set(asked)) == len(store)


@pytest.mark.parametrize("lost", ["record", "cells"])
def test_a_store_that_was_emptied_meanwhile_is_no_hole(lost: str) -> None:
    mosaic, store = mosaic_of(World.random(3), Region(Window(0, 0, 20, 20)), 2)
    key = next(iter(store))
    if lost == "record":
        del store[key]
    else:
        store[key] = TileRecord(store[key].layers, np.zeros_like(store[key].cells))
    with pytest.raises(OutputError):
        collections.deque((mosaic.read(*block) for block in mosaic.blocks()), maxlen=0)
