"""Which entry of the sensor table an item belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from geoseg import plugins
from geoseg.errors import ModelMismatchError, RequestError
from geoseg.scenes.sensors import SENSORS, Sensor, SensorQuantity

if TYPE_CHECKING:
    import pystac

# Collections of public catalogues, in lower case.
_COLLECTIONS: Mapping[str, str] = {
    "sentinel-2-l2a": "sentinel-2-l2a",
    "sentinel-2-c1-l2a": "sentinel-2-l2a",
    "sentinel-2-pre-c1-l2a": "sentinel-2-l2a",
    "sentinel-s2-l2a-cogs": "sentinel-2-l2a",
    "sentinel-s2-l2a": "sentinel-2-l2a",
    "sentinel-2-l1c": "sentinel-2-l1c",
    "sentinel-s2-l1c": "sentinel-2-l1c",
    "sentinel-1-rtc": "sentinel-1-rtc",
    "naip": "naip",
    "cop-dem-glo-30": "dem",
    "cop-dem-glo-90": "dem",
    "nasadem": "dem",
    "3dep-seamless": "dem",
}
_LANDSAT_COLLECTIONS = frozenset({"landsat-c2-l2", "landsat-c2l2-sr", "landsat-c2l2alb-sr"})
_S2_PRODUCTS: Mapping[str, str] = {"S2MSI2A": "sentinel-2-l2a", "S2MSI1C": "sentinel-2-l1c"}
_LANDSAT_PLATFORMS: Mapping[str, str] = {
    **dict.fromkeys(("landsat-8", "landsat-9"), "landsat-c2-l2"),
    **dict.fromkeys(("landsat-4", "landsat-5", "landsat-7"), "landsat-tm-c2-l2"),
}
_OTHERS: Mapping[str, str] = {
    "sentinel-1": "Sentinel-1 as it comes from the sensor, without a terrain correction (sentinel-1-rtc is known)",
    "sentinel-3": "Sentinel-3",
}


def sensor_names() -> tuple[str, ...]:
    """Every name that `sensor_named` knows: those of the table, then those of plug-ins, none of which is imported."""
    return (*SENSORS, *(name for name in plugins.plugin_names(plugins.SENSORS) if name not in SENSORS))


def collection_names() -> tuple[str, ...]:
    """Collections of public catalogues whose sensor is known, sorted."""
    return tuple(sorted({*_COLLECTIONS, *_LANDSAT_COLLECTIONS}))


def sensor_named(name: str) -> Sensor:
    """The table's entry, or that of a plug-in.

    Raises:
        RequestError: If there is no such entry.
        PluginError: If a plug-in that adds it cannot be used, or two add it.
    """
    plugin = plugins.find_plugin(plugins.SENSORS, name, own=SENSORS)
    if plugin is not None:
        return _sensor_of_plugin(plugin)
    if name not in SENSORS:
        raise RequestError(f"--sensor {name}", f"one of {', '.join(sensor_names())}", "choose one of these")
    return SENSORS[name]


def _sensor_of_plugin(plugin: plugins.Plugin) -> Sensor:
    sensor = plugin.load()
    if not isinstance(sensor, Sensor) or sensor.name != plugin.name or sensor.quantity not in get_args(SensorQuantity):
        raise plugin.error(
            f"it is {sensor!r}",
            f"a geoseg.scenes.Sensor named {plugin.name} whose quantity is one of {', '.join(get_args(SensorQuantity))}",
        )
    return replace(sensor, plugin=plugin)


def sensor_of(item: pystac.Item | Mapping[str, Any], name: str | None) -> Sensor:
    """The sensor that was asked for, or the one that collection, product type or platform tell.

    Args:
        item: An item, or its JSON.
        name: Of the sensor, or ``None``.

    Raises:
        ModelMismatchError: If nothing tells it.
        RequestError: If there is no sensor of that name.
        PluginError: As `sensor_named`. What an item says of itself never leads to a plug-in.
    """
    if name is not None:
        return sensor_named(name)
    from geoseg.scenes.stated import stated_by  # noqa: PLC0415  # pystac, which names of sensors need not

    document = stated_by(item)
    found = _told_by(document)
    if found is None:
        platform = _platform(document["properties"])
        kind = next((words for start, words in _OTHERS.items() if platform.startswith(start)), "")
        raise ModelMismatchError(
            f"item {document['id']} of collection {document.get('collection')!r}" + (f": {kind}" if kind else ""),
            f"imagery of a known sensor: {', '.join(sensor_names())}",
            "say what it is with --sensor, or choose another --collection",
        )
    return SENSORS[found]


def _told_by(document: Mapping[str, Any]) -> str | None:
    collection = (document.get("collection") or "").lower()
    if collection in _COLLECTIONS:
        return _COLLECTIONS[collection]
    properties = document["properties"]
    if (product := str(properties.get("s2:product_type", ""))) in _S2_PRODUCTS:
        return _S2_PRODUCTS[product]
    is_landsat = collection in _LANDSAT_COLLECTIONS or (
        str(properties.get("landsat:collection_number", "")) == "02"
        and str(properties.get("landsat:correction", "")).startswith("L2S")
    )
    return _LANDSAT_PLATFORMS.get(_platform(properties)) if is_landsat else None


def _platform(properties: Mapping[str, Any]) -> str:
    """Platform in lower case, words joined by hyphens, under its names of today and of older versions of STAC."""
    stated = properties.get("platform") or properties.get("eo:platform") or properties.get("constellation") or ""
    return str(stated).lower().replace("_", "-").replace(" ", "-")
