"""Many features of a region are counted together, and each as if it were alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely import affinity

from geoseg.grid import Window
from geoseg.models.spec import ClassInfo
from geoseg.outputs.areas import AreaTable
from geoseg.pipeline.rasters import _count_features
from geoseg.plan import region as plan_region
from geoseg.plan.region import Region, pixels_around

CLASSES = (ClassInfo(index=0, name="water", colour="#0000ff"), ClassInfo(index=1, name="land", colour="#00ff00"))
WINDOW = Window(1000, 2000, 1160, 2120)


@st.composite
def outlines(draw: st.DrawFn) -> shapely.Geometry:
    """Boxes and turned boxes whose corners lie on corners and centres of pixels, or within one; some of them tiny."""
    col, row = (draw(st.integers(low, high)) / 2 for low, high in ((3980, 4220), (1980, 2300)))
    wide, high = (draw(st.sampled_from([0.1, 0.5, 1.0, 3.0, 20.5, 90.0, 150.0])) for _ in "xy")
    turn = draw(st.sampled_from([0, 0, 0, 45, 30]))
    return affinity.rotate(shapely.box(col, row, col + wide, row + high), turn)


def table(features: dict[str, shapely.Geometry]) -> AreaTable:
    geobox = GeoBox.from_bbox((500_000, 5_000_000, 501_200, 5_001_600), "EPSG:32633", resolution=10)
    assert geobox.shape == WINDOW.shape
    return AreaTable(geobox, CLASSES, list(features))


def one_by_one(region: Region, classes: NDArray[np.uint8], areas: AreaTable) -> None:
    """The oracle: the mask of each feature by itself, in strips from its own first row."""
    for name, geometry in region.features.items():
        part = WINDOW & pixels_around(geometry).padded(1, 1, 1, 1)
        inside = region.mask(WINDOW, name)
        for top in range(part.row0, part.row1, areas.strip_rows) if part else ():
            rows = slice(top - WINDOW.row0, min(top + areas.strip_rows, part.row1) - WINDOW.row0)
            cols = slice(part.col0 - WINDOW.col0, part.col1 - WINDOW.col0)
            strip = inside[rows, cols]
            if strip.any():
                areas.add_counts(rows, cols, {name: np.bincount(classes[rows, cols][strip], minlength=256)})


@given(st.lists(outlines(), min_size=1, max_size=12))
def test_features_are_counted_as_if_each_were_alone(shapes: list[shapely.Geometry]) -> None:
    """Overlapping, abutting and tiny ones among them; to the last digit."""
    features = {f"f{number}": shape for number, shape in enumerate(shapes)}
    region = Region(WINDOW, features)
    classes = np.random.default_rng(1).choice(np.array([0, 1, 255], "uint8"), WINDOW.shape)
    together, alone = table(features), table(features)
    _count_features(region, WINDOW, slice(0, 160), slice(0, 120), classes, together)
    one_by_one(region, classes, alone)
    assert together.rows() == alone.rows()


@given(st.lists(outlines(), min_size=1, max_size=12))
def test_features_that_touch_a_window_are_all_found_in_their_order(shapes: list[shapely.Geometry]) -> None:
    features = {f"f{number}": shape for number, shape in enumerate(shapes)}
    window = Window(1010, 2030, 1074, 2094)
    expected = [
        (name, part)
        for name, shape in features.items()
        if (part := window & pixels_around(shape).padded(1, 1, 1, 1)).shape[0] > 0 and part.shape[1] > 0
    ]
    assert Region(WINDOW, features).touching(window) == expected


def test_the_cost_of_small_features_is_that_of_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of GDAL and of PROJ: 900 abutting fields, in the layers that fields with common corners need."""
    features = {
        f"{row} {col}": shapely.box(2000 + 4 * col, 1000 + 5 * row, 2004 + 4 * col, 1005 + 5 * row)
        for row in range(30)
        for col in range(30)
    }
    region = Region(WINDOW, features)
    areas = table(features)
    calls: list[str] = []

    def counted(name: str, function: Any) -> Any:
        return lambda *args, **options: (calls.append(name), function(*args, **options))[1]

    monkeypatch.setattr(plan_region, "rasterize", counted("GDAL", plan_region.rasterize))
    geodesy = areas._geodesy
    assert geodesy is not None
    monkeypatch.setattr(geodesy, "areas_m2", counted("PROJ", geodesy.areas_m2))
    _count_features(region, WINDOW, slice(0, 160), slice(0, 120), np.zeros(WINDOW.shape, "uint8"), areas)
    assert len(calls) <= 2 * 12
    assert {row.pixels for row in areas.rows() if row.feature != "all" and row.index == 0} == {20}
