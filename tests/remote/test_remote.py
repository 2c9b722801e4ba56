"""The parts of remote reading: ranges, versions, gates, signatures, words."""

from __future__ import annotations

import datetime as dt
import logging
import random
import threading
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import rasterio
import stamina
from hypothesis import given
from hypothesis import strategies as st
from rasterio.errors import RasterioIOError

from geoseg.errors import AssetChangedError
from geoseg.load import Rasters
from geoseg.remote import RemoteFiles, Trouble, redacted, unsigned
from geoseg.remote.hosts import Breaker, Gate
from geoseg.remote.pages import PAGE_BYTES, Pages, runs
from geoseg.remote.policy import PATIENT, Patience
from geoseg.remote.ranges import Version
from geoseg.remote.signing import by_prefix, planetary_computer
from geoseg.remote.trouble import trouble_of_status
from tests.faults.orders import Tokens
from tests.faults.server import (
    Rule,
    serving,
    status,
)
from tests.remote.world import write_bands

CONTENT = random.Random(0).randbytes(40 * PAGE_BYTES + 777)


@pytest.fixture
def server(tmp_path: Path):
    (tmp_path / "a.bin").write_bytes(CONTENT)
    with serving(tmp_path) as running:
        yield running


def test_any_range_is_the_files_own_however_small_the_cache(server):
    rng = random.Random(1)
    for cache_bytes in (0, 10**9):
        with RemoteFiles(cache_bytes) as files:
            files.pages = Pages(cache_bytes or 3 * PAGE_BYTES)
            file = files.file(f"{server.url}/a.bin")
            for _ in range(60):
                start = rng.randrange(len(CONTENT) + 50)
                stop = start + rng.choice([1, 100, PAGE_BYTES, 9 * PAGE_BYTES])
                assert file.read(start, stop) == CONTENT[start:stop]


def test_what_was_fetched_is_not_asked_for_again(server):
    with RemoteFiles(10**9) as files:
        file = files.file(f"{server.url}/a.bin")
        file.read(3 * PAGE_BYTES, 4 * PAGE_BYTES)
        file.read(PAGE_BYTES, 6 * PAGE_BYTES)
    pages = [(s.request.start // PAGE_BYTES, (s.request.stop - 1) // PAGE_BYTES) for s in server.seen]
    assert pages == [(0, 0), (3, 3), (1, 2), (4, 5)]


@given(st.sets(st.integers(0, 40)), st.integers(0, 20), st.integers(0, 20))
def test_runs_cover_what_is_missing_and_nothing_else(known, first, length):
    numbers = range(first, first + length)
    asked = [number for run in runs(numbers, dict.fromkeys(known, b"")) for number in run]
    assert asked == [number for number in numbers if number not in known]


def test_versions_are_told_apart_by_what_both_servers_say():
    one = Version(10, '"a"', "Mon")
    assert not one.contradicts(one)
    assert one.contradicts(replace(one, etag='"b"'))
    assert one.contradicts(replace(one, length=11))
    assert not one.contradicts(replace(one, etag="", modified=""))
    assert not one.contradicts(replace(one, modified="Tue"))  # copied to another machine
    weak = replace(one, etag='W/"a"')
    assert not weak.contradicts(replace(one, etag='W/"b"'))  # another machine behind the same name
    assert weak.contradicts(replace(one, etag='W/"b"', modified="Tue"))
    assert one.fact == 'length=10, etag="a", last-modified=Mon'


@pytest.mark.parametrize(
    ("header", "wait"), [("7", 7), ("", None), ("soon", None), ("Wed, 21 Oct 2015 07:28:00 GMT", 0)]
)
def test_servers_say_how_long_to_wait_in_two_ways(header, wait):
    answer = httpx.Response(503, headers={"Retry-After": header}, request=httpx.Request("GET", "https://a.b/c"))
    trouble = trouble_of_status("https://a.b/c?sig=x", answer)
    assert (trouble.wait_s, trouble.is_transient, trouble.says_busy) == (wait, True, True)
    later = dt.datetime.now(tz=dt.UTC) + dt.timedelta(seconds=100)
    answer.headers["Retry-After"] = later.strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert 95 < trouble_of_status("https://a.b/c", answer).wait_s <= 100


def test_a_server_may_not_ask_for_any_wait():
    trouble = Trouble("https://a.b", "busy", "status", status=429, is_transient=True, wait_s=10_000)
    assert Patience()._whether_again(trouble) == PATIENT.most_told_s


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410])
def test_what_is_permanent_is_asked_once(server, code):
    server.add(Rule(status(code), times=None))
    with RemoteFiles() as files:
        for _ in range(2):
            with pytest.raises(Trouble, match=str(code)):
                files.file(f"{server.url}/a.bin").read(0, 10)
    assert len(server.seen) == (1 if code in {404, 410} else 2)  # what is not there is not there for the job


