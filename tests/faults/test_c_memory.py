"""Rasters without tiles are read within the cache that was planned; GDAL goes through a block of many rows row by row."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

# The block cache that the process allows is 100 MB.
MORE = 160 * 10**6


def blank(path: Path, cols: int, rows: int, rows_per_strip: int) -> Path:
    """A raster of zeros, RGB, pixel by pixel in stripes, that is a hole on disk: its header, and then nothing."""
    strips = -(-rows // rows_per_strip)
    size = cols * 3
    sizes = [size * min(rows_per_strip, rows - at * rows_per_strip) for at in range(strips)]
    data = 2**20 + 16 * strips
    tables = {
        258: struct.pack("<3H", 8, 8, 8),
        273: struct.pack(f"<{strips}Q", *(data + at * size * rows_per_strip for at in range(strips))),
        279: struct.pack(f"<{strips}Q", *sizes),
        33550: struct.pack("<3d", 1, 1, 0),
        33922: struct.pack("<6d", 0, 0, 0, 500_000, 5_000_000, 0),
        34735: struct.pack("<16H", 1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633),
    }
    plain = {256: cols, 257: rows, 259: 1, 262: 2, 277: 3, 278: rows_per_strip, 284: 1}
    kinds = {258: (3, 2), 273: (16, 8), 279: (16, 8), 33550: (12, 8), 33922: (12, 8), 34735: (3, 2)}
    entries, beyond, at = b"", b"", 16 + 8 + 20 * (len(plain) + len(tables)) + 8
    for tag in sorted({*plain, *tables}):
        if tag in plain:
            entries += struct.pack("<HHQQ", tag, 4, 1, plain[tag])
            continue
        kind, width = kinds[tag]
        content = tables[tag]
        if len(content) <= 8:
            entries += struct.pack("<HHQ8s", tag, kind, len(content) // width, content)
        else:
            entries += struct.pack("<HHQQ", tag, kind, len(content) // width, at + len(beyond))
            beyond += content
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) + struct.pack("<Q", len(plain) + len(tables))
    path.write_bytes(head + entries + bytes(8) + beyond)
    os.truncate(path, data + sum(sizes))
    return path


# All that reads pixels, without the network, whose libraries would hide what reading takes.
READ = """
import sys
from geoseg.inputs import check_inputs, filler_warnings
from geoseg.load import Rasters, lazy_item, pixels_of, reading
from geoseg.scenes import find_scenes
from geoseg.spec import JobSpec

path, side = sys.argv[1], int(sys.argv[2])
(item,) = find_scenes(JobSpec.build(scenes=path, model="m"), None, ("red", "green", "blue")).items
check_inputs([item], Rasters(), is_stated=False)
filler_warnings([item])
part = item.geobox[side // 2 : side // 2 + 200, side // 2 : side // 2 + 200]
with reading(10**8):
    pixels, failures = pixels_of(lazy_item(item, part, 200, "digital-number"), slice(0, 200), 2)
assert not failures
assert not pixels.values.any()
"""


def peak(path: Path, side: int) -> int:
    """Peak of the resident memory, in bytes, of a process that looks at a raster and reads 200 x 200 pixels of it."""
    child = subprocess.Popen([sys.executable, "-c", READ, str(path), str(side)])
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    return used.ru_maxrss * 1024


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> int:
    """What a small raster takes."""
    return peak(blank(tmp_path_factory.mktemp("small") / "a.tif", 400, 400, 16), 400)


@pytest.mark.fault(35)
@pytest.mark.parametrize(
    ("cols", "rows", "rows_per_strip"),
    [(100_000, 100_000, 1), (18_000, 18_000, 18_000)],  # 30 GB, and one block of 972 MB
    ids=["stripes", "one block"],
)
def test_fault_35_a_raster_without_tiles_is_read_within_the_memory(
    tmp_path: Path, small: int, cols: int, rows: int, rows_per_strip: int
) -> None:
    path = blank(tmp_path / "a.tif", cols, rows, rows_per_strip)
    assert path.stat().st_blocks * 512 < 10**7
    assert peak(path, cols) < small + MORE
