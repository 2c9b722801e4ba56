"""Whatever the OpenAPI document allows, and what it does not: no fault, no answer that is not described."""

from __future__ import annotations

import hypothesis
import pytest
import schemathesis
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from geoseg_api import ServiceSettings, create_app

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    settings = ServiceSettings(
        data=tmp_path_factory.mktemp("openapi"), with_echo=True, sync_seconds=0.05, requests_per_minute=10**6
    )
    app = create_app(settings)
    yield app
    app.state.service.close()


@pytest.fixture(scope="module")
def api(app):
    return schemathesis.openapi.from_asgi("/openapi.json", app)


def test_the_document_is_openapi(app):
    document = app.openapi()
    validate(document)
    assert document["openapi"].startswith("3.1")
    operations = [one for operations in document["paths"].values() for one in operations.values()]
    assert all(operation["summary"] and operation["tags"] for operation in operations)


@pytest.mark.fault(76)
def test_nothing_that_can_be_asked_is_a_fault(api):
    operations = [found.ok() for found in api.get_all_operations()]
    assert len(operations) > 25
    for operation in operations:

        @hypothesis.settings(max_examples=8, suppress_health_check=list(hypothesis.HealthCheck))
        @hypothesis.given(case=operation.as_strategy())
        def ask(case):
            case.call_and_validate(checks=CHECKS)

        ask()
