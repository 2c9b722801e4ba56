"""Pixels of one small job, pinned: whoever changes them raises `RESULTS_VERSION`, or reuses stale tiles."""

from __future__ import annotations

import hashlib
from pathlib import Path

import worlds

import geoseg
from geoseg.store import RESULTS_VERSION

# Classes of the job below. Made by this test; when it fails, raise RESULTS_VERSION in geoseg/store/record.py and put the new
# digest here, together, in one commit. Version 2 changed pixels at the antimeridian and of damaged JPEGs, not these.
GOLDEN = {2: "c5a787a5ce68fe346e58702a04954cad52ef9e7ddce46dbb724913c6003bf477"}


def test_pixels_change_only_with_the_results_version(tmp_path: Path) -> None:
    """Integer weights and inputs: sums are exact, so every machine gives the same classes."""
    image = (worlds.landscape((96, 96), 3, seed=9) // 4 * 4).astype("uint8")
    image[:, 40:44, 10:60] = 0
    scene = worlds.write_raster(tmp_path / "scene_20220101.tif", image, names=worlds.BANDS, nodata=0)
    model = worlds.exact_model(tmp_path / "model")
    result = geoseg.run(scenes=(str(scene),), model=str(model.path), out=tmp_path / "map", min_area_m2=500.0)
    digest = hashlib.sha256(worlds.read(result.out / "classes.tif").tobytes()).hexdigest()
    assert digest == GOLDEN[RESULTS_VERSION]
