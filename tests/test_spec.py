"""What to make: the spec's key, workflows, the time range, and the words of the command line."""

from __future__ import annotations

import datetime as dt
import inspect
import json
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
import yaml
from pydantic import ValidationError

from geoseg.change.detectors import DETECTORS
from geoseg.cli import _app
from geoseg.cli.run import RENAMED, _read_options, run_command
from geoseg.errors import RequestError
from geoseg.settings import Settings
from geoseg.spec import POST_CLASSIFICATION, DetectorName, JobSpec, list_workflows, load_workflow, option_of
from geoseg.timerange import last_twelve_months

BOX = "9,47,9.1,47.1"
TRIANGLE: dict[str, Any] = {"type": "Polygon", "coordinates": [[[9.0, 47.0], [9.1, 47.0], [9.1, 47.1], [9.0, 47.0]]]}
EXAMPLE: dict[str, Any] = {
    "type": "FeatureCollection",
    "features": [{"type": "Feature", "properties": {"prompt": "example"}, "geometry": TRIANGLE}],
}
BASE: dict[str, Any] = {"aoi": BOX, "model": "m", "scenes": ("a.tif",)}
# Two values for each field. A field that is missing here fails test_every_field_is_tried.
OTHERS: dict[str, Any] = {
    "workflow": ("landcover", "demo"),
    "aoi": (BOX, "9,47,9.1,47.2"),
    "model": ("m", "n"),
    "catalog": (None, "catalog.json"),
    "collection": (None, "sentinel-2-l2a"),
    "scenes": (("a.tif",), ("b.tif",)),
    "scenes_before": (("a.tif",), ("c.tif",)),
    "scenes_after": (("b.tif",), ("c.tif",)),
    "sensor": (None, "rgb"),
    "pixel_grid": (False, True),
    "profile": ("exact", "bf16"),
    "bands": (("red", "green"), ("green", "red")),
    "scale": (None, 1e-4),
    "offset": (None, -0.1),
    "datetime": (None, "2022-01-01/2022-06-30"),
    "before": ("2022-05", "2022-06"),
    "after": ("2023-05", "2023-06"),
    "detector": ("ir-mad", "difference"),
    "fit": ("scene", "aoi"),
    "align": ("correct", "measure"),
    "drop_thin": (False, True),
    "max_cloud": (None, 0.5),
    "composite": ("first", "median"),
    "prompt": (("river",), ("river", "forest, trees")),
    "example": (None, TRIANGLE),
    "without": ((), ("gate",)),
    "legend": (None, "worldcover"),
    "resolution": (None, 10.0),
    "crs": (None, "EPSG:32632"),
    "like": (None, "map"),
    "format": (("parquet",), ("parquet", "geojson")),
    "layers": ((), ("entropy",)),
    "min_area_m2": (0.0, 1000.0),
    "simplify_m": (0.0, 5.0),
    "evidence": (None, "landslide"),
    "dem": (None, "dem.tif"),
    "comment": (None, "toy"),
}


# What a field cannot be without.
RASTERS: dict[str, Any] = {"scenes": (), "scenes_before": ("a.tif",), "scenes_after": ("b.tif",), "detector": "ir-mad"}
RANGES: dict[str, Any] = {"scenes": (), "before": "2022-05", "after": "2023-05", "detector": "ir-mad"}
WITH: dict[str, Any] = {
    "without": {"prompt": ("river",)},
    "dem": {"evidence": "landslide"},
    "comment": {"evidence": "landslide"},
    **dict.fromkeys(("scenes_before", "scenes_after", "detector", "fit", "align", "drop_thin", "max_cloud"), RASTERS),
    **dict.fromkeys(("before", "after"), RANGES),
}


def test_every_field_is_tried():
    assert set(OTHERS) == set(JobSpec.model_fields)


@pytest.mark.parametrize("name", OTHERS)
def test_equal_specs_have_equal_keys_and_every_field_changes_the_key(name):
    one, other = OTHERS[name]
    base = BASE | WITH.get(name, {})
    assert JobSpec(**{**base, name: one}).key == JobSpec(**{**base, name: one}).key
    assert JobSpec(**{**base, name: one}).key != JobSpec(**{**base, name: other}).key


