"""What is known about sensors: band names, scale and offset, masks. One table, with a version of its own.

The version is part of every tile's key: raise it when an entry changes what pixels a scene gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SENSOR_TABLE_VERSION = 1

# ESA processing baseline 04.00 (25 January 2022) moved reflectance zero to the digital number 1000.
_S2_OFFSET_BASELINE = (4, 0)
_S2_OFFSET = -0.1


@dataclass(frozen=True, slots=True)
class MaskRule:
    """How a quality band says which pixels are usable.

    Attributes:
        band: Name of the quality band.
        aliases: Asset keys under which catalogues offer it.
        invalid: Codes that make a pixel unusable.
        nodata: Codes among them that mean "nothing was observed" rather than "something was in the way".
    """

    band: str
    aliases: tuple[str, ...]
    invalid: frozenset[int]
    nodata: frozenset[int]


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
    """

    name: str
    title: str
    quantity: Literal["reflectance", "digital-number"]
    aliases: Mapping[str, tuple[str, ...]]
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    mask: MaskRule | None = None
    rgb: tuple[str, str, str] | None = None
    display_range: tuple[float, float] = (0.0, 255.0)
    notes: tuple[str, ...] = field(default=())


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

COLLECTION_SENSORS: Mapping[str, str] = {
    "sentinel-2-l2a": "sentinel-2-l2a",
    "sentinel-2-c1-l2a": "sentinel-2-l2a",
    "sentinel-2-l1c": "sentinel-2-l1c",
}


def sentinel2_offset(properties: Mapping[str, Any], stated: float | None) -> float:
    """Offset of reflectance that an item's pixels still carry.

    Args:
        properties: The item's properties.
        stated: Offset of the asset's ``raster:bands``, if it states one.

    Returns:
        0 where the producer has already taken the offset away; else what the asset states; else -0.1 since
        baseline 04.00.
    """
    if properties.get("earthsearch:boa_offset_applied") is True:
        return 0.0
    if stated is not None:
        return stated
    text = str(properties.get("s2:processing_baseline", properties.get("processing:version", "0")))
    try:
        baseline = tuple(int(part) for part in text.split(".")[:2])
    except ValueError:
        return 0.0
    return _S2_OFFSET if baseline >= _S2_OFFSET_BASELINE else 0.0