def test_pixels_that_were_made_in_spite_of_a_fault_are_not_given_out(tmp_path, server):
    """GDAL with threads made zeros of a short body: whatever it returns after a fault is refused, once."""
    write_bands(tmp_path, ("red",))
    with Rasters().opened(f"{server.url}/red.tif") as file:
        file._faults.note(Trouble("https://a.b", "cut short", "short"))
        with pytest.raises(RasterioIOError, match="cut short"):
            file.read(1)
        assert file.read(1).any()


@pytest.mark.fault(89)
@pytest.mark.parametrize("before", ["", "\ufeff "])
def test_a_document_that_names_other_files_is_no_raster(tmp_path, server, before):
    """A VRT from a server could name any file of this machine; this one is good, GDAL would open it."""
    with rasterio.open(
        tmp_path / "secret.tif", "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8", crs="EPSG:32633"
    ) as file:
        file.write(np.full((1, 4, 4), 7, "uint8"))
    source = f"<SourceFilename>{tmp_path}/secret.tif</SourceFilename><SourceBand>1</SourceBand>"
    band = f'<VRTRasterBand dataType="Byte" band="1"><SimpleSource>{source}</SimpleSource></VRTRasterBand>'
    vrt = f'<VRTDataset rasterXSize="4" rasterYSize="4">{band}</VRTDataset>'
    (tmp_path / "a.vrt").write_text(f"{before}{vrt}")
    with pytest.raises(RasterioIOError, match="not a raster"), Rasters().opened(f"{server.url}/a.vrt"):
        pass


def test_a_gate_halves_when_its_host_is_busy_and_opens_again():
    gate, inside, most = Gate(), threading.Semaphore(0), 8
    assert gate.limit is None
    for limit in (4, 2, 1, 1):
        gate.is_busy(most)
        assert gate.limit == limit
    with gate.passing(most):
        waiting = threading.Thread(target=lambda: (gate.passing(most).__enter__() and None) or inside.release())
        waiting.start()
        assert not inside.acquire(timeout=0.05)
    assert inside.acquire(timeout=5)
    waiting.join()
    for _ in range(20 * 7):
        gate.is_well(most)
    assert gate.limit is None


def test_a_breaker_keeps_requests_away_for_longer_each_time():
    now = [0.0]
    breaker, trouble = Breaker(2, lambda: now[0]), Trouble("https://a.b", "down", "status")
    breaker.gave_up(trouble)
    assert breaker.refusal is None
    for pause in (30, 60, 120):
        breaker.gave_up(trouble)
        now[0] += pause - 1
        assert breaker.refusal is trouble
        now[0] += 2
        assert breaker.refusal is None
    breaker.is_well()
    breaker.gave_up(trouble)
    assert breaker.refusal is None


def test_tokens_are_shared_until_shortly_before_their_end(server):
    tokens, now = Tokens(), [dt.datetime.now(tz=dt.UTC)]
    server.add(tokens.desk(3600), tokens.guard())
    with httpx.Client() as client:
        signer = by_prefix(server.url, f"{server.url}/token/x", client)
        signer.clock = lambda: now[0]
        first = signer.sign(f"{server.url}/a.bin?v=1")
        assert first == f"{server.url}/a.bin?v=1&sv=2026&sig=canary1"
        assert signer.sign(f"{server.url}/b.bin").endswith("canary1")
        assert signer.sign(f"{server.url}/b.bin", refused=first).endswith("canary2")
        assert signer.sign(f"{server.url}/c.bin", refused=first).endswith("canary2")  # another thread was faster
        now[0] += dt.timedelta(seconds=3595)
        assert signer.sign(f"{server.url}/b.bin").endswith("canary3")


