"""Items of real producers: understood with the offset that their pixels carry, or refused with a reason."""

from __future__ import annotations

import contextlib
import json
import warnings
from pathlib import Path
from typing import Any

import pystac
import pytest

from geoseg.errors import GeosegError
from geoseg.scenes import Item
from geoseg.scenes.catalogs import find_items
from geoseg.scenes.recognise import sensor_of
from geoseg.scenes.sensors import sentinel2_baseline, sentinel2_offset
from geoseg.scenes.understand import understand

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")


@pytest.fixture
def items(shared: Path) -> Path:
    folder = shared / "data" / "stac-items"
    if not folder.is_dir():
        pytest.skip("needs shared/data/stac-items")
    return folder


def documents(path: Path) -> list[dict[str, Any]]:
    content = json.loads(path.read_text())
    return content["features"] if content["type"] == "FeatureCollection" else [content]


def read(document: dict[str, Any], sensor: str | None, bands: tuple[str, ...] = BANDS) -> Item:
    item = pystac.Item.from_dict(document)
    return understand(item, bands, sensor_of(item, sensor))


@pytest.mark.parametrize(
    ("name", "sensor", "offset"),
    [
        ("earthsearch-v1_sentinel-2-l2a_S2B_20EPT_20250731_0_L2A", None, 0.0),
        ("earthsearch-v1_sentinel-2-c1-l2a_S2B_T20EPT_20250731T131905_L2A", None, -0.1),
        ("stactools_S2A_T07HFE_20190212_N0212_L2A", "sentinel-2-l2a", 0.0),
        ("stactools_S2A_T34LBP_20220401_N0400_L2A", "sentinel-2-l2a", -0.1),
        ("stactools_S2A_T01WCP_20230625_N0509_L2A_stac100", "sentinel-2-l2a", -0.1),
        ("stactools_S2A_T01WCP_20230625_N0509_L2A_stac110", "sentinel-2-l2a", -0.1),
        ("planetary-computer_sentinel-2-l2a_search_2019-01-01", None, 0.0),
    ],
)
def test_sentinel_2_is_understood_with_its_offset(items: Path, name: str, sensor: str | None, offset: float) -> None:
    for document in documents(items / f"{name}.json"):
        item = read(document, sensor)
        assert {source.offset for source in item.bands.values()} == {offset}
        assert {source.scale for source in item.bands.values()} == {1e-4}
        assert {source.nodata for source in item.bands.values()} == {0.0}
        assert len({source.href for source in item.bands.values()}) == len(BANDS)
        assert item.geobox.resolution.x == 10
        assert item.mask is not None
        assert "scl" in item.mask.asset.lower()
        assert item.platform.lower().startswith("sentinel-2")


def test_the_same_product_written_twice_is_the_same_item(items: Path) -> None:
    one, two = (
        read(documents(items / f"stactools_S2A_T01WCP_20230625_N0509_L2A_stac{n}.json")[0], "sentinel-2-l2a")
        for n in (100, 110)
    )
    assert (one.geobox, one.bands, one.mask, one.datetime) == (two.geobox, two.bands, two.mask, two.datetime)


def test_a_level_1c_item_has_no_quality_band_and_says_so_by_its_sensor(items: Path) -> None:
    item = read(documents(items / "stactools_S2A_T01LAC_20200717_N0209_L1C.json")[0], "sentinel-2-l1c")
    assert item.mask is None
    assert {source.offset for source in item.bands.values()} == {0.0}


LANDSAT = ("coastal", "blue", "green", "red", "nir08", "swir16", "swir22")


@pytest.mark.parametrize(
    "name",
    [
        "earthsearch-v1_landsat-c2-l2_LC08_L2SP_033032_20231008_02_T1",
        "odc_usgs_LC08_L2SP_028030_20200114",
        "pystac_classification_landsat_example",
    ],
)
def test_landsat_is_understood_whoever_wrote_the_item(items: Path, name: str) -> None:
    item = read(documents(items / f"{name}.json")[0], None, LANDSAT)
    assert item.sensor.name == "landsat-c2-l2"
    assert {(source.scale, source.offset, source.nodata) for source in item.bands.values()} == {(2.75e-5, -0.2, 0.0)}
    assert [source.href[-10:-4] for source in item.bands.values()] == [f"_SR_B{n}"[-6:] for n in range(1, 8)]
    assert item.mask is not None
    assert item.mask.href.endswith("QA_PIXEL.TIF")
    assert item.geobox.resolution.x == 30


def test_bands_that_are_named_by_position_are_found(items: Path) -> None:
    """The polar item has no shape, so its grid is the file's; the file is not there."""
    (document,) = documents(items / "odc_usgs_LC08_L2SR_081119_20200101_epsg3031.json")
    item = pystac.Item.from_dict(document)
    assert sensor_of(item, None).name == "landsat-c2-l2"
    document["properties"] |= {"proj:shape": [10, 10], "proj:transform": [30, 0, 0, 0, -30, 0]}
    found = read(document, None, LANDSAT)
    assert [source.asset for source in found.bands.values()] == [f"SR_B{n}.TIF" for n in range(1, 8)]
    assert found.geobox.crs.epsg == 3031


