"""Libraries that try again: one line of ours for each server and fault, and nothing in their own format."""

from __future__ import annotations

import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
import stamina
from urllib3.util import Retry

from geoseg.cli.retries import told
from geoseg.keys import asset_facts
from geoseg.remote import RemoteFiles


class Busy(BaseHTTPRequestHandler):
    """Answers 503 once for every path, and then what was asked for."""

    seen: set[str]

    def do_GET(self) -> None:
        self.send_response(206 if self.path in self.seen else 503)
        self.seen.add(self.path)
        self.send_header("Content-Range", "bytes 0-4/5")
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"about")

    def log_message(self, *args: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def busy():
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("ThisBusy", (Busy,), {"seen": set()}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _quick():
    with stamina.set_testing(testing=True, attempts=4):
        yield


def test_a_busy_server_is_one_line_without_secrets(busy, capfd, caplog):
    said: list[str] = []
    with told(said.append):
        facts = asset_facts([f"{busy}/{number}.tif?sig=secret" for number in range(5)], RemoteFiles())
    assert all("length=5" in fact for fact in facts.values())
    assert len(said) == 1
    assert said[0].startswith(busy)
    assert "503" in said[0]
    assert "trying again in" in said[0]
    assert "secret" not in said[0]
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_another_fault_is_another_line():
    said: list[str] = []
    faults = [httpx.ConnectTimeout("slow"), httpx.ReadError("torn"), httpx.ReadError("torn again")]
    with told(said.append):
        for attempt in stamina.retry_context(on=httpx.TransportError, attempts=4):
            with attempt:
                if faults:
                    raise faults.pop(0)
    assert ["ConnectTimeout" in said[0], "ReadError" in said[1], len(said)] == [True, True, 2]


def test_the_client_of_catalogues_tells_it_here_and_logs_nothing(caplog):
    said: list[str] = []
    log = logging.getLogger("urllib3.connectionpool")
    with told(said.append):
        for left in (4, 3):
            line = "Retrying (%r) after connection broken by '%r': %s"
            log.warning(line, Retry(left), ConnectionResetError("gone"), "/search?token=secret")
        log.warning("Connection pool is full, discarding connection: %s. Connection pool size: %s", "host", 10)
    assert len(said) == 1
    assert "ConnectionResetError" in said[0]
    assert "secret" not in said[0]
    assert not caplog.records


def test_afterwards_everything_is_as_it_was(caplog):
    hooks = stamina.instrumentation.get_on_retry_hooks()
    with told(lambda text: None):
        assert stamina.instrumentation.get_on_retry_hooks() != hooks
    assert stamina.instrumentation.get_on_retry_hooks() == hooks
    logging.getLogger("urllib3.connectionpool").warning("heard again")
    assert [record.message for record in caplog.records] == ["heard again"]