@pytest.mark.parametrize("name", OTHERS)
def test_a_spec_survives_json(name):
    spec = JobSpec(**{**BASE, **WITH.get(name, {}), name: OTHERS[name][1]})
    again = JobSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert again.key == spec.key


def test_the_key_is_that_of_the_region_and_not_of_its_spelling(tmp_path):
    ring = [[9.0, 47.0], [9.1, 47.0], [9.1, 47.1], [9.0, 47.1], [9.0, 47.0]]
    document = {"type": "Polygon", "coordinates": [ring]}
    path = tmp_path / "region.geojson"
    path.write_text(json.dumps({"features": [{"geometry": document, "type": "Feature"}], "type": "FeatureCollection"}))
    assert len({JobSpec(**{**BASE, "aoi": aoi}).key for aoi in (document, str(path), path)}) == 1


def test_a_spec_cannot_be_changed():
    with pytest.raises(ValidationError):
        JobSpec(**BASE).model = "n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("composite", "mean"),
        ("resolution", 0),
        ("resolution", -10),
        ("min_area_m2", -1),
        ("simplify_m", -1),
        ("format", ("shp",)),
        ("resolution", "ten"),
        ("colour", "red"),
        ("sensor", 7),
    ],
)
def test_a_wrong_value_is_refused_in_three_lines_that_name_it(name, value):
    with pytest.raises(RequestError) as refused:
        JobSpec.build(**{**BASE, name: value})
    assert refused.value.exit_code == 2
    assert name in refused.value.given
    assert len(str(refused.value).splitlines()) == 3


def test_every_option_is_named_as_it_is_typed():
    """In what the messages call a field, and in what the command line makes of it."""
    for option in inspect.signature(run_command).parameters:
        field = RENAMED.get(option, option)
        if field in JobSpec.model_fields:
            assert option_of(field) == "--" + option.replace("_", "-")


def test_a_refusal_says_what_would_be_right():
    for name, value, right in (
        ("composite", "mean", JobSpec.model_fields["composite"].annotation.__args__),
        ("min_area_m2", -1, ("at least 0",)),
        ("resolution", 0, ("above 0",)),
        ("resolution", "ten", ("number",)),
    ):
        with pytest.raises(RequestError) as refused:
            JobSpec.build(**{**BASE, name: value})
        assert all(word in refused.value.expected for word in right)


def test_a_wrong_value_of_a_workflow_is_not_taken_for_an_option(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"model": "m", "min_area_m2": -1}))
    with pytest.raises(RequestError) as refused:
        JobSpec.build(aoi=BOX, workflow=str(path))
    assert str(path) in refused.value.given
    assert "min_area_m2" in refused.value.given
    assert "--" not in refused.value.given


def test_one_value_is_as_good_as_several(tmp_path):
    several = JobSpec.build(scenes=(str(tmp_path / "a.tif"),), model="m", bands=("red", "nir"), format=("geojson",))
    for scene in (str(tmp_path / "a.tif"), tmp_path / "a.tif"):
        assert JobSpec.build(scenes=scene, model="m", bands="red, nir", format="geojson") == several


def test_a_job_needs_a_place():
    with pytest.raises(RequestError, match="--aoi"):
        JobSpec.build(model="m", workflow="demo")


@pytest.mark.parametrize("given", [{"dem": "d.tif"}, {"comment": "toy"}, {"evidence": "landslide", "pixel_grid": True}])
def test_evidence_has_a_place_and_what_belongs_to_it_needs_it(given):
    with pytest.raises(RequestError, match="--evidence"):
        JobSpec.build(**BASE, **given)


def test_bands_are_those_of_rasters():
    with pytest.raises(RequestError, match="--bands"):
        JobSpec.build(aoi=BOX, bands=("red",))


