"""Every shipped workflow is a job that only lacks its area."""

from __future__ import annotations

import pytest
import yaml

from geoseg.cli import main
from geoseg.spec import JobSpec, list_workflows, load_workflow, workflow_folder

NAMES = sorted(list_workflows())


def test_the_shipped_workflows_are_found():
    assert {"landcover", "change", "demo"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_workflow_is_a_job_without_its_area(name):
    dates = {"before": "2022-05", "after": "2023-05"} if "detector" in load_workflow(name) else {}
    spec = JobSpec.build(workflow=name, aoi="14.0,46.0,14.1,46.1", default_catalog="https://example.org/stac", **dates)
    assert spec.workflow == name
    assert "aoi" not in load_workflow(name)


@pytest.mark.parametrize("name", NAMES)
def test_workflow_has_a_title_and_a_description(name):
    document = yaml.safe_load((workflow_folder() / f"{name}.yaml").read_text(encoding="utf-8"))
    assert document["title"]
    assert len(document["description"]) > 20


def test_land_cover_without_a_network_says_what_to_do(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["run", "--offline", "--aoi", "14.0,46.0,14.1,46.1"])
    said = capfd.readouterr().err.splitlines()
    assert ended.value.code == 1
    assert len(said) == 3
    assert "GEOSEG_MODELS" in said[2]
    assert "geoseg bundle" in said[2]
    with pytest.raises(SystemExit) as ended:
        main(["run", "--offline", "--aoi", "14.0,46.0,14.1,46.1", "--model", "demo-landcover"])
    said = capfd.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert "--catalog PATH" in said[-1]
    assert not (tmp_path / "geoseg-out").exists()
    description = yaml.safe_load((workflow_folder() / "landcover.yaml").read_text(encoding="utf-8"))["description"]
    assert all(word in description for word in ("GEOSEG_MODELS", "--catalog PATH", "--scenes"))
