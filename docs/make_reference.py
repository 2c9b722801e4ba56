"""Writes ``docs/reference/`` from docstrings, fields and options, and ``docs/faults.md`` from tests: ``make reference``.

Pages are text that the code says of itself; what is written here are headings, and the few facts that no docstring holds.
"""

from __future__ import annotations

import inspect
import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import make_faults
import typer.main
from docstrings import (
    class_words,
    docstring,
    first_line,
    function_words,
    member_words,
    one_line,
    prose,
    sections,
    table,
)
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

import geoseg
from geoseg import errors, heads, scenes
from geoseg.cli import _app
from geoseg.cli.run import RENAMED
from geoseg.models import spec as model_spec
from geoseg.models import steps
from geoseg.models.saving import save_model
from geoseg.outputs import areas, item, record
from geoseg.scenes import catalogs
from geoseg.settings import Settings
from geoseg.spec import JobSpec

FOLDER = Path(__file__).resolve().parent / "reference"
_MARK = "<!-- Written by `make reference`. Change the docstring, field or option instead. -->"
_OPTION_OF = {field: option for option, field in RENAMED.items()}

_STATUSES = {
    0: "All went well.",
    1: "Anything else: a catalogue, weights or a file that cannot be had, a full disk, a file that changed.",
    2: "The request is wrong, or model and scenes do not fit.",
    3: "Nothing to work on: no scenes, no overlap, nothing but nodata.",
    4: "The map is there, with more failed pixels than `--max-failed` allows.",
    130: "Stopped by Ctrl-C; finished tiles are kept.",
    143: "Stopped by SIGTERM; finished tiles are kept.",
}

# Of others; a test holds them against what the code reads.
_VARIABLES = {
    "HF_ENDPOINT": "Address of the hub for `hf:` models, instead of https://huggingface.co.",
    "HF_TOKEN": "Token of the hub, for repositories that ask for one.",
    "HF_HUB_OFFLINE": "`1`: fetch nothing for `hf:` models. `TRANSFORMERS_OFFLINE` means the same.",
    "PC_SDK_SAS_URL": "Address of the service that signs for Planetary Computer, instead of its public one.",
    "PC_SDK_SUBSCRIPTION_KEY": "Your key for that service.",
    "GEOSEG_API_KEY": "Key that `geoseg submit`, `status` and `results` show to a service.",
    "CUDA_VISIBLE_DEVICES": "GPUs of this machine; with `--workers` and `--device cuda` each process gets one, by position.",
    "AWS_ENDPOINT_URL": "Server of `s3://` addresses of `--store`, instead of Amazon's; keys as the tools of AWS take them.",
}
_WHEN = {
    "scores.tif": "`--layers scores`",
    "entropy.tif": "`--layers entropy`",
    "margin.tif": "`--layers margin`",
    "polygons.geojson": "up to 20,000 polygons, or `--format geojson`",
    "polygons.fgb": "`--format fgb`",
    "polygons.gpkg": "`--format gpkg`",
    "polygons.pmtiles": "`--format pmtiles`",
}
_COLUMNS = {
    "id": "Position of the first pixel in row-major order; unique in the map.",
    "class": "Class index.",
    "name": "Class name.",
    "code": "Code in the legend; only where the model has codes.",
    "area_m2": "On the ellipsoid; null without a CRS.",
    "confidence_mean": "Mean of the confidence in percent.",
    "confidence_p10": "Tenth percentile of the confidence in percent.",
    "pixels": "Number of pixels.",
    "split": "Whether it is a part of one that had too many vertices.",
    "bbox": "Its bounds (GeoParquet only).",
    "geometry": "Polygon; in the grid's CRS, in GeoJSON in longitude and latitude.",
}

_CHANGE_COLUMNS = {
    "before": "Class on the earlier date; only with a land cover model.",
    "after": "Class on the later date.",
    "confidence_before": "Mean of the confidence of the class before, in percent.",
    "confidence_after": "Mean of the confidence of the class after, in percent.",
    "cloud_share": "Share, 0 to 1, that lies within two pixels of what a cloud or its shadow hid on either date.",
}

_MODEL_CLASSES: dict[str, type] = {
    "geoseg.models.ModelSpec": model_spec.ModelSpec,
    "geoseg.models.ClassInfo": model_spec.ClassInfo,
    "geoseg.models.WeightsRef": model_spec.WeightsRef,
    "geoseg.models.Step": steps.Step,
}
_PLUGIN_CLASSES: dict[str, type] = {
    "geoseg.heads.Chips": heads.Chips,
    "geoseg.heads.HeadOutput": heads.HeadOutput,
    "geoseg.scenes.Sensor": scenes.Sensor,
    "geoseg.scenes.catalogs.Question": catalogs.Question,
    "geoseg.scenes.catalogs.Search": catalogs.Search,
}


