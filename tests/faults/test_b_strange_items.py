"""Items that are strange, legal or not: understood, or left out or refused with a reason; never a fault."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worlds
from pyproj import Transformer

import geoseg
from geoseg.bench.oddities import tabulate
from geoseg.errors import GeosegError, ModelMismatchError, NothingToDoError
from geoseg.models import ModelFolder
from geoseg.scenes import Found, find_scenes
from geoseg.spec import JobSpec

Change = Callable[[dict[str, Any]], object]
WORLD = (-180.0, -90.0, 180.0, 90.0)


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small scene of three bands."""
    image = worlds.landscape((60, 70), 3).astype("uint8")
    return worlds.write_raster(tmp_path_factory.mktemp("scene") / "scene.tif", image, names=worlds.BANDS)


def item(raster: Path) -> dict[str, Any]:
    x, y = Transformer.from_crs(32633, 4326, always_xy=True).transform(
        [500_003.0, 500_703.0], [5_000_007.0, 4_999_407.0]
    )
    ring = [[x[0], y[1]], [x[1], y[1]], [x[1], y[0]], [x[0], y[0]], [x[0], y[1]]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "one",
        "collection": "strange",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [x[0], y[1], x[1], y[0]],
        "properties": {
            "datetime": "2022-06-01T00:00:00Z",
            "proj:code": "EPSG:32633",
            "proj:shape": [60, 70],
            "proj:transform": [10, 0, 500_003.0, 0, -10, 5_000_007.0],
        },
        "links": [],
        "assets": {"data": {"href": str(raster), "eo:bands": [{"name": name} for name in worlds.BANDS]}},
    }


def catalogue(raster: Path, folder: Path, change: Change) -> Path:
    document = item(raster)
    change(document)
    path = folder / "item.json"
    path.write_text(json.dumps(document))
    return path


def found(path: Path) -> Found:
    spec = JobSpec.build(
        catalog=str(path), model="m", workflow="demo", sensor="rgb", aoi=WORLD, datetime="2022-01-01/2022-12-31"
    )
    return find_scenes(spec.model_copy(update={"collection": "strange"}), WORLD, worlds.BANDS)


def properties(**given: Any) -> Change:
    return lambda document: document["properties"].update(given)


def asset(**given: Any) -> Change:
    return lambda document: document["assets"]["data"].update(given)


def many(document: dict[str, Any]) -> None:
    document["assets"] |= {f"x{number}": {"href": f"./x{number}.tif"} for number in range(2000)}
    document["assets"] |= {"again": {"href": document["assets"]["data"]["href"]}}  # two assets of one file


def data_links(document: dict[str, Any]) -> None:
    document["links"] = [{"rel": "self", "href": "data:application/json,{}"}, {"rel": "via", "href": "data:,x"}]
    document["assets"]["thumbnail"] = {"href": "data:image/png;base64,AAAA", "roles": ["thumbnail"]}


GOOD: dict[str, Change] = {
    "plain": lambda document: None,
    "null bbox": lambda document: document.update(bbox=None),
    "no bbox": lambda document: document.pop("bbox"),
    "no links": lambda document: document.pop("links"),
    "2000 assets": many,
    "links of type data": data_links,
    "start and end": properties(
        datetime=None, start_datetime="2022-06-01T00:00:00Z", end_datetime="2022-06-02T00:00:00Z"
    ),
    "clouds in words": properties(**{"eo:cloud_cover": "many"}),
    "code only": lambda d: (d["properties"].pop("proj:shape"), d["properties"].pop("proj:transform")),
    "unknown code": properties(**{"proj:code": "EPSG:999999"}),
    "three sides": properties(**{"proj:shape": [60, 70, 3]}),
    "negative sides": asset(**{"proj:shape": [-60, 0]}),
    "no transform": properties(**{"proj:transform": [0, 0, 0, 0, 0, 0]}),
    "transform in words": asset(**{"proj:transform": ["a", 0, 0, 0, 0, 0]}),
    "no number as nodata": asset(**{"raster:bands": [{"nodata": "nan"}, {}, {}]}),
}


@pytest.mark.fault(21)
@pytest.mark.fault(22)
@pytest.mark.parametrize("name", GOOD)
def test_fault_22_strange_items_are_read_where_their_files_lie(
    tmp_path: Path, raster: Path, finite: ModelFolder, name: str
) -> None:
    path = catalogue(raster, tmp_path, GOOD[name])
    (one,) = found(path).items
    assert one.geobox.shape == (60, 70)
    assert one.cloud_cover_percent is None
    if name not in {"plain", "three sides", "no transform", "code only", "unknown code"}:
        return
    x, y = item(raster)["bbox"][:2]
    spec: dict[str, Any] = {"catalog": str(path), "model": str(finite.path), "workflow": "demo", "sensor": "rgb"}
    result = geoseg.run(
        **spec, datetime="2022-01-01/2022-12-31", aoi=(x + 0.001, y + 0.001, x + 0.004, y + 0.004), collection="strange",
        out=tmp_path / "map", cache=tmp_path / "cache", device="cpu",
    )  # fmt: skip
    assert np.isin(worlds.read(result.out / "classes.tif"), range(4)).mean() > 0.5
    assert not sum(result.report["pixels"]["failed"].values())


