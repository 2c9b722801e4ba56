"""What the command line says: help that names every value, amounts that fit, one line for what repeats."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from geoseg.cli.progress import show_progress
from geoseg.cli.run import RENAMED, _judge_failures, run_command
from geoseg.cli.show import area_words, show_after
from geoseg.errors import FailedPixelsError
from geoseg.outputs.vector import GEOJSON_LIMIT
from geoseg.result import Result
from geoseg.scenes import SENSORS
from geoseg.settings import Settings
from geoseg.spec import JobSpec, list_workflows

REPORT: dict[str, Any] = {
    "classes": [{"index": 0, "name": "water"}, {"index": 1, "name": "land"}],
    "areas": [
        {"feature": "all", "index": 0, "pixels": 3, "area_m2": 37.5, "share": 0.0004},
        {"feature": "all", "index": 1, "pixels": 8000, "area_m2": 98_000.0, "share": 0.9996},
        {"feature": "a", "index": 1, "pixels": 8000, "area_m2": 98_000.0, "share": 0.9996},
    ],
    "tiles": {"computed": 1, "reused": 0},
    "pixels": {
        "aoi": 8003, "total": 9000, "outside_aoi": 997, "nodata_unobserved": 0, "nodata_masked": 0, "failed": {},
        "near_failed": 0,
    },
    "scenes_skipped": [],
    "warnings": [],
    "outputs": [{"path": "classes.tif"}, {"path": "polygons.parquet"}],
    "polygons": {"count": 12},
}  # fmt: skip


def after(capsys: pytest.CaptureFixture[str], **changes: Any) -> list[str]:
    show_after(Result(Path("map"), {**REPORT, **changes}))
    return capsys.readouterr().err.splitlines()


def help_of(option: str) -> str:
    parameter = inspect.signature(run_command, eval_str=True).parameters[option]
    return next(entry.help for entry in get_args(parameter.annotation) if hasattr(entry, "help"))


def test_the_help_of_an_option_names_its_values():
    fields = {**JobSpec.model_fields, **Settings.model_fields}
    found = {"sensor": set(SENSORS), "workflow": set(list_workflows())}
    for option in inspect.signature(run_command).parameters:
        annotation = (
            str(fields[RENAMED.get(option, option)].annotation) if RENAMED.get(option, option) in fields else ""
        )
        literal = re.search(r"Literal\[(.*?)\]", annotation)
        if literal:
            found[option] = set(re.findall(r"'(.*?)'", literal[1]))
    assert {"composite", "format", "device", "backend"} < found.keys()
    for option, values in found.items():
        assert all(re.search(rf"\b{re.escape(value)}\b", help_of(option)) for value in values), option


def test_the_help_of_an_option_names_its_default():
    for option, parameter in inspect.signature(run_command, eval_str=True).parameters.items():
        if get_args(parameter.annotation)[0] is not bool:
            assert "default" in help_of(option).lower(), option
    assert f"{GEOJSON_LIMIT:,}" in help_of("format")


@pytest.mark.parametrize(
    ("area_m2", "words"),
    [(37.5, "37.50 m2"), (0.0, "0.00 m2"), (0.001, "< 0.01 m2"), (98_000, "9.80 ha"), (2.5e9, "2,500 km2")],
)
def test_an_area_has_the_unit_that_fits_it(area_m2, words):
    assert area_words(area_m2) == words


def test_no_class_is_said_and_no_empty_table_is_shown(capsys):
    lines = after(capsys)
    assert [line.split()[:3] for line in lines[:3]] == [
        ["class", "area", "share"], ["water", "37.50", "m2"], ["land", "9.80", "ha"]
    ]  # fmt: skip
    nothing = after(capsys, areas=[{**row, "pixels": 0, "area_m2": 0.0, "share": 0.0} for row in REPORT["areas"]])
    assert not any(line.split()[:2] == ["class", "area"] for line in nothing)
    assert "no pixel" in nothing[0]


def test_what_repeats_is_one_line_with_a_number(capsys):
    skipped = [{"id": f"S2_{number}", "reason": "lies elsewhere"} for number in range(40)]
    warnings = ["no cloud mask", *(f"could not be read: {number}.tif: torn" for number in range(40)), "last"]
    lines = after(capsys, scenes_skipped=[{"id": "X", "reason": "no band"}, *skipped], warnings=warnings)
    told = [line for line in lines if line.startswith("not used")]
    assert told[0] == "not used: X: no band"
    assert len(told) == 2
    assert "40 scenes (S2_0, S2_1, S2_2, …)" in told[1]
    notes = [line for line in lines if line.startswith("note:")]
    assert [notes[0], notes[-1]] == ["note: no cloud mask", "note: last"]
    assert len(notes) == 6
    assert "37 more" in notes[-2]


def test_the_polygons_are_where_the_files_are(capsys):
    (line,) = [line for line in after(capsys) if line.startswith("polygons: 12, in polygons.parquet")]
    assert "--format geojson" in line  # there were too many for it
    more = [*REPORT["outputs"], {"path": "polygons.geojson"}]
    assert "polygons: 12, in polygons.parquet and polygons.geojson" in after(capsys, outputs=more)


def progress_of(capsys: pytest.CaptureFixture[str], *reused: bool) -> str:
    with show_progress(quiet=False) as progress:
        progress.tiles(len(reused), 100 * len(reused))
        for was in reused:
            progress.tile_done(100, reused=was, place=(0, 0))
    return capsys.readouterr().err.splitlines()[-1]


def test_reused_tiles_have_no_speed(capsys):
    assert progress_of(capsys, True, True) == "2/2 tiles (all reused)"
    assert re.fullmatch(r"2/2 tiles \(1 reused\), \d+\.\d\d Mpx/s", progress_of(capsys, True, False))
    assert re.fullmatch(r"2/2 tiles, \d+\.\d\d Mpx/s", progress_of(capsys, False, False))


def test_loading_the_network_is_no_part_of_the_speed(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with show_progress(quiet=False) as progress:
        progress.tiles(1, 2_000_000)
        now[0] = 100.0
        progress.stage("computing tiles")
        now[0] = 104.0
        progress.tile_done(2_000_000, reused=False, place=(0, 0))
    assert capsys.readouterr().err.splitlines()[-1] == "1/1 tiles, 0.50 Mpx/s"


def test_failed_pixels_are_sent_to_the_files_or_to_the_model():
    def refused(failed: dict[str, int], allowed: float = 0.0) -> FailedPixelsError:
        report = {"pixels": {"aoi": 100, "failed": failed}}
        with pytest.raises(FailedPixelsError) as error:
            _judge_failures(Result(Path("map"), report), allowed)
        return error.value

    read, model = refused({"read": 3}), refused({"model": 4, "read": 0})
    assert "replace or fetch" in read.todo
    assert "report.html" in read.todo
    assert "same command" in read.todo
    assert "model" not in read.todo
    assert "replace" not in model.todo
    assert "another model" in model.todo
    assert "3.000%" in read.given
    _judge_failures(Result(Path("map"), {"pixels": {"aoi": 100, "failed": {"read": 3}}}), 0.03)
