"""What a reader of the pages has at hand: the demo, a region, and a Sentinel-2-like scene as files."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import rasterio
from pages import command_lines, geoseg_words

from geoseg.cli import main
from geoseg.demo import write_demo

SMALL = (256, 384)
SMALL_UAV = (320, 288)
# What a reader gets from ESA is called like this; the demo's scenes have no such files.
BAND_NAME = "T60GUA_20220207T222539_{}_{}"
PRODUCT = "S2A_MSIL2A_20220601T100041_N0400_R122_T33TVL_20220601T161711.SAFE"
METADATA = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd"><n1:General_Info>
<Product_Info><PROCESSING_BASELINE>04.00</PROCESSING_BASELINE></Product_Info><Product_Image_Characteristics>
<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>
<BOA_ADD_OFFSET_VALUES_LIST>{}</BOA_ADD_OFFSET_VALUES_LIST>
</Product_Image_Characteristics></n1:General_Info></n1:Level-2A_User_Product>
"""


@pytest.fixture(scope="session")
def readers_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages name and what nobody can fetch here, made once."""
    folder = tmp_path_factory.mktemp("disk")
    demo = write_demo(folder / "demo-data", shape=SMALL, uav_shape=SMALL_UAV, later=True)
    shutil.copy(demo.region, folder / "region.geojson")
    newest = demo.items[5].parent  # of the earlier dates: numbers of baseline 04.00: with the offset
    write_bands(newest, folder / "bands")
    write_product(newest, folder / PRODUCT)
    return folder


def write_bands(scene: Path, folder: Path) -> None:
    """A GeoTIFF for each band."""
    folder.mkdir()
    for path in scene.glob("*.tif"):
        shutil.copy(path, folder / f"{BAND_NAME.format(path.stem, resolution_of(path))}.tif")


def write_product(scene: Path, folder: Path) -> None:
    """JPEG 2000 files in the folders of a product, and the metadata that state its offset."""
    for path in scene.glob("*.tif"):
        place = folder / "GRANULE" / "L2A_T60GUA_A034624_20220207T222539" / "IMG_DATA" / f"R{resolution_of(path)}"
        place.mkdir(parents=True, exist_ok=True)
        with rasterio.open(path) as source:
            profile = {"driver": "JP2OpenJPEG", "QUALITY": "100", "REVERSIBLE": "YES", "dtype": source.dtypes[0]}
            frame = {"crs": source.crs, "transform": source.transform, "height": source.height, "width": source.width}
            with rasterio.open(
                place / f"{BAND_NAME.format(path.stem, resolution_of(path))}.jp2", "w", count=1, **frame, **profile
            ) as target:
                target.write(source.read())
    offsets = "".join(f'<BOA_ADD_OFFSET band_id="{number}">-1000</BOA_ADD_OFFSET>' for number in range(13))
    (folder / "MTD_MSIL2A.xml").write_text(METADATA.format(offsets))


def resolution_of(path: Path) -> str:
    return "10m" if path.stem in {"B02", "B03", "B04", "B08"} else "20m"


@pytest.fixture
def terminal(
    readers_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[str], None]:
    """A terminal in a folder of its own that has the reader's files; types the lines of a block, each must end with 0.

    ``geoseg`` runs in this process, where tests have no network, and ``geoseg demo`` gets a smaller demo.
    """
    shutil.copytree(readers_disk, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "geoseg.demo.write_demo",
        lambda folder, **_: shutil.copytree(readers_disk / "demo-data", folder, dirs_exist_ok=True),
    )

    def type_lines(text: str) -> None:
        for line in command_lines(text):
            if line.startswith("export "):
                for word in shlex.split(os.path.expandvars(line))[1:]:
                    monkeypatch.setenv(*word.split("=", 1))
                continue
            assert line.startswith("geoseg "), f"{line}: blocks that run have lines of geoseg and export only"
            words = geoseg_words(line)
            with pytest.raises(SystemExit) as ended:
                main(words)
            assert ended.value.code in {0, None}, f"{line}\n{capfd.readouterr().err}"

    return type_lines
