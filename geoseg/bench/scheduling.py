"""What a tile costs beside its pixels: finding scenes, keys and records, handing out, counting. Nothing is read or computed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from geoseg.bench.context import describe_machine
from geoseg.budget import Share
from geoseg.cluster.loading import ModelLoader
from geoseg.cluster.run import ClusterWorkers
from geoseg.cluster.team import Team, own_team
from geoseg.composite import Composite
from geoseg.grid import Lattice, Window
from geoseg.keys import KeyParts
from geoseg.models import resolve
from geoseg.models.backends import Backend
from geoseg.plan import TileTask, cover
from geoseg.predict import Predictor, TileResult
from geoseg.progress import Silent
from geoseg.scenes import BandSource, Found, Item
from geoseg.scenes.sensors import SENSORS
from geoseg.store import TileRecord
from geoseg.tally import Tally
from geoseg.tiles import ChipPlan, tiles_over
from geoseg.work import Recipe, TileWorkers

_CRS, _PIXEL_M = "EPSG:32633", 10.0
_BANDS = ("B02", "B03", "B04", "B08")
_CELL_PX, _SIDE_CELLS = 256, 4
_SCENE_PX, _SCENES_ACROSS = 10_980, 10
_PROCESSES, _IN_FLIGHT = 2, 2


class _NoRecipe(Recipe):
    """A recipe that reads nothing."""

    def image(self, job: Any, scene: Any = None) -> Composite:
        """No pixels."""
        del job, scene
        return Composite(np.empty((0, 0, 0), "float32"), np.empty((0, 0), "uint8"), {}, {})


class _NoPredictor:
    """A model that does nothing."""

    def predict(self, *_: object) -> TileResult:
        """One class."""
        pixels = np.zeros((_SIDE_CELLS, _SIDE_CELLS), "uint8")
        return TileResult(pixels, pixels, pixels)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _NoLoader(ModelLoader):
    """A loader of nothing."""

    def load(self, passes: int) -> Predictor:
        """A model that does nothing."""
        del passes
        return cast("Predictor", _NoPredictor())


@dataclass
class _NoStore:
    """A store that looks where records would lie, and writes none."""

    folder: Path

    def get(self, key: str) -> TileRecord | None:
        """Looks, and finds nothing."""
        try:
            (self.folder / key[:2] / key[2:4] / f"{key}.zip").read_bytes()
        except OSError:
            return None
        raise AssertionError(key)

    def add(self, key: str, record: TileRecord) -> TileRecord:
        """Forgets it."""
        del key
        return record

    def leave(self, name: str, body: bytes) -> None:
        """See ``geoseg.store.Store``."""
        (self.folder / name).write_bytes(body)

    def found(self, name: str) -> bytes | None:
        """See ``geoseg.store.Store``."""
        return (self.folder / name).read_bytes()

    def forget(self, name: str) -> None:
        """See ``geoseg.store.Store``."""
        (self.folder / name).unlink()


def measure_scheduling(folder: Path, tiles: int, dates: int, say: Callable[[str], object]) -> dict[str, float]:
    """Time a job of so many tiles, on a grid of scenes of so many dates, in this process and by worker processes.

    Returns:
        Way to milliseconds for a tile.
    """
    recipe, tasks = _job(tiles, dates)
    say(f"{len(tasks):,} tiles, {dates * _SCENES_ACROSS**2:,} items; {describe_machine()}\n")
    found = {
        "scenes and keys alone": _ms(tasks, lambda: [recipe.job(task) for task in tasks]),
        "in one process": _ms(tasks, lambda: _in_process(recipe, tasks, folder)),
    }
    share = Share(_PROCESSES, 1, _IN_FLIGHT, 2**24, 2**24)
    with own_team(share, "cpu") as team:
        _on(team, share, recipe, tasks[:100], folder)  # plugins and imports
        found[f"by {_PROCESSES} processes"] = _ms(tasks, lambda: _on(team, share, recipe, tasks, folder))
    for way, ms in found.items():
        say(f"  {way:<24}{ms:8.3f} ms a tile\n")
    return found


def _job(tiles: int, dates: int) -> tuple[_NoRecipe, list[TileTask]]:
    """A job on a square of tiles, of scenes that lie side by side, as satellites take them."""
    lattice = Lattice.from_resolution(_CRS, _PIXEL_M)
    items = [_item(date, row, col) for date in range(dates) for row, col in np.ndindex(_SCENES_ACROSS, _SCENES_ACROSS)]
    facts = {source.href: "length=1000000, etag=0123456789abcdef" for item in items for source in item.sources}
    parts = KeyParts("model", "median", "reflectance", _BANDS, lattice, "torch-cpu", "float32", 1, (4, 1))
    chips = ChipPlan((40, 40, 40, 40), 8, None, None, _SIDE_CELLS)
    recipe = _NoRecipe(cover(Found(tuple(items)), "median", lattice), chips, parts, facts, 2**24, 1, 2**24)
    first = lattice.window_of(items[0].geobox)
    assert first is not None  # noqa: S101  # it lies on the lattice
    side = _CELL_PX * _SIDE_CELLS
    across = math.isqrt(tiles)
    area = Window(first.row0, first.col0, first.row0 + 1, first.col0 + 1).snapped(side)
    area = Window(area.row0, area.col0, area.row0 + across * side, area.col0 + across * side)
    cells = np.ones((_SIDE_CELLS, _SIDE_CELLS), dtype=bool)
    return recipe, [TileTask(tile, cells) for tile in tiles_over(area, _SIDE_CELLS, _CELL_PX)]


def _item(date: int, row: int, col: int) -> Item:
    west, north = 400_000.0 + col * _SCENE_PX * _PIXEL_M, 5_200_000.0 - row * _SCENE_PX * _PIXEL_M
    geobox = GeoBox((_SCENE_PX, _SCENE_PX), Affine(_PIXEL_M, 0, west, 0, -_PIXEL_M, north), _CRS)
    name = f"S2_{date}_{row}_{col}"
    sources = {band: BandSource(band, 1, f"https://example.org/{name}/{band}.tif?signature=abc") for band in _BANDS}
    day = f"2022-{1 + date // 28:02d}-{1 + date % 28:02d}T10:00:00Z"
    sensor = SENSORS["sentinel-2-l2a"]
    return Item(name, "s2", sensor, day, "sentinel-2a", 10.0, "05.00", geobox, sources, None, False, "", {})


def _ms(tasks: list[TileTask], work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - start) / len(tasks)


def _in_process(recipe: Recipe, tasks: list[TileTask], folder: Path) -> Tally:
    predictor = cast("Predictor", _NoPredictor())
    workers = TileWorkers(recipe, lambda: nullcontext(predictor), _NoStore(folder), _IN_FLIGHT, lambda: False)
    return _checked(workers.run(tasks, Silent()), tasks)


def _on(team: Team, share: Share, recipe: Recipe, tasks: list[TileTask], folder: Path) -> Tally:
    loader = _NoLoader(resolve("demo-landcover"), recipe.chips, Backend("torch", "cpu", "exact"), 10.0, 1)
    workers = ClusterWorkers(recipe, loader, _NoStore(folder), lambda: team, lambda _: share, 8, (), lambda: False)
    return _checked(workers.run(tasks, Silent()), tasks)


def _checked(tally: Tally, tasks: list[TileTask]) -> Tally:
    if tally.computed != len(tasks):
        raise SystemExit(f"{tally.computed} of {len(tasks)} tiles were computed")
    return tally