BAD: dict[str, tuple[Change, str]] = {
    "no geometry": (lambda document: document.pop("geometry"), "geometry"),
    "null geometry": (lambda document: document.update(geometry=None, bbox=None), "no geometry"),
    "no number": (lambda d: d["geometry"]["coordinates"][0].__setitem__(1, [math.nan, 0]), "geometry"),
    "id of number": (lambda document: document.update(id=5), "the id 5"),
    "empty id": (lambda document: document.update(id=""), "the id ''"),
    "id of control characters": (lambda document: document.update(id="../a\n\x00"), "the id"),
    "list of assets": (lambda document: document.update(assets=[]), "assets that are no object"),
    "null properties": (lambda document: document.update(properties=None), "properties that are no object"),
    "null asset": (lambda document: document["assets"].update(data=None), "the asset data without an href"),
    "null href": (asset(href=None), "the asset data without an href"),
    "no time": (properties(datetime=None), "datetime"),
    "unknown version": (lambda document: document.update(stac_version="2.0.0"), "2.0.0"),
}


@pytest.mark.fault(21)
@pytest.mark.parametrize("name", BAD)
def test_fault_21_items_that_are_none_are_left_out_with_the_reason(tmp_path: Path, raster: Path, name: str) -> None:
    change, words = BAD[name]
    with pytest.raises(NothingToDoError) as refused:
        found(catalogue(raster, tmp_path, change))
    assert words in refused.value.given
    assert refused.value.exit_code == 3


@pytest.mark.fault(21)
@pytest.mark.parametrize(
    "fact", [{"scale": 0}, {"scale": "abc"}, {"offset": math.inf}, {"nodata": []}, {"scale": math.nan}]
)
def test_fault_21_numbers_that_cannot_be_meant_end_the_job(tmp_path: Path, raster: Path, fact: dict[str, Any]) -> None:
    path = catalogue(raster, tmp_path, asset(**{"raster:bands": [fact] * 3}))
    with pytest.raises(ModelMismatchError) as refused:
        found(path)
    assert refused.value.exit_code == 2
    assert f"{next(iter(fact))} " in refused.value.given


# Facts of the asset, of its bands in the words of STAC 1.0 and 1.1, and what is meant.
FACTS: dict[str, tuple[dict[str, Any], tuple[float, float, float | None]]] = {
    "asset": ({"raster:scale": 0.5, "raster:offset": -3, "nodata": 7}, (0.5, -3.0, 7.0)),
    "asset and bands": (
        {"raster:scale": 0.5, "raster:offset": -3, "nodata": 7, "bands": [{"raster:scale": 2, "nodata": 9}] * 3},
        (2.0, -3.0, 9.0),
    ),
    "older bands": ({"raster:scale": 0.5, "raster:bands": [{"scale": 2, "offset": 0}] * 3}, (2.0, 0.0, None)),
    "null of a band": ({"nodata": 7, "raster:bands": [{"scale": None, "nodata": None}] * 3}, (1.0, 0.0, 7.0)),
    "zero": ({"raster:offset": 0, "nodata": 0}, (1.0, 0.0, 0.0)),
}


@pytest.mark.fault(39)
@pytest.mark.parametrize("name", FACTS)
def test_fault_39_facts_of_a_band_rule_over_those_of_its_asset(tmp_path: Path, raster: Path, name: str) -> None:
    facts, meant = FACTS[name]
    if "bands" in facts:
        facts = {**facts, "bands": [{**f, "name": n} for f, n in zip(facts["bands"], worlds.BANDS, strict=True)]}
    (one,) = found(catalogue(raster, tmp_path, asset(**facts))).items
    assert {(source.scale, source.offset, source.nodata) for source in one.bands.values()} == {meant}


@pytest.mark.fault(40)
@pytest.mark.parametrize(("stated", "meant"), [(0, 0.0), (-0.1, -0.1), (None, -0.1)])
def test_fault_40_the_offset_that_an_asset_states_rules_over_the_baseline(
    tmp_path: Path, raster: Path, stated: float | None, meant: float
) -> None:
    document = item(raster)
    names = ("B04", "B08", "B12", "SCL")
    document["assets"] = {name: {"href": str(raster), "raster:offset": stated} for name in names}
    document["properties"]["s2:processing_baseline"] = "05.09"
    document |= {"collection": "sentinel-2-l2a", "stac_version": "1.1.0"}
    (tmp_path / "item.json").write_text(json.dumps(document))
    spec = JobSpec.build(
        catalog=str(tmp_path / "item.json"), model="m", workflow="demo", aoi=WORLD, datetime="2022-01-01/2022-12-31"
    )
    (one,) = find_scenes(spec, WORLD, names[:3]).items
    assert {source.offset for source in one.bands.values()} == {meant}


@pytest.mark.fault(21)
@pytest.mark.parametrize("text", ["{", "[]", "3", '{"type": "Catalog"}', '{"features": [1]}', '{"type": "Feature"}'])
def test_documents_that_are_no_items_are_rows_of_the_table(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    lines: list[str] = []
    assert tabulate([tmp_path], tmp_path, lines.append, markdown=False)
    assert all("refused" in line for line in lines)
    with pytest.raises(GeosegError):
        found(tmp_path / "a.json")
