"""Labels as programs give them back: what is tolerated, and what is refused in three lines."""

from __future__ import annotations

import csv
import sqlite3

import geopandas as gpd
import numpy as np
import pytest

from geoseg.assessment import Design, Wish, assess_map, plan_sample, read_labels, write_sample
from geoseg.errors import GeosegError, OutputOccupiedError, RequestError
from tests.assessment.finished_maps import UTM, finished_map

CODES = (80, 10, 30)


@pytest.fixture
def drawn(tmp_path):
    mapped = np.repeat(np.arange(3, dtype=np.uint8), UTM.shape[0] // 3)[:, None] + np.zeros((1, UTM.shape[1]), np.uint8)
    finished = finished_map(tmp_path / "map", mapped, UTM, codes=CODES)
    design = plan_sample(finished, Wish(samples=30, least=10, more_classes=("bog",)))
    write_sample(tmp_path / "sample", design)
    return tmp_path / "sample", design, finished


def wanted(design):
    return {one.id: design.strata[one.stratum].class_index for one in design.samples}


def write(path, design, text=lambda one: one, delimiter=",", encoding="utf-8", head=("id", "label"), more=""):
    names = [one.name for one in design.classes]
    rows = [(one.id, text(names[wanted(design)[one.id]])) for one in design.samples]
    lines = [delimiter.join(head), *(delimiter.join(map(str, row)) for row in rows)]
    path.write_bytes((more + "\r\n".join(lines)).encode(encoding))
    return path


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"delimiter": ";", "encoding": "utf-8-sig"},
        {"delimiter": "\t", "encoding": "utf-16"},
        {"delimiter": ";", "encoding": "cp1252", "head": ("ID ", " Label")},
        {"text": str.upper},
        {"text": lambda name: f"  {name} "},
        {"text": lambda name: str(dict(zip(("water", "forest", "grass"), CODES, strict=True))[name])},
        {"text": lambda name: f"{dict(zip(('water', 'forest', 'grass'), CODES, strict=True))[name]}.0"},
        {"delimiter": ";", "more": "sep=;\n"},
    ],
)
def test_what_spreadsheets_do_is_taken(drawn, how):
    folder, design, _ = drawn
    assert read_labels(write(folder / "mine.csv", design, **how), design) == wanted(design)


def test_rows_may_come_in_any_order_with_gaps_and_more_columns(drawn):
    folder, design, _ = drawn
    labels = wanted(design)
    with (folder / "sample.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["label"] = design.classes[labels[int(row["id"])]].name if int(row["id"]) != 7 else ""
    rows = [{"who": "me", **row, "id": f"{row['id']}.0"} for row in reversed(rows)]
    rows.insert(3, dict.fromkeys(rows[0], ""))
    with (folder / "sample.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, rows[0])
        table.writeheader()
        table.writerows(rows)
    found = read_labels(folder, design)  # of the two files the one with labels
    assert found == {number: label for number, label in labels.items() if number != 7}


def test_labels_of_a_gis_are_read_from_the_same_file(drawn):
    folder, design, _ = drawn
    frame = gpd.read_file(folder / "sample.gpkg", layer="sample")
    assert frame.crs == "EPSG:32633"
    assert frame["label"].isna().all()
    assert not {"stratum", "class", "name"} & set(frame.columns)  # whoever labels must not know
    middle = frame.geometry.centroid
    one = design.samples[0]
    assert (middle.x[0], middle.y[0]) == (500_000 + 10 * one.col + 5, 5_000_000 - 10 * one.row - 5)
    with sqlite3.connect(folder / "sample.gpkg") as database:
        (form,) = database.execute("SELECT styleQML FROM layer_styles WHERE f_table_name = 'sample'").fetchone()
    assert all(f'value="{entry.name}"' in form for entry in design.classes)
    frame["label"] = [design.classes[wanted(design)[number]].name for number in frame["id"]]
    frame.loc[4, "label"] = "bog"
    frame.iloc[::-1].to_file(folder / "sample.gpkg", layer="edited in a GIS", driver="GPKG", mode="w")
    assert read_labels(folder / "sample.gpkg", design) == {**wanted(design), int(frame["id"][4]): 3}


def test_what_nobody_can_mean_is_refused_in_three_lines(drawn):
    folder, design, finished = drawn
    cases = {
        "id,label\n1,forrest\n2,water\n": "forrest (sample 1)",
        "id,label\n99,water\n": "labels of 99",
        "id,label\n1,water\n1,grass\n": "sample 1 with two labels",
        "number,label\n1,water\n": "without a column id",
        "id,label\n1,3\n": "3 (sample 1)",  # the legend has codes
    }
    for text, words in cases.items():
        path = folder / "mine.csv"
        path.write_text(text)
        with pytest.raises(RequestError) as refused:
            read_labels(path, design)
        assert words in refused.value.given
        assert len(str(refused.value).splitlines()) == 3
    for path in (folder / "nothing.csv", folder / "nothing.gpkg", folder):  # the files of the folder are empty yet
        with pytest.raises(RequestError):
            read_labels(path, design)
    with pytest.raises(RequestError, match="fewer than 2 of them in"):
        assess_map(finished, design, dict(list(wanted(design).items())[:3]))


def test_two_files_that_differ_are_refused(drawn):
    folder, design, _ = drawn
    write(folder / "sample.csv", design)
    frame = gpd.read_file(folder / "sample.gpkg", layer="sample")
    frame["label"] = "water"
    frame.to_file(folder / "sample.gpkg", layer="sample", driver="GPKG", mode="w")
    with pytest.raises(RequestError, match="other labels"):
        read_labels(folder, design)


def test_a_sample_is_never_written_over_and_its_design_is_read_back(drawn):
    folder, design, _ = drawn
    with pytest.raises(OutputOccupiedError):
        write_sample(folder, design)
    assert Design.read(folder / "sample.json") == design
    (folder / "sample.json").write_text("{}")
    with pytest.raises(GeosegError, match=r"sample\.json"):
        Design.read(folder / "sample.json")
