"""Every JSON body has the shape that its standard requires."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import openapi_spec_validator
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


def test_schemas_of_inputs_and_outputs_are_what_the_published_one_allows(client):
    """`schema.yaml` of Processes 1.0 is the Schema Object of OpenAPI 3.0, which a package has, and three members more."""
    published = json.loads((files(openapi_spec_validator) / "resources/schemas/v3.0/schema.json").read_text())
    one = published["definitions"]["Schema"]
    one["properties"] |= {name: {"type": "string"} for name in ("contentMediaType", "contentEncoding", "contentSchema")}
    validator = jsonschema.Draft4Validator({"$ref": "#/definitions/Schema", "definitions": published["definitions"]})
    for process in client.get("/processes?limit=100").json()["processes"]:
        document = client.get(f"/processes/{process['id']}").json()
        for name, value in [*document["inputs"].items(), *document["outputs"].items()]:
            assert [f"{name}: {wrong.message}" for wrong in validator.iter_errors(value["schema"])] == []
    assert list(validator.iter_errors({"anyOf": [{"type": "string"}, {"type": "null"}]}))
    assert list(validator.iter_errors({"type": "number", "exclusiveMinimum": 0}))


def test_a_shape_can_refuse():
    with pytest.raises(jsonschema.ValidationError):
        check({"jobID": "a", "status": "lost", "type": "process"}, shapes.STATUS)
