"""The shipped network of two dates through the whole road: it sees generated change, and the cut does not matter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import worlds
from numpy.typing import NDArray

import geoseg
from geoseg.demo.pairs import Nuisances, make_pair_land
from geoseg.demo.scenes import SCALE
from geoseg.errors import ModelMismatchError
from geoseg.models import resolve

MODEL, SHAPE = "demo-change", (200, 232)


@dataclass(frozen=True, eq=False)
class Dates:
    """Two rasters of a generated landscape; half a pixel of shift and all other nuisances between them."""

    before: Path
    after: Path
    changed: NDArray[np.bool_]

    def run(self, out: Path, **options: object) -> geoseg.Result:
        dates = {"scenes_before": str(self.before), "scenes_after": str(self.after)} | options
        return geoseg.run(workflow="change", model=MODEL, out=out, cache=out.parent / f"{out.name}-cache", **dates)


@pytest.fixture(scope="module")
def dates(tmp_path_factory: pytest.TempPathFactory) -> Dates:
    folder = tmp_path_factory.mktemp("dates")
    spec = resolve(MODEL, offline=True).spec
    land = make_pair_land(7007, SHAPE)
    paths = []
    for name, image in zip(("before", "after"), land.images(spec.bands, Nuisances.all(0.7), 1), strict=True):
        numbers = np.clip(np.rint(image / SCALE), 1, 65535).astype("uint16")
        paths.append(worlds.write_raster(folder / f"{name}.tif", numbers, names=spec.bands, nodata=0))
    return Dates(paths[0], paths[1], land.changed)


@pytest.fixture(scope="module")
def result(dates: Dates, tmp_path_factory: pytest.TempPathFactory) -> geoseg.Result:
    return dates.run(tmp_path_factory.mktemp("change") / "map", scale=SCALE, sensor="sentinel-2-l2a")


def classes_of(result: geoseg.Result) -> NDArray[np.uint8]:
    return worlds.read(result.out / "classes.tif")


def test_generated_change_is_found(dates: Dates, result: geoseg.Result) -> None:
    found = classes_of(result) == 1
    hits = (found & dates.changed).sum()
    assert 2 * hits / (found.sum() + dates.changed.sum()) > 0.6
    assert [entry["name"] for entry in result.report["classes"]] == ["no change", "change"]


@pytest.mark.parametrize("tile_size", [1, 512])
def test_the_cut_changes_no_pixel(dates: Dates, result: geoseg.Result, tmp_path: Path, tile_size: int) -> None:
    other = dates.run(tmp_path / "cut", tile_size=tile_size, scale=SCALE, sensor="sentinel-2-l2a")
    np.testing.assert_array_equal(classes_of(other), classes_of(result))


def test_equal_dates_are_an_empty_map(dates: Dates, tmp_path: Path) -> None:
    same = dates.run(tmp_path / "same", scenes_after=str(dates.before), scale=SCALE, sensor="sentinel-2-l2a")
    assert set(np.unique(classes_of(same))) <= {0, 255}
    assert len(same.polygons) == 0


def test_a_network_of_two_dates_is_refused_for_one(dates: Dates, tmp_path: Path) -> None:
    with pytest.raises(ModelMismatchError, match="two dates"):
        geoseg.run(scenes=(str(dates.before),), model=MODEL, out=tmp_path / "one", scale=SCALE)