def pages() -> dict[str, str]:
    """Name of each page to its text."""
    made = {
        "command-line.md": _command_line(),
        "python.md": _python(),
        "outputs.md": _outputs(),
        "models-and-sensors.md": _models_and_sensors(),
    }
    return {name: re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n" for name, text in made.items()}


def _command_line() -> str:
    parts = [
        "# Command line",
        _MARK,
        "`geoseg COMMAND --help` prints the same. Errors are three lines: given, expected, to do.",
    ]
    root = typer.main.get_command(_app())
    for words, command in _commands(root, ()):
        parts += [f"## {' '.join(('geoseg', *words))}", prose(command.help or ""), *_command(words, command)]
    rows = [(str(status), words, _error_names(status)) for status, words in _STATUSES.items()]
    parts += ["## Exit status", table(("status", "meaning", "errors"), rows)]
    rows = [
        (f"`GEOSEG_{name.upper()}`", one_line(field.description), _option(name))
        for name, field in Settings.model_fields.items()
    ]
    parts += [
        "## Environment variables",
        "An option on the command line goes before the variable.",
        table(("variable", "meaning", "option"), rows),
        "Of others, where they are set:",
        table(("variable", "meaning"), [(f"`{name}`", words) for name, words in _VARIABLES.items()]),
    ]
    return "\n\n".join(parts)


def _commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Commands with what they are called by; Any: typer has no public names for them."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*words, name))
    if not hasattr(command, "commands"):
        yield words, command


def _command(words: tuple[str, ...], command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if not p.opts[0].startswith("--")]
    options = [p for p in command.params if p.opts[0].startswith("--") and p.name != "help"]
    usage = [p.name.upper() if p.required else f"[{p.name.upper()}]" for p in arguments]
    yield f"```text\n{' '.join(('geoseg', *words, *usage, '[OPTIONS]'))}\n```"
    if arguments:
        yield table(("argument", "meaning"), [(f"`{p.name.upper()}`", one_line(p.help)) for p in arguments])
    hints = inspect.signature(command.callback, eval_str=True).parameters
    groups: dict[str, list[tuple[str, str]]] = {}
    for p in options:
        value = "" if p.is_flag else " " + _value(hints[p.name].annotation)
        shown = one_line(p.help) + (" May be repeated." if p.multiple and "repeat" not in p.help else "")
        groups.setdefault(getattr(p, "rich_help_panel", None) or "", []).append((f"`{p.opts[0]}{value}`", shown))
    for title, rows in groups.items():
        yield table((title or "option", "meaning"), rows)


def _value(annotation: Any) -> str:
    text = str(typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation)
    return "NUMBER" if re.search(r"float|int", text) else "PATH" if "Path" in text else "TEXT"


def _option(field: str) -> str:
    option = _OPTION_OF.get(field, field)
    known = inspect.signature(typer.main.get_command(_app()).commands["run"].callback).parameters  # type: ignore[attr-defined]  # a group
    return f"`--{option.replace('_', '-')}`" if option in known else ""


def _error_names(status: int) -> str:
    stops = errors.InterruptedRunError  # the only one whose status depends on its cause
    named = [e for e in _errors() if (status in (130, 143) if e is stops else e.exit_code == status)]
    return ", ".join(f"`{e.__name__}`" for e in named)


def _errors() -> list[Any]:
    """Error classes of geoseg, the base first."""
    return [e for _, e in inspect.getmembers(errors, inspect.isclass) if issubclass(e, errors.GeosegError)]


def _python() -> str:
    parts = [
        "# Python",
        _MARK,
        "`import geoseg` has these names; it loads neither torch nor rasterio.",
        *function_words("geoseg.run", geoseg.run),
        *class_words("geoseg.Result", geoseg.Result),
        "## geoseg.JobSpec",
        prose(docstring(JobSpec)),
        "What is not given comes from the workflow: in `geoseg.run`, in `JobSpec.build` and on the command line.",
        _fields(JobSpec),
        *member_words("JobSpec", JobSpec, ("build", "key", "region")),
        "## geoseg.Settings",
        prose(docstring(Settings)),
        _fields(Settings),
        *member_words("Settings", Settings, ("with_options",)),
        *class_words("geoseg.GeosegError", errors.GeosegError),
        "The errors below it, all in `geoseg.errors`, with the exit status that the command line makes of them:",
        "```\n" + _tree() + "\n```",
        table(
            ("error", "what it means"),
            [(f"`{e.__name__}`", first_line(e)) for e in _errors() if e is not errors.GeosegError],
        ),
    ]
    return "\n\n".join(parts)


def _tree() -> str:
    lines = (errors.__doc__ or "").splitlines()
    return inspect.cleandoc("\n".join(line for line in lines if line.startswith("    ")))


def _outputs() -> str:
    kinds = [(f"`{name}`", title, _WHEN.get(name, "always")) for name, (_, _, title, _) in item._KINDS.items()]  # noqa: SLF001  # the titles of the item
    kinds += [
        (
            "`item.json`",
            "STAC item of the map: sources, model, licences, versions, settings, checksums of the files",
            "always",
        ),
        (
            "`job/`",
            "The job and the items that its first run found, so that the same command goes on with them",
            "always",
        ),
        ("`YYYY-MM-DD/`", "All of these for one date", "`--composite per-date`"),
        ("`collection.json`", "STAC collection over the dates", "`--composite per-date`"),
    ]
    listed = dict(sections(docstring(areas.AreaRow)))["Attributes"]
    columns = [("class" if name == "index" else name, text) for name, text in listed]
    parts = [
        "# Files of a run",
        _MARK,
        "What lies in `--out`. A file is whole or absent: it gets its name when it is finished.",
        table(("file", "what", "when"), kinds),
        "Pixels of `classes.tif` are classes 0 to 250, 254 where something failed, 255 nodata; all other rasters are percent, 255 where there is no class.",
        "## polygons.*",
        table(("column", "meaning"), [(f"`{name}`", text) for name, text in _COLUMNS.items()]),
        "Of a change map, which has no polygons where nothing changed, also:",
        table(("column", "meaning"), [(f"`{name}`", text) for name, text in _CHANGE_COLUMNS.items()]),
        "## areas.csv",
        "A line for each class, in all and in each feature of the region.",
        table(("column", "meaning"), [(f"`{name}`", text) for name, text in columns]),
        "## report.json",
        prose(record.__doc__ or ""),
        (
            "With `--composite per-date` the folder of each date has a report like this; the one above them has the key `dates`, a line for each, and "
            "adds up tiles and pixels."
        ),
        *_record(record.Record),
    ]
    return "\n\n".join(parts)


def _record(model: type[BaseModel]) -> Iterator[str]:
    """The fields of the record, then those of its parts."""
    inner: list[type[BaseModel]] = []
    rows = []
    for name, field in model.model_fields.items():
        part = next((t for t in _inside(field.annotation) if isinstance(t, type) and issubclass(t, BaseModel)), None)
        if part is not None and part not in inner:
            inner.append(part)
        link = f" [{part.__name__}](#{part.__name__.lower()})" if part else ""
        rows.append(
            (
                f"`{name}`",
                f"`{_json_type(field.annotation)}`"
                if part is None
                else f"{'list of' if _is_list(field.annotation) else ''}{link}".strip(),
                one_line(field.description),
            )
        )
    yield f"### {model.__name__}"
    yield prose(docstring(model))
    yield table(("field", "type", "meaning"), rows)
    for part in inner:
        yield from _record(part)


def _inside(annotation: Any) -> list[Any]:
    parts = [a for a in typing.get_args(annotation) if a is not ...]
    return [x for part in parts for x in _inside(part)] if parts else [annotation]


def _is_list(annotation: Any) -> bool:
    return typing.get_origin(annotation) is tuple


def _models_and_sensors() -> str:
    rows = [(f"`{s.name}`", s.title, f"`{s.quantity}`", ", ".join(s.aliases)) for s in scenes.SENSORS.values()]
    operations = [(f"`{op}`", ", ".join(f"`{p}`" for p in parameters)) for op, parameters in steps.OPERATIONS.items()]
    parts = [
        "# Models and sensors",
        _MARK,
        "How to use them: [a model of your own](../howto/own-model.md), [plug-ins](../howto/plug-ins.md).",
        "## Sensors",
        "What `--sensor` takes, and the names of the bands that a model may read.",
        table(("sensor", "what it is", "numbers are", "bands"), rows),
        "## Input steps",
        "Operations of `geoseg.models.Step` with their parameters: one number for all bands, or one for each; those with a `?` may be left out.",
        table(("operation", "parameters"), operations),
    ]
    for name, thing in _MODEL_CLASSES.items():
        parts += class_words(name, thing)
    parts += function_words("geoseg.models.saving.save_model", save_model)
    for name, thing in _PLUGIN_CLASSES.items():
        parts += class_words(name, thing)
    return "\n\n".join(parts)


def _fields(model: type[BaseModel]) -> str:
    is_settings = issubclass(model, Settings)
    rows = []
    for name, field in model.model_fields.items():
        default = (
            "required"
            if field.is_required()
            else "of the machine"
            if field.default is PydanticUndefined
            else f"`{field.default!r}`"
        )
        rows.append((f"`{name}`", f"`{_type(field.annotation)}`", default, one_line(field.description), _option(name)))
    names = ("field", "type", "default", "meaning", "option")
    return table(names, rows) + ("\n\nEach may be set by the variable `GEOSEG_…` of its name." if is_settings else "")


def _type(annotation: Any) -> str:
    text = annotation.__name__ if isinstance(annotation, type) and not typing.get_args(annotation) else str(annotation)
    text = re.sub(r"typing\.|pathlib\.|pathlib\._local\.|datetime\.|geoseg\.[a-z_.]*", "", text)
    return text.replace("NoneType", "None")


def _json_type(annotation: Any) -> str:
    """The type that a program finds in the file."""
    names = {"Text": "str", "Href": "str", "Json": "dict", "Count": "int", "Path": "str"}
    text = re.sub(r"\b(Text|Href|Json|Count|Path)\b", lambda found: names[found[0]], _type(annotation))
    text = re.sub(r"(pydantic\.types\.)?AwareDatetime", "ISO 8601", text)
    return re.sub(r"tuple\[(\w+), \.\.\.\]", r"list[\1]", text).replace("tuple", "list")


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        sys.stdout.write(f"{FOLDER.name}/{name}\n")
    make_faults.main()


if __name__ == "__main__":
    main()
