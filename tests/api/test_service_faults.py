"""Group I of the list of faults, against a service of this process: what is told, what is kept, what is left."""

from __future__ import annotations

import json
import sqlite3
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient

from geoseg.errors import RequestError
from geoseg.spec import JobSpec
from geoseg_api import create_app
from geoseg_api import worker as workers
from geoseg_api.problems import MEDIA_TYPE, NO_JOB, NOT_READY, Problem
from geoseg_api.routes.processes import _added
from geoseg_api.store import JobStore, NewJob, StoreUnavailableError, dialects, open_database, schema
from geoseg_api.worker import Worker
from tests.api.test_processes import ASYNC, execute, wait
from tests.api.test_store import PLENTY, job


def tree(folder):
    """Every file below a folder, and when it was written; the database and its journal are others' business."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if "service.db" not in path.name}


NONE = [
        "none", "..%2F..%2Fetc", "..%2Fservice.db", "%2E%2E%2Fresults", "a" * 10_000, "%00", "J%C3%B6b", "%F0%9F%9B%B0",
        "'; DROP TABLE job; --", "9F0C1B52-6D3E-4A7B-8C21-5E94D07A3B16", "A" * 8, "%0d%0aSet-Cookie:%20a=b", "%2E%2E%2Fjobs", "~",
]  # fmt: skip


@pytest.mark.fault(77)
@pytest.mark.parametrize("name", NONE)
def test_fault_77_no_such_job_is_one_document_and_touches_no_file(client, service, name):
    service.settings.results.mkdir(parents=True, exist_ok=True)
    before = tree(service.settings.data)
    answers = [client.get(f"/jobs/{name}"), client.delete(f"/jobs/{name}"), client.get(f"/jobs/{name}/results")]
    shapes = set()
    for answer in answers:
        assert answer.headers["content-type"] == MEDIA_TYPE
        document = answer.json()
        assert (answer.status_code, document["status"], document["type"]) == (404, 404, NO_JOB)
        assert document["title"]
        assert document["detail"]
        assert document["hint"]
        assert len(answer.content) < 2000 + 3 * len(document.get("instance", "")), "nothing is repeated at length"
        shapes.add((tuple(document), tuple(document["errors"][0])))
    assert len(shapes) == 1
    assert tree(service.settings.data) == before


@pytest.mark.fault(78)
def test_fault_78_what_is_not_ready_has_the_type_of_the_standard_and_what_failed_that_of_its_failure(client, service):
    early = service.jobs.add(job(), **PLENTY).job
    answer = client.get(f"/jobs/{early.id}/results")
    assert (answer.status_code, answer.json()["type"]) == (404, NOT_READY)
    lease = service.jobs.claim("w")
    problem = Problem(400, "no band nir", "red, green, blue", "name others", "urn:geoseg:RequestError").document()
    service.jobs.finish(lease, "failed", problem, None)
    document = client.get(f"/jobs/{early.id}/results").json()
    assert {name: document[name] for name in ("type", "status", "detail", "hint")} == {
        name: problem[name] for name in ("type", "status", "detail", "hint")
    }


@pytest.mark.slow
@pytest.mark.fault(79)
def test_fault_79_a_failed_job_tells_a_reason_a_problem_and_a_time_and_no_place_of_the_server(
    client, service, worker, world
):
    """A raster that is gone when the job begins, and whose name has a signature."""
    scene = str(world.folder / "scenes" / "gone.tif?sig=CANARY")
    spec = JobSpec.build(scenes=[scene], model="tiny", workflow="landcover")
    content = json.loads(spec.model_dump_json())
    new = NewJob(str(uuid.uuid4()), "landcover", spec.key, "", {"outputs": None, "response": None}, content)
    service.jobs.add(new, **PLENTY)
    status = wait(client, f"/jobs/{new.id}")
    assert status["status"] == "failed"
    assert status["finished"] >= status["started"] >= status["created"]
    told = status["exception"]
    assert told["status"] == 400
    assert told["type"].startswith("urn:geoseg:")
    assert told["title"]
    assert told["hint"]
    assert len(told["detail"]) > 10
    for answer in (f"/jobs/{new.id}", f"/jobs/{new.id}/results", f"/jobs/{new.id}/log", "/jobs"):
        text = client.get(answer).text
        assert "CANARY" not in text
        for place in (service.settings.data, service.settings.work):
            assert str(place) not in text
    assert not (service.settings.results / new.id).exists()
    assert not (service.settings.work / new.id).exists()


@pytest.mark.fault(81)
def test_fault_81_dismissed_at_any_moment_a_job_leaves_nothing(client, worker, service):
    """Jobs of no length, dismissed while they are accepted, made, renamed or done."""

    def ask(number):
        location = execute(client, {"text": "x"}, headers=ASYNC).headers["location"]
        for _ in range(number % 7):
            client.get(location)
        answer = client.delete(location)
        assert (answer.status_code, answer.json()["status"]) == (200, "dismissed")
        return location

    with ThreadPoolExecutor(3) as pool:
        locations = list(pool.map(ask, range(30)))
    assert execute(client, {"text": "next"}).text == "next"  # the worker has done with all that came before
    for location in locations:
        assert client.get(location).json()["status"] == "dismissed"
        assert client.get(f"{location}/results").status_code == 410
    (kept,) = (path.name for path in service.settings.results.iterdir())
    assert all(kept not in location for location in locations)
    assert list(service.settings.work.iterdir()) == []


@pytest.mark.fault(82)
def test_fault_82_a_hundred_jobs_at_once_are_accepted_and_done_in_order(client, worker, service):
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: execute(client, {"text": "x"}, headers=ASYNC), range(100)))
    assert {answer.status_code for answer in answers} == {201}
    last = max(answers, key=lambda answer: answer.json()["created"])
    assert client.get(last.headers["location"]).status_code == 200, "status is told while others are computed"
    for answer in answers:
        assert wait(client, answer.headers["location"])["status"] == "successful"
    jobs = service.jobs.find(None, limit=1000)
    assert len(jobs) == 100
    assert [one.id for one in sorted(jobs, key=lambda one: one.started)] == [
        one.id for one in sorted(jobs, key=lambda one: one.seq)
    ]


@pytest.mark.fault(82)
def test_fault_82_a_full_queue_says_when_to_come_again(settings):
    with TestClient(create_app(settings.model_copy(update={"max_queued": 3}))) as client:
        answers = [execute(client, {"text": "x"}, headers=ASYNC) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [201, 201, 201, 503, 503]
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers[3:])
        client.app.state.service.close()


@pytest.mark.fault(96)
def test_fault_96_whoever_asks_for_too_much_is_told_what_is_left_and_when(client, service):
    from geoseg_api.access import Caller

    caller = Caller("me", frozenset({"run"}), km2_per_day=50.0, jobs_in_flight=10)
    _added(service, caller, job("me", km2=30.0))
    with pytest.raises(Problem) as refused:
        _added(service, caller, job("me", km2=30.0))
    assert refused.value.status == 429
    assert "20.0 km2 more today" in refused.value.expected
    assert int(refused.value.headers["Retry-After"]) > 0


@pytest.fixture
def locked(service, monkeypatch):
    """Locks the job store for all others, while it is used."""
    monkeypatch.setattr(dialects, "_WAIT_S", 0.2)
    service.database.close()  # connections that would wait for longer
    other = sqlite3.connect(service.settings.data / "service.db", isolation_level=None, check_same_thread=False)

    class Lock:
        def __enter__(self):
            other.execute("BEGIN EXCLUSIVE")

        def __exit__(self, *_):
            other.execute("COMMIT")

    yield Lock()
    other.close()


@pytest.mark.fault(85)
def test_fault_85_a_store_that_does_not_answer_is_503_and_when_to_come_again(client, service, locked):
    location = execute(client, {"text": "x"}, headers=ASYNC).headers["location"]
    with locked:
        assert client.get(location).json()["status"] == "accepted", "who reads waits for no writer"
        for answer in (execute(client, {"text": "y"}, headers=ASYNC), client.delete(location)):
            assert answer.status_code == 503
            assert answer.headers["content-type"] == MEDIA_TYPE
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["hint"]
    assert client.get(location).json()["status"] == "accepted"
    assert len(service.jobs.find(None, limit=10)) == 1, "what was refused is not there"


@pytest.mark.fault(85)
def test_fault_85_a_worker_that_cannot_renew_its_lease_commits_nothing(client, service, locked, monkeypatch):
    monkeypatch.setattr(workers, "_LOOK_S", 0.1)
    store = JobStore(service.database, lease_s=1.0)
    one = Worker(service.settings, store)
    location = execute(client, {"text": "x", "pause": 1.5}, headers=ASYNC).headers["location"]
    thread = threading.Thread(target=one.run)
    thread.start()
    while client.get(location).json()["status"] == "accepted":
        pass
    with locked:
        thread.join(2.5)  # the job would be done by now
        assert thread.is_alive(), "it goes on when the store is back"
        assert not list(service.settings.results.glob("*"))
    status = wait(client, location)
    one.stopping.set()
    thread.join()
    assert status["status"] == "successful"
    told = [event["message"] for event in client.get(f"{location}/log").json()["events"]]
    assert any("again" in words for words in told), told


@pytest.mark.fault(70)
@pytest.mark.fault(85)
def test_fault_70_a_store_without_room_is_one_that_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(dialects, "_WAIT_S", 0.2)
    database = open_database(tmp_path)
    store = JobStore(database)
    kept = store.add(job(), **PLENTY).job
    (connection,) = database._idle
    pages = connection._raw.execute("PRAGMA page_count").fetchone()[0]
    connection._raw.execute(f"PRAGMA max_page_count={pages}")
    monkeypatch.setattr(database, "connect", lambda: connection)
    monkeypatch.setattr(connection, "close", lambda: None)

    def fill():
        for _ in range(100):
            store.add(NewJob(str(uuid.uuid4()), "demo", "k", "", {}, {"a": "x" * 5000}), **PLENTY)

    with pytest.raises(StoreUnavailableError):
        fill()
    connection._raw.execute("PRAGMA max_page_count=1000000")
    assert store.add(job(), **PLENTY).is_new
    assert store.get(kept.id).status == "accepted"


@pytest.mark.fault(86)
def test_fault_86_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path, monkeypatch):
    open_database(tmp_path).close()
    raw = sqlite3.connect(tmp_path / "service.db")
    before = list(raw.iterdump())
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE more (a TEXT)", "CREATE NONSENSE")))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    with pytest.raises(RequestError, match="NONSENSE"):
        open_database(tmp_path)
    assert list(raw.iterdump()) == before
    raw.close()
    monkeypatch.undo()
    database = open_database(tmp_path)
    assert JobStore(database).add(job(), **PLENTY).is_new
    database.close()
