"""Products of Sentinel-2 as ESA delivers them: the offset is the product's, whoever names its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worlds
from numpy.typing import NDArray

from geoseg.inputs import check_inputs
from geoseg.load import Rasters, lazy_item, pixels_of, reading
from geoseg.scenes import Found, find_scenes
from geoseg.scenes.product import product_of
from geoseg.spec import JobSpec

BANDS = ("B04", "B08", "B11")
IDS = {"B04": 3, "B08": 7, "B11": 11}
L2A, L1C = "MTD_MSIL2A.xml", "MTD_MSIL1C.xml"


def metadata(name: str, offsets: dict[str, float], quantification: object = 10000, baseline: str = "05.09") -> str:
    one, many = (
        ("BOA_ADD_OFFSET", "BOA_ADD_OFFSET_VALUES_LIST")
        if name == L2A
        else ("RADIO_ADD_OFFSET", "Radiometric_Offset_List")
    )
    listed = "".join(f'<{one} band_id="{IDS[band]}">{value}</{one}>' for band, value in offsets.items())
    value = "BOA_QUANTIFICATION_VALUE" if name == L2A else "QUANTIFICATION_VALUE"
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><n1:Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User.xsd">'
        f"<n1:General_Info><Product_Info><PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE></Product_Info>"
        f'<Product_Image_Characteristics><{value} unit="none">{quantification}</{value}>'
        f"{f'<{many}>{listed}</{many}>' if listed else ''}</Product_Image_Characteristics></n1:General_Info></n1:Product>"
    )


def image() -> NDArray[np.float64]:
    """Numbers of three bands without an offset: dark ends near zero, as over water and shade."""
    bands = worlds.landscape((40, 50), 3) * 12
    bands[:, :20, :20] = 60
    return bands


def product(folder: Path, xml: str | bytes | None, name: str = L2A, shift: dict[str, float] | None = None) -> Path:
    safe = folder / "S2A_MSIL2A_20220601T100041_N0400_R122_T33TVL_20220601T161711.SAFE"
    for band, numbers in zip(BANDS, image(), strict=True):
        place = ("R10m", "_10m", 10.0) if band != "B11" else ("R20m", "_20m", 20.0)
        place = place if name == L2A else ("", "", place[2])
        part = numbers if band != "B11" else numbers[:20, :25]
        worlds.write_raster(
            safe / "GRANULE" / "L2A_T33TVL" / "IMG_DATA" / place[0] / f"T33TVL_20220601T100041_{band}{place[1]}.tif",
            (part + (shift or {}).get(band, 0.0)).round().astype("uint16")[None],
            pixel=place[2],
        )
    if xml is not None:
        (safe / name).write_bytes(xml if isinstance(xml, bytes) else xml.encode())
    return safe


def found(path: Path, **options: Any) -> Found:
    return find_scenes(JobSpec.build(scenes=str(path), model="m", **options), None, BANDS)


def reflectance(result: Found) -> NDArray[np.float32]:
    (item,) = result.items
    with reading(10**8):
        pixels, failures = pixels_of(lazy_item(item, item.geobox, 40, "reflectance"), slice(0, 40), 2)
    assert not failures
    values: NDArray[np.float32] = pixels.values
    return values


@pytest.fixture
def clean(tmp_path: Path) -> NDArray[np.float32]:
    """Reflectance of the product of an old baseline, whose numbers have no offset."""
    return reflectance(found(product(tmp_path / "clean", metadata(L2A, {}, baseline="03.01"))))


@pytest.mark.fault(40)
@pytest.mark.parametrize("name", [L2A, L1C])
@pytest.mark.parametrize("offsets", [dict.fromkeys(BANDS, -1000), {"B04": -1000, "B08": -500, "B11": -900}, {}])
def test_fault_40_a_product_states_its_offset_for_each_band(
    tmp_path: Path, clean: NDArray[np.float32], name: str, offsets: dict[str, float]
) -> None:
    shift = {band: -value for band, value in offsets.items()}
    result = found(product(tmp_path, metadata(name, offsets), name, shift))
    np.testing.assert_allclose(reflectance(result), clean, atol=1e-6)
    assert result.items[0].sensor.name == ("sentinel-2-l2a" if name == L2A else "sentinel-2-l1c")
    assert f"from {name}" in result.notes[0]
    assert not result.warnings
    assert check_inputs(result.items, Rasters(), is_stated=False) == []


@pytest.mark.fault(40)
def test_fault_40_files_of_a_product_named_one_by_one_are_of_the_product_too(
    tmp_path: Path, clean: NDArray[np.float32]
) -> None:
    safe = product(tmp_path, metadata(L2A, dict.fromkeys(BANDS, -1000)), shift=dict.fromkeys(BANDS, 1000))
    spec = JobSpec.build(scenes=tuple(map(str, sorted(safe.rglob("*.tif")))), model="m")
    np.testing.assert_allclose(reflectance(find_scenes(spec, None, BANDS)), clean, atol=1e-6)


@pytest.mark.fault(40)
def test_fault_40_what_the_user_states_goes_before_the_product(tmp_path: Path) -> None:
    safe = product(tmp_path, metadata(L2A, dict.fromkeys(BANDS, -1000)))
    (item,) = found(safe, offset=0.0, scale=0.5).items
    assert {(source.scale, source.offset) for source in item.bands.values()} == {(0.5, 0.0)}


@pytest.mark.fault(40)
def test_fault_40_another_quantification_is_obeyed(tmp_path: Path) -> None:
    (item,) = found(product(tmp_path, metadata(L2A, {"B04": -500}, 5000))).items
    assert {band: (s.scale, s.offset) for band, s in item.bands.items()} == {
        "B04": (1 / 5000, -0.1),
        "B08": (1 / 5000, 0.0),
        "B11": (1 / 5000, 0.0),
    }


BOMB = b'<!DOCTYPE a [<!ENTITY b "' + b"x" * 100 + b'"><!ENTITY c "' + b"&b;" * 100 + b'">]><a>&c;</a>'


@pytest.mark.fault(40)
@pytest.mark.parametrize(
    ("xml", "words"),
    [
        (b"<a><b>", "no element found"),
        (b"", "no element found"),
        (BOMB, "document type"),
        (BOMB.decode().encode("utf-16"), "document type"),
        (b'<?xml version="1.0"?><!DOCTYPE a SYSTEM "file:///etc/hostname"><a/>', "document type"),
        (b"<a>" + b" " * 2**23 + b"</a>", "8,388,608 bytes"),
        (metadata(L2A, {"B04": "many"}).encode(), "many"),  # type: ignore[dict-item]  # on purpose
        (metadata(L2A, {"B04": "nan"}).encode(), "nan"),  # type: ignore[dict-item]
        (metadata(L2A, {}, 0).encode(), "quantification 0"),
        (metadata(L2A, {"B04": 1}).replace('band_id="3"', 'band_id="13"').encode(), "band 13"),
    ],
)
def test_fault_40_metadata_that_cannot_be_read_is_a_warning(tmp_path: Path, xml: bytes, words: str) -> None:
    result = found(product(tmp_path, xml))
    (warning,) = result.warnings
    assert words in warning
    assert "--offset" in warning
    assert {(s.scale, s.offset) for s in result.items[0].bands.values()} == {(1e-4, 0.0)}


@pytest.mark.fault(40)
def test_fault_40_a_folder_of_bands_without_metadata_is_no_product(tmp_path: Path) -> None:
    safe = product(tmp_path, None)
    assert product_of(str(next(safe.rglob("*.tif")))) is None
    assert not found(safe).warnings
