"""A result in a notebook: the map, its legend with areas, and what failed. One self-contained piece of HTML.

Whatever comes from data is escaped by the template engine; colours are checked to be colours. There is no script, and
no style but that of its own elements, so that nothing outside changes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from geoseg.outputs.areas import ALL
from geoseg.outputs.legend import FAILED_COLOUR, FAILED_NAME, rgba
from geoseg.outputs.report_text import amount, area_unit, count, percent

#: More pictures would make a notebook too heavy to open.
_PICTURES = 12
_NO_COLOUR = "#808080"


@dataclass(frozen=True, slots=True)
class NotebookMap:
    """One map to show.

    Attributes:
        date: Its date; "" where it is the only one.
        out: Its folder.
        report: Content of its ``report.json``; parts that are missing are not shown.
    """

    date: str
    out: Path
    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the legend: name, ``#rrggbb``, area and share in words."""

    name: str
    colour: str
    area: str
    share: str


@dataclass(frozen=True, slots=True)
class _View:
    """What the template shows of a map; ``picture`` is base64, "" where there is none."""

    date: str
    picture: str
    rows: Sequence[_Row]
    pixels: Sequence[str]


def notebook_view(out: Path, maps: Sequence[NotebookMap], warnings: Sequence[str] = ()) -> str:
    """The view of a result.

    Args:
        out: Its folder.
        maps: One, or one for each date; beyond the first twelve without a picture.
        warnings: What to know of all of them.
    """
    title = next((entry.report["model"]["title"] for entry in maps if "model" in entry.report), "")
    views = [_view(entry, shown=number < _PICTURES) for number, entry in enumerate(maps)]
    return _template().render(title=title, place=str(out), views=views, warnings=warnings)


def _view(entry: NotebookMap, *, shown: bool) -> _View:
    file = entry.out / "preview.png"
    picture = base64.b64encode(file.read_bytes()).decode() if shown and file.is_file() else ""
    return _View(entry.date, picture, _rows(entry.report), _pixels(entry.report))


def _rows(report: Mapping[str, Any]) -> list[_Row]:
    """Classes of the whole region, the largest first; those without a pixel are left out."""
    classes = {line["index"]: line for line in report.get("classes", ())}
    found = [row for row in report.get("areas", ()) if row["feature"] == ALL and row["pixels"]]
    unit, factor = area_unit(sum(row["area_m2"] or 0 for row in found))
    rows = []
    for row in sorted(found, key=lambda row: -row["pixels"]):
        area = f"{count(row['pixels'])} px" if row["area_m2"] is None else f"{amount(row['area_m2'] / factor)} {unit}"
        line = classes[row["index"]]
        rows.append(_Row(line["name"], _colour(line["colour"]), area, percent(row["share"])))
    failed = sum(report.get("pixels", {}).get("failed", {}).values())
    if failed:
        rows.append(_Row(FAILED_NAME, FAILED_COLOUR, f"{count(failed)} px", ""))
    return rows


def _pixels(report: Mapping[str, Any]) -> list[str]:
    """Shares of the region that failed, always, and that have no data, where there are any."""
    if "pixels" not in report:
        return []
    pixels = report["pixels"]
    inside = max(1, pixels["aoi"])
    empty = pixels["nodata_unobserved"] + pixels["nodata_masked"]
    said = [f"failed {percent(sum(pixels['failed'].values()) / inside)} of the region"]
    return said + ([f"no data {percent(empty / inside)}"] if empty else [])


def _colour(text: str) -> str:
    """A colour that is one: it goes into a style."""
    try:
        rgba(text)
    except ValueError:
        return _NO_COLOUR
    return text


@cache
def _template() -> jinja2.Template:
    text = resources.files("geoseg.outputs").joinpath("templates", "notebook.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(text)
