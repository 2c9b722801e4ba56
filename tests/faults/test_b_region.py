"""Fault 18: scenes lie in the box around the region, and none in the region."""

from __future__ import annotations

from pathlib import Path

import pytest
import rasterio
import worlds
from rasterio.warp import transform_bounds
from shapely.geometry import box, mapping

import geoseg
from geoseg.errors import NothingToDoError


@pytest.mark.fault(18)
def test_fault_18_scenes_in_the_box_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A region like an L, the scene in its notch; no pixel is read to find out."""
    scene = worlds.write_raster(
        tmp_path / "scene.tif", worlds.landscape((60, 60), 3).astype("uint8"), names=worlds.BANDS
    )
    with rasterio.open(scene) as file:
        west, south, east, north = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    width = east - west
    around = box(west - 3 * width, south - 3 * width, east + width, north + width)
    region = around.difference(box(west - width, south - width, east + 2 * width, north + 2 * width))
    assert region.envelope.contains(box(west, south, east, north))
    assert not region.intersects(box(west, south, east, north))
    model = worlds.finite_model(tmp_path / "model")

    def read(*_: object, **__: object) -> None:
        raise AssertionError("a pixel was about to be read")

    monkeypatch.setattr("geoseg.load.pixels_of", read)
    monkeypatch.setattr("geoseg.work.lazy_item", read, raising=False)
    monkeypatch.setattr("geoseg.pipeline.TileWorkers", read)
    with pytest.raises(NothingToDoError) as nothing:
        geoseg.run(scenes=(str(scene),), model=str(model.path), aoi=mapping(region), out=tmp_path / "map")
    assert nothing.value.exit_code == 3
    assert "only in the box around it" in nothing.value.given
    assert "longitude" in nothing.value.given
    assert not (tmp_path / "map").exists()
    near = mapping(around.difference(box(west + width / 2, south - width, east + 2 * width, north + 2 * width)))
    with pytest.raises(AssertionError, match="about to be read"):  # the same road, where the region meets the scene
        geoseg.run(scenes=(str(scene),), model=str(model.path), aoi=near, out=tmp_path / "map")