# Two dates


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"before": "2022-05"}, "--after"),
        ({"scenes_before": ("a.tif",)}, "--scenes-after"),
        ({**RANGES, "scenes_before": ("a.tif",)}, "--scenes-before"),
        ({}, "no date"),
        ({**RANGES, "datetime": "2022-05-01/2022-06-01"}, "--datetime"),
        ({**RASTERS, "scenes": ("c.tif",)}, "--scenes"),
        ({**RANGES, "composite": "per-date"}, "--composite"),
        ({**RANGES, "composite": "mean-scores"}, "--composite mean-scores with"),
        ({**RANGES, "layers": ("entropy",)}, "--layers"),
        ({**RANGES, "legend": "worldcover"}, "--legend"),
        ({**RANGES, "detector": "post-classification"}, "--model"),
        ({**RANGES, "before": "2022-07/2022-05"}, "--before"),
        ({**RANGES, "after": "May"}, "--after"),
    ],
)
def test_a_change_map_has_two_dates_in_one_way(given, named):
    with pytest.raises(RequestError, match=named) as refused:
        JobSpec.build(aoi=BOX, workflow="change", **given)
    assert refused.value.exit_code == 2
    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.parametrize("name", ["before", "after", "scenes_before", "scenes_after", "fit", "drop_thin", "max_cloud"])
def test_two_dates_need_a_change_map(name):
    with pytest.raises(RequestError, match="change"):
        JobSpec.build(**BASE, **{name: OTHERS[name][1]})


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"before": "2022-05"}, "--after"),
        ({"scenes_before": ("a.tif",)}, "--scenes-after"),
        ({"before": "2022-05", "after": "2023-05", "datetime": "2022-05-01/2022-06-01"}, "--datetime"),
        ({"scenes_before": ("a.tif",), "scenes_after": ("b.tif",), "scenes": ("c.tif",)}, "--scenes"),
        ({"before": "2022-05", "after": "2023-05", "composite": "per-date"}, "--composite"),
        ({"before": "2022-05", "after": "2023-05", "fit": "aoi"}, "--fit"),
    ],
)
def test_evidence_looks_back_at_two_dates_in_one_way(given, named):
    with pytest.raises(RequestError, match=named) as refused:
        JobSpec.build(aoi=BOX, workflow="landslide", **given)
    assert len(str(refused.value).splitlines()) == 3


def test_evidence_of_two_dates_is_a_map_of_the_later_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    both = JobSpec.build(aoi=BOX, workflow="landslide", before="2022-05", after="2023-05", layers="entropy")
    assert both.looks_back
    assert not both.moves_with_calendar
    assert both.datetime is None
    assert both.of_date("after") == JobSpec.build(
        aoi=BOX, workflow="landslide", datetime="2023-05-01/2023-05-31", layers="entropy"
    )
    files = JobSpec.build(workflow="landslide", scenes_before="a.tif", scenes_after="b.tif", bands="red,nir")
    assert (files.looks_back, files.catalog) == (True, None)
    assert files.of_date("after").scenes == (str(tmp_path / "b.tif"),)
    change = JobSpec.build(aoi=BOX, workflow="change", before="2022-05", after="2023-05")
    assert (change.has_two_dates, change.looks_back) == (True, False)


def test_the_job_of_one_date_is_an_ordinary_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    both = JobSpec.build(aoi=BOX, workflow="change", model="m", before="2022-05/2022-06", after="2023-05")
    once = JobSpec.build(aoi=BOX, workflow="change", model="m", detector="ir-mad", before="2022-05", after="2023-05")
    assert both.of_date("after") == once.of_date("after")
    assert both.of_date("before").datetime == "2022-05-01/2022-06-30"
    plain = JobSpec.build(aoi=BOX, model="m", collection="sentinel-2-l2a", datetime="2023-05-01/2023-05-31")
    assert both.of_date("after").model_copy(update={"workflow": "landcover"}) == plain
    pair = JobSpec.build(workflow="change", model="m", scenes_before="a.tif", scenes_after="b.tif")
    assert pair.of_date("before") == JobSpec.build(scenes="a.tif", model="m").model_copy(
        update={"workflow": "change", "collection": None}
    )
    assert pair.of_date("after").scenes == (str(tmp_path / "b.tif"),)


def test_every_detector_is_one_that_the_job_may_name():
    assert set(get_args(DetectorName)) == {*DETECTORS, POST_CLASSIFICATION}


# Workflows


def test_shipped_workflows_have_titles_and_load():
    names = list_workflows()
    assert {"landcover", "demo"} <= set(names)
    for name, title in names.items():
        assert title
        assert set(load_workflow(name)) <= set(JobSpec.model_fields)
        dates = RANGES if "detector" in load_workflow(name) else {}
        assert JobSpec.build(workflow=name, aoi=BOX, default_catalog="c.json", **dates).workflow == name


