"""An assessment as files: ``assessment.json``, ``assessment.csv`` and a page that opens without a network."""

from __future__ import annotations

import csv
from functools import partial
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from geoseg.assessment.judging import Assessment, ClassAccuracy, Share
from geoseg.outputs.files import whole_file
from geoseg.outputs.report import page_policy
from geoseg.outputs.report_text import FILTERS

JSON, TABLE, PAGE = "assessment.json", "assessment.csv", "assessment.html"

_UNITS = (("km²", 1e6), ("ha", 1e4), ("m²", 1.0))


def write_assessment(folder: Path, found: Assessment) -> list[Path]:
    """Write the three files, which replace those of an earlier assessment.

    Raises:
        OutputError: If one could not be written whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / JSON) as temporary:
        temporary.write_text(found.model_dump_json(indent=2) + "\n", encoding="utf-8")
    with whole_file(folder / TABLE) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(_table(found))
    with whole_file(folder / PAGE) as temporary:
        temporary.write_text(render_page(found), encoding="utf-8")
    return [folder / name for name in (JSON, TABLE, PAGE)]


def unit_of(found: Assessment) -> tuple[str, float]:
    """Unit that suits the areas, and how many square metres (or pixels) it has."""
    if found.unit == "px":
        return "px", 1.0
    return next((unit for unit in _UNITS if found.total_area >= 100 * unit[1]), _UNITS[-1])


def amount(value: float, unit: tuple[str, float]) -> str:
    """An area in a unit."""
    number = value / unit[1]
    return f"{number:,.0f} {unit[0]}" if number >= 1000 or unit[0] == "px" else f"{number:.4g} {unit[0]}"


def render_page(found: Assessment) -> str:
    """The page: numbers, bars and the matrix, nothing from elsewhere."""
    css = _own("geoseg.outputs", "report.css")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(partial(_own, "geoseg.assessment")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    unit = unit_of(found)
    environment.filters.update({**FILTERS, "amount": partial(amount, unit=unit)})
    largest = max(max(row.area.high, row.mapped_area) for row in found.classes)
    return environment.get_template("assessment.html").render(
        it=found,
        css=css,
        csp=page_policy(css),
        widest=largest or 1.0,
        percents=[[f"{100 * value:.2f}" for value in row] for row in found.matrix_shares],
        json=found.model_dump_json(indent=2),
    )


def _own(package: str, name: str) -> Markup:
    """A file of the package: the only text that enters the page as it is."""
    text = resources.files(package).joinpath("templates", name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704  # not from data


def _table(found: Assessment) -> list[list[object]]:
    shares = ("users_accuracy", "producers_accuracy")
    parts = ("value", "margin", "low", "high")
    names = [f"{share}{'' if part == 'value' else '_' + part}" for share in shares for part in parts]
    areas = [f"area_{found.unit}{'' if part == 'value' else '_' + part}" for part in parts]
    head: list[object] = ["class", "code", "name", "samples_map", "samples_label", f"mapped_area_{found.unit}"]
    return [[*head, *areas, *names], *([*_row(row)] for row in found.classes)]


def _row(row: ClassAccuracy) -> list[object]:
    def numbers(share: Share | None) -> list[object]:
        return [""] * 4 if share is None else [share.value, share.margin, share.low, share.high]

    plain = ["" if value is None else value for value in (row.index, row.code)]
    area = [row.area.value, row.area.margin, row.area.low, row.area.high]
    counts = [row.mapped_samples, row.labelled_samples, row.mapped_area]
    return [*plain, row.name, *counts, *area, *numbers(row.users_accuracy), *numbers(row.producers_accuracy)]
