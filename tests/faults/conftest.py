"""What tests of faults share: a model, and patience that costs no time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import stamina
import worlds

from geoseg.models import ModelFolder
from geoseg.remote import policy


@pytest.fixture(scope="session")
def finite(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A finite network with random weights."""
    return worlds.finite_model(tmp_path_factory.mktemp("models") / "finite")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch):
    """Retries without waits; a stall ends after a tenth of a second."""
    monkeypatch.setattr(policy, "PATIENT", replace(policy.PATIENT, read_s=0.1, connect_s=5.0))
    with stamina.set_testing(testing=True, attempts=6):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to serve."""
    path = tmp_path / "served"
    path.mkdir()
    return path
