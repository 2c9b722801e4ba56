from __future__ import annotations

import subprocess
import sys

import pytest
from fastapi.testclient import TestClient

import geoseg
from geoseg_api import create_app


@pytest.fixture
def client() -> TestClient:
    return TestClient(create_app())


def test_health_names_the_version_that_runs(client):
    answer = client.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "version": geoseg.__version__}


def test_landing_text_names_only_paths_that_exist(client):
    text = client.get("/").text
    paths = [word for word in text.split() if word.startswith("/")]
    assert len(paths) >= 3
    assert {path: client.get(path).status_code for path in paths} == dict.fromkeys(paths, 200)


def test_importing_the_service_does_not_need_its_framework():
    code = "import sys, geoseg_api; sys.exit('fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
