"""The reference says what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import make_reference as reference

from geoseg import errors
from geoseg.models import ClassInfo
from geoseg.outputs import item
from geoseg.outputs.vector import _Legend

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_pages_are_those_of_the_code():
    there = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md")}
    made = reference.pages()
    stale = sorted({*there, *made} - {name for name in made if there.get(name) == made[name]})
    assert stale == [], "docs/reference is not what the code says: run `make reference` and commit what it writes"


def test_every_exit_status_and_error_is_named():
    statuses = {error.exit_code for error in reference._errors()} | {0, 130, 143}
    assert set(reference._STATUSES) == statuses
    missing = [error.__name__ for error in reference._errors() if error.__name__ not in errors.__doc__]
    assert missing == []


def test_every_variable_that_is_read_is_named():
    text = "".join(path.read_text(encoding="utf-8") for path in (DOCS.parent / "geoseg").rglob("*.py"))
    read = set(re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"", text)) | {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}
    page = reference.pages()["command-line.md"]
    assert read
    assert [name for name in read if f"`{name}`" not in page] == []


def test_every_file_and_column_is_named():
    page = reference.pages()["outputs.md"]
    assert [name for name in item._KINDS if f"| `{name}` |" not in page] == []
    columns = _Legend([ClassInfo(0, "water", "#0000ff", code=10)]).schema.names
    assert list(reference._COLUMNS) == columns
