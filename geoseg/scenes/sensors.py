"""What is known about sensors: band names, scale and offset, masks. One table, with a version of its own.

The version is part of every tile's key: raise it when an entry changes what pixels a scene gives.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from geoseg.plugins import Plugin

SENSOR_TABLE_VERSION = 2

# ESA processing baseline 04.00 (25 January 2022) moved reflectance zero to the digital number 1000.
_S2_OFFSET_BASELINE = (4, 0)
_S2_OFFSET = -0.1
_S2_OFFSET_TAKEN_AWAY = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_YES = frozenset({"true", "1", "1.0", "yes"})  # flags that came through tables and forms are text or numbers
# As 04.00 or, from a product's name, N0400.
_BASELINE = re.compile(r"N?(?:(\d\d)(?=\d\d$)|(\d+)\.)(\d+)(?:\..*)?")
_S2_BASELINES = ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version")
_S2_PRODUCTS = ("s2:product_uri", "sentinel:product_id")


SensorQuantity = Literal["reflectance", "digital-number", "backscatter", "elevation"]


@dataclass(frozen=True, slots=True)
class MaskRule:
    """How a quality band says which pixels are usable.

    Attributes:
        band: Name of the quality band.
        aliases: Asset keys under which catalogues offer it.
        invalid: Codes that make a pixel unusable; of bit fields the bits, counted from 0, any of which does.
        nodata: Those among them that mean "nothing was observed" rather than "something was in the way".
        are_bits: Whether the band holds bit fields instead of codes.
    """

    band: str
    aliases: tuple[str, ...]
    invalid: frozenset[int]
    nodata: frozenset[int]
    are_bits: bool = False

    @property
    def dtype(self) -> str:
        """Type of the band's numbers."""
        return "uint16" if self.are_bits else "uint8"

    @property
    def missing(self) -> int:
        """A number that means nothing was observed, for pixels outside the file."""
        first = min(self.nodata)
        return 1 << first if self.are_bits else first

    def judge(self, codes: NDArray[np.integer[Any]]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where something was observed, and where nothing was in the way, of numbers of any shape."""
        return ~self._has(codes, self.nodata), ~self._has(codes, self.invalid)

    def _has(self, codes: NDArray[np.integer[Any]], any_of: frozenset[int]) -> NDArray[np.bool_]:
        if self.are_bits:
            return (codes & sum(1 << bit for bit in any_of)) > 0
        return np.isin(codes, list(any_of))


@dataclass(frozen=True, slots=True)
class Sensor:
    """Facts about one kind of imagery.

    Attributes:
        name: Name in the table and on the command line.
        title: Name for people.
        quantity: What ``raw x scale + offset`` means.
        aliases: Band name to the asset keys and common names that catalogues use for it.
        scale: Default scale.
        offset: Default offset.
        nodata: Raw value of missing pixels; ``None`` where the file alone knows.
        mask: Quality band rule, if there is one.
        rgb: Bands to show people, red green blue.
        display_range: Values shown as black and white.
        plugin: Who adds it; ``None`` for those of this table. Set when a plug-in is loaded.
        dark_bands: Bands whose dark end tells whether Sentinel-2's offset is in the numbers.
    """

    name: str
    title: str
    quantity: SensorQuantity
    aliases: Mapping[str, tuple[str, ...]]
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    mask: MaskRule | None = None
    rgb: tuple[str, str, str] | None = None
    display_range: tuple[float, float] = (0.0, 255.0)
    notes: tuple[str, ...] = field(default=())
    plugin: Plugin | None = None
    dark_bands: tuple[str, ...] = ()


# Land is darkest there: shadow, water, vegetation.
_S2_DARK = ("B04", "B08", "B12")
_S2_BANDS = {
    "B01": ("coastal",),
    "B02": ("blue",),
    "B03": ("green",),
    "B04": ("red",),
    "B05": ("rededge1",),
    "B06": ("rededge2",),
    "B07": ("rededge3",),
    "B08": ("nir",),
    "B8A": ("nir08",),
    "B09": ("nir09",),
    "B11": ("swir16",),
    "B12": ("swir22",),
}
# Scene classification: 0 no data, 1 saturated, 3 cloud shadow, 8 and 9 cloud, 10 cirrus (ESA L2A product definition).
_SCL = MaskRule("SCL", ("scl", "SCL"), frozenset({0, 1, 3, 8, 9, 10}), frozenset({0}))
_RGB = {"red": ("R", "B1"), "green": ("G", "B2"), "blue": ("B", "B3")}
# Pixel quality of Collection 2: 0 fill, 1 dilated cloud, 2 cirrus, 3 cloud, 4 cloud shadow (USGS LSDS-1619).
_QA_PIXEL = MaskRule(
    "QA_PIXEL", ("qa_pixel", "QA_PIXEL", "QA_PIXEL.TIF"), frozenset({0, 1, 2, 3, 4}), frozenset({0}), are_bits=True
)


def _landsat_bands(numbers: Mapping[str, int], instrument: str) -> dict[str, tuple[str, ...]]:
    """Common names to the keys under which catalogues offer bands of these numbers."""
    return {
        name: (f"SR_B{n}", f"B{n}", f"{instrument}_B{n}", f"SR_B{n}.TIF", f"B{n}.TIF") for name, n in numbers.items()
    }


_OLI = {"coastal": 1, "blue": 2, "green": 3, "red": 4, "nir08": 5, "swir16": 6, "swir22": 7}
# The thematic mappers count from blue; what is red on Landsat 8 is near infrared on Landsat 7.
_TM = {"blue": 1, "green": 2, "red": 3, "nir08": 4, "swir16": 5, "swir22": 7}
# Collection 2 Level-2 surface reflectance (USGS LSDS-1618 and -1619).
_LANDSAT_SCALE, _LANDSAT_OFFSET = 2.75e-5, -0.2

SENSORS: Mapping[str, Sensor] = {
    sensor.name: sensor
    for sensor in (
        Sensor(
            "sentinel-2-l2a",
            "Sentinel-2 Level-2A (surface reflectance)",
            "reflectance",
            _S2_BANDS,
            scale=1e-4,
            nodata=0,
            mask=_SCL,
            rgb=("B04", "B03", "B02"),
            display_range=(0.0, 0.3),
            dark_bands=_S2_DARK,
        ),
        Sensor(
            "sentinel-2-l1c",
            "Sentinel-2 Level-1C (top of atmosphere reflectance)",
            "reflectance",
            {**_S2_BANDS, "B10": ("cirrus",)},
            scale=1e-4,
            nodata=0,
            rgb=("B04", "B03", "B02"),
            display_range=(0.0, 0.35),
            dark_bands=_S2_DARK,
        ),
        Sensor(
            "landsat-c2-l2",
            "Landsat 8 and 9, Collection 2 Level-2 (surface reflectance)",
            "reflectance",
            _landsat_bands(_OLI, "OLI"),
            scale=_LANDSAT_SCALE,
            offset=_LANDSAT_OFFSET,
            nodata=0,
            mask=_QA_PIXEL,
            rgb=("red", "green", "blue"),
            display_range=(0.0, 0.3),
        ),
        Sensor(
            "landsat-tm-c2-l2",
            "Landsat 4, 5 and 7, Collection 2 Level-2 (surface reflectance)",
            "reflectance",
            _landsat_bands(_TM, "TM"),
            scale=_LANDSAT_SCALE,
            offset=_LANDSAT_OFFSET,
            nodata=0,
            mask=_QA_PIXEL,
            rgb=("red", "green", "blue"),
            display_range=(0.0, 0.3),
        ),
        Sensor(
            "sentinel-1-rtc",
            "Sentinel-1, terrain-corrected backscatter (gamma nought, linear power)",
            "backscatter",
            {"vv": ("VV",), "vh": ("VH",), "hh": ("HH",), "hv": ("HV",)},
            nodata=-32768.0,
            display_range=(0.0, 0.4),
        ),
        Sensor(
            "naip",
            "NAIP aerial image, red green blue near infrared",
            "digital-number",
            {"red": ("Red",), "green": ("Green",), "blue": ("Blue",), "nir": ("NIR",)},
            rgb=("red", "green", "blue"),
        ),
        Sensor(
            "dem",
            "Elevation in metres",
            "elevation",
            {"elevation": ("data", "dem", "DEM", "elevation")},
            display_range=(0.0, 3000.0),
        ),
        Sensor("rgb", "Aerial or UAV image, red green blue", "digital-number", _RGB, rgb=("red", "green", "blue")),
        Sensor(
            "rgbn",
            "Aerial or UAV image with near infrared",
            "digital-number",
            {**_RGB, "nir": ("N", "B4")},
            rgb=("red", "green", "blue"),
        ),
        Sensor("raster", "A raster whose bands are named by its user", "digital-number", {}),
    )
}


def sentinel2_offset(properties: Mapping[str, Any], stated: float | None) -> float:
    """Offset of reflectance that an item's pixels still carry.

    Args:
        properties: The item's properties.
        stated: Offset of the asset's ``raster:bands``, if it states one.

    Returns:
        0 where the producer has already taken the offset away; else what the asset states; else -0.1 since
        baseline 04.00, which the product's name tells where no field does.
    """
    if any(str(properties.get(name)).strip().lower() in _YES for name in _S2_OFFSET_TAKEN_AWAY):
        return 0.0
    if stated is not None:
        return stated
    baseline = sentinel2_baseline(properties)
    return _S2_OFFSET if baseline is not None and baseline >= _S2_OFFSET_BASELINE else 0.0


def sentinel2_baseline(properties: Mapping[str, Any]) -> tuple[int, int] | None:
    """Processing baseline of an item as (major, minor), or ``None`` where nothing tells it."""
    for name in _S2_BASELINES:
        if found := _BASELINE.fullmatch(str(properties.get(name, "")).strip()):
            return int(found[1] or found[2]), int(found[3])
    for name in _S2_PRODUCTS:
        if found := re.search(r"_N(\d{2})(\d{2})_", str(properties.get(name, ""))):
            return int(found[1]), int(found[2])
    return None
