"""environment.yml says to conda what pyproject.toml says to pip."""

from __future__ import annotations

import re

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.packaging.requirements import read_project, requirements

# Where conda-forge has another name than the package index. The `-core` builds leave out what only plots or clusters need.
CONDA_NAMES = {"torch": "pytorch", "dask": "dask-core"}


@pytest.fixture(scope="module")
def environment(repository):
    return yaml.safe_load((repository / "environment.yml").read_text())


def conda_bounds(environment):
    lines = [line for line in environment["dependencies"] if isinstance(line, str)]
    parts = [re.fullmatch(r"([A-Za-z0-9_.-]+?)\s*([<>=!~].*)?", line).groups() for line in lines]
    assert len({name for name, _ in parts}) == len(parts), "a name stands twice"
    return {canonicalize_name(name): SpecifierSet(bound or "") for name, bound in parts}


def test_same_requirements_and_bounds_as_the_extra_all(repository, environment):
    project = read_project(repository)
    expected = {
        CONDA_NAMES.get(canonicalize_name(r.name), canonicalize_name(r.name)): r.specifier
        for r in requirements(project, "all")
    }
    expected["python"] = SpecifierSet(project["requires-python"])
    expected["pip"] = SpecifierSet("")
    assert conda_bounds(environment) == expected


def test_extra_all_is_every_extra_but_those_of_developers(repository):
    project = read_project(repository)
    every = {extra for extra in project["optional-dependencies"] if extra not in {"all", "dev"}}
    assert set(map(str, requirements(project, "all"))) == set(map(str, requirements(project, *every)))


def test_pip_adds_geoseg_and_nothing_else(environment):
    assert [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)] == [["--editable ."]]


def test_names_are_those_of_the_one_channel_that_is_asked(environment):
    assert environment["channels"] == ["conda-forge"]
