"""Items of real producers: understood with the offset that their pixels carry, or refused with a reason."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pystac
import pytest

from geoseg.errors import GeosegError
from geoseg.scenes import Item
from geoseg.scenes.understand import sensor_of, understand

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


@pytest.mark.parametrize("path", ["earthsearch-v1_sentinel-1-grd", "earthsearch-v1_landsat", "planetary-computer_naip"])
def test_other_sensors_are_refused_with_a_reason(items: Path, path: str) -> None:
    (file,) = items.glob(f"{path}*.json")
    for document in documents(file):
        for sensor in (None, "sentinel-2-l2a"):
            with pytest.raises(GeosegError) as refused:
                read(document, sensor)
            assert document["id"] in refused.value.given
            assert refused.value.exit_code == 2


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
