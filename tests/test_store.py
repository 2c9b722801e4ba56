"""The tile store: a record is there whole or not at all, whatever happened to its bytes or to the disk."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from geoseg.errors import OutputError
from geoseg.store import TileRecord, TileStore, digest_of

KEY = digest_of("a tile")
LAYERS = ("classes", "confidence", "reason")


def record(seed: int = 0, cells: int = 2, cell_px: int = 4, **facts: object) -> TileRecord:
    rng = np.random.default_rng(seed)
    side = cells * cell_px
    layers = {name: rng.integers(0, 256, (side, side), dtype="uint8") for name in LAYERS}
    return TileRecord(layers, rng.random((cells, cells)) < 0.5, bool(seed % 2), {"used_px": {"a": seed}, **facts})


def same(one: TileRecord | None, other: TileRecord) -> bool:
    return (
        one is not None
        and set(one.layers) == set(other.layers)
        and all(np.array_equal(one.layers[name], other.layers[name]) for name in one.layers)
        and all(one.layers[name].dtype == other.layers[name].dtype for name in one.layers)
        and np.array_equal(one.cells, other.cells)
        and one.cells.dtype == bool
        and one.incomplete == other.incomplete
        and dict(one.facts) == dict(other.facts)
    )


LAYER = arrays(st.sampled_from(["uint8", "uint16"]), (6, 6))
FACTS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=3)


@given(st.dictionaries(st.sampled_from(LAYERS), LAYER), arrays(bool, (3, 3)), st.booleans(), FACTS)
@settings(max_examples=40)
def test_what_is_put_comes_back(tmp_path_factory, layers, cells, incomplete, facts):
    store = TileStore(tmp_path_factory.getbasetemp() / "round trips")
    written = TileRecord(layers, cells, incomplete, facts)
    store.put(KEY, written)
    assert same(store.get(KEY), written)


def test_a_record_lies_two_levels_deep_and_alone(tmp_path):
    store = TileStore(tmp_path / "tiles")
    assert store.get(KEY) is None
    assert not (tmp_path / "tiles").exists(), "looking makes no folder"
    store.put(KEY, record())
    assert [p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()] == [
        Path("tiles", KEY[:2], KEY[2:4], f"{KEY}.zip")
    ]
    assert store.path(KEY).is_file()


def test_equal_records_are_equal_bytes(tmp_path):
    """No clock and no order of insertion in them, so that a run after a kill ends with the same store."""
    one, other = TileStore(tmp_path / "one"), TileStore(tmp_path / "other")
    one.put(KEY, record(3, b=1, c=2))
    turned = record(3, c=2, b=1)
    other.put(KEY, TileRecord(dict(reversed(turned.layers.items())), turned.cells, turned.incomplete, turned.facts))
    assert one.path(KEY).read_bytes() == other.path(KEY).read_bytes()


def test_zip_and_zstandard_tools_and_numpy_read_a_record(tmp_path):
    store, written = TileStore(tmp_path), record(1)
    store.put(KEY, written)
    with zipfile.ZipFile(store.path(KEY)) as archive:
        assert archive.testzip() is None
        with pa.CompressedInputStream(io.BytesIO(archive.read("classes.npy.zst")), "zstd") as member:
            assert np.array_equal(np.load(io.BytesIO(member.read())), written.layers["classes"])


def test_a_record_of_an_older_version_is_read(tmp_path):
    written = record(1)
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in {**written.layers, "cells": written.cells}.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)
        archive.writestr("facts.json", json.dumps({"incomplete": written.incomplete, "facts": dict(written.facts)}))
        archive.comment = b"0" * 64
    content = body.getvalue()[:-64]
    store = TileStore(tmp_path)
    store.path(KEY).parent.mkdir(parents=True)
    store.path(KEY).write_bytes(content + hashlib.sha256(content).hexdigest().encode())
    found = store.get(KEY)
    assert found is not None
    assert found.facts == written.facts
    assert all(np.array_equal(found.layers[name], layer) for name, layer in written.layers.items())


@pytest.mark.fault(67)
def test_a_record_that_was_cut_short_is_absent(tmp_path):
    store = TileStore(tmp_path)
    store.put(KEY, record())
    body = store.path(KEY).read_bytes()
    for tenth in range(10):
        store.path(KEY).write_bytes(body[: len(body) * tenth // 10])
        assert store.get(KEY) is None, f"{tenth}/10 of it"
    store.path(KEY).write_bytes(body[:-1])
    assert store.get(KEY) is None


@pytest.mark.fault(67)
def test_no_flipped_bit_is_believed(tmp_path):
    """A bit of every byte, directory and names of the archive included."""
    store = TileStore(tmp_path)
    store.put(KEY, record(cells=1, cell_px=2))
    body = store.path(KEY).read_bytes()
    for place in range(len(body)):
        altered = bytearray(body)
        altered[place] ^= 1 << place % 8
        store.path(KEY).write_bytes(altered)
        assert store.get(KEY) is None, f"byte {place}"


@pytest.mark.parametrize("content", [b"", b"x", b"PK\x05\x06" + b"\0" * 18, b"not a record" * 1000])
def test_something_else_in_its_place_is_no_record(tmp_path, content):
    store = TileStore(tmp_path)
    store.path(KEY).parent.mkdir(parents=True)
    store.path(KEY).write_bytes(content)
    assert store.get(KEY) is None
    store.put(KEY, record())
    assert same(store.get(KEY), record())


def test_a_folder_in_its_place_is_no_record(tmp_path):
    store = TileStore(tmp_path)
    store.path(KEY).mkdir(parents=True)
    assert store.get(KEY) is None


@given(st.integers(0, 99), st.integers(0, 99), st.integers(1, 4), st.integers(1, 4))
def test_merging_takes_each_cell_from_the_record_that_has_it(seed, other_seed, cells, cell_px):
    newer, older = record(seed, cells, cell_px), record(other_seed, cells, cell_px)
    merged = newer.merged_with(older)
    assert (merged.cells == (newer.cells | older.cells)).all()
    assert merged.incomplete == (newer.incomplete or older.incomplete)
    for row, col in itertools.product(range(cells), range(cells)):
        part = np.s_[row * cell_px : (row + 1) * cell_px, col * cell_px : (col + 1) * cell_px]
        source = newer if newer.cells[row, col] else older
        for name in LAYERS:
            assert np.array_equal(merged.layers[name][part], source.layers[name][part])
            assert merged.layers[name].dtype == np.uint8


def halves() -> tuple[TileRecord, TileRecord]:
    """Two records of one tile, with the left and the right column of its cells."""
    left, right = record(2), record(4)
    left.cells[:] = [[True, False], [True, False]]
    right.cells[:] = ~left.cells
    return left, right


def test_adding_keeps_the_cells_that_are_there(tmp_path):
    store, (left, right) = TileStore(tmp_path), halves()
    assert same(store.add(KEY, left), left)
    both = store.add(KEY, right)
    assert both.cells.all()
    assert same(store.get(KEY), both)
    assert same(both, right.merged_with(left))


def test_adding_does_not_keep_what_a_failed_read_touched(tmp_path):
    store, (left, right) = TileStore(tmp_path), halves()
    store.put(KEY, TileRecord(left.layers, left.cells, incomplete=True, facts=left.facts))
    assert same(store.add(KEY, right), right)


@pytest.mark.fault(60)
def test_a_worker_that_comes_too_late_commits_nothing(tmp_path):
    """It was given up, another made the tile; when it wakes up its record is not taken."""
    store = TileStore(tmp_path)
    first = store.add(KEY, record(4))
    late = replace(record(2), cells=first.cells)
    there = store.path(KEY).stat().st_ino
    assert same(store.add(KEY, late), first)
    assert store.path(KEY).stat().st_ino == there, "one commit"
    store.put(KEY, replace(first, incomplete=True))
    assert same(store.add(KEY, late), late), "what was incomplete is made good"


def test_adding_to_a_torn_record_replaces_it(tmp_path):
    store, (left, right) = TileStore(tmp_path), halves()
    store.put(KEY, left)
    store.path(KEY).write_bytes(store.path(KEY).read_bytes()[:-5])
    assert same(store.add(KEY, right), right)


def test_merging_adds_the_shares_of_the_items():
    newer, older = (
        TileRecord({}, np.ones((1, 1), bool), facts={"used_px": used}) for used in ({"a": 2, "b": 3}, {"a": 5, "c": 7})
    )
    assert newer.merged_with(older).facts["used_px"] == {"a": 7, "b": 3, "c": 7}
    assert newer.facts["used_px"] == {"a": 2, "b": 3}
    assert older.facts["used_px"] == {"a": 5, "c": 7}


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
import pyarrow as pa
from geoseg.errors import OutputError
from geoseg.store import TileRecord, TileStore

noise = np.random.default_rng(1).integers(0, 256, (512, 512), dtype="uint8")  # does not compress below the limit
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    TileStore(Path(sys.argv[1])).put(sys.argv[2], TileRecord({"classes": noise}, np.ones((1, 1), bool)))
except OutputError as err:
    print(err)
    sys.exit(err.exit_code)
"""


