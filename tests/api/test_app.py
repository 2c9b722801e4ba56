"""The door of the service: what it says of itself, and what it says to requests that fit nothing."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading

import pytest
import uvicorn
from fastapi.concurrency import run_in_threadpool
from prometheus_client.parser import text_string_to_metric_families

import geoseg
from geoseg.cli import main
from geoseg.errors import RequestError
from geoseg_api import ServiceSettings
from geoseg_api.problems import Problem
from geoseg_api.service import Planner
from geoseg_api.serving import _Server


def test_health_names_the_version_that_runs(client):
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "version": geoseg.__version__, "queued": 0, "running": 0}


def test_numbers_for_prometheus(client):
    for path in ("/health", "/health", "/no/such/path", "/jobs/none"):
        client.get(path)
    client.post("/processes/echo/execution", json={"inputs": {}}, headers={"Prefer": "respond-async"})
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {
        (one.name, *sorted(one.labels.items())): one.value
        for family in text_string_to_metric_families(answer.text)
        for one in family.samples
    }
    asked = {"/health": ("200", 2.0), "other": ("404", 1.0), "/jobs/{job_id}": ("404", 1.0)}
    for route, (status, count) in asked.items():
        labels = ("method", "GET"), ("route", route), ("status", status)
        assert found["geoseg_requests_total", *labels] == count
        assert found["geoseg_request_seconds_count", ("route", route)] == count
    assert found["geoseg_jobs", ("status", "accepted")] == 1.0


def test_every_link_of_the_landing_page_leads_somewhere(client):
    links = client.get("/").json()["links"]
    assert {link["rel"] for link in links} >= {
        "service-desc",
        "service-doc",
        "conformance",
        "processes",
        "job-list",
        "data",
    }
    found = {link["href"]: client.get(link["href"]).status_code for link in links}
    assert found == dict.fromkeys(found, 200)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/no/such/path", 404),
        ("PATCH", "/jobs", 405),
        ("GET", "/processes?limit=0", 400),
        ("GET", "/processes?limit=x", 400),
        ("GET", "/jobs?limit=-1", 400),
        ("GET", "/jobs?status=lost", 400),
        ("GET", "/jobs?datetime=yesterday", 400),
        ("GET", "/processes/nothing", 404),
        ("GET", "/collections/none", 404),
        ("GET", "/stac/collections/none", 404),
    ],
)
def test_refusals_are_problem_documents(client, method, path, status):
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert set(problem) >= {"type", "title", "detail", "instance", "errors"}
    if status == 405:
        assert answer.headers["allow"] == "GET"


def test_those_who_wait_for_plans_take_no_threads_from_others_and_are_not_too_many(settings):
    async def crowd():
        planner, go_on = Planner(settings), threading.Event()
        waiting = [asyncio.create_task(planner.in_turn(go_on.wait)) for _ in range(100)]
        await asyncio.sleep(0)
        try:
            assert await asyncio.wait_for(run_in_threadpool(lambda: "answered"), 30) == "answered"
            with pytest.raises(Problem) as told:
                await planner.in_turn(go_on.wait)
        finally:
            go_on.set()
        assert all(await asyncio.gather(*waiting))
        assert (told.value.status, told.value.headers) == (503, {"Retry-After": "10"})
        assert await planner.in_turn(go_on.wait), "who was refused leaves no trace"

    asyncio.run(crowd())


def test_importing_the_service_does_not_need_its_framework():
    code = "import sys, geoseg_api; sys.exit('fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_server_never_loads_torch(tmp_path):
    code = (
        "import sys; from geoseg_api import ServiceSettings, create_app\n"
        f"create_app(ServiceSettings(data={str(tmp_path)!r})).openapi()\n"
        "import geoseg_api.worker, geoseg_api.serving, geoseg_api.polygons, rio_tiler.io\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_page_about_the_service_has_every_setting(repository):
    page = (repository / "docs" / "howto" / "service.md").read_text(encoding="utf-8")
    rows = [
        f"| `GEOSEG_SERVICE_{name.upper()}` | {field.description} |"
        for name, field in ServiceSettings.model_fields.items()
    ]
    assert [row for row in rows if row not in page] == []


def test_settings_survive_the_way_to_a_worker(tmp_path, monkeypatch):
    settings = ServiceSettings(
        data=tmp_path, origins=("https://a.example", "https://b.example"), price_per_hour=2.5, keys=True
    )
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    assert ServiceSettings() == settings


def test_a_port_that_is_taken_is_a_wrong_request():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = uvicorn.Config(lambda: None, host="127.0.0.1", port=port, lifespan="off", log_config=None)
        with pytest.raises(RequestError) as refused:
            _Server(config, lambda: None).run()
    assert f"--port {port}" in refused.value.given
    assert "in use" in refused.value.given
    assert "--port 0" in refused.value.todo


@pytest.mark.fault(94)
@pytest.mark.parametrize("words", [["status", "x"], ["results", "x"], ["submit", "demo"], ["submit"]], ids="-".join)
@pytest.mark.parametrize("url", ["http://somebody:canary@127.0.0.1:9/?sig=canary", "http://[::1"])
def test_a_service_that_is_not_there_is_named_without_its_password(words, url, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*words, "--url", url])
    err = capsys.readouterr().err
    assert ended.value.code in {1, 2}
    assert [line[:10].rstrip() for line in err.splitlines()] == ["given:", "expected:", "to do:"]
    assert "canary" not in err
    assert "a fault in geoseg" not in err
