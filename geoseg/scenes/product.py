"""What a Sentinel-2 product, as ESA delivers it, says of its numbers: ``MTD_MSIL1C.xml`` or ``MTD_MSIL2A.xml``.

Reflectance is (number + offset) / quantification. Since processing baseline 04.00 the offset is -1000.

References:
    Sentinel-2 Products Specification Document, elements ``BOA_ADD_OFFSET``, ``RADIO_ADD_OFFSET`` and
    ``QUANTIFICATION_VALUE``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree as ET

# By their ``band_id``.
_BANDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
_LEVELS = {"MTD_MSIL1C.xml": "sentinel-2-l1c", "MTD_MSIL2A.xml": "sentinel-2-l2a"}
_QUANTIFICATION = {"MTD_MSIL1C.xml": "QUANTIFICATION_VALUE", "MTD_MSIL2A.xml": "BOA_QUANTIFICATION_VALUE"}
_OFFSETS = {"MTD_MSIL1C.xml": "RADIO_ADD_OFFSET", "MTD_MSIL2A.xml": "BOA_ADD_OFFSET"}
_FOLDERS_UP = 6  # from a band's file to the folder of the product
_MOST_BYTES = 8 * 2**20  # a real one has about 50 kB


@dataclass(frozen=True, slots=True)
class Product:
    """The radiometry of a product.

    Attributes:
        path: Its metadata.
        sensor: Name in the sensor table.
        baseline: Of the processing, such as ``04.00``; "" where it is not stated.
        scale: Reflectance per number.
        offsets: Band to what is added to number x scale.
        damage: Why nothing of this could be read; "" where it could.
    """

    path: Path
    sensor: str
    baseline: str = ""
    scale: float = 1e-4
    offsets: Mapping[str, float] | None = None
    damage: str = ""

    def offset(self, band: str) -> float:
        """What is added to number x scale: 0 where the product states nothing."""
        return (self.offsets or {}).get(band, 0.0)


def product_of(file: str) -> Product | None:
    """The product that a file of this machine belongs to; ``None`` where no metadata lies above it."""
    if "://" in file:
        return None
    for folder in list(Path(file).parents)[:_FOLDERS_UP]:
        for name in _LEVELS:
            if (folder / name).is_file():
                return _read(folder / name, (folder / name).stat().st_mtime_ns)
    return None


@lru_cache(maxsize=64)  # one product has a file for each band
def _read(path: Path, changed_ns: int) -> Product:
    """The metadata, as it was changed last."""
    del changed_ns
    sensor = _LEVELS[path.name]
    try:
        return _understood(path, sensor, _document(path))
    except (ET.ParseError, OSError, ValueError) as err:
        return Product(path, sensor, damage=str(err) or type(err).__name__)


def _document(path: Path) -> ET.Element:
    """The XML, refused where it is large or defines entities: metadata comes from strangers too.

    Raises:
        ValueError: If so.
    """
    with path.open("rb") as stream:
        content = stream.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"more than {_MOST_BYTES:,} bytes")
    if b"<!DOCTYPE" in content.replace(b"\x00", b""):  # in UTF-16 too
        raise ValueError("a document type, which no product has")
    return ET.fromstring(content)  # noqa: S314  # bounded, and without entities


def _understood(path: Path, sensor: str, root: ET.Element) -> Product:
    """Raises ValueError where numbers are none."""
    quantification = _number(_text(root, _QUANTIFICATION[path.name]) or "10000")
    if quantification <= 0:
        raise ValueError(f"the quantification {quantification:g}")
    offsets = {}
    for element in root.iter(_OFFSETS[path.name]):
        number = int(element.get("band_id", "-1"))
        if not 0 <= number < len(_BANDS):
            raise ValueError(f"the band {number}")
        offsets[_BANDS[number]] = _number(element.text or "") / quantification
    return Product(path, sensor, _text(root, "PROCESSING_BASELINE"), 1 / quantification, offsets)


def _text(root: ET.Element, name: str) -> str:
    return (next(root.iter(name), ET.Element(name)).text or "").strip()


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text}")
    return number
