"""COGs: what is read back is what was streamed, and a file that is not whole does not exist."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rio_cogeo import cog_validate

from geoseg.errors import OutputError
from geoseg.outputs import raster
from geoseg.outputs.legend import rgba
from geoseg.outputs.raster import CogWriter, PixelSum, write_cog

COLOURS = {0: "#112233", 1: "#445566", 254: "#ff00ff"}
NAMES = {0: "Wasser & Eis", 1: "forêt <dense>", 254: "failed"}


def geobox(rows, cols, crs="EPSG:32633"):
    return GeoBox((rows, cols), Affine(10, 0, 500_000, 0, -10, 5_000_000), crs)


def blocks_of(pixels, step, order=1):
    rows, cols = pixels.shape
    places = [(r, c) for r in range(0, rows, step) for c in range(0, cols, step)]
    for r, c in places[::order]:
        here = slice(r, min(r + step, rows)), slice(c, min(c + step, cols))
        yield *here, pixels[here]


@pytest.mark.parametrize("step", [300, 512, 5000])
def test_cog_is_valid_and_reads_back_equal(tmp_path, step):
    pixels = np.random.default_rng(1).choice(np.array([0, 1, 254, 255], np.uint8), (1300, 1700))
    box = geobox(*pixels.shape)
    written = write_cog(
        tmp_path / "classes.tif",
        box,
        blocks_of(pixels, step, -1),
        colours=COLOURS,
        names=NAMES,
        description="class",
        tags={"geoseg_key": "k1"},
    )
    assert cog_validate(written.path, strict=True) == (True, [], [])
    with rasterio.open(written.path) as src:
        np.testing.assert_array_equal(src.read(1), pixels)
        assert src.transform == box.transform
        assert src.crs.to_epsg() == 32633
        assert src.nodata == 255
        assert src.overviews(1) == [2, 4]
        assert {v: src.colormap(1)[v] for v in COLOURS} == {v: rgba(c) for v, c in COLOURS.items()}
        assert src.colormap(1)[255][3] == 0
        assert src.tags(1)["CLASS_1"] == NAMES[1]
        assert json.loads(src.tags(1)["classes"]) == {str(k): v for k, v in NAMES.items()}
        assert src.tags()["geoseg_key"] == "k1"
    np.testing.assert_array_equal(written.counts, np.bincount(pixels.ravel(), minlength=256))
    assert written.size_bytes == written.path.stat().st_size
    assert sorted(p.name for p in tmp_path.iterdir()) == ["classes.tif"]


def test_overviews_of_classes_hold_only_classes_that_are_there_and_leave_nodata_out(tmp_path):
    pixels = np.full((1200, 1200), 255, np.uint8)
    pixels[::2, ::2] = 7
    pixels[0:600:2, 0:600:2] = 3
    pixels[:64, :64] = np.tile(np.array([[9, 3], [3, 3]], np.uint8), (32, 32))
    written = write_cog(tmp_path / "c.tif", geobox(1200, 1200), blocks_of(pixels, 512))
    with rasterio.open(written.path, overview_level=0) as src:
        half = src.read(1)
    assert half.shape == (600, 600)
    assert (half[:300, :300] == 3).all()
    assert (half[300:, :] == 7).all()


def test_what_no_block_covers_is_nodata(tmp_path):
    part = np.full((64, 100), 5, np.uint8)
    written = write_cog(tmp_path / "c.tif", geobox(700, 900), [(slice(600, 664), slice(700, 800), part)])
    with rasterio.open(written.path) as src:
        pixels = src.read(1)
    expected = np.full((700, 900), 255, np.uint8)
    expected[600:664, 700:800] = 5
    np.testing.assert_array_equal(pixels, expected)
    assert written.counts[5] == part.size
    assert written.counts[255] == 700 * 900 - part.size


def test_a_raster_without_crs_can_be_written(tmp_path):
    box = GeoBox((30, 20), Affine.identity(), None)
    written = write_cog(tmp_path / "c.tif", box, [])
    with rasterio.open(written.path) as src:
        assert src.crs is None
        assert (src.read(1) == 255).all()


@pytest.mark.parametrize(
    "blocks",
    [
        [(slice(0, 8), slice(0, 8), np.zeros((8, 8), np.uint8))] * 100,
        [(slice(0, 8), slice(0, 8), np.zeros((8, 9), np.uint8))],
        [(slice(25, 33), slice(0, 8), np.zeros((8, 8), np.uint8))],
        [(slice(0, 8), slice(0, 8), np.zeros((8, 8), np.float32))],
    ],
    ids=["overlap", "shape", "outside", "dtype"],
)
def test_blocks_that_do_not_fit_are_refused_and_leave_nothing(tmp_path, blocks):
    with pytest.raises(ValueError, match="block"):
        write_cog(tmp_path / "c.tif", geobox(30, 20), blocks)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, FileNotFoundError])
def test_a_block_that_fails_says_so_itself_and_keeps_the_file_that_was_there(tmp_path, error):
    path = tmp_path / "c.tif"
    path.write_bytes(b"the earlier one")

    def blocks():
        yield slice(0, 8), slice(0, 8), np.zeros((8, 8), np.uint8)
        raise error

    with pytest.raises(error):
        write_cog(path, geobox(30, 20), blocks())
    assert path.read_bytes() == b"the earlier one"
    assert [p.name for p in tmp_path.iterdir()] == ["c.tif"]


def test_a_pixel_that_reads_back_wrong_is_found(tmp_path, monkeypatch):
    pixels = np.zeros((600, 600), np.uint8)
    copy = raster.rasterio.shutil.copy

    def damage(source, target, **options):
        with rasterio.open(source, "r+") as dst:
            dst.write(np.array([[1]], np.uint8), 1, window=((599, 600), (3, 4)))
        copy(source, target, **options)

    monkeypatch.setattr(raster.rasterio.shutil, "copy", damage)
    with pytest.raises(OutputError, match="different"):
        write_cog(tmp_path / "c.tif", geobox(600, 600), blocks_of(pixels, 256))
    assert not list(tmp_path.iterdir())


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 17), st.integers(1, 17), st.integers(0, 2**32))
def test_pixel_sum_depends_on_pixels_alone(rows, cols, step, other, seed):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (rows, cols)).astype(np.uint8)

    def total(array, step, order):
        digest = PixelSum((rows, cols), 255)
        for block in blocks_of(array, step, order):
            digest.add(*block)
        return digest.value

    changed = pixels.copy()
    changed[rng.integers(rows), rng.integers(cols)] ^= rng.integers(1, 256, dtype=np.uint8)
    assert total(pixels, step, 1) == total(pixels, other, -1)
    assert total(pixels, step, 1) != total(changed, step, 1)


def test_several_bands_come_back_each_in_its_place(tmp_path):
    values = np.random.default_rng(4).integers(0, 101, (3, 70, 90)).astype(np.uint8)
    values[:, :7] = 255
    box = GeoBox((70, 90), Affine.scale(10, -10), "EPSG:32633")
    parts = [slice(0, 33), slice(33, 70)]
    blocks = [(rows, slice(0, 90), values[:, rows]) for rows in reversed(parts)]
    made = write_cog(tmp_path / "c.tif", box, blocks, description=["a", "b", "c"], overview_resampling="average")
    with rasterio.open(made.path) as file:
        np.testing.assert_array_equal(file.read(), values)
        assert file.descriptions == ("a", "b", "c")
        assert file.nodata == 255
    np.testing.assert_array_equal(made.counts, np.bincount(values.ravel(), minlength=256))
    assert cog_validate(made.path, strict=True)[0]


def test_bands_that_changed_places_are_found(tmp_path, monkeypatch):
    values = np.random.default_rng(4).integers(0, 101, (2, 70, 90)).astype(np.uint8)
    monkeypatch.setattr(raster, "_read_blocks", lambda src: [(slice(0, 70), slice(0, 90), values[::-1])])
    box = GeoBox((70, 90), Affine.scale(10, -10), "EPSG:32633")
    with pytest.raises(OutputError, match="reads back"):
        write_cog(tmp_path / "c.tif", box, [(slice(0, 70), slice(0, 90), values)], description=["a", "b"])
    assert not list(tmp_path.iterdir())


SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from geoseg.errors import OutputError
from geoseg.outputs.raster import write_cog
side, limit, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
rng = np.random.default_rng(0)
def blocks():
    for r in range(0, side, 512):
        for c in range(0, side, 512):
            here = slice(r, min(r + 512, side)), slice(c, min(c + 512, side))
            shape = here[0].stop - here[0].start, here[1].stop - here[1].start
            yield *here, rng.integers(0, 250, shape).astype(np.uint8)
"""
CUT = """
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    print(write_cog(folder / "c.tif", GeoBox((side, side), Affine.scale(10, -10), "EPSG:32633"), blocks()).size_bytes)
except OutputError as err:
    print(err)
    sys.exit(9)
"""
FLAT = """
box = GeoBox((side, side), Affine.scale(10, -10), "EPSG:32633")
write_cog(folder / "warm.tif", GeoBox((600, 600), Affine.scale(10, -10), "EPSG:32633"), [])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
write_cog(folder / "c.tif", box, blocks(), memory_bytes=limit)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def run_script(body, *args):
    command = [sys.executable, "-c", SCRIPT + body, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_file_size_limit_anywhere_raises_and_leaves_nothing(tmp_path):
    """Noise on whole blocks: the finished file with its overviews is larger than the scratch file, so both are cut."""
    whole = run_script(CUT, 1024, 0, tmp_path)
    assert whole.returncode == 0, whole.stderr
    size = int(whole.stdout)
    (tmp_path / "c.tif").unlink()
    scratch_bytes = 1024 * 1024
    assert size > scratch_bytes + 10_000
    limits = [100, 300_000, scratch_bytes - 10, (scratch_bytes + size) // 2, size - 3000, size - 10]
    for limit in limits:
        cut = run_script(CUT, 1024, limit, tmp_path)
        assert cut.returncode == 9, (limit, cut.stdout, cut.stderr)
        assert "c.tif" in cut.stdout
        assert "1,048,576 bytes" in cut.stdout
        assert "are free" in cut.stdout
        assert not list(tmp_path.iterdir()), limit


def test_memory_does_not_follow_the_raster(tmp_path):
    done = run_script(FLAT, 8192, 32 << 20, tmp_path)
    assert done.returncode == 0, done.stderr
    grown_bytes = int(done.stdout) * 1024
    assert grown_bytes < 80 << 20  # the raster has 67 MB; the cache may take 33


def test_blocks_may_come_from_several_threads(tmp_path):
    pixels = np.random.default_rng(8).integers(0, 5, (700, 900)).astype(np.uint8)
    blocks = list(blocks_of(pixels, 100))
    with CogWriter(tmp_path / "c.tif", geobox(700, 900)) as writer, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda block: writer.add(*block), blocks))
        writer.close()
    with rasterio.open(tmp_path / "c.tif") as src:
        np.testing.assert_array_equal(src.read(1), pixels)


def test_overviews_halve_until_a_block_holds_them(tmp_path):
    write_cog(tmp_path / "c.tif", geobox(1025, 3000), [(slice(0, 9), slice(0, 9), np.zeros((9, 9), np.uint8))])
    with rasterio.open(tmp_path / "c.tif") as src:
        assert src.overviews(1) == [2, 4, 8]


def test_a_writer_that_is_not_closed_leaves_nothing(tmp_path):
    with CogWriter(tmp_path / "c.tif", geobox(30, 20)) as writer:
        writer.add(slice(0, 5), slice(0, 5), np.zeros((5, 5), np.uint8))
    assert list(tmp_path.iterdir()) == []
