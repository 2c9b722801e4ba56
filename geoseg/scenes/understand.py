"""A STAC item and a sensor to an ``Item``, or a reason why not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pystac
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from pyproj.exceptions import CRSError

from geoseg.errors import AssetReadError, ModelMismatchError
from geoseg.scenes.packed import PackedDocument
from geoseg.scenes.scene import BandSource, Item
from geoseg.scenes.sensors import Sensor, sentinel2_offset

if TYPE_CHECKING:
    from geoseg.scenes.raster_files import Opener

_GRIDS_KEPT = 16_384


def understand(
    item: pystac.Item,
    bands: Sequence[str],
    sensor: Sensor,
    opener: Opener | None = None,
    document: PackedDocument | None = None,
) -> Item:
    """Reduce a STAC item to what reading needs.

    Args:
        item: Item with absolute asset hrefs.
        bands: Names of the bands that the model wants.
        sensor: The item's entry in the sensor table.
        opener: Opens files that the item says too little of; GDAL by itself where it is not given.
        document: The item's JSON, where it is there already.

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
        cloud_cover_percent=_percent(properties.get("eo:cloud_cover")),
        version=_version(properties),
        geobox=_finest_geobox(item, sources.values(), opener),
        bands=sources,
        mask=mask,
        alpha=False,
        licence=str(properties.get("license", "")),
        document=_document(item, tuple(sources.values()), document),
        href=item.get_self_href() or "",
        witnesses=_witnesses(item, bands, sensor),
    )


def _witnesses(item: pystac.Item, bands: Sequence[str], sensor: Sensor) -> dict[str, BandSource]:
    """Dark bands that the model does not read, as far as the item has them and says what they are."""
    found = {}
    for band in sensor.dark_bands:
        with suppress(ModelMismatchError):  # nothing is lost where one cannot be understood
            if band not in bands and _place_of(item, band, sensor) is not None:
                found[band] = _source(item, band, sensor)
    return found


def _percent(stated: object) -> float | None:
    return float(stated) if isinstance(stated, int | float) and math.isfinite(stated) else None


def _document(item: pystac.Item, sources: Sequence[BandSource], stated: PackedDocument | None) -> PackedDocument:
    """The item as JSON: as it stands, where reading finds bands and grids in it."""

    def is_plain(source: BandSource) -> bool:
        facts = item.assets[source.asset].extra_fields
        bands = facts.get("raster:bands") or facts.get("bands") or ("eo:bands" not in facts) * ("the only one",)
        claim = {"properties": item.properties, "assets": {source.asset: facts}}
        return source.index <= len(bands) and claimed_geobox(claim, source.asset) is not None

    if stated is not None and all(map(is_plain, sources)):
        return PackedDocument(stated, links=False)
    return PackedDocument(_numbered(item.to_dict(include_self_link=False, transform_hrefs=False), sources))


def _numbered(document: dict[str, Any], sources: Iterable[BandSource]) -> dict[str, Any]:
    """The item with its bands numbered where an asset holds several: reading finds them by the count of this list.

    Grids that cannot be are left out.
    """
    for source in sources:
        asset = document["assets"][source.asset]
        known = asset.get("raster:bands") or asset.get("bands") or []
        if source.index > len(known):
            asset["raster:bands"] = [{} for _ in asset.get("eo:bands", range(source.index))]
        if claimed_geobox(document, source.asset) is None:  # what cannot be a grid would stop those who read it later
            for fields in (asset, document["properties"]):
                fields.pop("proj:shape", None)
                fields.pop("proj:transform", None)
    return document


def _version(properties: dict[str, Any]) -> str:
    names = ("s2:processing_baseline", "processing:version", "version", "updated")
    return " ".join(f"{name}={properties[name]}" for name in names if name in properties)


def _band_place(item: pystac.Item, names: Sequence[str]) -> tuple[str, int] | None:
    """Asset and number of a band: an asset of that key, else one that states to hold it; ``None`` where none does.

    Raises:
        ModelMismatchError: If several state to hold it.
    """
    for name in names:
        if name in item.assets:
            return name, 1
    wanted = {name.lower() for name in names}
    stated = {key: _stated_bands(item, asset) for key, asset in item.assets.items() if not _is_picture(asset)}
    single = [(key, 1) for key, bands in stated.items() if len(bands) == 1 and bands[0] & wanted]
    several = [
        (key, number)
        for key, bands in stated.items()
        if len(bands) > 1
        for number, band in enumerate(bands, start=1)
        if band & wanted
    ]
    claiming = single or several
    if len(claiming) > 1:
        raise ModelMismatchError(
            f"item {item.id}, whose assets {', '.join(key for key, _ in claiming)} all state to hold {names[0]}",
            "one asset for each band",
            "leave the item out with --datetime, or choose another --collection",
        )
    return claiming[0] if claiming else None


def _is_picture(asset: pystac.Asset) -> bool:
    """Whether an asset is there to be looked at: its numbers are no measurements."""
    return bool({"visual", "overview", "thumbnail"} & set(asset.roles or ()))


def _stated_bands(item: pystac.Item, asset: pystac.Asset) -> list[set[str]]:
    """For each band of an asset, its name and common name in lower case.

    Older items list their bands once and let assets name them by position.
    """
    listed = asset.extra_fields.get("bands") or asset.extra_fields.get("eo:bands") or []
    common = item.properties.get("eo:bands") or []
    bands = [common[band] if isinstance(band, int) and band < len(common) else band for band in listed]
    return [
        {str(band[name]).lower() for name in ("name", "common_name", "eo:common_name") if band.get(name)}
        if isinstance(band, dict)
        else set()
        for band in bands
    ]


