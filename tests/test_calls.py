"""What ``geoseg.run`` takes from Python: fields as keywords, and no word that would be dropped unread."""

from __future__ import annotations

from pathlib import Path

import geopandas
import pytest
from shapely.geometry import box

import geoseg
from geoseg import _understand
from geoseg.errors import RequestError

BOX = (9.0, 47.0, 9.1, 47.1)


def test_a_region_may_be_given_in_every_way_that_people_have_one(tmp_path):
    frame = geopandas.GeoDataFrame(geometry=[box(*BOX)], crs="EPSG:4326")
    frame.to_file(tmp_path / "region.geojson")
    regions = [BOX, list(BOX), "9,47,9.1,47.1", box(*BOX), frame, frame.geometry, tmp_path / "region.geojson"]
    specs = [_understand(None, None, {"aoi": region, "datetime": "2022-01-01/2022-02-01"})[0] for region in regions]
    assert all(spec.region is not None and spec.region.geometry.equals(box(*BOX)) for spec in specs)


@pytest.mark.parametrize(
    ("word", "near"),
    [("min_area", "min_area_m2"), ("max_mem", "max_memory"), ("date_time", "datetime"), ("models_dir", "models")],
)
def test_an_unknown_keyword_is_refused_with_the_nearest_ones(word, near):
    with pytest.raises(RequestError) as refused:
        geoseg.run(aoi=BOX, **{word: 1})
    assert word in refused.value.given
    assert near in refused.value.expected


def test_keywords_go_to_the_job_or_to_where_it_runs():
    spec, settings = _understand(None, None, {"aoi": BOX, "catalog": "c.json", "max_memory": "3GB", "out": "map"})
    assert (spec.catalog, settings.max_memory, settings.out) == ("c.json", 3 * 10**9, Path("map").absolute())


def test_settings_and_keywords_beside_them_are_both_heard():
    settings = geoseg.Settings.with_options(workers=3, cache="/elsewhere")
    _, found = _understand(None, settings, {"aoi": BOX, "max_memory": "3GB"})
    assert (found.workers, found.cache, found.max_memory) == (3, Path("/elsewhere"), 3 * 10**9)
    with pytest.raises(RequestError, match="--max-memory lots"):
        _understand(None, settings, {"aoi": BOX, "max_memory": "lots"})


def test_a_job_is_no_file_and_takes_no_fields_beside_it():
    job = geoseg.JobSpec(aoi=BOX, model="m")
    assert _understand(job, None, {"workers": 2})[0] is job
    with pytest.raises(RequestError, match="composite"):
        geoseg.run(job, composite="first")
    with pytest.raises(RequestError, match=r"region\.geojson"):
        geoseg.run("region.geojson")
