"""The fault server itself: honest without rules, and as wrong as it was told with them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import pytest

from tests.faults.orders import Tokens, schedule
from tests.faults.server import (
    FaultServer,
    Rule,
    drop,
    ignore_range,
    named,
    refuse_head,
    reset,
    shifted,
    short,
    stall,
    status,
    then_replace,
)

CONTENT = bytes(range(256)) * 400


@pytest.fixture(autouse=True)
def path(folder: Path) -> Path:
    """The only file that there is."""
    (folder / "a.tif").write_bytes(CONTENT)
    return folder / "a.tif"


@pytest.fixture
def ask(server: FaultServer):
    with httpx.Client(base_url=server.url, timeout=httpx.Timeout(5.0, read=0.2)) as client:

        def get(span: str | None = None, path: str = "/a.tif", **headers: str) -> httpx.Response:
            return client.get(path, headers={**headers, **({"Range": f"bytes={span}"} if span else {})})

        get.client = client
        yield get


def test_without_rules_it_is_a_good_server(server, ask):
    whole, part, end = ask(), ask("100-199"), ask("102300-999999")
    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert (part.status_code, part.content) == (206, CONTENT[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(CONTENT)}"
    assert end.content == CONTENT[102300:]
    assert ask("999999-").status_code == 416
    assert ask.client.head("/a.tif").headers["content-length"] == str(len(CONTENT))
    assert whole.headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()[:16]}"'
    assert ask(**{"If-Match": '"other"'}).status_code == 412
    assert ask(path="/../../etc/passwd").status_code == 404
    assert [seen.status for seen in server.seen] == [200, 206, 206, 416, 200, 412, 404]


def test_rules_strike_as_often_as_they_should_and_in_order(server, ask):
    server.add(Rule(status(503, retry_after=7), named("a.tif"), times=2), refuse_head())
    answers = [ask() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].headers["retry-after"] == "7"
    assert {ask.client.head("/a.tif").status_code for _ in range(2)} == {405}


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (short(0.3), httpx.RemoteProtocolError),
        (reset(0.3), httpx.ReadError),
        (drop(), httpx.TransportError),
        (stall(0.3), httpx.ReadTimeout),
    ],
)
def test_bodies_end_too_early_in_every_way(server, ask, action, error):
    server.add(Rule(action))
    with pytest.raises(error):
        ask()
    assert ask().content == CONTENT


def test_ranges_can_be_ignored_or_wrong(server, ask):
    server.add(Rule(ignore_range()), Rule(shifted(3)))
    assert (ask("10-19").status_code, ask("10-19").content) == (200, CONTENT[13:23])


def test_content_changes_behind_an_answer(server, ask, path):
    server.add(Rule(then_replace(path, b"new")))
    first, second = ask(), ask()
    assert (first.content, second.content) == (CONTENT, b"new")
    assert first.headers["etag"] != second.headers["etag"]


def test_tokens_die_and_their_words_repeat_the_signature(server, ask):
    tokens = Tokens(uses=1)
    server.add(tokens.desk(), tokens.guard())
    token = ask(path="/token/account/container").json()["token"]
    assert ask(path=f"/a.tif?{token}").status_code == 200
    refused = ask(path=f"/a.tif?{token}")
    assert refused.status_code == 403
    assert "canary1" in refused.text


def test_a_seed_gives_the_same_schedule(server, ask):
    def faults(seed: int) -> list[int]:
        server.reset()
        server.add(*schedule(seed))
        for _ in range(12):
            try:
                ask("0-9")
            except httpx.TransportError:
                continue
        return [seen.status for seen in server.seen]

    assert faults(3) == faults(3)
    assert faults(3) != faults(4)
