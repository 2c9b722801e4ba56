"""``--scenes https://…``: headers come through the reader that verifies, waits and keeps to the limit of connections."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worlds
from stac_api import EVERYWHERE
from stac_api import serving as serving_api

import geoseg
from geoseg.cli import main
from geoseg.demo import write_demo
from geoseg.errors import GeosegError
from geoseg.models import ModelFolder
from geoseg.pipeline import prepare
from geoseg.remote.hosts import Gate, gate_of
from geoseg.scenes.catalogs import find_items
from geoseg.settings import Settings
from geoseg.spec import JobSpec
from tests.faults.orders import Tokens
from tests.faults.server import (
    Action,
    Exchange,
    FaultServer,
    Rule,
    ignore_range,
    named,
    page,
    reset,
    short,
    status,
)

FILES = 6


@pytest.fixture(autouse=True)
def scenes(folder: Path) -> None:
    """The files that are served."""
    image = worlds.landscape((100, 130), 3).astype("uint8")
    for number in range(FILES):
        worlds.write_raster(folder / f"scene{number}_2022060{number + 1}.tif", image, names=worlds.BANDS)


def address(server: FaultServer, number: int = 0, query: str = "") -> str:
    return f"{server.url}/scene{number}_2022060{number + 1}.tif{query}"


def refusal(model: ModelFolder, cache: Path, *scenes: str, code: int = 2) -> GeosegError:
    with pytest.raises(GeosegError) as refused:
        prepare(JobSpec.build(scenes=scenes, model=str(model.path)), Settings(cache=cache, device="cpu"))
    assert refused.value.exit_code == code
    assert "canary" not in str(refused.value)
    return refused.value


@pytest.mark.fault(28)
@pytest.mark.fault(29)
@pytest.mark.parametrize("fault", [status(503), status(429, retry_after=0), reset(0.4), short(0.4), ignore_range()])
def test_fault_28_a_raster_at_an_address_is_mapped_as_the_file_is(
    tmp_path: Path, server: FaultServer, folder: Path, finite: ModelFolder, quick: None, fault: Action
) -> None:
    options: dict[str, Any] = {"model": str(finite.path), "device": "cpu"}
    file = geoseg.run(scenes=str(next(folder.glob("scene0*"))), out=tmp_path / "file", cache=tmp_path / "c1", **options)
    server.add(Rule(fault, named(".tif"), times=3))
    there = geoseg.run(scenes=address(server), out=tmp_path / "there", cache=tmp_path / "c2", **options)
    assert np.array_equal(worlds.read(there.out / "classes.tif"), worlds.read(file.out / "classes.tif"))
    assert {seen.request.method for seen in server.seen} == {"GET"}  # GDAL by itself asks with HEAD
    assert {seen.request.path for seen in server.seen} == {"/scene0_20220601.tif"}, "no file beside it is looked for"
    assert len(server.seen) > 3 or server.seen[0].status == 200


@pytest.mark.fault(28)
def test_fault_28_headers_keep_to_the_connections_that_are_allowed(
    tmp_path: Path, server: FaultServer, finite: ModelFolder
) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def counted(exchange: Exchange) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        exchange.send_file()
        with lock:
            now[0] -= 1

    server.add(Rule(counted, times=None))
    scenes = [address(server, number) for number in range(FILES)]
    settings = Settings(cache=tmp_path, device="cpu", connections=1)
    prepared = prepare(JobSpec.build(scenes=tuple(scenes), model=str(finite.path)), settings)
    assert len(prepared.found.items) == FILES
    assert most[0] == 1
    sent = [seen.request for seen in server.seen]
    assert len({(request.path, request.start) for request in sent}) == len(sent), "nothing is asked for twice"
    assert gate_of(server.url).limit is None


@pytest.mark.fault(34)
@pytest.mark.parametrize(
    ("action", "words", "code"),
    [
        (status(404), "404 Not Found", 2),
        (status(403), "403 Forbidden", 2),
        (status(503), "503 Service Unavailable", 1),
        (status(429, retry_after=0), "429 Too Many Requests", 1),
        (reset(0.4), "no answer", 1),
        (page(), "text/html", 2),
        (page(b"PK\x03\x04 an archive", "application/zip"), "application/zip", 2),
    ],
)
def test_fault_34_what_is_no_raster_there_is_named_without_its_signature(
    tmp_path: Path, server: FaultServer, finite: ModelFolder, quick: None, action: Action, words: str, code: int
) -> None:
    """What may pass is a fault of the server and no wrong request."""
    server.add(Rule(action, named("scene1_20220602.tif"), times=None))
    err = refusal(finite, tmp_path, address(server, 0), address(server, 1, "?sig=canary-secret"), code=code)
    assert "scene1_20220602.tif" in err.given
    assert words in err.given
    assert "supported" not in err.given
    assert "copy the file" in err.todo


@pytest.mark.fault(94)
def test_fault_94_the_signature_of_a_raster_is_in_nothing_that_is_said_or_written(
    tmp_path: Path, server: FaultServer, finite: ModelFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    tokens = Tokens()
    server.add(tokens.guard())
    href = address(server, 0, f"?{tokens.issue()}")
    with pytest.raises(SystemExit) as ended:
        main(["run", "--scenes", href, "--model", str(finite.path), "--out", str(tmp_path / "map"), "--device", "cpu"])
    assert not ended.value.code
    assert "canary" not in "".join(capfd.readouterr())
    written = [path for path in (tmp_path / "map").rglob("*") if path.is_file() and "job" not in path.parts]
    assert not [path.name for path in written if b"canary" in path.read_bytes()]


def test_questions_to_a_catalogue_pass_the_gate_of_its_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = write_demo(tmp_path / "demo", shape=(128, 192), uav_shape=(256, 256))
    passed: list[Gate] = []
    passing = Gate.passing

    def noted(self: Gate, most: int) -> Any:
        passed.append(self)
        return passing(self, most)

    monkeypatch.setattr(Gate, "passing", noted)
    with serving_api(demo) as (url, handler):
        found = find_items(url, "sentinel-2-l2a", EVERYWHERE, None)
        assert found.items
        assert len(passed) == handler.asked > 1
        assert set(passed) == {gate_of(url)}