def test_a_full_disk_leaves_the_old_record_and_says_so_in_three_lines(tmp_path):
    pytest.importorskip("resource")
    store = TileStore(tmp_path)
    store.put(KEY, record())
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path), KEY], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1, ended.stderr
    lines = ended.stdout.strip().splitlines()
    assert [line.split(":")[0] for line in lines] == ["given", "expected", "to do"]
    assert str(store.path(KEY)) in lines[0]
    assert same(store.get(KEY), record())
    assert [path.name for path in store.path(KEY).parent.iterdir()] == [f"{KEY}.zip"], "no scratch file is left"


def test_a_write_that_reads_back_differently_leaves_the_old_record(tmp_path, monkeypatch):
    store = TileStore(tmp_path)
    store.put(KEY, record())
    true_read = Path.read_bytes
    monkeypatch.setattr(
        Path, "read_bytes", lambda path: true_read(path)[:-1] + b"?" if ".part" in path.name else true_read(path)
    )
    with pytest.raises(OutputError, match="reads back differently"):
        store.put(KEY, record(5))
    monkeypatch.undo()
    assert same(store.get(KEY), record())
    assert len(list(store.path(KEY).parent.iterdir())) == 1


def test_a_store_where_a_file_is_in_the_way_says_so(tmp_path):
    (tmp_path / "tiles").write_text("a file")
    store = TileStore(tmp_path / "tiles")
    assert store.get(KEY) is None
    for write in (store.put, store.add):
        with pytest.raises(OutputError) as failed:
            write(KEY, record())
        assert len(str(failed.value).splitlines()) == 3
        assert "GEOSEG_CACHE" in failed.value.todo


def test_put_replaces_a_record_whole(tmp_path):
    store = TileStore(tmp_path)
    store.put(KEY, record(1, cells=4))
    store.put(KEY, record(2))
    assert same(store.get(KEY), record(2))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def turned_around(value: object) -> object:
    """The same value with every table filled in the opposite order."""
    if isinstance(value, dict):
        return {name: turned_around(value[name]) for name in reversed(value)}
    return [turned_around(part) for part in value] if isinstance(value, list) else value


@given(JSON)
def test_the_digest_does_not_depend_on_the_order_of_names(value):
    assert digest_of(value) == digest_of(turned_around(value)) == digest_of(json.loads(json.dumps(value)))


@given(JSON, JSON)
def test_the_digest_tells_values_apart(one, other):
    assert (digest_of(one) == digest_of(other)) == (
        json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    )


def test_the_digest_is_sha256_of_compact_json():
    """Pinned: keys of records that exist must not move."""
    assert (
        digest_of({"b": [1, 2.5, None], "a": "é"}) == "84afbf1d4853005f9dd0c81cb1819b53ce86978340764c062160f6e8356665de"
    )
