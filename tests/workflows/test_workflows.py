"""Every shipped workflow is a job that only lacks its area."""

from __future__ import annotations

import pytest
import yaml

from geoseg.spec import JobSpec, list_workflows, load_workflow, workflow_folder

NAMES = sorted(list_workflows())


def test_the_shipped_workflows_are_found():
    assert {"landcover", "demo"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_workflow_is_a_job_without_its_area(name):
    spec = JobSpec.build(workflow=name, aoi="14.0,46.0,14.1,46.1", default_catalog="https://example.org/stac")
    assert spec.workflow == name
    assert "aoi" not in load_workflow(name)


@pytest.mark.parametrize("name", NAMES)
def test_workflow_has_a_title_and_a_description(name):
    document = yaml.safe_load((workflow_folder() / f"{name}.yaml").read_text(encoding="utf-8"))
    assert document["title"]
    assert len(document["description"]) > 20
