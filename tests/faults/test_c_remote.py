"""Files on servers that go wrong: what passes heals, what stays has a name, and no pixel is ever made up."""

from __future__ import annotations

import datetime as dt
import importlib
import itertools
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
import rasterio
import worlds
from numpy.typing import NDArray

import geoseg
from geoseg.cli import main
from geoseg.composite import make_composite
from geoseg.errors import AssetChangedError
from geoseg.keys import asset_facts, is_known
from geoseg.load import Rasters, reader, reading
from geoseg.load.shared import read_window
from geoseg.remote import RemoteFiles, policy, signing
from geoseg.remote.hosts import gate_of
from geoseg.scenes import SENSORS, Scene
from geoseg.scenes.understand import understand
from tests.faults.orders import Tokens, schedule
from tests.faults.server import (
    Rule,
    drop,
    ignore_range,
    named,
    page,
    refuse_head,
    reset,
    serving,
    shifted,
    short,
    stall,
    status,
    then_replace,
    trickle,
    with_range,
)
from tests.remote.world import LENGTH, PLACE, SIDE, request, write_bands, write_catalogue


@pytest.fixture(autouse=True)
def bands(folder: Path) -> None:
    """The files that are served."""
    write_bands(folder)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> NDArray[Any]:
    """The map from files on this machine."""
    folder = tmp_path_factory.mktemp("clean")
    write_bands(folder)
    model = worlds.finite_model(folder / "model")
    return mapped(geoseg.run(**request(folder, str(folder), model.path, out=folder / "map", cache=folder / "cache")))


def mapped(result: geoseg.Result) -> NDArray[Any]:
    """Classes on the pixels of the scene; the map is a little larger."""
    with rasterio.open(result.out / "classes.tif") as file:
        col, row = (round(part) for part in ~file.transform @ (PLACE.transform.c, PLACE.transform.f))
        return file.read(1)[row : row + SIDE, col : col + SIDE]


def image_of(folder: Path, url: str) -> NDArray[np.float32]:
    """What a network would see of the scene."""

    document = pystac.Item.from_file(str(write_catalogue(folder, url).with_name("scene.json")))
    item = understand(document, worlds.BANDS, SENSORS["rgb"])
    with RemoteFiles() as remote, reading(0):
        facts = asset_facts([source.href for source in item.sources], remote)
        assert all(is_known(fact) for fact in facts.values())
        image = make_composite(
            [Scene((item,))],
            PLACE,
            3,
            "first",
            "digital-number",
            counted=np.ones(PLACE.shape, dtype=bool),
            strip_bytes=2**30,
            threads=2,
            rasters=Rasters(remote, facts),
        )
    assert not image.failures
    return image.values


@pytest.fixture(scope="module")
def whole_image(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.float32]:
    """What a network sees of files on this machine."""
    folder = tmp_path_factory.mktemp("image")
    write_bands(folder)
    return image_of(folder, str(folder))


def test_pixels_over_http_are_those_of_the_files(tmp_path, server, finite, clean):
    result = geoseg.run(**request(tmp_path, server.url, finite.path, out=tmp_path / "map"))
    assert (mapped(result) == clean).all()
    assert {seen.request.method for seen in server.seen} == {"GET"}
    assert all(seen.status == 206 for seen in server.seen)
    sent = sum((seen.request.stop or 0) - (seen.request.start or 0) for seen in server.seen)
    assert sent < 2 * 3 * LENGTH  # nothing is fetched again and again


@pytest.mark.fault(27)
@pytest.mark.parametrize(("code", "words"), [(404, "404 Not Found"), (410, "410 Gone")])
def test_fault_27_a_missing_file_is_a_hole_with_its_cause(tmp_path, server, finite, clean, monkeypatch, code, words):
    server.add(Rule(status(code), named("green.tif"), times=None))
    options = request(tmp_path, server.url, finite.path, out=tmp_path / "map", cache=tmp_path / "cache")
    holed = geoseg.run(**options)
    assert (mapped(holed) == 254).all()
    assert holed.report["pixels"]["failed"] == {"read": mapped(holed).size}
    assert any("green.tif" in said and words in said for said in holed.report["warnings"])
    asked = [seen.request.start for seen in server.seen if seen.request.path == "/green.tif"]
    assert len(asked) == 1, "what is not there is not asked for again"
    monkeypatch.setenv("GEOSEG_CACHE", str(options.pop("cache")))
    command = ["run", "--quiet", *itertools.chain(*((f"--{name}", str(value)) for name, value in options.items()))]
    for allowed, status_wanted in (("0.2", 4), ("1", 0)):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--max-failed", allowed])
        assert ended.value.code == status_wanted
    server.reset()
    again = geoseg.run(**options)
    assert again.report["tiles"]["computed"] == holed.report["tiles"]["incomplete"]
    assert (mapped(again) == clean).all()


