"""Every JSON body has the shape that its standard requires."""

from __future__ import annotations

import jsonschema
import pytest

from tests.api import shapes
from tests.api.test_processes import ASYNC, execute, wait


def check(document, shape):
    jsonschema.Draft202012Validator.check_schema(shape)
    jsonschema.Draft202012Validator(shape, format_checker=jsonschema.FormatChecker()).validate(document)


def test_bodies_of_processes(client, worker):
    check(client.get("/").json(), shapes.LANDING)
    check(client.get("/conformance").json(), shapes.CONFORMANCE)
    listed = client.get("/processes?limit=100").json()
    check(listed, shapes.PROCESS_LIST)
    for process in listed["processes"]:
        check(client.get(f"/processes/{process['id']}").json(), shapes.PROCESS)
    answer = execute(client, {"text": "teststring", "object": {}}, headers=ASYNC)
    check(answer.json(), shapes.STATUS)
    check(wait(client, answer.headers["location"]), shapes.STATUS)
    check(client.get(f"{answer.headers['location']}/results").json(), shapes.RESULTS)
    check(client.get("/jobs").json(), shapes.JOB_LIST)
    for path in ("/jobs/none", "/processes/none", "/nothing", "/jobs?limit=0"):
        check(client.get(path).json(), shapes.EXCEPTION)


def test_bodies_of_a_finished_job(client, finished):
    check(client.get(f"/jobs/{finished}").json(), shapes.STATUS)
    check(client.get(f"/jobs/{finished}/results").json(), shapes.RESULTS)
    check(client.get("/collections").json(), shapes.COLLECTIONS)
    check(client.get(f"/collections/{finished}/items?limit=3").json(), shapes.FEATURES)


def test_a_shape_can_refuse():
    with pytest.raises(jsonschema.ValidationError):
        check({"jobID": "a", "status": "lost", "type": "process"}, shapes.STATUS)
