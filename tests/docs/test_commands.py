"""Every command that a page shows is one that the command line takes. Nothing is run here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer.main
from pages import command_lines, fences, geoseg_words, inline, pages
from pydantic import TypeAdapter

from geoseg.cli import _app
from geoseg.cli.run import RENAMED
from geoseg.cli.usage import UsageError
from geoseg.scenes import SENSORS
from geoseg.settings import Settings
from geoseg.spec import JobSpec, list_workflows

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = pages(REPOSITORY)
NAMES = [str(page.relative_to(REPOSITORY)) for page in PAGES]
COMMAND = typer.main.get_command(_app())
FIELDS = {**JobSpec.model_fields, **Settings.model_fields}


def parsed(command: Any, words: list[str], parent: Any = None, name: str = "geoseg") -> Any:
    """The context of the last command that the words name, its options read."""
    context = command.make_context(name, list(words), parent=parent)
    if not hasattr(command, "commands"):
        return context
    name, following, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    return parsed(following, rest, context, name)


def problem(words: list[str]) -> str:
    """What the command line has against the words; empty where it takes them."""
    if words[-1:] in (["--help"], ["--version"]) or "--install-completion" in words:
        words = words[:-1]
        if not words:
            return ""
        return "" if has_command(words) else f"no command {words}"
    try:
        options = parsed(COMMAND, words).params
    except UsageError as err:
        return str(err.format_message())
    return "; ".join(filter(None, (wrong_value(name, value) for name, value in options.items())))


def has_command(words: list[str]) -> bool:
    command = COMMAND
    for word in words:
        command = getattr(command, "commands", {}).get(word)
        if command is None:
            return False
    return True


def begins_a_command(words: list[str]) -> bool:
    """Whether the words lead to a command; what follows its name are values."""
    command = COMMAND
    for word in words:
        if command is None or not hasattr(command, "commands"):
            break
        command = command.commands.get(word)
    return command is not None


def wrong_value(name: str, value: Any) -> str:
    """Values that can be judged without a disk: names of workflows and sensors, and what the fields' types refuse."""
    field = RENAMED.get(name, name)
    if value in (None, (), [], "") or field not in FIELDS or field in {"aoi", "out", "model", "example"}:
        return ""
    if field in {"workflow", "sensor"}:
        known = {*list_workflows(), *SENSORS, "toy"}
        return "" if value in known or str(value).endswith(".yaml") else f"--{name} {value}"
    if field in {"bands", "format", "layers", "without"}:
        value = tuple(value.split(","))
    try:
        if field == "detector" and isinstance(value, (list, tuple)):  # of `evaluate`, which takes several
            return "; ".join(filter(None, (wrong_value(name, one) for one in value)))
        TypeAdapter(FIELDS[field].annotation).validate_python(value)
    except ValueError as err:
        return f"--{name}: {err}" if field != "max_memory" else ""
    return ""


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_in_blocks_are_taken(page):
    wrong = []
    for fence in fences(page):
        for line in command_lines(fence.text) if not fence.language else ():
            words = geoseg_words(line) if "geoseg" in line else None
            if words is not None and (said := problem(words)):
                wrong.append(f"line {fence.line}: {line}: {said}")
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_and_options_in_the_text_exist(page):
    wrong = []
    for code in inline(page):
        if not code.startswith(("geoseg ", "--")):
            continue  # options of other programs
        named = re.match(r"(?:geoseg)?((?: [a-z]+(?=\s|$|\|))*)", code)[1].split()
        wrong += [] if begins_a_command(named) else [code]
        wrong += [f"{code}: {name}" for name in re.findall(r"(?<![\w-])--[a-z][a-z-]+", code) if name not in known()]
    assert wrong == []


def known() -> set[str]:
    """Every option of every command."""
    names = {"--help", "--install-completion"}
    rooms = [COMMAND]
    while rooms:
        room = rooms.pop()
        names |= {option for parameter in room.params for option in parameter.opts}
        rooms += getattr(room, "commands", {}).values()
    return names


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_blocks_of_python_and_json_are_python_and_json(page):
    for fence in fences(page):
        if fence.language == "python":
            compile(fence.text, f"{page}:{fence.line}", "exec")
        if fence.language == "json":
            json.loads(fence.text if fence.text.lstrip()[0] in "{[" else f"{{{fence.text}}}")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("geoseg run --composit median --aoi a.geojson", "composit"),
        ("geoseg run --composite mean --aoi a.geojson", "median"),
        ("geoseg plan --format shp", "shp"),
        ("geoseg run region.geojson", "region.geojson"),
        ("GEOSEG_CACHE=c geoseg models look x", "look"),
        ("geoseg models show", "model"),
        ("geoseg run --sensor sentinel-3", "sentinel-3"),
    ],
)
def test_a_wrong_command_is_found(line, words):
    assert words in problem(geoseg_words(line)).lower()
