"""Pipes, devices and names that no file system takes are refused at once, by the command line, whatever names them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import worlds

from geoseg.cli import main
from geoseg.errors import RequestError
from geoseg.plainfiles import check_plain, check_words
from geoseg.timerange import parse_time_range


@pytest.fixture
def ends(tmp_path, capsys):
    """`geoseg WORDS`; exit status and the three lines."""

    def call(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--out", str(tmp_path / "map")])
        said = capsys.readouterr().err
        assert isinstance(ended.value.code, int)
        assert [line[:10].rstrip() for line in said.splitlines()][-3:] == ["given:", "expected:", "to do:"]
        assert "a fault in geoseg" not in said
        assert not (tmp_path / "map").exists()
        return ended.value.code, said

    return call


@pytest.fixture
def pipe(tmp_path) -> Path:
    """Nobody ever writes into it."""
    os.mkfifo(tmp_path / "pipe.tif")
    return tmp_path / "pipe.tif"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(worlds.finite_model(tmp_path_factory.mktemp("model")).path)


def test_a_file_and_a_folder_are_plain_and_nothing_else_is(tmp_path, pipe):
    check_plain(tmp_path)
    (tmp_path / "file").write_text("x")
    check_plain(tmp_path / "file")
    for path in (pipe, "/dev/zero", tmp_path / "none", "a\0b", "x" * 300):
        with pytest.raises(OSError, match=r".+"):
            check_plain(path)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("path", ["pipe", "/dev/zero", "a\0b.tif", "x" * 5000, "\udcff.tif", ""])
def test_a_scene_that_is_no_file_ends_with_2(ends, pipe, model, path):
    status, said = ends("run", "--scenes", str(pipe) if path == "pipe" else path, "--model", model)
    assert status == 2
    assert len(said) < 2000


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", ["catalogue", "link", "asset"])
def test_a_pipe_of_a_catalogue_is_not_waited_for(ends, tmp_path, pipe, model, place):
    box = [15.0, 45.14, 15.02, 45.16]
    ring = [[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[1]]]
    bands = [{"name": band} for band in worlds.BANDS]
    item = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "one",
        "collection": "rgb",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": box,
        "properties": {"datetime": "2022-03-01T10:00:00Z"},
        "links": [],
        "assets": {"data": {"href": str(pipe), "eo:bands": bands}},
    }
    links = [{"rel": "item", "href": str(pipe) if place == "link" else "./item.json"}]
    (tmp_path / "item.json").write_text(json.dumps(item))
    root = {"type": "Catalog", "stac_version": "1.0.0", "id": "root", "description": "-", "links": links}
    (tmp_path / "catalog.json").write_text(json.dumps(root))
    words = ["--aoi", ",".join(map(str, box)), "--collection", "rgb", "--sensor", "rgb", "--datetime", "2022"]
    words[-1] = "2022-01-01/2022-12-31"
    catalog = pipe if place == "catalogue" else tmp_path / "catalog.json"
    status, said = ends("run", "--catalog", str(catalog), *words, "--model", model)
    assert status == {"catalogue": 1, "link": 3, "asset": 1}[place]
    assert str(pipe) in said
    assert "a pipe or a device" in said


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--max-memory", "1e400GB"),
        ("--max-memory", "99999999999TB"),
        ("--resolution", "1e-300"),
        ("--model", "x" * 5000),
        ("--model", "a\0"),
        ("--out", "o" * 300),
        ("--out", "\udcff"),
        ("--datetime", "2022-06-01/2022-01-01"),
    ],
)
def test_values_that_no_machine_takes_end_with_2(tmp_path, capsys, model, option, value):
    scene = worlds.write_raster(tmp_path / "a.tif", worlds.landscape((40, 40), 3).astype("uint8"), names=worlds.BANDS)
    words = ["--scenes", str(scene), "--model", model, "--out", str(tmp_path / "map")]
    with pytest.raises(SystemExit) as ended:
        main(["run", *words, option, str(tmp_path / value) if option == "--out" else value])
    said = capsys.readouterr().err
    assert ended.value.code == 2, said
    assert [line[:10].rstrip() for line in said.splitlines()][-3:] == ["given:", "expected:", "to do:"]


def test_words_are_text():
    check_words("--prompt", ["forêt", "🛰"])
    check_words("--workers", 3)
    for value in ("a\0", ["fine", "a\ud800"], Path("\udcff")):
        with pytest.raises(RequestError, match="UTF-8"):
            check_words("--scenes", value)
    with pytest.raises(RequestError, match="swap"):
        parse_time_range("2022-06-01/2022-01-01")
