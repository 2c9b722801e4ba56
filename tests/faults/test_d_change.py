"""Group D of the list of faults, for two dates: apart by pixels, and in two zones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import worlds
from odc.geo.geobox import GeoBox
from pairs import BANDS, write_pair
from rasterio.warp import Resampling, reproject
from scipy import ndimage as ndi

import geoseg
from geoseg.cli import main
from geoseg.errors import GeosegError


def dates_apart(folder: Path, rows: float, cols: float) -> list[Path]:
    """Two dates of one land, the later one so far down and right, with noise of its own."""
    rng = np.random.default_rng(5)
    land = worlds.landscape((260, 260), len(BANDS), seed=9)
    moved = np.stack([ndi.shift(band, (rows, cols), order=5, mode="mirror") for band in land])
    paths = []
    for year, image in ((2022, land), (2023, moved * 0.8 + 10)):
        inner = (image + rng.normal(size=image.shape))[:, 20:-20, 20:-20]
        paths.append(worlds.write_raster(folder / f"s_{year}0601.tif", inner.astype("float32"), names=BANDS))
    return paths


def run(paths: list[Path], out: Path, **options: object) -> geoseg.Result:
    dates = {"scenes_before": str(paths[0]), "scenes_after": str(paths[1])}
    return geoseg.run(workflow="change", out=out, cache=out.parent / "cache", **dates, **options)


@pytest.mark.fault(47)
def test_fault_47_a_shift_of_several_pixels_is_refused_with_what_was_measured(tmp_path: Path, capfd) -> None:
    before, after = dates_apart(tmp_path, 5.0, -2.0)
    with pytest.raises(GeosegError) as refused:
        run([before, after], tmp_path / "map")
    assert refused.value.exit_code == 2
    assert "+5.0 rows" in refused.value.given
    assert "-2.0 columns" in refused.value.given
    assert "register" in refused.value.todo
    assert not (tmp_path / "map" / "classes.tif").exists()
    as_it_is = run([before, after], tmp_path / "left", align="measure")
    assert as_it_is.report["change"]["alignment"]["dy_px"] == pytest.approx(5.0, abs=0.1)
    assert as_it_is.report["change"]["alignment"]["correction_px"] == [0.0, 0.0]
    assert any("--align measure" in text for text in as_it_is.report["warnings"])
    words = ["--workflow", "change", "--scenes-before", str(before), "--scenes-after", str(after)]
    with pytest.raises(SystemExit) as ended:
        main(["run", *words, "--out", str(tmp_path / "cli")])
    assert ended.value.code == 2
    assert "+5.0 rows" in capfd.readouterr().err


@pytest.mark.fault(47)
@pytest.mark.parametrize(("rows", "cols"), [(0.3, -0.7), (1.6, 0.7)])
def test_fault_47_a_small_shift_is_measured_reported_and_mended(tmp_path: Path, rows: float, cols: float) -> None:
    result = run(dates_apart(tmp_path, rows, cols), tmp_path / "map")
    lies = result.report["change"]["alignment"]
    assert lies["verdict"] == "consistent"
    assert lies["dy_px"] == pytest.approx(rows, abs=0.1)
    assert lies["dx_px"] == pytest.approx(cols, abs=0.1)
    assert lies["correction_px"] == [lies["dy_px"], lies["dx_px"]]
    assert "moved back" in (result.out / "report.html").read_text()
    classes = worlds.read(result.out / "classes.tif")
    assert (classes[5:-5, 5:-5] == 1).mean() < 0.01
    assert (classes[8:-8, 8:-8] != 255).all()


@pytest.mark.fault(46)
def test_fault_46_a_later_date_in_another_zone_is_warped_onto_the_grid_of_the_first(tmp_path: Path) -> None:
    pair = write_pair(tmp_path, origin=(710_003.0, 5_000_007.0))
    plain = pair.run(tmp_path / "plain")
    with rasterio.open(pair.after) as file:
        own = GeoBox(file.shape, file.transform, file.crs)
        other = own.to_crs("EPSG:32634", resolution=10)
        image = np.zeros((len(BANDS), *other.shape), "uint8")
        options = {"src_transform": file.transform, "src_crs": file.crs, "src_nodata": 0, "dst_nodata": 0}
        place = {"dst_transform": other.transform, "dst_crs": str(other.crs), "resampling": Resampling.bilinear}
        reproject(file.read(), image, **options, **place)
    x, y = other.transform.c, other.transform.f
    warped = worlds.write_raster(tmp_path / "zone.tif", image, crs="EPSG:32634", origin=(x, y), names=BANDS, nodata=0)
    result = pair.run(tmp_path / "map", scenes_after=str(warped))
    assert result.report["grid"]["crs"] == "EPSG:32633"
    assert any("warped from" in note for scene in result.report["scenes"] for note in scene["notes"])
    with rasterio.open(plain.out / "classes.tif") as one, rasterio.open(result.out / "classes.tif") as two:
        window = one.window(*two.bounds)
        a = one.read(1, window=window, boundless=True, fill_value=255)[: two.height, : two.width]
        b = two.read(1)[: a.shape[0], : a.shape[1]]
    both = (a < 250) & (b < 250)
    assert both.mean() > 0.6
    assert (a == b)[both].mean() > 0.97


def test_holes_of_a_date_that_is_moved_stay_holes(tmp_path: Path) -> None:
    """A moved date is interpolated from whole pixels only: what its kernel lacks is nodata, not change."""
    before, after = dates_apart(tmp_path, 1.6, 0.7)
    with rasterio.open(after, "r+") as file:
        image = file.read()
        image[:, 100:120, 50:90] = np.nan
        file.write(image)
    classes = worlds.read(run([before, after], tmp_path / "map").out / "classes.tif")
    assert (classes[100:117, 51:88] == 255).all()
    assert (classes[8:-8, 8:-8] == 255).sum() < 26 * 46
    assert (classes[5:-5, 5:-5] == 1).mean() < 0.01
