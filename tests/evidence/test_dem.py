"""Windows of elevations: from one file or many, on any grid, and never dependent on how the files are cut."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import shapely
import worlds
from odc.geo import CRS
from rasterio.transform import from_origin

from geoseg.errors import AssetReadError, RequestError
from geoseg.evidence import Dem, DemFile
from geoseg.evidence.terrain import gradient, slope_deg

UTM = CRS("EPSG:32633")
HEIGHTS = (np.random.default_rng(3).normal(size=(1, 60, 80)).cumsum(1) * 3 + 500).astype("float32")
OUTLINE = shapely.box(500_203, 4_999_707, 500_403, 4_999_857)


def one(folder, heights=HEIGHTS, **facts):
    return Dem([DemFile(str(worlds.write_raster(folder / "dem.tif", heights, nodata=-99, **facts)))])


def window(dem, outline=OUTLINE, margin=50.0):
    with dem.opened():
        return dem.around(outline, UTM, margin)


def test_a_window_holds_the_files_own_numbers(tmp_path):
    found = window(one(tmp_path))
    assert found.inside.sum() == 20 * 15
    # Its first pixel, wherever the margin put it.
    ((row, col),) = np.argwhere(HEIGHTS[0] == found.elevation_m[0, 0])
    rows, cols = found.elevation_m.shape
    assert np.array_equal(found.elevation_m, HEIGHTS[0, row : row + rows, col : col + cols])
    inside = np.zeros(HEIGHTS[0].shape, bool)
    inside[15:30, 20:40] = True
    assert np.array_equal(found.elevation_m[found.inside], HEIGHTS[0][inside])


def test_files_cut_at_will_are_one_raster(tmp_path):
    whole = window(one(tmp_path))
    files = []
    for number, (rows, cols) in enumerate(
        [((0, 22), (0, 33)), ((22, 60), (0, 33)), ((0, 41), (33, 80)), ((41, 60), (33, 80))]
    ):
        part = HEIGHTS[:, slice(*rows), slice(*cols)]
        origin = (500_003.0 + 10 * cols[0], 5_000_007.0 - 10 * rows[0])
        files.append(DemFile(str(worlds.write_raster(tmp_path / f"{number}.tif", part, origin=origin))))
    parts = window(Dem(files[::-1]))
    assert np.array_equal(whole.elevation_m, parts.elevation_m)
    assert np.array_equal(whole.inside, parts.inside)


def test_missing_pixels_and_what_lies_beyond_the_file_are_unknown(tmp_path):
    heights = HEIGHTS.copy()
    heights[0, 20, 25] = -99
    found = window(one(tmp_path, heights))
    assert np.isnan(found.elevation_m).sum() == 1
    corner = window(one(tmp_path), shapely.box(499_953, 4_999_957, 500_053, 5_000_057))
    assert np.isnan(corner.elevation_m).any()
    assert np.isfinite(corner.elevation_m[corner.inside]).sum() == 25
    assert window(one(tmp_path), shapely.box(600_000, 4_999_957, 600_100, 5_000_057)) is None


def test_the_finest_grid_that_covers_the_outline_counts(tmp_path):
    coarse = worlds.write_raster(tmp_path / "coarse.tif", np.full((1, 30, 40), 7, "float32"), pixel=20)
    fine = worlds.write_raster(tmp_path / "fine.tif", np.full((1, 60, 25), 9, "float32"))
    dem = Dem([DemFile(str(coarse)), DemFile(str(fine))])
    assert dem.pixel_m == pytest.approx(10, rel=1e-3)
    assert np.nanmax(window(dem, shapely.box(500_103, 4_999_707, 500_203, 4_999_857)).elevation_m) == 9
    assert np.nanmax(window(dem).elevation_m) == 7  # the fine one covers a part of it only


def test_scale_offset_and_nodata_of_an_item_hold(tmp_path):
    path = worlds.write_raster(tmp_path / "dem.tif", np.arange(60 * 80, dtype="int16").reshape(1, 60, 80))
    found = window(Dem([DemFile(str(path), scale=0.1, offset=-100, nodata=20 * 80 + 30)]))
    plain = window(Dem([DemFile(str(path))]))
    assert np.isnan(found.elevation_m).sum() == 1
    known = np.isfinite(found.elevation_m)
    assert np.allclose(found.elevation_m[known], plain.elevation_m[known] * 0.1 - 100)


def test_an_outline_smaller_than_a_pixel_has_elevations(tmp_path):
    found = window(one(tmp_path), shapely.box(500_204, 4_999_708, 500_206, 4_999_709))
    assert found.inside.sum() == 1


def test_a_large_outline_is_read_coarser_and_as_steep(tmp_path, monkeypatch):
    rows, cols = np.mgrid[:300, :400]
    heights = (2.0 * cols + 1.0 * rows)[None].astype("float32")
    dem = one(tmp_path, heights)
    outline = shapely.box(500_503, 4_997_507, 503_503, 4_999_507)
    exact = window(dem, outline)
    monkeypatch.setattr("geoseg.evidence.dem._MOST_PX", 100)
    coarse = window(dem, outline)
    assert max(coarse.elevation_m.shape) <= 101
    steep = [np.nanmean(slope_deg(*gradient(w.elevation_m, w.steps_m))) for w in (exact, coarse)]
    assert steep[0] == pytest.approx(steep[1], rel=1e-6)


def test_degrees_and_metres_tell_the_same_slope(tmp_path):
    """A cone in longitude and latitude, whose slope is known in metres."""
    second = 1 / 3600
    lon, lat = 15 + (np.arange(400) + 0.5) * second, 60 - (np.arange(400) + 0.5) * second
    to_metres = rasterio.warp.transform("EPSG:4326", "EPSG:32633", np.repeat(lon[None], 400, 0).ravel(),
                                        np.repeat(lat[:, None], 400, 1).ravel())  # fmt: skip
    x, y = (np.array(v).reshape(400, 400) for v in to_metres)
    heights = (3000 - 0.4 * np.hypot(x - x.mean(), y - y.mean()))[None].astype("float32")
    path = tmp_path / "degrees.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=400, height=400, count=1, dtype="float32", crs="EPSG:4326",
        transform=from_origin(15, 60, second, second),
    ) as file:  # fmt: skip
        file.write(heights)
    outline = shapely.box(x.mean() + 800, y.mean() + 800, x.mean() + 1400, y.mean() + 1300)
    found = window(Dem([DemFile(str(path))]), outline)
    slopes = slope_deg(*gradient(found.elevation_m, found.steps_m))[found.inside]
    assert slopes == pytest.approx(np.rad2deg(np.arctan(0.4)), abs=0.1)


def test_what_cannot_be_read_or_placed_is_refused(tmp_path):
    (tmp_path / "words.tif").write_text("no raster")
    with pytest.raises(AssetReadError, match=r"words\.tif"):
        Dem([DemFile(str(tmp_path / "words.tif"))])
    with rasterio.open(tmp_path / "nowhere.tif", "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8") as f:
        f.write(np.zeros((1, 4, 4), "uint8"))
    with pytest.raises(RequestError, match="no CRS"):
        Dem([DemFile(str(tmp_path / "nowhere.tif"))])


def test_an_outline_across_the_line_where_degrees_jump_has_no_elevations(tmp_path):
    path = tmp_path / "globe.tif"
    with rasterio.open(
        path, "w", driver="GTiff", width=720, height=360, count=1, dtype="float32", crs="EPSG:4326",
        transform=from_origin(-180, 90, 0.5, 0.5),
    ) as file:  # fmt: skip
        file.write(np.full((1, 360, 720), 5, "float32"))
    dem = Dem([DemFile(str(path))])
    at_the_line = shapely.box(809_000, 200_000, 880_000, 300_000)  # of zone 60, which ends near 834,000
    with dem.opened():
        assert dem.around(at_the_line, CRS("EPSG:32660"), 0) is None
        assert dem.around(shapely.box(509_000, 200_000, 580_000, 300_000), CRS("EPSG:32660"), 0) is not None
