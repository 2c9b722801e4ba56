"""What pyproject.toml asks for, as values."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def read_project(repository: Path) -> dict:
    with (repository / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)["project"]


def requirements(project: dict, *extras: str) -> list[Requirement]:
    """The requirements of the base install and of these extras, those that an extra names in turn included."""
    found = [Requirement(line) for line in project["dependencies"]]
    todo, done = list(extras), set()
    while todo:
        extra = todo.pop()
        if extra in done:
            continue
        done.add(extra)
        for line in project["optional-dependencies"][extra]:
            requirement = Requirement(line)
            if canonicalize_name(requirement.name) == project["name"]:
                todo.extend(requirement.extras)
            else:
                found.append(requirement)
    return found


def read_pins(repository: Path) -> dict[str, str]:
    """Names and versions of constraints.txt, comments left out."""
    lines = (repository / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}
