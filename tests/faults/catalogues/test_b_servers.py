"""Catalogues behind servers that are away, slow or out of order, or have nothing: cases 16, 17 and 19."""

from __future__ import annotations

import json
import socket
from dataclasses import replace
from typing import Any

import pytest
from shapely.geometry import shape
from stac_api import EVERYWHERE, Api

from geoseg.demo import DemoCatalog
from geoseg.errors import CatalogError, NothingToDoError
from geoseg.remote import policy
from geoseg.scenes import find_scenes
from geoseg.scenes.catalogs import api, deadline, find_items
from tests.faults.catalogues.orders import BANDS, Ends, job, refusal


@pytest.mark.fault(16)
def test_fault_16_a_server_that_is_away_is_named_with_the_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "_BACKOFF_S", 0)
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        err = refusal(CatalogError, f"http://{host}")
    assert err.exit_code == 1
    assert host in err.given
    assert f"{api._RETRIES + 1} attempts" in err.given
    assert "--catalog PATH" in err.todo


@pytest.mark.fault(16)
@pytest.mark.parametrize("fault", ["refused", "busy", "slow headers"])
def test_fault_16_the_command_line_ends_with_1_and_names_the_host(
    server: tuple[str, type[Api]], ends: Ends, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(deadline, "ANSWER_S", 0.1)
    address, handler = server
    handler.fault = "503" if fault == "busy" else fault
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}" if fault == "refused" else address
        status, said = ends(address)
    assert status == 1
    assert address.removeprefix("http://") in said
    assert ("503 Service Unavailable" if fault == "busy" else f"{api._RETRIES + 1} attempts") in said
    assert "--catalog PATH" in said


@pytest.mark.fault(16)
def test_fault_16_giving_up_takes_less_than_two_minutes() -> None:
    """The sum of what the settings allow at most; the waits are those of urllib3's documented formula."""
    waits = [0.0, *(api._BACKOFF_S * 2**n + api._BACKOFF_S for n in range(1, api._RETRIES))]
    assert (api._RETRIES + 1) * max(*api._TIMEOUT_S, deadline.ANSWER_S) + sum(waits) < 120
    assert api._QUESTION_S + (api._RETRIES + 1) * deadline._LEAST_S + sum(waits) < 120
    assert (api._RETRIES + 1) * 1 + api._RETRIES * api._LONGEST_WAIT_S < 120


