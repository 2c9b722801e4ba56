"""Blocks that are kept between tiles change no pixel, are decoded once, and stay within their memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import worlds
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.windows import Window

from geoseg.load.kept import KeptBlocks
from geoseg.load.shared import SharedReads, read_window
from geoseg.scenes import BandSource

SHAPE = (330, 420)
BANDS = (1, 3)
HREF = "scene.tif"


@pytest.fixture(scope="module")
def image() -> NDArray[np.uint16]:
    """Pixels that differ from all their neighbours."""
    return np.random.default_rng(5).integers(1, 60_000, (3, *SHAPE)).astype("uint16")


@pytest.fixture(scope="module", params=["tiles", "lines"])
def path(request: pytest.FixtureRequest, image: NDArray[np.uint16], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pixels in blocks of 128 x 128, and in strips of 7 lines."""
    layout = {"blockxsize": 128, "blockysize": 128} if request.param == "tiles" else {"tiled": False, "blockysize": 7}
    folder = tmp_path_factory.mktemp(request.param)
    return worlds.write_raster(folder / HREF, image, interleave="pixel", **layout)


class Reads:
    """Reads an open file, and notes how many pixels."""

    def __init__(self, file: rasterio.DatasetReader) -> None:
        self._file = file
        self.pixels = 0

    def __call__(self, window: Window) -> NDArray[Any]:
        self.pixels += window.width * window.height
        found: NDArray[Any] = self._file.read(list(BANDS), window=window)
        return found


def spans(length: int) -> st.SearchStrategy[slice]:
    """Rows or columns, at least one."""
    return (
        st.tuples(st.integers(0, length), st.integers(0, length))
        .filter(lambda s: s[0] != s[1])
        .map(lambda s: slice(*sorted(s)))
    )


@given(
    st.lists(st.tuples(spans(SHAPE[0]), spans(SHAPE[1])), min_size=1, max_size=6),
    st.sampled_from([2**20, 2**22]),
    st.integers(0, 80),
)
def test_windows_are_what_a_plain_read_gives(
    path: Path, image: NDArray[np.uint16], windows: list[tuple[slice, slice]], limit_bytes: int, reach_px: int
) -> None:
    kept = KeptBlocks(limit_bytes, reach_px)
    with rasterio.open(path) as file:
        for roi in windows:
            pixels = kept.window(file, HREF, BANDS, roi, Reads(file))
            assert pixels is not None
            assert np.array_equal(pixels, image[[0, 2]][:, *roi])


def test_tiles_with_a_halo_decode_every_pixel_once(path: Path, image: NDArray[np.uint16]) -> None:
    halo, side = 20, 128
    kept = KeptBlocks(2**22, 2 * halo)
    with rasterio.open(path) as file:
        reads = Reads(file)
        for row in range(0, SHAPE[0], side):
            for col in range(0, SHAPE[1], side):
                roi = (
                    slice(max(0, row - halo), min(SHAPE[0], row + side + halo)),
                    slice(max(0, col - halo), min(SHAPE[1], col + side + halo)),
                )
                assert np.array_equal(kept.window(file, HREF, BANDS, roi, reads), image[[0, 2]][:, *roi])
    assert reads.pixels == SHAPE[0] * SHAPE[1]


def test_no_more_is_held_than_allowed(path: Path) -> None:
    kept = KeptBlocks(2**20)
    with rasterio.open(path) as file:
        for row in range(0, 300, 30):
            kept.window(file, HREF, BANDS, (slice(row, row + 30), slice(5, 415)), Reads(file))
    held = sum(block.nbytes for block in kept._blocks.values())  # what it keeps is the point
    assert 0 < held <= 2**20
    assert held == kept._held_bytes


def test_nothing_is_kept_of_blocks_too_large_for_it(path: Path) -> None:
    with rasterio.open(path) as file:
        assert KeptBlocks(2**10).window(file, HREF, BANDS, (slice(0, 9), slice(0, 9)), Reads(file)) is None
        assert KeptBlocks().window(file, HREF, BANDS, (slice(0, 9), slice(0, 9)), Reads(file)) is None


@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_a_broken_block_fails_each_time_and_its_neighbours_never(tmp_path: Path, interleave: str) -> None:
    whole = np.random.default_rng(6).integers(1, 200, (2, 128, 128)).astype("uint8")
    path = worlds.write_raster(tmp_path / HREF, whole, interleave=interleave)
    with rasterio.open(path) as file:
        offset = int(file.get_tag_item("BLOCK_OFFSET_1_0", "TIFF", bidx=1))
    with path.open("r+b") as body:
        body.seek(offset)
        body.write(b"\xff" * 64)
    sources = [BandSource("data", index, str(path)) for index in (1, 2)]
    kept, roi = KeptBlocks(2**24), (slice(10, 100), slice(10, 100))
    with rasterio.open(path) as file:
        for _ in range(2):
            shared = SharedReads(sources, kept)
            for source in sources:
                pixels, failed, cause = shared.window(file, source, roi)
                expected = read_window(file, source.index, roi)
                assert np.array_equal(pixels, expected[0])
                assert (failed is None) == (expected[1] is None)
                if failed is not None and expected[1] is not None:
                    assert cause
                    assert np.array_equal(failed, expected[1])
        first = partial(SharedReads(sources, kept).window, file, sources[0])
        assert first((slice(0, 60), slice(0, 60)))[1] is None
