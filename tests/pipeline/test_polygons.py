"""Promise 5 on whole runs: polygons are those of the finished raster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
import worlds
from pyproj import Geod

import geoseg
from geoseg.models import ModelFolder

Maker = Callable[..., geoseg.Result]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory, scene: Path, finite: ModelFolder) -> Maker:
    """Runs on one raster; tiles of one size are computed once."""
    folder = tmp_path_factory.mktemp("polygons")

    def run(name: str, **options: object) -> geoseg.Result:
        cache = folder / f"cache-{options.get('tile_size', 32)}"
        options = {"tile_size": 32, **options}
        return geoseg.run(scenes=(str(scene),), model=str(finite.path), out=folder / name, cache=cache, **options)

    return run


@pytest.fixture(scope="module")
def plain(make: Maker) -> geoseg.Result:
    """Many tiles, nothing left out."""
    return make("plain")


def polygons_of_raster(path: Path) -> list[tuple[int, bytes]]:
    """What GDAL makes of the finished raster: class and normalised polygon, sorted."""
    with rasterio.open(path) as file:
        classes = file.read(1)
        shapes = rasterio.features.shapes(classes, mask=classes <= 250, connectivity=4, transform=file.transform)
        found = [(int(value), shapely.geometry.shape(geometry)) for geometry, value in shapes]
    return sorted((value, shapely.normalize(polygon).wkb) for value, polygon in found)


def normalised(table: geopandas.GeoDataFrame) -> list[tuple[int, bytes]]:
    wkb = shapely.to_wkb(shapely.normalize(table.geometry.to_numpy()))
    return sorted(zip(table["class"].astype(int).tolist(), wkb, strict=True))


def test_polygons_equal_those_of_the_finished_raster(plain: geoseg.Result) -> None:
    assert plain.report["tiles"]["total"] > 40
    assert plain.report["polygons"]["split"] == 0
    found = normalised(plain.polygons)
    assert len(found) == plain.report["polygons"]["count"] > 300
    assert found == polygons_of_raster(plain.out / "classes.tif")
    assert plain.polygons.geometry.is_valid.all()


def test_areas_are_those_of_the_pixels(plain: geoseg.Result) -> None:
    classes, table = worlds.read(plain.out / "classes.tif"), plain.polygons
    per_class = table.geometry.area.groupby(table["class"]).sum()
    for index in range(len(worlds.COLOURS)):
        pixels = int((classes == index).sum())
        assert per_class.get(index, 0.0) == pixels * 100.0
        assert plain.report["pixels"]["per_class"].get(str(index), 0) == pixels
    geod = Geod(ellps="WGS84")
    lonlat = table.geometry.segmentize(50).to_crs("EPSG:4326")
    expected = np.array([abs(geod.geometry_area_perimeter(polygon)[0]) for polygon in lonlat])
    np.testing.assert_allclose(table["area_m2"], expected, rtol=5e-5)


def test_confidence_is_that_of_the_pixels(plain: geoseg.Result) -> None:
    confidence, table = worlds.read(plain.out / "confidence.tif"), plain.polygons
    with rasterio.open(plain.out / "classes.tif") as file:
        shape, transform = file.shape, file.transform
    numbered = rasterio.features.rasterize(
        zip(table.geometry, range(1, len(table) + 1), strict=True), shape, transform=transform, dtype="int32"
    )
    for number in np.random.default_rng(0).choice(len(table), 40, replace=False):
        own = confidence[numbered == number + 1]
        assert table["confidence_mean"].iloc[number] == pytest.approx(own.mean(), abs=1e-3)
        assert own.min() <= table["confidence_p10"].iloc[number] <= np.ceil(np.quantile(own, 0.1, method="higher"))


def test_a_minimum_mapping_unit_gives_the_polygons_of_the_sieved_raster(make: Maker, plain: geoseg.Result) -> None:
    sieved = make("sieved", min_area_m2=700.0)
    assert normalised(sieved.polygons) == polygons_of_raster(sieved.out / "classes.tif")
    assert len(sieved.polygons) < len(plain.polygons)
    before, after = (worlds.read(result.out / "classes.tif") for result in (plain, sieved))
    assert ((before == 255) == (after == 255)).all()
    assert (before != after).any()
    # Whatever is still small has no neighbour to go to, or is made of small ones.
    large = plain.polygons[plain.polygons.geometry.area >= 700]
    inside = rasterio.features.rasterize(
        large.geometry, before.shape, transform=rasterio.open(plain.out / "classes.tif").transform, dtype="uint8"
    )
    np.testing.assert_array_equal(after[inside == 1], before[inside == 1])


@pytest.mark.parametrize(
    "options", [{"min_area_m2": 700.0}, {"simplify_m": 12.0}, {"min_area_m2": 700.0, "simplify_m": 12.0}]
)
def test_three_tile_sizes_give_equal_polygons_that_fit_together(make: Maker, options: dict[str, float]) -> None:
    name = "-".join(options)
    results = [make(f"{name}-{size}", tile_size=size, **options) for size in (32, 96, 512)]
    first = normalised(results[0].polygons)
    for other in results[1:]:
        assert normalised(other.polygons) == first
    geometry = results[0].polygons.geometry.to_numpy()
    assert shapely.is_valid(geometry).all()
    if "simplify_m" in options:  # the others have the raster's borders, with no vertex where a third region meets two
        assert shapely.coverage_is_valid(geometry)
        exact = polygons_of_raster(results[0].out / "classes.tif")
        assert len(exact) == len(first)
        outline = shapely.union_all(shapely.from_wkb([wkb for _, wkb in exact]))
        assert shapely.union_all(geometry).area == pytest.approx(outline.area, rel=0.01)
        assert shapely.get_num_coordinates(geometry).sum() < sum(
            shapely.get_num_coordinates(shapely.from_wkb(wkb)) for _, wkb in exact
        )
