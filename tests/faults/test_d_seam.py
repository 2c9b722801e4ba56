"""Group D of the list of faults: rasters that touch, cross or span the 180th meridian, on grids that do not end there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from pyproj import Transformer

from geoseg.errors import NothingToDoError, RequestError
from geoseg.models import ModelFolder
from tests.faults import painted

HALF = 20037508.342789244  # x of 180 E in EPSG:3857


def mapped(
    tmp_path: Path, model: ModelFolder, system: str, shape: tuple[int, int], place: Affine, **options: Any
) -> tuple[int, int, int, float]:
    """Pixels of the region that PROJ finds on the raster; of them unseen; seen ones beside it; error in source pixels.

    Rows and columns within half a kernel of the raster's edges, and of its first and last column, are left out of the
    error: what is painted there is no plane.
    """
    path = painted.paint(tmp_path / "a.tif", shape, crs=system, transform=place)
    prepared = painted.planned(model, path, cache=tmp_path, **options)
    values, seen = painted.read(prepared)
    geobox = prepared.lattice.geobox(prepared.region.window)
    rows, cols = np.mgrid[: geobox.shape[0], : geobox.shape[1]] + 0.5
    a, b, c, d, e, f = geobox.transform[:6]
    to_source = Transformer.from_crs(prepared.lattice.crs.to_wkt(), system, always_xy=True)
    x, y = to_source.transform(c + a * cols + b * rows, f + d * cols + e * rows)
    turn = round(2 * HALF / place.a, 6) if system == "EPSG:3857" else round(360 / place.a, 6)
    col, row = ((x - place.c) / place.a) % turn, (y - place.f) / place.e
    inside = (col < shape[1]) & (row >= 0) & (row < shape[0])
    inner = inside & seen & (col > 1) & (col < min(shape[1], turn) - 1) & (row > 1) & (row < shape[0] - 1)
    errors = np.hypot(values[0] - (row - 0.5), values[1] - (col - 0.5))[inner]
    wanted = prepared.region.mask(prepared.region.window)
    assert inner.any()
    return int((inside & wanted).sum()), int((inside & wanted & ~seen).sum()), int((seen & ~inside).sum()), errors.max()


@pytest.mark.parametrize("zone", ["EPSG:32660", "EPSG:32601"])
@pytest.mark.parametrize("west", [179.8, 179.9, 179.95, -180.0, -180.05, -179.99])
def test_degrees_at_the_seam_are_whole_in_utm(tmp_path: Path, positions: ModelFolder, zone: str, west: float) -> None:
    place = Affine(0.001, 0, west, 0, -0.001, 45)
    found, unseen, beside, error = mapped(
        tmp_path, positions, "EPSG:4326", (100, 100), place, crs=zone, resolution=100.0
    )
    assert 8700 < found < 8800  # 0.1 degrees square at 45 N
    assert unseen == 0
    assert beside == 0
    assert error < 0.25


@pytest.mark.parametrize("zone", ["EPSG:32660", "EPSG:32601"])
@pytest.mark.parametrize("west", [HALF - 10_000, HALF - 5_000, -HALF, -HALF - 5_000])
def test_mercator_at_the_seam_is_whole_in_utm(tmp_path: Path, positions: ModelFolder, zone: str, west: float) -> None:
    place = Affine(100, 0, west, 0, -100, 5_600_000)
    found, unseen, beside, error = mapped(
        tmp_path, positions, "EPSG:3857", (100, 100), place, crs=zone, resolution=100.0
    )
    assert 5000 < found < 5060
    assert (unseen, beside) == (0, 0)
    assert error < 0.25


REGIONS = {
    "zone 33": {"crs": "EPSG:32633", "aoi": "14,46,16,48", "resolution": 10_000.0},
    "Europe": {"crs": "EPSG:3035", "aoi": "-10,40,30,55", "resolution": 100_000.0},
    "zone 60": {"crs": "EPSG:32660", "aoi": "178,44,-178,46", "resolution": 10_000.0},
    "zone 1": {"crs": "EPSG:32601", "aoi": "177.5,44,-178,46", "resolution": 5_000.0},
    "Arctic": {"crs": "EPSG:3413", "aoi": "-180,65,180,90", "resolution": 100_000.0},
    "Arctic at 180": {"crs": "EPSG:3413", "aoi": "170,70,-170,75", "resolution": 20_000.0},
    "Pacific": {"crs": "EPSG:3832", "aoi": "165,40,-165,55", "resolution": 100_000.0},
}


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("west", [-180.0, 0.0, -180.5])
def test_a_globe_is_whole_on_any_grid(
    tmp_path: Path, positions: ModelFolder, monkeypatch: pytest.MonkeyPatch, region: str, west: float
) -> None:
    place = Affine(1, 0, west, 0, -1, 90)

    monkeypatch.setenv("GEOSEG_MAX_AREA_KM2", "1e9")
    found, unseen, beside, error = mapped(tmp_path, positions, "EPSG:4326", (180, 360), place, **REGIONS[region])
    assert found > 100
    assert (unseen, beside) == (0, 0)
    limit = {"Europe": 0.25, "Arctic": 6.0}  # averages are pulled by their kernel; at the pole columns end in a point
    assert error < limit.get(region, 0.01)


def both_sides(tmp_path: Path, system: str = "EPSG:4326") -> list[Path]:
    return [
        painted.paint(tmp_path / f"{name}.tif", (100, 100), crs=system, transform=Affine(0.001, 0, x, 0, -0.001, 45))
        for name, x in (("east", 179.9), ("west", -180.0))
    ]


@pytest.mark.parametrize(
    ("crs", "system"),
    [
        (None, "EPSG:4326"),
        ("EPSG:32601", "EPSG:4326"),
        ("EPSG:32660", "EPSG:4326"),
        ("EPSG:4326", "EPSG:4326"),
        (None, "EPSG:4269"),
        ("EPSG:4269", "EPSG:4269"),
    ],
)
def test_a_region_across_the_seam_of_scenes_on_both_sides_is_whole(
    tmp_path: Path, positions: ModelFolder, crs: str | None, system: str
) -> None:
    paths = both_sides(tmp_path, system)
    for given in (paths, paths[::-1]):
        prepared = painted.planned(positions, *given, cache=tmp_path, aoi="179.95,44.92,-179.95,44.98", crs=crs)
        errors, seen = painted.errors_px(prepared, paths)
        wanted = prepared.region.mask(prepared.region.window)
        assert wanted.sum() > 3000
        assert seen[wanted].all()
        assert np.quantile(errors[wanted], 0.95) < 0.3  # the first and last columns lack half a kernel
        assert errors[wanted].max() < 1


def test_pixels_are_of_the_size_of_the_source_without_a_resolution(tmp_path: Path, positions: ModelFolder) -> None:
    sizes = []
    for number, west in enumerate((178.0, 179.9, 179.95, -180.05)):
        place = Affine(0.001, 0, west, 0, -0.001, 45)
        path = painted.paint(tmp_path / f"{number}.tif", (100, 100), crs="EPSG:4326", transform=place)
        prepared = painted.planned(positions, path, cache=tmp_path, crs="EPSG:32660")
        sizes.append(prepared.lattice.pixel_size[0])
    assert max(sizes) / min(sizes) < 1.03


def test_a_raster_far_away_is_not_on_the_map(tmp_path: Path, positions: ModelFolder) -> None:
    path = both_sides(tmp_path)[0]
    with pytest.raises(NothingToDoError):
        painted.planned(positions, path, cache=tmp_path, crs="EPSG:32660", aoi="176,44.9,176.1,45")


@pytest.mark.parametrize("system", ["EPSG:4326", "EPSG:4269"])
@pytest.mark.parametrize("west", [179.8, -180.2])
def test_the_crs_of_scenes_that_count_on_is_that_of_the_map_when_it_is_written_out(
    tmp_path: Path, positions: ModelFolder, system: str, west: float
) -> None:
    place = Affine(0.001, 0, west, 0, -0.001, 51.2)
    path = painted.paint(tmp_path / "a.tif", (300, 400), crs=system, transform=place)
    region = "179.9,51.02,-179.9,51.08"
    for crs in (None, system):
        prepared = painted.planned(positions, path, cache=tmp_path, aoi=region, crs=crs)
        errors, seen = painted.errors_px(prepared, [path])
        assert prepared.geobox.shape == (60, 200)
        assert seen.all()
        assert errors.max() < 1e-6


@pytest.mark.parametrize(
    ("system", "place", "way"),
    [
        ("EPSG:32660", Affine(100, 0, 690_000, 0, -100, 5_670_000), "EPSG:32660"),
        ("EPSG:4326", Affine(0.001, 0, 179.8, 0, -0.001, 51.2), "EPSG:4326"),
        ("EPSG:4326", Affine(1, 0, -180, 0, -1, 90), "EPSG:32601"),
    ],
    ids=["metres", "counted on", "globe"],
)
def test_degrees_that_end_at_the_seam_are_refused_with_a_crs_that_does_not(
    tmp_path: Path, positions: ModelFolder, system: str, place: Affine, way: str
) -> None:
    path = painted.paint(tmp_path / "a.tif", (180, 360), crs=system, transform=place)
    region = "179.9,51.05,-179.9,51.1"
    with pytest.raises(RequestError) as refused:
        painted.planned(positions, path, cache=tmp_path, aoi=region, crs="EPSG:4269")
    assert "180th meridian" in refused.value.given
    assert f"--crs {way}" in refused.value.todo
    prepared = painted.planned(positions, path, cache=tmp_path, aoi=region, crs=way)  # the way out is one
    _, seen = painted.errors_px(prepared, [path])
    assert seen[prepared.region.mask(prepared.region.window)].all()
