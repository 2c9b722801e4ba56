"""Labels as they come back from a GIS or a spreadsheet.

What these programs do to a table is taken: other delimiters, encodings and orders of rows and columns, further columns,
empty rows, numbers as ``3.0``. A label that nobody can mean is refused, and so is a row that was not drawn.
"""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyogrio
from pyogrio import errors as faults

from geoseg.assessment.design import DESIGN, Design, LabelClass
from geoseg.assessment.labelling import CSV, GPKG
from geoseg.errors import RequestError

_SHOWN = 5
_EMPTY = frozenset({"", "null", "none", "nan", "na", "n/a", "?"})
_FAULTS = (faults.DataSourceError, faults.DataLayerError)

type Rows = Iterator[tuple[object, object]]


def read_labels(path: Path, design: Design) -> dict[int, int]:
    """Labels of a sample: id to the position of the class in ``design.classes``. Samples without a label are left out.

    Args:
        path: A GeoPackage, a CSV, or the folder of both, of which the one with labels is taken.
        design: The sample.

    Raises:
        RequestError: If a label or an id is unknown, a sample has two labels, or none has one.
    """
    if not path.is_dir():
        return _read(path, design)
    found = {name: labels for name in (GPKG, CSV) if (path / name).is_file() if (labels := _read(path / name, design))}
    if not found:
        raise RequestError(f"{path}, where no sample has a label", "labels", f"fill in {GPKG} or {CSV}, then report")
    if len(found) > 1 and found[GPKG] != found[CSV]:
        raise RequestError(
            f"{path} with other labels in {GPKG} than in {CSV}", "one file with the labels", "name the one that counts"
        )
    return next(iter(found.values()))


def find_design(labels: Path) -> Path:
    """Where the design of labels is, unless told: beside them."""
    return (labels if labels.is_dir() else labels.parent) / DESIGN


def _read(path: Path, design: Design) -> dict[int, int]:
    rows = _rows_of_text(path) if path.suffix.lower() in {".csv", ".tsv", ".txt"} else _rows_of_layer(path)
    known, drawn = _meanings(design.classes), {sample.id for sample in design.samples}
    labels: dict[int, int] = {}
    strange: list[str] = []
    unknown: list[str] = []
    for number, label in rows:
        text = _plain(label)
        if text in _EMPTY and text not in known:
            continue
        identifier = _whole(number)
        if identifier not in drawn:
            strange.append(str(number))
        elif text not in known:
            unknown.append(f"{label} (sample {identifier})")
        elif labels.setdefault(identifier, known[text]) != known[text]:
            raise RequestError(
                f"{path}: sample {identifier} with two labels", "one label for each", "correct the rows with that id"
            )
    if unknown:
        names = ", ".join(one.name for one in design.classes)
        raise RequestError(
            f"{path}: {_listed(unknown)}",
            f"one of {names}",
            "correct them, or draw with --also NAME for one more class",
        )
    if strange:
        raise RequestError(
            f"{path}: labels of {_listed(strange)}, which were not drawn",
            f"ids 1 to {len(design.samples)}, of {DESIGN}",
            "take the rows out: pixels that somebody chose would bend the estimate",
        )
    return labels


def _meanings(classes: Iterable[LabelClass]) -> Mapping[str, int]:
    """What may be written for a class: its name, or its number: the code where the legend has codes, else the index."""
    known: dict[str, int] = {}
    for position, one in enumerate(classes):
        number = one.index if one.code is None else one.code
        for text in (one.name, "" if number is None else str(number)):
            if text:
                known[_plain(text)] = position
    return known


def _plain(value: object) -> str:
    """A label without what programs add: spaces, capitals, ``3.0`` for 3; ``3 forest`` stays what it is."""
    text = " ".join(str("" if value is None else value).split()).casefold()
    match = re.fullmatch(r"(\d+)[.,]0*", text)
    return match[1] if match else text


def _whole(value: object) -> int:
    """A number as ``3``, ``3.0`` or ``3,0``; -1 for what is none."""
    text = _plain(value)
    return int(text) if text.isdecimal() else -1


def _listed(words: list[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def _rows_of_text(path: Path) -> Rows:
    try:
        data = path.read_bytes()
    except OSError as err:
        raise RequestError(f"{path}: {err.strerror}", "a file with labels", "check the path") from err
    encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")  # what spreadsheets on Windows write
    head = text.partition("\n")[0]
    if head.lower().startswith("sep="):  # a line for one of these spreadsheets
        text = text.partition("\n")[2]
        head = text.partition("\n")[0]
    delimiter = max(",;\t|", key=head.count)
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    return _chosen(path, table, table.fieldnames or ())


def _rows_of_layer(path: Path) -> Rows:
    """Rows of all layers that have the columns: a GIS may have put its own beside the first one."""
    try:
        names = [str(name) for name, _ in pyogrio.list_layers(path) if name != "layer_styles"]
        frames = [pyogrio.read_dataframe(path, layer=name, read_geometry=False) for name in names]
    except _FAULTS as err:
        raise RequestError(f"{path}: {err}", "a GeoPackage or a CSV with labels", "check the path") from err
    tables = [frame for frame in frames if not _missing(map(str, frame.columns))] or frames[:1]
    rows: list[Rows] = []
    for frame in tables:
        records: list[dict[str, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")
        rows.append(_chosen(path, records, [str(name) for name in frame.columns]))
    return itertools.chain.from_iterable(rows)


def _columns(names: Iterable[str]) -> dict[str, str]:
    return {" ".join(name.split()).casefold(): name for name in names if name}


def _missing(names: Iterable[str]) -> list[str]:
    columns = _columns(names)
    return [name for name in ("id", "label") if name not in columns]


def _chosen(path: Path, table: Iterable[Mapping[Any, Any]], names: Iterable[str]) -> Rows:
    """The columns ``id`` and ``label``, whatever their capitals."""
    columns = _columns(names)
    if missing := _missing(columns):
        raise RequestError(
            f"{path} without a column {missing[0]}", f"the columns of {CSV}, id and label among them", "bring it back"
        )
    return ((row[columns["id"]], row[columns["label"]]) for row in table)
