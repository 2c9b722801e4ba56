"""Records in an object store: whole or absent, and no writer loses the cells of another."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

import geoseg
from geoseg.errors import GeosegError, OutputError, RequestError
from geoseg.store import TileRecord, digest_of, open_store
from geoseg.store.objects import ObjectStore, _bucket

KEY = digest_of("a tile")


def record(*places: tuple[int, int]) -> TileRecord:
    cells = np.zeros((4, 4), dtype=bool)
    for place in places:
        cells[place] = True
    numbers = np.arange(16, dtype="uint8").reshape(4, 4)
    layer = np.repeat(np.repeat(np.where(cells, numbers, np.uint8(255)), 8, axis=0), 8, axis=1)
    return TileRecord({"classes": layer}, cells, facts={"used_px": {"a": len(places)}})


@pytest.fixture(params=["s3", "memory"])
def store(request, tmp_path_factory) -> ObjectStore:
    """An empty store that knows conditions, and one that does not."""
    name = tmp_path_factory.mktemp("store").name
    if request.param == "memory":
        return ObjectStore(f"memory://{name}")
    return ObjectStore(f"{request.getfixturevalue('s3')}/{name}")


def put_bytes(store: ObjectStore, body: bytes) -> None:
    _bucket(store.url).files.pipe_file(store.path(KEY), body)


def test_what_is_added_comes_back_also_to_another_process(store):
    assert store.get(KEY) is None
    added = store.add(KEY, record((0, 1)))
    again = pickle.loads(pickle.dumps(store)).get(KEY)
    assert np.array_equal(again.cells, added.cells)
    assert np.array_equal(again.layers["classes"], added.layers["classes"])
    assert again.facts == added.facts


def test_a_torn_object_is_absent_and_replaced(store):
    store.add(KEY, record((0, 1)))
    body = store.read(store.path(KEY))
    for torn in (b"", body[:100], body[:-1], body[:50] + b"?" + body[51:]):
        put_bytes(store, torn)
        assert store.get(KEY) is None
    assert store.add(KEY, record((2, 2))).cells.sum() == 1
    assert store.get(KEY).cells[2, 2]


def test_adding_keeps_the_cells_that_are_there(store):
    store.add(KEY, record((0, 1)))
    both = store.add(KEY, record((3, 3)))
    assert both.cells.sum() == 2
    assert store.get(KEY).facts["used_px"] == {"a": 2}


@pytest.mark.fault(60)
def test_a_worker_that_comes_too_late_commits_nothing(store):
    store.add(KEY, record((0, 1), (0, 2)))
    body = store.read(store.path(KEY))
    late = TileRecord({"classes": np.full((32, 32), 7, "uint8")}, record((0, 1)).cells)
    assert store.add(KEY, late).cells.sum() == 2
    assert store.read(store.path(KEY)) == body


def test_writers_at_the_same_time_lose_no_cell_of_each_other(s3, tmp_path_factory):
    """Eight read the same empty place before any of them writes; S3 refuses all but one, and the others merge."""
    store = ObjectStore(f"{s3}/{tmp_path_factory.mktemp('race').name}")
    start = Barrier(8)

    class Met(ObjectStore):
        def _replace(self, path, body, version, *, conditional=True):
            if version is None and self.get(KEY) is None:
                start.wait(timeout=30)
            return super()._replace(path, body, version, conditional=conditional)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: Met(store.url).add(KEY, record((n // 4, n % 4))), range(8)))
    assert store.get(KEY).cells.sum() == 8


def test_a_bucket_that_is_not_there_is_refused_before_any_work(s3, tmp_path, scene, model):
    options = {"out": tmp_path / "map", "cache": tmp_path / "cache", "store": "s3://no-such-bucket/tiles"}
    with pytest.raises(RequestError) as refused:
        geoseg.run(scenes=(str(scene),), model=str(model.path), **options)
    assert "s3://no-such-bucket/tiles" in refused.value.given
    assert not (tmp_path / "map").exists()


def test_a_server_that_does_not_answer_is_an_error_and_not_an_empty_store(s3, monkeypatch):
    store = ObjectStore(f"{s3}/unreachable")
    bucket = _bucket(store.url)

    def fails(path):
        raise OSError(5, "no route")

    monkeypatch.setattr(bucket.files, "cat_file", fails)
    with pytest.raises(OutputError, match="no route"):
        store.get(KEY)


@pytest.mark.parametrize(("url", "words"), [("nosuch://a/b", "nosuch"), ("gs://bucket/tiles", "geoseg[cluster]")])
def test_an_address_that_nothing_reads_is_refused_in_three_lines(url, words):
    with pytest.raises(GeosegError) as refused:
        open_store(url)
    assert refused.value.exit_code == 2
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.fault(67)
def test_a_run_goes_on_from_the_objects_and_computes_torn_ones_again(s3, tmp_path, scene, model):
    options = {"scenes": (str(scene),), "model": str(model.path), "tile_size": 1, "device": "cpu", "backend": "torch"}
    store = f"{s3}/run"
    first = geoseg.run(**options, out=tmp_path / "first", cache=tmp_path / "cache", store=store)
    files = _bucket(store).files
    objects = sorted(path for path in files.find(_bucket(store).root, refresh=True) if path.endswith(".zip"))
    assert len(objects) == first.report["tiles"]["computed"] == 25
    assert not (tmp_path / "cache" / "tiles").exists()
    files.pipe_file(objects[3], files.cat_file(objects[3])[:-7])
    files.rm_file(objects[11])
    second = geoseg.run(**options, out=tmp_path / "second", cache=tmp_path / "cache", store=store)
    assert (second.report["tiles"]["computed"], second.report["tiles"]["reused"]) == (2, 23)
    for name in ("classes.tif", "confidence.tif", "polygons.parquet"):
        assert (first.out / name).read_bytes() == (second.out / name).read_bytes()
