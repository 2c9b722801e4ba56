"""The imagery under a map is transparent where nothing was seen."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from PIL import Image

from geoseg_api.pictures import _write
from geoseg_api.routes.tiles import _drawn


def test_clouds_are_holes_in_a_tile_and_not_black(tmp_path: Path) -> None:
    geobox = GeoBox((600, 600), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
    rgb, valid = np.full((600, 600, 3), 120, dtype="uint8"), np.ones((600, 600), dtype=bool)
    valid[:, :300], rgb[:, :300] = False, 0
    _write(tmp_path / "imagery.tif", rgb, valid, geobox)
    shown = [_drawn(tmp_path / "imagery.tif", "imagery", 12, column, row) for column, row in _tiles(geobox, 12)]
    pixels = np.concatenate(
        [np.asarray(Image.open(BytesIO(body)).convert("RGBA")).reshape(-1, 4) for body in shown if body]
    )
    seen = pixels[pixels[:, 3] == 255, :3]
    assert len(seen)
    assert (np.abs(seen.astype(int) - 120) <= 60).all()  # where both halves meet they are mixed
    assert (pixels[:, 3] == 0).any()


def _tiles(geobox: GeoBox, zoom: int) -> set[tuple[int, int]]:
    """Columns and rows of the Web Mercator tiles that the map's corners and middle lie in."""
    box = geobox.extent.to_crs("EPSG:3857").boundingbox
    side = 2 * 20_037_508.342789244 / 2**zoom
    half = 20_037_508.342789244
    return {
        (int((x + half) // side), int((half - y) // side))
        for x in (box.left, (box.left + box.right) / 2, box.right)
        for y in (box.bottom, (box.bottom + box.top) / 2, box.top)
    }