@pytest.mark.fault(28)
def test_fault_28_a_busy_server_is_waited_for_and_asked_for_less(tmp_path, server, finite, clean, monkeypatch):
    server.add(Rule(status(503, retry_after=3), named("red.tif"), times=2))
    server.add(Rule(status(429, retry_after=5), named("green.tif"), times=2))
    waits: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waits.append)
    result = geoseg.run(**request(tmp_path, server.url, finite.path, out=tmp_path / "map"))
    assert (mapped(result) == clean).all()
    assert sorted(waits) == [3, 3, 5, 5]
    assert gate_of(server.url).limit in {1, 2, 3}  # four refusals halved eight to one; good answers raise it
    assert [seen.status for seen in server.seen].count(503) == 2


@pytest.mark.fault(29)
@pytest.mark.parametrize("fault", [short(0.4), reset(0.4), stall(0.4), drop()], ids=["short", "reset", "stall", "drop"])
def test_fault_29_a_broken_body_is_read_again_whole(tmp_path, server, finite, clean, quick, fault):
    server.add(Rule(fault, lambda request: (request.start or 0) > 0, times=3))
    result = geoseg.run(**request(tmp_path, server.url, finite.path, out=tmp_path / "map"))
    assert (mapped(result) == clean).all()
    asked = [(seen.request.path, seen.request.start, seen.request.stop) for seen in server.seen]
    assert len(asked) - len(set(asked)) >= 3  # the same ranges, whole


@pytest.mark.fault(29)
def test_fault_29_a_trickle_is_cut(tmp_path, server, finite, clean, quick, monkeypatch):

    monkeypatch.setattr(policy, "PATIENT", replace(policy.PATIENT, slow_after_s=0.2, slow_bytes_per_s=10_000.0))
    server.add(Rule(trickle(), lambda request: (request.start or 0) > 0))
    result = geoseg.run(**request(tmp_path, server.url, finite.path, out=tmp_path / "map"))
    assert (mapped(result) == clean).all()
    asked = [(seen.request.path, seen.request.start, seen.request.stop) for seen in server.seen]
    assert len(asked) > len(set(asked)), "the range that trickled, whole"


@pytest.mark.fault(30)
@pytest.mark.parametrize("near", [False, True], ids=["on a server", "here"])
def test_fault_30_a_truncated_file_has_holes_and_no_zeros(tmp_path, folder, server, finite, clean, near):
    url = str(folder) if near else server.url
    whole = worlds.read(folder / "green.tif")
    path = folder / "green.tif"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    with reading(0), Rasters().opened(f"{url}/green.tif") as file:
        pixels, failed, _ = read_window(file, 1, (slice(0, SIDE), slice(0, SIDE)))
    assert failed is not None
    assert 0.35 < failed.mean() < 0.45
    assert (pixels[~failed] == whole[~failed]).all()
    holed = geoseg.run(**request(tmp_path, url, finite.path, out=tmp_path / "map"))
    assert holed.report["pixels"]["failed"]["read"] == int(failed.sum())
    assert ((mapped(holed) == 254) == failed).all()
    top = failed.argmax(axis=0).min() - max(finite.spec.radius_px)  # rows above see nothing that is missing
    assert top > 50
    assert (mapped(holed)[:top] == clean[:top]).all()


@pytest.mark.fault(31)
def test_fault_31_whole_bodies_and_refused_heads_do_no_harm(tmp_path, server, finite, clean):
    server.add(refuse_head(), Rule(ignore_range(), times=None))
    result = geoseg.run(**request(tmp_path, server.url, finite.path, out=tmp_path / "map"))
    assert (mapped(result) == clean).all()
    assert len(server.seen) == 3  # each file once


