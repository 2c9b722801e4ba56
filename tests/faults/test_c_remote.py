"""Files on servers that go wrong: what passes heals, what stays has a name, and no pixel is ever made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import worlds
from numpy.typing import NDArray

import geoseg
from tests.faults.server import serving
from tests.remote.world import LENGTH, request, write_bands


@pytest.fixture
def server(folder: Path):
    write_bands(folder)
    with serving(folder) as running:
        yield running


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> NDArray[Any]:
    """The map from files on this machine."""
    folder = tmp_path_factory.mktemp("clean")
    write_bands(folder)
    model = worlds.finite_model(folder / "model")
    return mapped(geoseg.run(**request(folder, str(folder), model.path, out=folder / "map", cache=folder / "cache")))


def mapped(result: geoseg.Result) -> NDArray[Any]:
    return worlds.read(result.out / "classes.tif")


def test_pixels_over_http_are_those_of_the_files(tmp_path, server, finite, clean):
    result = geoseg.run(**request(tmp_path, server.url, finite.path, out=tmp_path / "map"))
    assert (mapped(result) == clean).all()
    assert {seen.request.method for seen in server.seen} == {"GET"}
    assert all(seen.status == 206 for seen in server.seen)
    sent = sum((seen.request.stop or 0) - (seen.request.start or 0) for seen in server.seen)
    assert sent < 2 * 3 * LENGTH  # nothing is fetched again and again
