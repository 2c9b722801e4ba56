"""``geoseg submit``, ``status`` and ``results`` against a service that is away, busy or changes its mind."""

from __future__ import annotations

import http.server
import json
import threading
from contextlib import contextmanager

import pytest

from geoseg.cli import client, main
from geoseg.errors import RequestError

BUSY = (503, {"Retry-After": "1"}, b'{"detail": "busy"}')
JOB = b'{"jobID": "a", "status": "%s", "progress": 100, "message": "done"}'
CHANGED = {"Last-Modified": "Sun, 22 Nov 2026 08:00:00 GMT"}


@contextmanager
def service(*answers):
    """A server that gives these answers, one after the other; ``None`` hangs up. Yields its address and what it was asked."""
    left, asked = list(answers), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # the name that the base class calls, as below
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.command, self.path, self.headers))
            answer = left.pop(0) if left else (500, {}, b"")
            if answer is None:
                self.close_connection = True
                self.connection.close()
                return
            status, headers, body = answer
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(client.time, "sleep", lambda seconds: None)


def cli(*words):
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return ended.value.code


def test_a_job_is_asked_for_once_whatever_becomes_of_the_answers(capsys):
    answers = [
        None,
        BUSY,
        (502, {}, b"<html>"),
        (201, {}, JOB % b"accepted"),
        BUSY,
        None,
        (200, {}, JOB % b"running"),
        None,
    ]
    with service(*answers, (200, {}, JOB % b"successful")) as (url, asked):
        assert cli("submit", "demo", "--wait", "--url", url) == 0
    assert capsys.readouterr().out.split() == ["a"]
    posts = [headers["Idempotency-Key"] for method, _, headers in asked if method == "POST"]
    assert len(posts) == 4
    assert len(set(posts)) == 1
    assert posts[0]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((400, {}, b"[]"), 2),
        ((500, {}, b"<html>"), 1),
        ((404, {}, b"{}"), 2),
        ((502, {"Content-Type": "application/problem+json"}, b'{"detail": "its catalogue is away"}'), 1),
        ((429, {"Retry-After": "3600", "Content-Type": "application/problem+json"}, b'{"detail": "no more today"}'), 2),
    ],
)
def test_what_will_not_be_better_is_not_asked_again(answer, status, capsys):
    with service(answer) as (url, asked):
        assert cli("submit", "demo", "--url", url) == status
    assert len(asked) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 3


def test_where_nobody_listens_it_says_so_at_once(capsys):
    with service() as (url, _):
        pass
    for words in (["submit", "demo"], ["status", "a", "--wait"], ["results", "a"]):
        assert cli(*words, "--url", url) == 1
        assert "geoseg serve" in capsys.readouterr().err


def test_patience_ends(monkeypatch):
    monkeypatch.setattr(client, "_PATIENCE_S", 0.5)
    with service((201, {}, JOB % b"accepted"), BUSY) as (url, asked):
        assert cli("submit", "demo", "--wait", "--url", url) == 1
    assert len(asked) == 2


def test_files_are_fetched_again_where_they_are_others(tmp_path, capsys):
    """Of the same size, from another job; and one whose name has letters that mean something in an address."""
    links = json.dumps({"links": [{"title": "by class/a #1.csv"}]}).encode()
    first = [(200, {}, links), (200, CHANGED, b"one")]
    same = [(200, {}, links), (200, CHANGED, b"NOT")]
    other = [(200, {}, links), (200, {"Last-Modified": "Sun, 22 Nov 2026 08:00:01 GMT"}, b"two")]
    seen = []
    with service(*first, *same, *other) as (url, asked):
        for _ in range(3):
            assert cli("results", "a", "--out", str(tmp_path), "--url", url) == 0
            seen.append((tmp_path / "by class" / "a #1.csv").read_text())
    assert seen == ["one", "one", "two"]
    assert asked[1][1] == "/jobs/a/files/by%20class/a%20%231.csv"
    assert [path.name for path in (tmp_path / "by class").iterdir()] == ["a #1.csv"]


@pytest.mark.parametrize("answer", [(410, {}, b'{"detail": "no longer kept"}'), None])
def test_a_file_that_does_not_come_is_no_fault_of_the_program(answer, tmp_path, capsys):
    links = json.dumps({"links": [{"title": "classes.tif"}]}).encode()
    with service((200, {}, links), answer) as (url, _):
        assert cli("results", "a", "--out", str(tmp_path), "--url", url) in {1, 2}
    said = capsys.readouterr().err
    assert "fault in geoseg" not in said
    assert answer is None or "no longer kept" in said
    assert list(tmp_path.iterdir()) == []


def test_inputs_are_what_they_look_like():
    given = ["prompt=forest, trees", "prompt=river", "before=2023", "resolution=10", "pixel_grid=true", 'bands=["a"]']
    assert client._inputs(given) == {
        "prompt": ["forest, trees", "river"],
        "before": "2023",
        "resolution": 10,
        "pixel_grid": True,
        "bands": ["a"],
    }
    with pytest.raises(RequestError, match="NAME=VALUE"):
        client._inputs(["prompt"])


def test_keys_are_those_of_a_service_that_is_there(tmp_path, capsys):
    here = ["--data", str(tmp_path / "service")]
    for words in (["list"], ["revoke", "a"]):
        assert cli("keys", *words, *here) == 2
        assert "no service" in capsys.readouterr().err
    assert not (tmp_path / "service").exists()
    assert cli("keys", "add", "me", *here) == 0
    said = capsys.readouterr()
    (text,) = said.out.split()
    assert str(tmp_path / "service") in said.err
    identity = text.split("_")[1]
    assert cli("keys", "list", *here) == 0
    listed = capsys.readouterr().out
    assert identity in listed
    assert text.split("_")[2] not in listed
    assert cli("keys", "revoke", identity, *here) == 0
    assert cli("keys", "list", *here) == 0
    assert "revoked" in capsys.readouterr().out