@pytest.mark.fault(31)
def test_fault_31_a_whole_body_that_is_too_large_is_an_error_in_words(tmp_path, server, finite, monkeypatch):
    monkeypatch.setattr("geoseg.remote.files._MOST_WHOLE_BYTES", LENGTH // 2)
    server.add(Rule(ignore_range(), times=None))
    result = geoseg.run(**request(tmp_path, server.url, finite.path, out=tmp_path / "map"))
    assert (mapped(result) == 254).all()
    assert "the server does not send ranges, only the whole" in " ".join(result.report["warnings"])


@pytest.mark.fault(31)
def test_fault_31_a_range_at_the_wrong_place_is_never_used(tmp_path, server, finite):
    server.add(Rule(shifted(2), with_range(1), times=None))
    result = geoseg.run(**request(tmp_path, server.url, finite.path, out=tmp_path / "map"))
    assert (mapped(result) == 254).sum() > mapped(result).size / 2
    assert "got the range" in " ".join(result.report["warnings"])


@pytest.mark.fault(32)
def test_fault_32_a_file_that_changes_on_its_server_ends_the_job(tmp_path, folder, server, finite):

    other = folder.parent / "other"
    write_bands(other, seed=1)
    new = (other / "green.tif").read_bytes()
    server.add(Rule(then_replace(folder / "green.tif", new), lambda r: r.path == "/green.tif" and (r.start or 0) > 0))
    options = request(tmp_path, server.url, finite.path, out=tmp_path / "map", cache=tmp_path / "cache")
    with pytest.raises(AssetChangedError, match=r"green\.tif") as stopped:
        geoseg.run(**options)
    assert stopped.value.exit_code == 1
    assert not list((tmp_path / "cache" / "tiles").rglob("*.zip"))
    server.reset()
    assert (mapped(geoseg.run(**options)) != 254).all()


@pytest.mark.fault(32)
def test_fault_32_a_file_that_changes_on_this_machine_ends_the_job(tmp_path, folder, finite, monkeypatch):
    """It is replaced while the first band is being read."""

    write_bands(folder)
    other = folder.parent / "other"
    write_bands(other, seed=1)
    read_open = reader.ExactReader._read_open

    def replacing(self: Any, *args: Any) -> Any:
        found = read_open(self, *args)
        (folder / "green.tif").write_bytes((other / "green.tif").read_bytes())
        return found

    monkeypatch.setattr(reader.ExactReader, "_read_open", replacing)
    options = request(tmp_path, str(folder), finite.path, out=tmp_path / "map", cache=tmp_path / "cache")
    with pytest.raises(AssetChangedError, match=r"green\.tif"):
        geoseg.run(**options)
    assert not list((tmp_path / "cache" / "tiles").rglob("*.zip"))


@pytest.mark.fault(34)
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<!DOCTYPE html><html>Please log in</html>", "text/html"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "application/xml"),
        (b"PK\x03\x04 and the rest of an archive", "application/zip"),
        (b"", "image/tiff"),
    ],
)
def test_fault_34_what_is_no_raster_is_shown(tmp_path, server, finite, body, kind):
    server.add(Rule(page(body, kind), named("green.tif"), times=None))
    result = geoseg.run(**request(tmp_path, server.url, finite.path, out=tmp_path / "map", query="?sig=canary"))
    assert (mapped(result) == 254).all()
    (words,) = [words for words in result.report["warnings"] if "green.tif" in words]
    assert kind in words
    assert repr(body[:40])[2:-1] in words
    assert "not recognized" not in words
    assert "canary" not in words


@pytest.mark.slow
@pytest.mark.fault(29)
def test_fault_29_random_schedules_change_no_pixel(tmp_path, server, quick, whole_image, monkeypatch, pytestconfig):
    """429, 503, resets, short bodies and stalls in random order: the image is that of the files."""
    monkeypatch.setattr(policy, "PATIENT", replace(policy.PATIENT, read_s=0.05))
    for seed in range(pytestconfig.getoption("--schedules")):
        server.reset()
        server.add(*schedule(seed))
        values = image_of(tmp_path, server.url) if seed < 10 else bands_of(server.url)
        np.testing.assert_array_equal(values, whole_image, f"seed {seed}")
        assert {seen.status for seen in server.seen} > {206}, seed


def bands_of(url: str) -> NDArray[np.float32]:
    """The bands as they are read, three at a time, without the way to a grid."""
    hrefs = [f"{url}/{band}.tif" for band in worlds.BANDS]
    with RemoteFiles() as remote, ThreadPoolExecutor(3) as pool:
        rasters = Rasters(remote, asset_facts(hrefs, remote))

        def band(href: str) -> NDArray[Any]:
            with reading(0), rasters.opened(href) as file:
                pixels, failed, cause = read_window(file, 1, (slice(0, SIDE), slice(0, SIDE)))
            assert failed is None, cause
            return pixels

        return np.stack(list(pool.map(band, hrefs))).astype("float32")