def test_landcover_is_the_default_workflow():
    assert JobSpec.build(aoi=BOX) == JobSpec.build(aoi=BOX, workflow="landcover")


def test_options_override_the_workflow_and_nothing_overrides_with_nothing(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"title": "Mine", "model": "m", "composite": "median", "min_area_m2": 500}))
    plain = JobSpec.build(aoi=BOX, workflow=str(path), composite=None, bands=(), min_area_m2=None)
    assert (plain.workflow, plain.composite, plain.min_area_m2) == ("mine", "median", 500)
    other = JobSpec.build(aoi=BOX, workflow=str(path), composite="first", min_area_m2=0.0)
    assert (other.composite, other.min_area_m2, other.model) == ("first", 0.0, "m")


@pytest.mark.parametrize("text", ["model: [1", "- a list", "just words", "modle: m", "model: m\nout: here", ""])
def test_a_workflow_file_that_is_none_is_refused_by_name(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(RequestError) as refused:
        JobSpec.build(aoi=BOX, workflow=str(path))
    assert str(path) in refused.value.given
    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.parametrize("name", ["landcovr", "no/such.yaml", "", "."])
def test_an_unknown_workflow_is_refused_with_the_known_ones(name):
    with pytest.raises(RequestError) as refused:
        JobSpec.build(aoi=BOX, workflow=name)
    assert "landcover" in refused.value.expected


def test_rasters_replace_the_catalogue_and_its_time_range(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = JobSpec.build(scenes=("a.tif",), workflow="demo", default_catalog="c.json")
    assert (spec.catalog, spec.collection, spec.datetime) == (None, None, None)
    assert spec.scenes == (str(tmp_path / "a.tif"),)


def test_the_key_does_not_depend_on_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "a.tif").touch()
    monkeypatch.chdir(tmp_path)
    here = JobSpec.build(scenes=("a.tif",), model="model")
    monkeypatch.chdir(tmp_path / "model")
    there = JobSpec.build(scenes=("../model/../a.tif",), model=str(tmp_path / "model"))
    assert here.model == there.model
    again = JobSpec.build(scenes=(str(tmp_path / "a.tif"),), model=str(tmp_path / "model"))
    assert here.key == again.key


def test_a_catalogue_comes_from_the_option_or_the_workflow_before_the_default(tmp_path):
    assert JobSpec.build(aoi=BOX, default_catalog="https://default.example").catalog == "https://default.example"
    assert JobSpec.build(aoi=BOX, catalog="https://c.example", default_catalog="d").catalog == "https://c.example"


# Time range


def test_default_time_range_is_the_last_twelve_complete_months_on_every_day_of_nine_years():
    """Counted day by day: twelve months, each whole, the last one just before this month."""
    day, one = dt.date(2019, 1, 1), dt.timedelta(days=1)
    while day < dt.date(2028, 1, 1):
        start, end = (dt.date.fromisoformat(text) for text in last_twelve_months(day).split("/"))
        assert start.day == 1
        assert (end + one).day == 1
        assert end < day
        assert (end + one).month == day.month
        assert (day - end).days <= 31
        assert len({(d.year, d.month) for d in (start + one * n for n in range((end - start).days + 1))}) == 12
        day += one * 3 if day.day not in {1, 27, 28} else one


def test_a_job_without_a_time_range_gets_the_default_one_and_keeps_its_own():
    spec = JobSpec.build(aoi=BOX, today=dt.date(2024, 3, 15))
    assert spec.datetime == "2023-03-01/2024-02-29"
    assert JobSpec.build(aoi=BOX, datetime="2022-01-01/2022-01-31").datetime == "2022-01-01/2022-01-31"


# The command line and the spec are one


def options_of(command: str) -> dict[str, Any]:
    """Field name → option, as the command line knows it; without those that only speak of the output."""
    group = typer.main.get_command(_app())
    found = {}
    for parameter in group.commands[command].params:
        word = max(parameter.opts, key=len).removeprefix("--").replace("-", "_")
        found[RENAMED.get(word, word)] = parameter
    return {name: found[name] for name in found if name not in {"json", "quiet", "debug", "help"}}


def test_every_field_of_a_job_is_an_option_and_every_option_is_a_field():
    options = set(options_of("run"))
    assert set(JobSpec.model_fields) <= options
    assert options - set(JobSpec.model_fields) <= set(Settings.model_fields)
    # Folders of a machine are no matter of one job: they come from the environment.
    assert set(Settings.model_fields) - options == {"cache", "models", "sign"}


def test_plan_has_the_options_of_run():
    assert set(options_of("plan")) - {"price"} == set(options_of("run"))  # a run has a bill, a plan needs a price


def test_every_option_has_words_of_help():
    assert all(option.help for command in ("run", "plan") for option in options_of(command).values())


WORDS: dict[str, tuple[Any, Any]] = {
    # option: what the command line gives, what the field holds
    "aoi": (BOX, None),
    "workflow": ("demo", "demo"),
    "catalog": ("https://c.example", "https://c.example"),
    "collection": ("c", "c"),
    "scenes": (["/a.tif", "/b.tif"], ("/a.tif", "/b.tif")),
    "sensor": ("rgb", "rgb"),
    "bands": ("B04, B03", ("B04", "B03")),
    "scale": (0.0001, 0.0001),
    "offset": (-0.1, -0.1),
    "pixel_grid": (True, True),
    "datetime": ("2022-01-01/2022-01-31", "2022-01-01/2022-01-31"),
    "scenes_before": (["/a.tif"], ("/a.tif",)),
    "scenes_after": (["/b.tif", "/c.tif"], ("/b.tif", "/c.tif")),
    "before": ("2022-05/2022-07", "2022-05-01/2022-07-31"),
    "after": ("2024-02", "2024-02-01/2024-02-29"),
    "detector": ("ndvi-difference", "ndvi-difference"),
    "fit": ("aoi", "aoi"),
    "align": ("measure", "measure"),
    "drop_thin": (True, True),
    "max_cloud": (0.2, 0.2),
    "composite": ("median", "median"),
    "model": ("m", "m"),
    "prompt": (["forest, trees", "river"], ("forest, trees", "river")),
    "example": (TRIANGLE, EXAMPLE),
    "without": ("gate, guide", ("gate", "guide")),
    "legend": ("worldcover", "worldcover"),
    "resolution": (20.0, 20.0),
    "crs": ("EPSG:32633", "EPSG:32633"),
    "like": ("map", "map"),
    "format": ("parquet,geojson", ("parquet", "geojson")),
    "layers": ("entropy, scores", ("entropy", "scores")),
    "profile": ("bf16", "bf16"),
    "min_area": (500.0, 500.0),
    "simplify": (3.0, 3.0),
    "evidence": ("landslide", "landslide"),
    "dem": ("cop-dem-glo-30", "cop-dem-glo-30"),
    "comment": ("toy", "toy"),
    "out": (Path("/out"), Path("/out")),
    "fresh": (True, True),
    "update": (True, True),
    "max_memory": ("2GB", 2 * 10**9),
    "max_failed": (0.25, 0.25),
    "max_area": (1e6, 1e6),
    "max_pixels": (10**6, 10**6),
    "tile_size": (512, 512),
    "workers": (3, 3),
    "scheduler": ("tcp://head:8786", "tcp://head:8786"),
    "store": ("s3://bucket/tiles", "s3://bucket/tiles"),
    "device": ("cpu", "cpu"),
    "backend": ("torch", "torch"),
    "connections": (4, 4),
    "offline": (True, True),
    "max_features": ("500MB", 5 * 10**8),
    "allow_pickle": (True, True),
}


def test_every_option_is_tried():
    assert set(WORDS) == set(inspect.signature(run_command).parameters) - {"as_json", "quiet", "debug"}


@pytest.mark.parametrize("name", WORDS)
def test_what_an_option_says_is_what_its_field_holds(name):
    said, held = WORDS[name]
    around = {"scenes": ["/a.tif"]} if name == "bands" else WITH.get(name, {})
    spec, settings = _read_options({"aoi": BOX, "as_json": True, "quiet": False, "debug": False, **around, name: said})
    field = RENAMED.get(name, name)
    if name == "aoi":
        assert spec.region is not None
        assert spec.region.bounds == (9, 47, 9.1, 47.1)
    else:
        assert getattr(spec if field in JobSpec.model_fields else settings, field) == held
