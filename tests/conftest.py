"""What every test gets: no network, a cache of its own, and the shared data where a checkout has it."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import hypothesis
import pytest

# Before any import of a library that reads them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
# Most tests make networks of their own, and converting each would take longer than running it. Here too, because fixtures
# of modules are made before those of tests.
os.environ["GEOSEG_BACKEND"] = "torch"
# Threads that spin while they wait take the other process's core (`make test` runs two).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A slow machine is no failure. The same examples every time, so that a change is judged by what it changed;
# `make test ARGS=--hypothesis-profile=explore` looks for new ones.
_patience = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("geoseg", derandomize=True, **_patience)
hypothesis.settings.register_profile("explore", print_blob=True, **_patience)
hypothesis.settings.load_profile("geoseg")

REPOSITORY = Path(__file__).resolve().parent.parent

_numbers = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long to hunt; a moment unless asked."""
    parser.addoption("--fuzz-seconds", type=float, default=1.0, help="seconds for each door (make fuzz)")
    parser.addoption("--fuzz-seed", type=int, default=0, help="another seed tries other bytes")
    parser.addoption("--hunts", type=int, default=12, help="kills of runs, servers and workers (make hunt)")
    parser.addoption("--hunt-seed", type=int, default=0, help="another seed strikes at other moments")
    parser.addoption("--schedules", type=int, default=12, help="schedules of faults (make hunt)")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lets `-k fault_27` choose by the number that a test carries, whatever its name."""
    for item in items:
        item.extra_keyword_matches |= {f"fault_{mark.args[0]:02}" for mark in item.iter_markers("fault")}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a server or a graphics card, where there is none to ask."""
    if item.get_closest_marker("online") and not item.config.getoption("--force-enable-socket"):
        pytest.skip("asks a public server; run with --force-enable-socket")
    if item.get_closest_marker("gpu") and not pytest.importorskip("torch").cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the checkout, or the one that GEOSEG_SHARED names; skips where there is none."""
    folder = Path(os.environ.get("GEOSEG_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("needs the shared data: a folder `shared` beside the checkout, or GEOSEG_SHARED")
    return folder


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings or the cache of the person who runs it."""
    for name in [name for name in os.environ if name.startswith("GEOSEG_") and name != "GEOSEG_SHARED"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GEOSEG_BACKEND", "torch")
    monkeypatch.setenv("GEOSEG_CACHE", str(tmp_path_factory.getbasetemp() / "caches" / str(next(_numbers))))