@pytest.mark.fault(25)
@pytest.mark.parametrize(("uses", "life_s", "code"), [(2, 3600, 403), (3, 3600, 401), (1, -60, 403), (None, 2, 403)])
def test_fault_25_a_job_outlives_its_tokens(tmp_path, folder, finite, clean, monkeypatch, uses, life_s, code):
    """A token is good for a few requests, or is at its end when it comes; the map is that of the files."""
    write_bands(folder)
    tokens = Tokens(uses=uses)
    with serving(folder, tokens.desk(life_s), tokens.guard(code)) as server:
        monkeypatch.setenv("GEOSEG_SIGN", f"{server.url}/={server.url}/token/account/container")
        result = geoseg.run(**request(tmp_path, server.url, finite.path, out=tmp_path / "map"))
    assert (mapped(result) == clean).all()
    assert tokens.issued >= (2 if uses else 1)
    text = json.dumps(result.report) + (result.out / "item.json").read_text()
    assert "canary" not in text


@pytest.mark.fault(25)
@pytest.mark.fault(94)
def test_fault_25_without_a_signer_the_refusal_has_a_cause_and_no_signature(tmp_path, folder, finite, caplog, capfd):
    """The server's words repeat the signature that it refused; ours do not, nor do logs or anything written."""
    write_bands(folder)
    tokens = Tokens()
    caplog.set_level(logging.DEBUG)
    with serving(folder, tokens.guard()) as server:
        options = request(tmp_path, server.url, finite.path, query="?sv=1&sig=canary-secret", cache=tmp_path / "cache")
        result = geoseg.run(**options, out=tmp_path / "map")
    assert (mapped(result) == 254).all()
    assert any("403 Forbidden" in words for words in result.report["warnings"])
    report = [path for path in (tmp_path / "map").rglob("*") if path.is_file() and "job" not in path.parts]
    assert not [path for path in report if b"canary-secret" in path.read_bytes()]
    assert "canary-secret" not in caplog.text
    assert "canary-secret" not in "".join(capfd.readouterr())
    records = [path.read_bytes() for path in (tmp_path / "cache").rglob("*.zip")]
    assert records
    assert not [record for record in records if b"canary-secret" in record]


@pytest.mark.fault(28)
def test_fault_28_a_server_that_stays_down_is_not_asked_for_every_block(tmp_path, server, finite, quick):
    """All tries of three files, and then a word instead of hundreds of waits."""
    server.add(Rule(status(503), with_range(0), times=None))
    result = geoseg.run(**request(tmp_path, server.url, finite.path, out=tmp_path / "map"))
    assert (mapped(result) == 254).all()
    assert any("503 Service Unavailable" in words for words in result.report["warnings"])
    assert len(server.seen) <= 3 * 6
    server.reset()


def test_a_tile_whose_files_have_no_known_version_is_made_again(tmp_path, server, finite, clean, quick, monkeypatch):
    """A file that gave no answer at planning, and pixels later, has an unknown version in the tile's key."""
    monkeypatch.setattr("geoseg.remote.hosts._FIRST_PAUSE_S", 0.0)
    planning = [True]

    def asked(*given: Any) -> Any:
        facts = asset_facts(*given)
        planning.clear()
        return facts

    monkeypatch.setattr(importlib.import_module("geoseg.pipeline.prepare"), "asset_facts", asked)
    is_red = named("red.tif")
    server.add(Rule(status(503), lambda seen: bool(planning) and is_red(seen), times=None))
    options = request(tmp_path, server.url, finite.path, out=tmp_path / "map", cache=tmp_path / "cache")
    first = geoseg.run(**options)
    assert (mapped(first) == clean).all()
    assert first.report["tiles"]["incomplete"] == first.report["tiles"]["computed"] > 0
    again = geoseg.run(**options)
    assert again.report["tiles"]["reused"] == 0
    assert geoseg.run(**options).report["tiles"]["computed"] == 0


@pytest.mark.fault(69)
def test_fault_69_a_clock_that_jumps_neither_ends_signatures_nor_keeps_them(
    tmp_path, folder, finite, clean, monkeypatch
):
    """Back and forth by days: tokens are asked for anew when the server refuses them, whatever the clock says."""
    jumps, true = itertools.cycle([0, 3, -2, 400, -400]), signing._now
    monkeypatch.setattr(signing, "_now", lambda: true() + dt.timedelta(days=next(jumps)))
    tokens = Tokens(uses=2)
    with serving(folder, tokens.desk(), tokens.guard()) as server:
        monkeypatch.setenv("GEOSEG_SIGN", f"{server.url}/={server.url}/token/account/container")
        result = geoseg.run(**request(tmp_path, server.url, finite.path, out=tmp_path / "map"))
    assert (mapped(result) == clean).all()
