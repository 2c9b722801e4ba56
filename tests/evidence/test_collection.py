"""Elevations from a collection of the scenes' own catalogue."""

from __future__ import annotations

import json
from pathlib import Path

import pystac
import pytest

from geoseg.demo import DemoCatalog, write_demo
from geoseg.errors import GeosegError
from geoseg.pipeline import prepare
from geoseg.pipeline.evidence import with_evidence
from geoseg.settings import Settings
from geoseg.spec import JobSpec


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCatalog:
    return write_demo(tmp_path_factory.mktemp("demo"), shape=(256, 384), uav_shape=(320, 288))


@pytest.fixture(scope="module")
def catalog(demo: DemoCatalog) -> Path:
    """Scenes and a DEM in one item collection."""
    items = []
    for path in demo.items:
        item = pystac.Item.from_file(str(path))
        item.make_asset_hrefs_absolute()
        item.clear_links()
        items.append(item.to_dict(include_self_link=False, transform_hrefs=False))
    one = pystac.Item.from_dict(items[0])
    dem = pystac.Item("dem-1", one.geometry, one.bbox, one.datetime, {}, collection="some-dem")
    dem.add_asset("data", pystac.Asset(str(demo.dem), media_type=pystac.MediaType.COG, roles=["data"]))
    box = {"proj:code": "EPSG:32760", "proj:shape": [256, 384], "proj:transform": [10, 0, 391_160, 0, -10, 5_583_660]}
    dem.properties.update(box)
    path = demo.folder / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [*items, dem.to_dict()]}))
    return path


def job(catalog: Path, demo: DemoCatalog, dem: str) -> JobSpec:
    return JobSpec.build(
        workflow="landslide", catalog=str(catalog), aoi=str(demo.region), datetime="2021-06-01/2022-12-31", dem=dem
    )


def test_the_items_of_the_collection_are_the_dem(catalog, demo, tmp_path):
    prepared = prepare(job(catalog, demo, "some-dem"), Settings(cache=tmp_path))
    with prepared.remote:
        plan = with_evidence(prepared).evidence
    assert plan is not None
    assert plan.dem is not None
    assert [Path(file.href) for file in plan.dem.files] == [demo.dem]
    assert plan.dem.pixel_m == pytest.approx(10, rel=0.01)


def test_a_collection_that_is_not_there_is_refused_by_name(catalog, demo, tmp_path):
    prepared = prepare(job(catalog, demo, "no-such-dem"), Settings(cache=tmp_path))
    with prepared.remote, pytest.raises(GeosegError, match="no-such-dem"):
        with_evidence(prepared)
