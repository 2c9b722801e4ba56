"""The record: it adds up, survives JSON, and keeps no secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from geoseg.outputs.hrefs import plain_href, without_secrets
from geoseg.outputs.record import PixelCounts, Record, write_record


def test_record_survives_json(record, tmp_path):
    path = write_record(tmp_path / "report.json", record)
    assert Record.model_validate_json(path.read_bytes()) == record


def test_record_keeps_no_signature(record):
    told = record.model_copy(update={"notes": ()})
    text = Record.model_validate(
        told.model_dump()
        | {
            "warnings": ["read of https://a:canary@host/x.tif?sig=canary failed: 403"],
            "job": {
                **record.job.model_dump(),
                "spec": {"catalog": "https://host/v1?key=canary", "deep": [{"k": "s3://b/c?canary"}]},
            },
        }
    ).model_dump_json()
    assert "canary" not in text
    assert "https://host/x.tif" in text
    assert "https://host/v1" in text
    assert "https://stac.example/items/a" in text


@pytest.mark.parametrize(
    ("href", "plain"),
    [
        ("https://h.org/a/b.tif?sv=1&sig=2#x", "https://h.org/a/b.tif"),
        ("https://u:p@h.org:8/a", "https://h.org:8/a"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("/data/a?b.tif", "/data/a?b.tif"),
        ("C:/data/a.tif", "C:/data/a.tif"),
        ("http://[broken?sig=1", "http://[broken"),
    ],
)
def test_addresses_lose_what_may_be_secret(href, plain):
    assert plain_href(href) == plain


@given(st.recursive(st.none() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)))
def test_cleaning_twice_is_cleaning_once_and_never_fails(value):
    once = without_secrets(value)
    assert without_secrets(once) == once


def test_pixels_must_add_up():
    whole = {
        "total": 10,
        "outside_aoi": 2,
        "aoi": 8,
        "classified": 5,
        "per_class": {0: 5},
        "nodata_unobserved": 1,
        "nodata_masked": 1,
        "failed": {"time-out": 1},
    }
    counts = PixelCounts(**whole)
    assert counts.failed_total == 1
    for wrong in (
        {"classified": 4},
        {"outside_aoi": 1},
        {"aoi": 7},
        {"aoi": 7, "outside_aoi": 3},
        {"failed": {}},
        {"per_class": {0: 4}},
        {"nodata_masked": -1},
    ):
        with pytest.raises(ValidationError):
            PixelCounts(**(whole | wrong))


def test_every_field_is_described():
    schema = Record.model_json_schema()
    parts = [schema, *(d for d in schema["$defs"].values() if "properties" in d)]
    fields = [(name, field) for part in parts for name, field in part["properties"].items()]
    assert not [name for name, field in fields if not {"description", "$ref"} & field.keys()]


def test_timing_is_consistent(record):
    timing = record.timing
    assert (timing.finished - timing.started).total_seconds() == timing.total_s == 271
    assert timing.megapixels_per_s == pytest.approx(timing.computed_megapixels / 271)
