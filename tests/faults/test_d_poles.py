"""Group D of the list of faults: grids in metres whose rows go on behind a pole, because their size is round."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from affine import Affine

import geoseg
from geoseg.errors import GeosegError
from geoseg.models import ModelFolder
from tests.faults import painted
from tests.faults.rasters import refusal

EARTH_M2 = 510_065_621_724_089  # the surface of WGS 84
WIDTH_M = {"EPSG:6933": 34_735_060.89, "EPSG:4087": 40_075_016.69}  # of the Earth
# The whole Earth in round pixels, more than half of the first and last rows behind the poles; and its north.
GLOBES = {
    "equal area": ("EPSG:6933", Affine(300_000, 0, -17_400_000, 0, -300_000, 7_500_000), (50, 116)),
    "equal area, south up": ("EPSG:6933", Affine(300_000, 0, -17_400_000, 0, 300_000, -7_500_000), (50, 116)),
    "equidistant": ("EPSG:4087", Affine(200_000, 0, -20_100_000, 0, -200_000, 10_100_000), (101, 201)),
}
NORTH = ("EPSG:6933", Affine(300_000, 0, -600_000, 0, -300_000, 7_500_000), (6, 10))


@pytest.mark.fault(37)
@pytest.mark.parametrize("name", GLOBES)
def test_fault_37_a_coarse_globe_ends_at_the_poles(tmp_path: Path, positions: ModelFolder, name: str) -> None:
    crs, place, shape = GLOBES[name]
    path = painted.paint(tmp_path / "a.tif", shape, crs=crs, transform=place)
    errors, seen = painted.errors_px(painted.planned(positions, path, cache=tmp_path), [path])
    assert seen.all()
    assert errors.max() < 1e-6
    result = geoseg.run(scenes=str(path), model=str(positions.path), out=tmp_path / "map", device="cpu")
    item = json.loads((tmp_path / "map" / "item.json").read_text())
    assert item["bbox"] == pytest.approx([-180, -90, 180, 90], abs=1e-9)
    expected = EARTH_M2 * shape[1] * place.a / WIDTH_M[crs]  # a little more than once round
    area = sum(row["area_m2"] for row in result.report["areas"] if row["feature"] == "all")
    assert area == pytest.approx(expected, rel=1e-6)
    polygons = pq.read_table(tmp_path / "map" / "polygons.parquet").column("area_m2").to_numpy()
    assert polygons.sum() == pytest.approx(expected, rel=1e-6)
    assert np.abs(result.report["grid"]["corners_lonlat"]).max(axis=0).tolist() == pytest.approx([180, 90], abs=2)
    assert (tmp_path / "map" / "preview.png").stat().st_size > 100


@pytest.mark.fault(37)
def test_fault_37_a_globe_is_laid_on_a_grid_that_ends_behind_the_poles(tmp_path: Path, positions: ModelFolder) -> None:
    path = painted.paint(tmp_path / "a.tif", (90, 180), crs="EPSG:4326", transform=Affine(2, 0, -180, 0, -2, 90))
    options = {"scenes": str(path), "model": str(positions.path), "crs": "EPSG:6933", "resolution": 300_000.0}
    result = geoseg.run(**options, out=tmp_path / "map", device="cpu")
    rows = {row["index"]: row["area_m2"] for row in result.report["areas"] if row["feature"] == "all"}
    polygons = pq.read_table(tmp_path / "map" / "polygons.parquet").to_pandas().groupby("class")["area_m2"].sum()
    # Rows near a pole have less area than others: each class has that of its own pixels.
    assert {index: area for index, area in rows.items() if area} == pytest.approx(polygons.to_dict(), rel=1e-9)


@pytest.mark.fault(37)
@pytest.mark.parametrize(("crs", "resolution"), [("EPSG:3413", 50_000), ("EPSG:3035", 50_000), ("EPSG:4326", 0.5)])
def test_fault_37_what_lies_before_the_pole_is_warped_to_its_place(
    tmp_path: Path, positions: ModelFolder, crs: str, resolution: float
) -> None:
    system, place, shape = NORTH
    path = painted.paint(tmp_path / "a.tif", shape, crs=system, transform=place)
    prepared = painted.planned(positions, path, cache=tmp_path, crs=crs, resolution=resolution)
    errors, seen = painted.errors_px(prepared, [path])
    inside = prepared.region.mask(prepared.region.window)
    assert (seen & inside).sum() > 0.9 * inside.sum()
    values, _ = painted.read(prepared)
    inner = seen & (values[0] > 1) & (values[0] < 4) & (values[1] > 0.5) & (values[1] < 8.5)
    assert inner.sum() > 100
    assert errors[inner].max() < 0.5


@pytest.mark.fault(37)
def test_fault_37_a_single_row_across_the_pole_is_mapped(tmp_path: Path, positions: ModelFolder) -> None:
    for name, crs, place in (
        ("metres", "EPSG:6933", NORTH[1]),
        ("degrees", "EPSG:4326", Affine(2, 0, 0, 0, -2, 91)),
    ):
        path = painted.paint(tmp_path / f"{name}.tif", (1, 10), crs=crs, transform=place)
        result = geoseg.run(scenes=str(path), model=str(positions.path), out=tmp_path / name, device="cpu")
        assert result.report["pixels"]["classified"] == 10
        assert max(lat for _, lat in result.report["grid"]["corners_lonlat"]) == 90


@pytest.mark.fault(37)
@pytest.mark.parametrize(
    "place",
    [
        Affine(300_000, 0, -600_000, 0, -300_000, 7_700_000),  # a whole row
        Affine(300_000, 30_000, -600_000, 0, -300_000, 7_400_000) @ Affine.rotation(5),
    ],
    ids=["a row", "turned"],
)
def test_fault_37_rows_that_lie_behind_the_pole_are_refused(tmp_path: Path, place: Affine) -> None:
    path = painted.paint(tmp_path / "a.tif", (6, 10), crs="EPSG:6933", transform=place)
    err: GeosegError = refusal(path, wanted=painted.BANDS)
    assert "off the Earth" in err.given
    assert "gdalwarp" in err.todo