@pytest.mark.fault(16)
def test_fault_16_an_answer_that_trickles_is_given_up(
    server: tuple[str, type[Api]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes well before the time limit of a read; all of them would take minutes."""
    monkeypatch.setattr(policy, "PATIENT", replace(policy.PATIENT, slow_after_s=0.2))
    server[1].broken = 1
    err = refusal(CatalogError, server[0])
    assert err.exit_code == 1
    assert server[0].removeprefix("http://") in err.given
    assert f"{api._BODY_TRIES} attempts: the server stalled" in err.given
    assert "--catalog PATH" in err.todo


@pytest.mark.fault(16)
@pytest.mark.parametrize("bound", ["of an answer", "of all answers"])
def test_fault_16_headers_that_trickle_are_given_up(
    server: tuple[str, type[Api]], monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """Each byte comes well before the time limit of a read, and no header ends."""
    if bound == "of an answer":
        monkeypatch.setattr(deadline, "ANSWER_S", 0.1)
    else:
        monkeypatch.setattr(deadline, "_LEAST_S", 0.1)
        monkeypatch.setattr(api, "_QUESTION_S", 0.0)
    server[1].fault = "slow headers"
    err = refusal(CatalogError, server[0])
    assert err.exit_code == 1
    assert f"{server[0].removeprefix('http://')} gave no answer in {api._RETRIES + 1} attempts" in err.given
    assert "timed out" in err.given
    assert "--catalog PATH" in err.todo


@pytest.mark.fault(17)
def test_fault_17_a_server_that_trickles_after_an_empty_answer_is_not_waited_for(
    demo: DemoCatalog, server: tuple[str, type[Api]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tries of all further questions share one time; the question itself had another."""
    left: list[float] = []
    timer = deadline.threading.Timer

    def noted(seconds: float, *args: Any) -> Any:
        left.append(seconds)
        return timer(seconds, *args)

    monkeypatch.setattr(api, "_HINTS_S", 0.0)
    monkeypatch.setattr(deadline, "_LEAST_S", 0.25)
    monkeypatch.setattr(deadline.threading, "Timer", noted)
    with pytest.raises(NothingToDoError):
        find_scenes(job(server[0], datetime="2030-01-01/2030-12-31"), EVERYWHERE, BANDS)
    assert left[0] == deadline.ANSWER_S
    assert left[-1] == deadline._LEAST_S


@pytest.mark.fault(16)
def test_fault_16_a_header_that_trickled_once_is_asked_for_again(
    demo: DemoCatalog, server: tuple[str, type[Api]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadline, "ANSWER_S", 1.0)
    handler = server[1]
    trickle = handler.trickle_headers

    def once(self: Api) -> None:
        handler.fault = ""
        trickle(self)

    monkeypatch.setattr(handler, "trickle_headers", once)
    handler.fault = "slow headers"
    assert len(find_items(server[0], "sentinel-2-l2a", EVERYWHERE, None).items) == len(demo.items)


@pytest.mark.fault(16)
@pytest.mark.parametrize("times", [1, 2])
def test_fault_16_an_answer_that_is_cut_short_is_asked_for_again(
    demo: DemoCatalog, server: tuple[str, type[Api]], times: int
) -> None:
    server[1].fault, server[1].broken = "cut short", times
    if times == 1:
        assert len(find_items(server[0], "sentinel-2-l2a", EVERYWHERE, None).items) == len(demo.items)
    else:
        assert "2 attempts: the answer broke off after" in refusal(CatalogError, server[0]).given


@pytest.mark.fault(16)
@pytest.mark.parametrize(
    ("status", "said", "shown"),
    [
        ("404", "", "404 Not Found"),
        ("405", "", "405 Method Not Allowed"),
        ("401", "who are\nyou?", "401 Unauthorized: who are you?"),
        ("403", "https://x.org/search?sig=canary", "403 Forbidden: https://x.org/search"),
        ("503", "", "503 Service Unavailable"),
    ],
)
def test_fault_16_a_refusal_of_the_server_is_said_with_its_status(
    server: tuple[str, type[Api]], status: str, said: str, shown: str
) -> None:
    server[1].fault, server[1].words = status, said
    err = refusal(CatalogError, server[0])
    assert err.exit_code == 1
    assert err.given == f"--catalog {server[0]}: {shown}"


@pytest.mark.fault(17)
def test_fault_17_nothing_found_repeats_the_question_and_names_the_filter(
    demo: DemoCatalog, server: tuple[str, type[Api]]
) -> None:
    bounds = shape(json.loads(demo.items[0].read_text())["geometry"]).bounds
    for catalog in (str(demo.catalog), server[0]):
        with pytest.raises(NothingToDoError) as refused:
            find_scenes(job(catalog, datetime="2030-01-01/2030-12-31"), bounds, BANDS)
        err = refused.value
        assert err.exit_code == 3
        for words in (f"{abs(bounds[1]):.4f}", "2030-01-01/2030-12-31", "sentinel-2-l2a"):
            assert words in err.given
        assert "--datetime" in err.todo
        assert "--aoi" not in err.todo


@pytest.mark.fault(19)
@pytest.mark.parametrize("times", [1, 2])
def test_fault_19_a_page_that_fails_once_is_asked_again(
    demo: DemoCatalog, server: tuple[str, type[Api]], times: int
) -> None:
    server[1].failing = {2: times}  # the second page
    assert len(find_items(server[0], "sentinel-2-l2a", EVERYWHERE, None).items) == len(demo.items) == 6
    assert server[1].failing == {2: 0}


@pytest.mark.fault(19)
def test_fault_19_a_next_page_that_is_the_same_page_ends_with_1(server: tuple[str, type[Api]]) -> None:
    server[1].fault = "next is here"
    err = refusal(CatalogError, server[0])
    assert err.exit_code == 1
    assert "leads back to itself" in err.given
