"""``evaluation.html``: a record on one page that opens without a network, in the style of a map's report."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from geoseg.evaluation import tables
from geoseg.evaluation.record import EvaluationRecord, ModelFacts
from geoseg.outputs.files import whole_file
from geoseg.outputs.report_text import FILTERS

#: Class sizes up to which a confusion matrix is drawn; larger ones are in the record.
_MOST_DRAWN = 40


def render_page(record: EvaluationRecord) -> str:
    """The page."""
    css = _own("geoseg.outputs", "report.css") + _own("geoseg.evaluation", "evaluation.css")
    values: Mapping[str, Any] = {  # for the template, which takes what it is given
        "record": record,
        "title": record.data.title or "Evaluation",
        "headers": tables.HEADERS,
        "models": tables.model_rows(record),
        "classes": tables.class_rows(record),
        "groups": tables.group_rows(record) if len(record.data.groups) > 1 else [],
        "names": [model.name for model in record.models],
        "matrices": [_matrix(model, record.data.classes) for model in record.models],
        "curves": [(model.name, model.reliability.ece, _curve(model)) for model in record.models],
        "sets": [model for model in record.models if model.class_sets is not None],
        "number": tables.in_words,
        "record_json": record.model_dump_json(indent=1),
        "css": css,
        "csp": f"default-src 'none'; style-src {_hash(css)}; base-uri 'none'; form-action 'none'",
    }
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: _own("geoseg.evaluation", name)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment.get_template("evaluation.html").render(values)


def write_page(path: Path, record: EvaluationRecord) -> Path:
    """Writes the page.

    Raises:
        OutputError: If the file could not be written whole.
    """
    page = render_page(record)
    with whole_file(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path


def write_json(path: Path, record: EvaluationRecord) -> Path:
    """Writes the record.

    Raises:
        OutputError: If the file could not be written whole.
    """
    with whole_file(path) as temporary:
        temporary.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


def _matrix(model: ModelFacts, classes: tuple[str, ...]) -> dict[str, Any] | None:  # for the template
    """Rows of a confusion matrix with the share of each cell in its row."""
    if len(classes) > _MOST_DRAWN:
        return None
    rows = []
    for name, counts in zip(classes, model.confusion, strict=True):
        total = sum(counts)
        rows.append((name, total, [(count, count / total if total else 0.0) for count in counts]))
    return {"name": model.name, "columns": (*classes, "none of them"), "rows": rows}


def _curve(model: ModelFacts) -> list[tuple[float, float, float]]:
    """Confidence, accuracy and share of the pixels of each bin."""
    total = max(1, sum(one.pixels for one in model.reliability.bins))
    return [(one.confidence, one.accuracy, one.pixels / total) for one in model.reliability.bins]


def _own(package: str, name: str) -> Markup:
    """A file of the package: the only text that enters the page as it is."""
    text = resources.files(package).joinpath("templates", name).read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704  # not from data


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
