"""constraints.txt pins everything that an installation needs, and nothing else."""

from __future__ import annotations

import re
import sys
from importlib.metadata import distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.requirements import read_pins, read_project, requirements


@pytest.fixture(scope="module")
def pins(repository):
    return read_pins(repository)


@pytest.fixture(scope="module")
def declared(repository):
    return requirements(read_project(repository), "all", "dev")


def is_wanted(requirement, extras):
    return requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in (*extras, ""))


def needed(declared):
    """Names of all that the declared requirements drag in, as installed here."""
    todo, done = list(declared), set()
    while todo:
        requirement = todo.pop()
        key = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if key in done:
            continue
        done.add(key)
        below = map(Requirement, distribution(requirement.name).requires or [])
        todo.extend(one for one in below if is_wanted(one, requirement.extras))
    return {name for name, _ in done}


def test_every_line_is_an_exact_version(repository):
    lines = [line for line in (repository / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line)] == []


def test_pins_satisfy_the_bounds(pins, declared):
    outside = [str(r) for r in declared if not r.specifier.contains(pins.get(canonicalize_name(r.name), "0"))]
    assert outside == []


@pytest.mark.skipif(sys.platform != "linux", reason="the pins were made on Linux; other systems drag in other packages")
def test_pins_are_exactly_what_is_dragged_in(pins, declared):
    assert set(pins) == needed(declared)


def test_no_file_for_installers_names_a_place_to_install_from(repository):
    files = ["constraints.txt", "environment.yml", "Makefile", "pyproject.toml", ".ci/run"]
    pattern = re.compile(r"index-url|find-links|trusted-host|/simple\b|https?://")
    assert [name for name in files if pattern.search((repository / name).read_text())] == []


def test_base_install_drags_in_no_torch(repository):
    dragged_in = needed(requirements(read_project(repository)))
    assert "rasterio" in dragged_in
    assert [name for name in dragged_in if name.startswith(("torch", "nvidia", "timm", "lightning", "fastapi"))] == []
