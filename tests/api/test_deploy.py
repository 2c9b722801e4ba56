"""What docs/deploy.md and api/deploy say is what the code does."""

from __future__ import annotations

import configparser
import re
import shlex

import pytest
import typer.main
import yaml

from geoseg.cli import _app
from geoseg.settings import Settings
from geoseg_api import ServiceSettings


def check_command(words):
    """Whether the command line takes these words."""
    group = typer.main.get_command(_app())
    assert words[0].rpartition("/")[2] == "geoseg"
    command, rest = group.commands[words[1]], list(words[2:])
    if hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    command.make_context("geoseg", rest)


def known_variables():
    ours = {f"GEOSEG_SERVICE_{name.upper()}" for name in ServiceSettings.model_fields}
    return (
        ours
        | {f"GEOSEG_{name.upper()}" for name in Settings.model_fields}
        | {"GEOSEG_DB_PASSWORD", "GEOSEG_URL", "GEOSEG_API_KEY"}
    )


@pytest.fixture
def folder(repository):
    return repository / "api" / "deploy"


def test_the_container_file_copies_what_is_there_and_runs_what_exists(repository, folder):
    lines = (folder / "Containerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert copied
    assert [name for name in copied if not (repository / name).exists()] == []
    extras = re.search(r"'\.\[(.*)\]'", "\n".join(lines))[1].split(",")
    project = (repository / "pyproject.toml").read_text()
    assert [extra for extra in extras if f"\n{extra} = [" not in project] == []
    command = next(yaml.safe_load(line.removeprefix("CMD ")) for line in lines if line.startswith("CMD"))
    check_command(command)
    environment = next(line for line in lines if line.startswith("ENV")).split()[1:]
    assert {part.partition("=")[0] for part in environment} <= known_variables()
    assert any(line == "USER geoseg" for line in lines)


def test_the_compose_file_is_consistent(folder):
    text = (folder / "compose.yaml").read_text()
    document = yaml.safe_load(text)
    services = document["services"]
    assert set(services) == {"postgres", "api", "worker"}
    for name in ("api", "worker"):
        service = services[name]
        check_command(service["command"])
        assert set(service["environment"]) <= known_variables()
        assert service["environment"]["GEOSEG_SERVICE_DATABASE"].startswith("postgresql://geoseg:")
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= set(document["volumes"])
        assert {volume.rpartition(":")[2] for volume in service["volumes"]} == {"/data", "/cache"}
        assert set(service["depends_on"]) <= set(services)
        assert set(service["networks"]) <= set(document["networks"])
    assert services["postgres"]["networks"] == ["inside"]
    assert document["networks"]["inside"]["internal"]
    assert (folder / services["api"]["build"]["context"] / services["api"]["build"]["dockerfile"]).is_file()
    assert services["api"]["ports"] == ["127.0.0.1:8000:8000"]
    assert set(re.findall(r"\$\{(\w+)", text)) <= known_variables()


@pytest.mark.parametrize("name", ["geoseg.service", "geoseg-worker@.service"])
def test_units_start_what_exists(folder, name):
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read_string((folder / name).read_text())
    check_command(shlex.split(unit["Service"]["ExecStart"]))
    variables = {part.partition("=")[0] for part in unit["Service"]["Environment"].split()}
    assert variables <= known_variables()
    assert unit["Service"]["NoNewPrivileges"] == "yes"
    if "serve" in unit["Service"]["ExecStart"]:
        assert "GEOSEG_SERVICE_KEYS=true" in unit["Service"]["Environment"], "a proxy beside it lets everybody in"


def test_variables_of_the_pages_exist(repository):
    for page in ("docs/deploy.md", "docs/howto/service.md"):
        named = set(re.findall(r"\b(GEOSEG_[A-Z0-9_]+)\b", (repository / page).read_text())) - {
            "GEOSEG_SERVICE_",
            "GEOSEG_",
        }
        assert named - known_variables() == set(), page
    for name in re.findall(r"`(api/deploy/[^`]+)`", (repository / "docs" / "deploy.md").read_text()):
        assert (repository / name).exists(), name
