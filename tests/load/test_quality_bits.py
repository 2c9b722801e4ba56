"""A quality band of bit fields, read with its scene."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rasterio.transform import from_origin

from geoseg.load import lazy_item, pixels_of, reading
from geoseg.scenes import SENSORS, find_scenes
from geoseg.spec import JobSpec

BANDS = ("red", "nir08")
# Of each bit of QA_PIXEL: whether a pixel with it alone can be used (Landsat Collection 2 product guide).
UNUSABLE = {0, 1, 2, 3, 4}


@given(arrays.arrays("uint16", 20, elements=st.integers(0, 2**16 - 1)))
def test_bits_are_judged_one_by_one(codes: np.ndarray) -> None:
    rule = SENSORS["landsat-c2-l2"].mask
    assert rule is not None
    observed, clear = rule.judge(codes)
    for code, seen, free in zip(codes.tolist(), observed, clear, strict=True):
        bits = {bit for bit in range(16) if code >> bit & 1}
        assert seen == (0 not in bits)
        assert free == (not bits & UNUSABLE)


@pytest.fixture
def item_file(tmp_path: Path) -> Path:
    """A Landsat-like item of 32 x 32 pixels whose quality codes run through all sixteen bits, row by row."""
    transform = from_origin(500_010, 5_000_010, 30, 30)
    profile = {"driver": "GTiff", "height": 32, "width": 32, "count": 1, "crs": "EPSG:32633", "transform": transform}
    raw = np.arange(1024, dtype="uint16").reshape(32, 32) + 8000
    codes = np.repeat(2 ** (np.arange(32) // 2), 32).reshape(32, 32).astype("uint16")
    for name, pixels in {"SR_B4": raw, "SR_B5": raw + 1000, "QA_PIXEL": codes}.items():
        with rasterio.open(tmp_path / f"{name}.TIF", "w", dtype="uint16", **profile) as file:
            file.write(pixels, 1)
    west, south, east, north = 14.99, 45.14, 15.02, 45.17
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    document = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "scene",
        "collection": "landsat-c2-l2",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {"datetime": "2022-06-01T00:00:00Z", "platform": "LANDSAT_8"},
        "assets": {name: {"href": f"./{name}.TIF"} for name in ("SR_B4", "SR_B5", "QA_PIXEL")},
        "links": [],
    }
    path = tmp_path / "item.json"
    path.write_text(json.dumps(document))
    return path


def test_a_landsat_item_gives_reflectance_where_its_bits_allow(item_file: Path) -> None:
    options = {"collection": "landsat-c2-l2", "datetime": "2022-01-01/2022-12-31"}
    job = JobSpec.build(aoi="15,45.15,15.01,45.16", catalog=str(item_file), model="any", **options)
    (item,) = find_scenes(job, (14.9, 45.1, 15.1, 45.2), BANDS).items
    with reading(2**25):
        pixels, failures = pixels_of(lazy_item(item, item.geobox, 32, "reflectance"), slice(0, 32), 1)
    assert failures == ()
    raw = np.arange(1024).reshape(32, 32) + 8000
    np.testing.assert_allclose(pixels.values[0], raw * 2.75e-5 - 0.2, atol=1e-6)
    np.testing.assert_allclose(pixels.values[1], (raw + 1000) * 2.75e-5 - 0.2, atol=1e-6)
    bit = np.repeat(np.arange(32) // 2, 32).reshape(32, 32)
    np.testing.assert_array_equal(pixels.usable, ~np.isin(bit, list(UNUSABLE)))
    np.testing.assert_array_equal(pixels.masked, np.isin(bit, [1, 2, 3, 4]))