def test_planetary_computer_has_a_token_for_each_container(server, monkeypatch):
    tokens = Tokens()
    server.add(tokens.desk())
    monkeypatch.setenv("PC_SDK_SAS_URL", f"{server.url}")
    monkeypatch.setenv("PC_SDK_SUBSCRIPTION_KEY", "mine")
    with httpx.Client() as client:
        signer = planetary_computer(client)
        plain = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/31/B04.tif"
        assert signer.signs(plain)
        assert not signer.signs(f"{plain}?sig=own")
        assert not signer.signs("https://example.org/sentinel2-l2/31/B04.tif")
        assert signer.sign(plain) == f"{plain}?sv=2026&sig=canary1"
        assert signer.sign(plain.replace("B04", "B08")).endswith("canary1")
        assert signer.sign(plain.replace("sentinel2-l2/", "other/")).endswith("canary2")
    assert [s.request.path for s in server.seen] == [
        "/token/sentinel2l2a01/sentinel2-l2",
        "/token/sentinel2l2a01/other",
    ]
    assert {s.request.headers["ocp-apim-subscription-key"] for s in server.seen} == {"mine"}


def test_a_token_service_that_fails_has_words_without_secrets(server):
    server.add(Rule(status(503), times=1), Rule(status(200, b"{}"), times=None))
    with httpx.Client() as client, stamina.set_testing(testing=True, attempts=3):
        signer = by_prefix(server.url, f"{server.url}/token/x?key=canary", client)
        with pytest.raises(Trouble, match="without a token"):
            signer.sign(f"{server.url}/a.bin")
    assert len(server.seen) == 2


SECRETS = [
    "https://user:canary@host/a.tif",
    "https://host/a.tif?sv=1&sig=canary%2B&se=2026",
    "s3://key:canary@bucket/a.tif?X-Amz-Signature=canary",
    "/vsicurl/https://host/a.tif?sig=canary: HTTP error code 403",
    "Signature not valid: sig=canary",
    "token: canary",
    "https://host/a.tif#canary",
]


@pytest.mark.fault(94)
@pytest.mark.parametrize("text", SECRETS)
def test_fault_94_no_words_have_a_signature(text):
    assert "canary" not in redacted(f"it said '{text}' and left")
    assert redacted(f"it said '{text}' and left").endswith("and left")


@pytest.mark.fault(94)
def test_fault_94_libraries_log_addresses_without_queries(server, caplog):
    caplog.set_level(logging.DEBUG)
    with RemoteFiles() as files:
        files.file(f"{server.url}/a.bin?sig=canary&token=canary").read(0, 10)
    assert "a.bin" in caplog.text
    assert "canary" not in caplog.text


def test_an_address_keeps_what_chooses_its_content():
    assert unsigned("https://u:p@host/a?v=2&sig=x&se=y#z") == "https://host/a?v=2"
    assert unsigned("/data/a.tif") == "/data/a.tif"


@given(st.none() | st.integers(0, 10**12), st.text('abc0/W"-', max_size=9), st.text("MonTue 0123:,", max_size=12))
def test_a_version_comes_back_from_its_line(length, etag, modified):
    """Another process of the job knows a file by this line."""
    version = Version(length, etag, modified)
    assert Version.of_fact(version.fact).fact == version.fact


@pytest.mark.parametrize("fact", ["missing", "unknown: timeout", "remote", "10 bytes, 5 ns"])
def test_what_is_no_version_of_a_server_is_none(fact):
    assert Version.of_fact(fact) is None


def test_a_file_that_is_not_the_planned_one_is_refused_by_another_process(server, tmp_path):
    href = f"{server.url}/a.bin"
    with RemoteFiles() as files:
        facts = {href: files.fact(href)}
    with RemoteFiles(facts=facts) as files:
        assert files.file(href).read(0, 10) == CONTENT[:10]
    (tmp_path / "a.bin").write_bytes(CONTENT[::-1])
    with RemoteFiles(facts=facts) as files, pytest.raises(AssetChangedError, match=r"a\.bin"):
        files.file(href).read(0, 10)
