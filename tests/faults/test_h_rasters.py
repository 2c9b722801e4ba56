"""Faults of the outputs (group H) that one raster shows: its kind of TIFF, and its overviews."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rio_cogeo.cogeo import cog_validate

from geoseg.outputs import raster
from geoseg.outputs.raster import needs_bigtiff, write_cog


@pytest.mark.fault(73)
@pytest.mark.parametrize(
    ("shape", "bands", "large"),
    [
        ((44_032, 44_032), 1, False),
        ((44_544, 44_544), 1, False),
        ((45_000, 45_000), 1, True),
        ((1, 4_000_000), 1, True),  # blocks are stored whole
        ((16_384, 16_384), 7, False),
        ((16_384, 16_384), 8, True),
        ((1, 1), 1, False),
    ],
)
def test_fault_73_bigtiff_is_known_before_the_first_pixel(shape, bands, large):
    assert needs_bigtiff(shape, bands) == large


@pytest.mark.fault(73)
@pytest.mark.parametrize("large", [False, True])
def test_fault_73_both_files_are_of_the_planned_kind(tmp_path, monkeypatch, large):
    """With a limit that a small raster crosses: the fourth byte of a BigTIFF is 43, that of a plain one 42."""
    if large:
        monkeypatch.setattr(raster, "_MOST_PLAIN_BYTES", 1000)
    kinds, copy = [], raster.rasterio.shutil.copy

    def looks(source: str, target: str, **options: object) -> None:
        kinds.append(Path(source).read_bytes()[2])
        copy(source, target, **options)

    monkeypatch.setattr(raster.rasterio.shutil, "copy", looks)
    box = GeoBox((20, 20), Affine.scale(10, -10), "EPSG:32633")
    write_cog(tmp_path / "c.tif", box, [(slice(0, 20), slice(0, 20), np.full((20, 20), 3, np.uint8))])
    kinds.append((tmp_path / "c.tif").read_bytes()[2])
    assert kinds == ([43, 43] if large else [42, 42])
    assert cog_validate(tmp_path / "c.tif", strict=True)[0]


@pytest.mark.fault(74)
def test_fault_74_overviews_of_classes_are_made_of_classes(tmp_path):
    """Stripes of 1 and 9: an average would be 5."""
    stripes = np.full((1100, 1100), 1, np.uint8)
    stripes[:, ::3] = 9
    box = GeoBox(stripes.shape, Affine.scale(10, -10), "EPSG:32633")
    write_cog(tmp_path / "c.tif", box, [(slice(0, 1100), slice(0, 1100), stripes)])
    assert cog_validate(tmp_path / "c.tif", strict=True)[0]
    with rasterio.open(tmp_path / "c.tif") as file:
        levels = file.overviews(1)
    assert levels
    for level in range(len(levels)):
        with rasterio.open(tmp_path / "c.tif", overview_level=level) as file:
            assert set(np.unique(file.read(1))) <= {1, 9}
