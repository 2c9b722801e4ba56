"""A STAC item and a sensor to an ``Item``, or a reason why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pystac
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from geoseg.errors import AssetReadError, ModelMismatchError, RequestError
from geoseg.scenes.scene import BandSource, Item
from geoseg.scenes.sensors import COLLECTION_SENSORS, SENSORS, Sensor, sentinel2_offset


def sensor_named(name: str) -> Sensor:
    """The table's entry.

    Raises:
        RequestError: If the table has no such entry.
    """
    if name not in SENSORS:
        raise RequestError(f"--sensor {name}", f"one of {', '.join(SENSORS)}", "choose one of these")
    return SENSORS[name]


def sensor_of(item: pystac.Item, name: str | None) -> Sensor:
    """The sensor that was asked for, or the one that the item's collection belongs to.

    Raises:
        ModelMismatchError: If the item's collection is unknown.
        RequestError: If the table has no sensor of that name.
    """
    name = name or COLLECTION_SENSORS.get(item.collection_id or "")
    if name is None:
        raise ModelMismatchError(
            f"item {item.id} of collection {item.collection_id!r}",
            f"a collection among {', '.join(COLLECTION_SENSORS)}, or --sensor",
            f"add --sensor, one of {', '.join(SENSORS)}",
        )
    return sensor_named(name)


def understand(item: pystac.Item, bands: Sequence[str], sensor: Sensor) -> Item:
    """Reduce a STAC item to what reading needs.

    Args:
        item: Item with absolute asset hrefs.
        bands: Names of the bands that the model wants.
        sensor: The item's entry in the sensor table.

    Raises:
        ModelMismatchError: If a band is missing, or no asset says where its pixels lie.
    """
    _refuse_lacking(item, bands, sensor)
    sources = {band: _source(item, band, sensor) for band in bands}
    mask = _mask_source(item, sensor)
    properties = item.properties
    moment = item.datetime or item.common_metadata.start_datetime
    return Item(
        id=item.id,
        collection=item.collection_id,
        sensor=sensor,
        datetime=moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else "",
        platform=str(properties.get("platform", "")),
        cloud_cover_percent=properties.get("eo:cloud_cover"),
        version=_version(properties),
        geobox=_finest_geobox(item, sources.values()),
        bands=sources,
        mask=mask,
        alpha=False,
        licence=str(properties.get("license", "")),
        document=item.to_dict(include_self_link=False, transform_hrefs=False),
        href=item.get_self_href() or "",
    )


def _version(properties: dict[str, Any]) -> str:
    names = ("s2:processing_baseline", "processing:version", "version", "updated")
    return " ".join(f"{name}={properties[name]}" for name in names if name in properties)


def _asset_key(item: pystac.Item, names: Sequence[str]) -> str | None:
    """The asset of a band: by its key, else by the one band that it states to hold.

    Raises:
        ModelMismatchError: If several state to hold it.
    """
    for name in names:
        if name in item.assets:
            return name
    claiming = [key for key, asset in item.assets.items() if _stated_names(asset) & set(names)]
    if len(claiming) > 1:
        raise ModelMismatchError(
            f"item {item.id}, whose assets {', '.join(claiming)} all state to hold {names[0]}",
            "one asset for each band",
            "leave the item out with --datetime, or choose another --collection",
        )
    return claiming[0] if claiming else None


def _stated_names(asset: pystac.Asset) -> set[object]:
    """Name and common name of an asset's band, if it has only one."""
    stated = asset.extra_fields.get("bands") or asset.extra_fields.get("eo:bands") or []
    if len(stated) != 1 or not isinstance(stated[0], dict):
        return set()
    return {stated[0].get("name"), stated[0].get("common_name"), stated[0].get("eo:common_name")} - {None}


def _band_key(item: pystac.Item, band: str, sensor: Sensor) -> str | None:
    return _asset_key(item, (band, *sensor.aliases.get(band, ())))


def _refuse_lacking(item: pystac.Item, bands: Sequence[str], sensor: Sensor) -> None:
    missing = [band for band in bands if _band_key(item, band, sensor) is None]
    if missing:
        raise ModelMismatchError(
            f"item {item.id} of {sensor.title}, with the assets {', '.join(sorted(item.assets))}",
            f"the band{'s' * (len(missing) > 1)} {', '.join(missing)} (the model reads {', '.join(bands)})",
            "choose a model for these bands with --model (geoseg models show NAME names what it reads), another "
            "--collection, or say what the imagery is with --sensor; with --max-failed above 0 such items are left out",
        )


def _source(item: pystac.Item, band: str, sensor: Sensor) -> BandSource:
    key = _band_key(item, band, sensor)
    assert key is not None  # noqa: S101  # items that lack a band are refused before
    asset = item.assets[key]
    facts = (asset.extra_fields.get("raster:bands") or asset.extra_fields.get("bands") or [{}])[0]
    scale = float(facts.get("scale", facts.get("raster:scale", sensor.scale)))
    stated = facts.get("offset", facts.get("raster:offset"))
    offset = sensor.offset if stated is None else float(stated)
    if sensor.name.startswith("sentinel-2"):
        offset = sentinel2_offset(item.properties, None if stated is None else float(stated))
    nodata = facts.get("nodata", sensor.nodata)
    return BandSource(key, 1, asset.href, scale, offset, None if nodata is None else float(nodata))


def _mask_source(item: pystac.Item, sensor: Sensor) -> BandSource | None:
    if sensor.mask is None:
        return None
    key = _asset_key(item, sensor.mask.aliases)
    if key is None:
        raise ModelMismatchError(
            f"item {item.id} with the assets {', '.join(sorted(item.assets))}",
            f"the quality band {sensor.mask.band} of {sensor.title}: without it clouds would pass as land",
            "choose another collection",
        )
    return BandSource(key, 1, item.assets[key].href)


def _finest_geobox(item: pystac.Item, sources: Sequence[BandSource] | Any) -> GeoBox:
    geoboxes = [g for g in (_geobox(item, source) for source in sources) if g is not None]
    if not geoboxes:
        raise AssetReadError(
            f"item {item.id} without proj:transform and proj:shape, and with files that cannot be opened",
            "one of the two: leaving it out would let another scene stand in unannounced",
            "repair the files, or leave the item out with --datetime",
        )
    return min(geoboxes, key=lambda g: abs(g.transform.determinant))


def _geobox(item: pystac.Item, source: BandSource) -> GeoBox | None:
    claimed = claimed_geobox(
        {"properties": item.properties, "assets": {source.asset: item.assets[source.asset].extra_fields}}, source.asset
    )
    if claimed is not None:
        return claimed
    from geoseg.scenes.rasters import geobox_of_file  # noqa: PLC0415  # most items need no rasterio here

    return geobox_of_file(source.href)


def claimed_geobox(document: Mapping[str, Any], asset: str) -> GeoBox | None:
    """Pixel grid of an asset as its item (JSON) states it; ``None`` where it does not."""
    fields = {**document["properties"], **document["assets"][asset]}
    code = fields.get("proj:code") or fields.get("proj:epsg") or fields.get("proj:wkt2")
    if code and fields.get("proj:shape") and fields.get("proj:transform"):
        return GeoBox(tuple(fields["proj:shape"]), Affine(*fields["proj:transform"][:6]), CRS(code))
    return None
