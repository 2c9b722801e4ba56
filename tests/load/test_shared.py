"""A file that keeps its bands together is decoded once, and gives what it gave band by band."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
import worlds

from geoseg.load.shared import SharedReads, read_window
from geoseg.scenes import BandSource

ROI = (slice(10, 90), slice(20, 100))


@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_every_band_is_what_a_plain_read_gives(tmp_path: Path, interleave: str) -> None:
    image = worlds.landscape((120, 130), 4).astype("uint16")
    path = worlds.write_raster(tmp_path / "a.tif", image, interleave=interleave)
    sources = [BandSource("data", index, str(path)) for index in (3, 1, 4)]
    shared = SharedReads(sources)
    with rasterio.open(path) as file:
        for source in sources:
            pixels, failed, _ = shared.window(file, source, ROI)
            assert failed is None
            assert np.array_equal(pixels, image[source.index - 1][ROI])
        assert np.array_equal(shared.window(file, sources[0], ROI)[0], image[2][ROI])


def test_nothing_is_kept_when_all_bands_are_taken(tmp_path: Path) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", worlds.landscape((64, 64), 3).astype("uint8"))
    sources = [BandSource("data", index, str(path)) for index in (1, 2, 3)]
    shared = SharedReads(sources)
    with rasterio.open(path) as file:
        for source in sources:
            shared.window(file, source, (slice(0, 32), slice(0, 64)))
    assert not shared._entries  # what it keeps is the point


def test_a_broken_block_fails_in_every_band_and_nowhere_else(tmp_path: Path) -> None:
    path = worlds.write_raster(tmp_path / "a.tif", worlds.landscape((128, 128), 3).astype("uint8"))
    sources = [BandSource("data", index, str(path)) for index in (1, 2, 3)]
    with rasterio.open(path) as file:
        offset = int(file.get_tag_item("BLOCK_OFFSET_1_0", "TIFF", bidx=1))
    with path.open("r+b") as body:
        body.seek(offset)
        body.write(b"\xff" * 64)
    whole = (slice(0, 128), slice(0, 128))
    expected = np.zeros((128, 128), dtype=bool)
    expected[:64, 64:] = True
    with rasterio.open(path) as file:
        shared = SharedReads(sources)
        for source in sources:
            pixels, failed, cause = shared.window(file, source, whole)
            assert failed is not None
            assert cause
            assert np.array_equal(failed, expected)
            assert np.array_equal(pixels, read_window(file, source.index, whole)[0])
