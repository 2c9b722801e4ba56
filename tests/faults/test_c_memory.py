"""Rasters without tiles are read within the cache that was planned; GDAL goes through a block of many rows row by row."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

# Looks are given a cache of 34 MB, the read one of 100 MB; the rest is what is read, and what allocators keep.
MORE = {"sample": 100 * 10**6, "filler": 100 * 10**6, "read": 160 * 10**6}


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


# All that reads pixels, step by step, first of a small raster, so that what libraries keep is there already.
READ = """
import json, sys
from pathlib import Path
from geoseg.inputs import check_inputs, filler_warnings
from geoseg.load import Rasters, lazy_item, pixels_of, reading
from geoseg.scenes import find_scenes
from geoseg.spec import JobSpec


def resident(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what))


def read(item):
    rows, cols = item.geobox.shape
    part = item.geobox[rows // 2 : rows // 2 + 200, cols // 2 : cols // 2 + 200]
    with reading(10**8):
        pixels, failures = pixels_of(lazy_item(item, part, 200, "digital-number"), slice(0, 200), 2)
    assert not failures
    assert not pixels.values.any()


steps = {
    "sample": lambda item: check_inputs([item], Rasters(), is_stated=False),
    "filler": lambda item: filler_warnings([item]),
    "read": read,
}
for path in sys.argv[1:]:
    (item,) = find_scenes(JobSpec.build(scenes=path, model="m"), None, ("red", "green", "blue")).items
    took = {}
    for name, step in steps.items():
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        before = resident("VmRSS")
        step(item)
        took[name] = resident("VmHWM") - before
print(json.dumps(took))
"""


@pytest.mark.fault(35)
@pytest.mark.parametrize(
    ("cols", "rows", "rows_per_strip"),
    [(400_000, 60_000, 1), (18_000, 18_000, 18_000)],  # 72 GB, and one block of 972 MB
    ids=["stripes", "one block"],
)
def test_fault_35_a_raster_without_tiles_is_read_within_the_memory(
    tmp_path: Path, cols: int, rows: int, rows_per_strip: int
) -> None:
    small = blank(tmp_path / "small.tif", 400, 400, 16)
    path = blank(tmp_path / "a.tif", cols, rows, rows_per_strip)
    assert path.stat().st_blocks * 512 < 10**7
    command = [sys.executable, "-c", READ, str(small), str(path)]
    took = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert {name: size for name, size in took.items() if size > MORE[name]} == {}
