"""What ``geoseg.run`` takes from Python: fields as keywords, and no word that would be dropped unread."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import pytest
import worlds
from shapely.geometry import box

import geoseg
from geoseg import _understand
from geoseg.cli import main
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


def test_keywords_a_job_and_a_command_make_the_same_map(tmp_path):
    scene = worlds.write_raster(tmp_path / "s.tif", worlds.landscape((40, 40), 3).astype("uint8"), names=worlds.BANDS)
    model = worlds.finite_model(tmp_path / "model")
    fields = {"scenes": (str(scene),), "model": str(model.path), "min_area_m2": 300.0, "format": ("geojson",)}
    where = {"cache": tmp_path / "cache", "tile_size": 32}
    made = [
        geoseg.run(**fields, **where, out=tmp_path / "keywords"),
        geoseg.run(geoseg.JobSpec.build(**fields), settings=geoseg.Settings(**where), out=tmp_path / "job"),
    ]
    words = ["run", "--scenes", scene, "--model", model.path, "--min-area", "300", "--format", "geojson", "--quiet"]
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in (*words, "--tile-size", "32", "--out", tmp_path / "words")])
    assert not end.value.code
    made.append(geoseg.Result.open(tmp_path / "words"))
    assert len({result.report["job"]["key"] for result in made}) == 1
    assert len({json.dumps(result.report["job"]["spec"], sort_keys=True) for result in made}) == 1
    assert len({(result.out / "classes.tif").read_bytes() for result in made}) == 1
    assert len({(result.out / "polygons.geojson").read_bytes() for result in made}) == 1