def _place_of(item: pystac.Item, band: str, sensor: Sensor) -> tuple[str, int] | None:
    return _band_place(item, (band, *sensor.aliases.get(band, ())))


def _refuse_lacking(item: pystac.Item, bands: Sequence[str], sensor: Sensor) -> None:
    missing = [band for band in bands if _place_of(item, band, sensor) is None]
    if missing:
        raise ModelMismatchError(
            f"item {item.id} of {sensor.title}, with the assets {', '.join(sorted(item.assets))}",
            f"the band{'s' * (len(missing) > 1)} {', '.join(missing)} (the model reads {', '.join(bands)})",
            "choose a model for these bands with --model (geoseg models show NAME names what it reads), another "
            "--collection, or say what the imagery is with --sensor; with --max-failed above 0 such items are left out",
        )


def _source(item: pystac.Item, band: str, sensor: Sensor) -> BandSource:
    place = _place_of(item, band, sensor)
    assert place is not None  # noqa: S101  # items that lack a band are refused before
    key, number = place
    asset = item.assets[key]
    described = asset.extra_fields.get("raster:bands") or asset.extra_fields.get("bands") or []
    facts = described[number - 1] if len(described) >= number and isinstance(described[number - 1], dict) else {}
    own = asset.extra_fields  # holds for all bands of the asset (STAC 1.1)
    scale = _stated(item, key, "scale", _first(facts.get("scale"), facts.get("raster:scale"), own.get("raster:scale")))
    stated = _stated(
        item, key, "offset", _first(facts.get("offset"), facts.get("raster:offset"), own.get("raster:offset"))
    )
    offset = sensor.offset if stated is None else stated
    if sensor.name.startswith("sentinel-2"):
        offset = sentinel2_offset(item.properties, stated)
    nodata = _stated(item, key, "nodata", _first(facts.get("nodata"), own.get("nodata"), sensor.nodata))
    return BandSource(key, number, asset.href, sensor.scale if scale is None else scale, offset, nodata)


def _first(*values: object) -> object:
    """The first value that is stated; ``None`` where none is."""
    return next((value for value in values if value is not None), None)


def _stated(item: pystac.Item, asset: str, what: str, value: Any) -> float | None:
    """A number that an asset states, ``None`` where it states none. Nodata may be infinite, or no number.

    Raises:
        ModelMismatchError: If it is none that could be meant.
    """
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
        what = f"{what} {value!r}" if str(value).lower() != "nan" else what
    if what == "nodata" or (math.isfinite(number) and (number or what == "offset")):
        return number
    raise ModelMismatchError(
        f"item {item.id} whose asset {asset} states the {what if repr(value) in what else f'{what} {value!r}'}"[:300],
        "a number, and a scale that is not 0",
        "leave the item out with --datetime, or choose another --collection",
    )


def _mask_source(item: pystac.Item, sensor: Sensor) -> BandSource | None:
    if sensor.mask is None:
        return None
    place = _band_place(item, sensor.mask.aliases)
    if place is None:
        raise ModelMismatchError(
            f"item {item.id} with the assets {', '.join(sorted(item.assets))}",
            f"the quality band {sensor.mask.band} of {sensor.title}: without it clouds would pass as land",
            "choose another collection",
        )
    key, number = place
    return BandSource(key, number, item.assets[key].href)


def _finest_geobox(item: pystac.Item, sources: Iterable[BandSource], opener: Opener | None) -> GeoBox:
    geoboxes = [g for g in (_geobox(item, source, opener) for source in sources) if g is not None]
    if not geoboxes:
        raise AssetReadError(
            f"item {item.id} without proj:transform and proj:shape, and with files that cannot be opened",
            "one of the two: leaving it out would let another scene stand in unannounced",
            "repair the files, or leave the item out with --datetime",
        )
    return min(geoboxes, key=lambda g: abs(g.transform.determinant))


def _geobox(item: pystac.Item, source: BandSource, opener: Opener | None) -> GeoBox | None:
    claimed = claimed_geobox(
        {"properties": item.properties, "assets": {source.asset: item.assets[source.asset].extra_fields}}, source.asset
    )
    if claimed is not None:
        return claimed
    from geoseg.scenes.rasters import geobox_of_file  # noqa: PLC0415  # most items need no rasterio here

    return geobox_of_file(source.href) if opener is None else geobox_of_file(source.href, opener)


def claimed_geobox(document: Mapping[str, Any], asset: str) -> GeoBox | None:
    """Pixel grid of an asset as its item (JSON) states it; ``None`` where it does not."""
    own, common = document["assets"][asset], document["properties"]
    code, shape, transform = (own.get(name, common.get(name)) for name in ("proj:code", "proj:shape", "proj:transform"))
    code = code or own.get("proj:epsg", common.get("proj:epsg")) or own.get("proj:wkt2", common.get("proj:wkt2"))
    if not (code and shape and transform):
        return None
    try:
        return _geobox_of(code, tuple(shape), tuple(transform[:6]))
    except TypeError:  # then the file itself says
        return None


@lru_cache(_GRIDS_KEPT)
def _geobox_of(code: Any, shape: tuple[Any, ...], place: tuple[Any, ...]) -> GeoBox | None:
    """The grid that a projection states; the same object for all dates of a square."""
    try:
        rows, cols = map(int, shape)
        transform = Affine(*map(float, place))
        crs = CRS(code)
    except (TypeError, ValueError, CRSError):  # then the file itself says
        return None
    usable = min(rows, cols) > 0 and all(map(math.isfinite, transform[:6])) and transform.determinant
    return GeoBox((rows, cols), transform, crs) if usable else None