def test_four_bands_of_one_file_are_numbered(items: Path) -> None:
    for document in documents(items / "planetary-computer_naip_search.json"):
        item = read(document, None, ("nir", "red", "green", "blue"))
        assert item.sensor.name == "naip"
        assert [(source.asset, source.index) for source in item.bands.values()] == [
            ("image", 4),
            ("image", 1),
            ("image", 2),
            ("image", 3),
        ]
        assert len(item.document["assets"]["image"]["raster:bands"]) == 4
        assert item.mask is None


@pytest.mark.parametrize(
    ("name", "sensor"),
    [
        ("stactools_S2A_T34LBP_20220401_N0400_L2A", "sentinel-2-l2a"),
        ("stactools_S2A_T01LAC_20200717_N0209_L1C", "sentinel-2-l1c"),
        ("odc_sentinel-cogs_S2A_28QCH_20200714_0_L2A_beta1", "sentinel-2-l2a"),
        ("earthsearch-v0_sentinel-s2-l2a-cogs_S2B_20EPT_20250731_0_L2A", "sentinel-2-l2a"),
    ],
)
def test_sensors_are_told_by_collection_or_product(items: Path, name: str, sensor: str) -> None:
    (document,) = documents(items / f"{name}.json")
    assert sensor_of(pystac.Item.from_dict(document), None).name == sensor


def test_an_old_catalogue_that_took_the_offset_away_is_believed(items: Path) -> None:
    """The three items of one scene: two catalogues took the offset away, the third left it and says so."""
    offsets = {
        path.name.split("_")[0] + "_" + path.name.split("_")[1]: {
            source.offset for source in read(documents(path)[0], None).bands.values()
        }
        for path in items.glob("earthsearch-v?_sentinel-*2*20250731*.json")
    }
    assert offsets == {
        "earthsearch-v0_sentinel-s2-l2a-cogs": {0.0},
        "earthsearch-v1_sentinel-2-l2a": {0.0},
        "earthsearch-v1_sentinel-2-c1-l2a": {-0.1},
    }


@pytest.mark.parametrize(
    ("path", "word"), [("earthsearch-v1_sentinel-1-grd", "terrain"), ("pystac_raster-planet", "None")]
)
def test_other_sensors_are_refused_with_a_reason(items: Path, path: str, word: str) -> None:
    (file,) = items.glob(f"{path}*.json")
    for document in documents(file):
        with pytest.raises(GeosegError) as refused:
            read(document, None)
        assert document["id"] in refused.value.given
        assert word in refused.value.given
        assert refused.value.exit_code == 2
        with pytest.raises(GeosegError) as refused:
            read(document, "sentinel-2-l2a")
        assert refused.value.exit_code == 2


def test_libraries_say_nothing_of_their_own_about_items_of_older_versions(items: Path, tmp_path: Path) -> None:
    """pystac brings the items of older versions up to date, and warns of what it cannot."""
    paths = sorted(items.glob("earthsearch-*.json"))
    features = [feature for path in paths for feature in documents(path)]
    assert features
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        found = find_items(str(tmp_path / "items.json"), None, (-180.0, -90.0, 180.0, 90.0), None)
    assert found.items
    assert [str(warning.message) for warning in heard] == []


@pytest.mark.parametrize("sensor", [None, "sentinel-2-l2a", "rgb"])
def test_every_item_is_understood_or_refused(items: Path, sensor: str | None) -> None:
    """No producer's item ends in a fault of another kind."""
    understood = 0
    for document in [document for file in sorted(items.glob("*.json")) for document in documents(file)]:
        with contextlib.suppress(GeosegError):
            item = read(document, sensor, ("red", "green", "blue") if sensor == "rgb" else BANDS)
            assert item.geobox.crs is not None
            understood += 1
    assert understood >= 3


@pytest.mark.fault(40)
@pytest.mark.parametrize(
    ("text", "baseline"),
    [
        ("05.11", (5, 11)),
        ("N0511", (5, 11)),
        ("N05.11", (5, 11)),
        ("0301", (3, 1)),
        (5.09, (5, 9)),
        ("05.11.1", (5, 11)),
        ("511", None),
        ("v1", None),
        (None, None),
    ],
)
def test_baselines_are_understood_in_all_their_spellings(text: object, baseline: tuple[int, int] | None) -> None:
    assert sentinel2_baseline({"s2:processing_baseline": text}) == baseline


@pytest.mark.fault(40)
@pytest.mark.parametrize(
    ("flag", "offset"),
    [
        (True, 0.0),
        ("true", 0.0),
        ("True", 0.0),
        (1, 0.0),
        ("1", 0.0),
        (False, -0.1),
        ("false", -0.1),
        (None, -0.1),
        (0, -0.1),
    ],
)
def test_an_offset_that_was_taken_away_is_known_by_a_flag_of_any_type(flag: object, offset: float) -> None:
    properties = {"s2:processing_baseline": "N0511", "earthsearch:boa_offset_applied": flag}
    assert sentinel2_offset(properties, None) == offset
