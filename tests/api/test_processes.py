"""OGC API - Processes: the assertions of the standard's own test suite, against the process `echo`."""

from __future__ import annotations

import json
import time

import pytest

from geoseg.settings import Settings
from geoseg.spec import JobSpec, list_workflows
from geoseg_api.problems import NO_JOB, NO_PROCESS, NOT_READY

ASYNC = {"Prefer": "respond-async"}


def execute(client, inputs, process="echo", headers=None, **more):
    return client.post(f"/processes/{process}/execution", json={"inputs": inputs, **more}, headers=headers)


def wait(client, location):
    """The status of a job once it is final."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        status = client.get(location).json()
        if status["status"] in {"successful", "failed", "dismissed"}:
            return status
    raise AssertionError(status)


def test_the_list_has_every_workflow_and_summaries_only(client):
    answer = client.get("/processes?limit=100").json()
    assert {process["id"] for process in answer["processes"]} == {*list_workflows(), "echo"}
    assert all("inputs" not in process and process["version"] for process in answer["processes"])
    assert {link["rel"] for link in answer["links"]} >= {"self", "alternate"}
    seen, following = [], "/processes?limit=2"
    while following:
        page = client.get(following).json()
        assert 0 < len(page["processes"]) <= 2
        seen += [process["id"] for process in page["processes"]]
        following = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
    assert seen == [process["id"] for process in answer["processes"]], "each of them once"


@pytest.mark.parametrize("process", [*list_workflows(), "echo"])
def test_a_description_has_what_the_standard_requires(client, process):
    document = client.get(f"/processes/{process}").json()
    assert document["id"] == process
    assert document["version"]
    said = [document["description"], *(value["description"] for value in document["inputs"].values())]
    assert not any("--" in words for words in said), "inputs have names, options are the command line's"
    assert set(document["jobControlOptions"]) == {"sync-execute", "async-execute", "dismiss"}
    assert document["outputTransmission"] == ["reference", "value"]
    for value in document["inputs"].values():
        assert "schema" in value
        assert value["minOccurs"] == 0
        assert value["maxOccurs"] == 1 or value["maxOccurs"] == "unbounded"
    assert all("schema" in value for value in document["outputs"].values())
    rels = {link["rel"]: link["href"] for link in document["links"]}
    assert rels["http://www.opengis.net/def/rel/ogc/1.0/execute"].endswith(f"/processes/{process}/execution")


@pytest.mark.parametrize("process", list_workflows())
def test_inputs_are_the_fields_of_a_job_and_none_of_where_it_runs(client, process):
    inputs = set(client.get(f"/processes/{process}").json()["inputs"])
    assert inputs == set(JobSpec.model_fields)
    assert inputs & (set(Settings.model_fields) - set(JobSpec.model_fields)) == set()
    refused = execute(client, {"max_memory": "1GB"}, process)
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["pointer"] == "/inputs/max_memory"


def test_what_is_wrong_is_said_before_the_scenes_of_the_demo_are_written(client, service):
    assert execute(client, {"max_memory": "1GB"}, "demo").status_code == 400
    assert not service.settings.demo.exists()


def test_without_a_preference_the_answer_is_the_result(client, worker):
    answer = execute(client, {"text": "teststring"})
    assert (answer.status_code, answer.text) == (200, "teststring")
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'rel="monitor"' in answer.headers["link"]


def test_a_document_holds_the_outputs_by_name(client, worker):
    box = {"bbox": [1e300, -2e300, 3e300, 4e300], "crs": "http://www.opengis.net/def/crs/EPSG/0/4326"}
    inputs = {"text": {"value": "teststring"}, "object": {"a": [1, None]}, "bbox": box}
    document = execute(client, inputs, response="document").json()
    assert document == {"text": "teststring", "object": {"value": {"a": [1, None]}}, "bbox": {"value": box}}
    one = execute(client, inputs, response="document", outputs={"text": {"transmissionMode": "value"}}).json()
    assert one == {"text": "teststring"}


def test_a_job_is_told_by_its_location_until_its_results_are_there(client, worker):
    answer = execute(client, {"text": "teststring", "pause": 0.5}, headers=ASYNC)
    assert answer.status_code == 201
    assert answer.headers["preference-applied"] == "respond-async"
    location = answer.headers["location"]
    assert location.startswith("http://")
    status = answer.json()
    assert (status["jobID"], status["type"], status["processID"]) == (status["id"], "process", "echo")
    early = client.get(f"{location}/results")
    assert (early.status_code, early.json()["type"]) == (404, NOT_READY)
    done = wait(client, location)
    assert done["status"] == "successful"
    assert done["progress"] == 100
    assert done["created"] <= done["started"] <= done["finished"] <= done["updated"]
    assert client.get(f"{location}/results").json()["text"] == "teststring"
    assert "http://www.opengis.net/def/rel/ogc/1.0/results" in {link["rel"] for link in done["links"]}


def test_progress_never_goes_back_and_the_stream_ends_with_the_job(client, worker):
    location = execute(client, {"text": "x", "pause": 1.2}, headers=ASYNC).headers["location"]
    with client.stream("GET", f"{location}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        told = [json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: ")]
    assert told[-1]["status"] == "successful"
    assert [one["progress"] for one in told] == sorted(one["progress"] for one in told)
    assert [one["updated"] for one in told] == sorted(one["updated"] for one in told)


def test_the_list_of_jobs_filters_and_pages(client, worker):
    for text in ("a", "b", "c"):
        execute(client, {"text": text})
    waiting = execute(client, {"pause": 60}, headers=ASYNC).json()["jobID"]
    first = client.get("/jobs?limit=2&status=successful").json()
    assert [job["processID"] for job in first["jobs"]] == ["echo", "echo"]
    rest = client.get(next(link["href"] for link in first["links"] if link["rel"] == "next")).json()
    assert len(rest["jobs"]) == 1
    assert "next" not in {link["rel"] for link in rest["links"]}
    assert {job["jobID"] for job in first["jobs"]} & {job["jobID"] for job in rest["jobs"]} == set()
    assert waiting not in {job["jobID"] for job in first["jobs"] + rest["jobs"]}
    assert len(client.get("/jobs?processID=echo&type=process&datetime=../2999-01-01T00:00:00Z").json()["jobs"]) == 4
    assert client.get("/jobs?datetime=2000-01-01/2001-01-01").json()["jobs"] == []
    assert client.get("/jobs?minDuration=1000").json()["jobs"] == []
    client.delete(f"/jobs/{waiting}")


@pytest.mark.fault(81)
def test_fault_81_a_dismissed_job_stops_and_dismissing_again_is_no_fault(client, worker, service):
    location = execute(client, {"text": "x", "pause": 60}, headers=ASYNC).headers["location"]
    while client.get(location).json()["status"] == "accepted":
        pass
    for _ in range(2):
        answer = client.delete(location)
        assert (answer.status_code, answer.json()["status"]) == (200, "dismissed")
    assert client.get(f"{location}/results").status_code == 410
    # The worker is free within seconds, not after the minute that the job wanted.
    assert execute(client, {"text": "next"}).text == "next"
    assert not list(service.settings.work.glob("*/*"))


@pytest.mark.fault(76)
@pytest.mark.parametrize(
    ("body", "kind", "status", "pointer"),
    [
        (b"not json", "application/json", 400, ""),
        (b"[]", "application/json", 400, ""),
        (b'{"inputs": {"pause": NaN}}', "application/json", 400, ""),
        (b'{"inputs": {}}', "text/plain", 415, ""),
        (b'{"colour": "red"}', "application/json", 400, "/colour"),
        (b'{"inputs": []}', "application/json", 400, "/inputs"),
        (b'{"inputs": {"txt": "a"}}', "application/json", 400, "/inputs/txt"),
        (b'{"inputs": {"pause": "a"}}', "application/json", 400, "/inputs/pause"),
        (b'{"inputs": {"bbox": [1]}}', "application/json", 400, "/inputs/bbox"),
        (b'{"inputs": {}, "outputs": {"no": {}}}', "application/json", 400, "/outputs/no"),
        (b'{"inputs": {}, "response": "loud"}', "application/json", 400, "/response"),
        (b'{"inputs": {}, "subscriber": {}}', "application/json", 400, "/subscriber"),
        (b"\xff\xfe", "application/json", 400, ""),
    ],
)
def test_fault_76_a_wrong_body_is_refused_with_its_place(client, body, kind, status, pointer):
    answer = client.post("/processes/echo/execution", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.fault(76)
def test_fault_76_an_unknown_process_has_the_type_of_the_standard(client):
    for answer in (client.get("/processes/nothing"), execute(client, {}, "nothing")):
        assert (answer.status_code, answer.json()["type"]) == (404, NO_PROCESS)


@pytest.mark.fault(76)
@pytest.mark.parametrize(
    ("inputs", "status", "field"),
    [
        ({}, 400, ""),
        ({"aoi": "region.geojson"}, 400, "aoi"),
        ({"aoi": {"href": "http://127.0.0.1/aoi.geojson"}}, 400, "aoi"),
        ({"aoi": {"type": "Point", "coordinates": [1, 2]}}, 400, "aoi"),
        ({"aoi": {"type": "Polygon"}}, 400, "aoi"),
        ({"aoi": [9, 47, 9.1]}, 400, "aoi"),
        ({"aoi": [10, 47, 9, 47.1]}, 400, "aoi"),
        ({"aoi": [9, 47, 9.1, 47.1], "min_area_m2": -1}, 400, "min_area_m2"),
        ({"aoi": [-179, -80, 179, 80]}, 413, "aoi"),
        ({"aoi": [9, 47, 9.1, 47.1], "model": "no-such-model"}, 400, "model"),
        ({"aoi": [9, 47, 9.1, 47.1], "resolution": -1}, 400, "resolution"),
        ({"aoi": [9, 47, 9.1, 47.1], "resolution": {"a": 1}}, 400, "resolution"),
        ({"aoi": [9, 47, 9.1, 47.1], "composite": ["median"]}, 400, "composite"),
        ({"aoi": [9, 47, 9.1, 47.1], "datetime": "yesterday"}, 400, ""),
        ({"aoi": [9, 47, 9.1, 47.1], "before": "../../etc", "after": "2024-05/2024-07"}, 400, "before"),
    ],
)
def test_fault_76_a_wrong_input_is_refused_before_there_is_a_job(client, inputs, status, field):
    answer = execute(client, inputs, "landcover", headers=ASYNC)
    assert answer.status_code == status, answer.json()
    assert field in answer.json()["errors"][0]["pointer"]
    assert not any(words in answer.text for words in ("--", "geoseg run", "in Python")), "a caller has no command line"
    assert client.get("/jobs").json()["jobs"] == []


@pytest.mark.fault(77)
@pytest.mark.parametrize(
    "name", ["none", "..%2F..%2Fetc", "a" * 10_000, "%00", "J%C3%B6b", "'; DROP TABLE job; --", "A" * 8]
)
def test_fault_77_an_unknown_job_is_always_the_same_refusal(client, name):
    answers = [client.get(f"/jobs/{name}"), client.delete(f"/jobs/{name}"), client.get(f"/jobs/{name}/log")]
    if "%2F" not in name:  # a path of its own
        assert {(answer.status_code, answer.json()["type"]) for answer in answers} == {(404, NO_JOB)}
    assert {answer.status_code for answer in answers} == {404}


@pytest.mark.fault(80)
def test_fault_80_the_same_request_with_the_same_key_is_one_job(client):
    headers = {**ASYNC, "Idempotency-Key": "k-1"}
    first, again = (execute(client, {"text": "x"}, headers=headers).json()["jobID"] for _ in range(2))
    assert first == again
    other = execute(client, {"text": "y"}, headers=headers)
    assert other.status_code == 422
    assert execute(client, {"text": "x"}, headers=ASYNC).json()["jobID"] != first


@pytest.mark.fault(80)
def test_fault_80_who_asks_again_needs_nothing_but_the_key(client, service, world):
    """The first answer was lost, and since then nobody can plan: the job is there all the same."""
    headers = {**ASYNC, "Idempotency-Key": "k-2"}
    first = execute(client, world.inputs, "landcover", headers)
    assert first.status_code == 201, first.json()
    service.planner.close()
    service.planner.plan = None
    again = execute(client, world.inputs, "landcover", headers)
    assert (again.status_code, again.json()["jobID"]) == (201, first.json()["jobID"])
    assert execute(client, {**world.inputs, "min_area_m2": 1}, "landcover", headers).status_code == 422
    assert execute(client, world.inputs, "landcover", {**headers, "Idempotency-Key": ""}).status_code == 400


def test_who_waits_for_so_long_gets_a_job_after_that(client, worker):
    """``Prefer: wait=0`` without a result is an answer at once."""
    for wanted in ("wait=0", 'handling=strict, wait="0"'):
        answer = execute(client, {"text": "x", "pause": 60}, headers={"Prefer": wanted})
        assert (answer.status_code, answer.headers["preference-applied"]) == (201, "wait=0")
        client.delete(answer.headers["location"])
    assert execute(client, {"text": "x"}, headers={"Prefer": "wait=1000000"}).text == "x"
