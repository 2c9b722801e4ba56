"""A STAC item and a sensor to an ``Item``, or a reason why not."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from pyproj.exceptions import CRSError

from geoseg.errors import AssetReadError, ModelMismatchError
from geoseg.plainfiles import check_plain
from geoseg.remote import unsigned
from geoseg.scenes.choose import square_of
from geoseg.scenes.packed import PackedDocument
from geoseg.scenes.raster_checks import is_address, what_it_is
from geoseg.scenes.scene import BandSource, Item
from geoseg.scenes.sensors import Sensor, sentinel2_offset
from geoseg.scenes.stated import moment_of, own_href, stated_by

if TYPE_CHECKING:
    import pystac

    from geoseg.scenes.raster_files import Opener

_GRIDS_KEPT = 16_384


def understand(
    item: pystac.Item | Mapping[str, Any],
    bands: Sequence[str],
    sensor: Sensor,
    opener: Opener | None = None,
    packed: PackedDocument | None = None,
) -> Item:
    """Reduce a STAC item to what reading needs.

    Args:
        item: Item with absolute asset hrefs, or its JSON.
        bands: Names of the bands that the model wants; empty for all of the sensor's that the item has.
        sensor: The item's entry in the sensor table.
        opener: Opens files that the item says too little of; GDAL by itself where it is not given.
        packed: The item's JSON, where it is packed already.

    Raises:
        ModelMismatchError: If a band is missing, or no asset says where its pixels lie.
    """
    stated = _Stated(stated_by(item), sensor)
    bands = bands or stated.bands
    stated.refuse_lacking(bands)
    sources = {band: stated.source(band) for band in bands}
    mask = stated.mask()
    properties = stated.properties
    grids = {source.asset: claimed_geobox(stated.document, source.asset) for source in sources.values()}
    return Item(
        id=stated.id,
        collection=stated.document.get("collection"),
        sensor=sensor,
        datetime=moment_of(properties),
        platform=str(properties.get("platform", "")),
        cloud_cover_percent=_percent(properties.get("eo:cloud_cover")),
        version=_version(properties),
        geobox=_finest_geobox(stated, sources.values(), grids, opener),
        bands=sources,
        mask=mask,
        alpha=False,
        licence=str(properties.get("license", "")),
        document=_document(stated, tuple(sources.values()), grids, packed),
        href=own_href(stated.document),
        square=square_of(properties, stated.id),
        witnesses=stated.witnesses(bands),
    )


class _Stated:
    """What an item states of its assets; what several of them ask for is looked up once.

    Args:
        document: The item's JSON.
        sensor: Its entry in the sensor table.
    """

    __slots__ = ("_offset", "_places", "assets", "document", "id", "properties", "sensor")

    def __init__(self, document: Mapping[str, Any], sensor: Sensor) -> None:
        self.document, self.sensor = document, sensor
        self.id: str = document["id"]
        self.assets: Mapping[str, Mapping[str, Any]] = document["assets"]
        self.properties: Mapping[str, Any] = document["properties"]
        self._places: dict[str, tuple[str, int] | None] = {}
        self._offset: float | None = None

    def place_of(self, band: str) -> tuple[str, int] | None:
        """Asset and number of a band; ``None`` where it is not there."""
        if band not in self._places:
            self._places[band] = _band_place(self.document, (band, *self.sensor.aliases.get(band, ())))
        return self._places[band]

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of the sensor that the item has, in the order of the sensor.

        Raises:
            ModelMismatchError: If it has none.
        """
        found = tuple(band for band in self.sensor.aliases if self.place_of(band) is not None)
        if not found:
            self.refuse_lacking(tuple(self.sensor.aliases))
        return found

    def refuse_lacking(self, bands: Sequence[str]) -> None:
        """Refuse an item without some of the bands."""
        missing = [band for band in bands if self.place_of(band) is None]
        if missing:
            raise ModelMismatchError(
                f"item {self.id} of {self.sensor.title}, with the assets {', '.join(sorted(self.assets))}",
                f"the band{'s' * (len(missing) > 1)} {', '.join(missing)} (the model reads {', '.join(bands)})",
                "choose a model for these bands with --model (geoseg models show NAME names what it reads), another "
                "--collection, or say what the imagery is with --sensor; with --max-failed above 0 such items are left "
                "out",
            )

    def source(self, band: str) -> BandSource:
        """Where a band lies, and what its numbers mean."""
        place = self.place_of(band)
        assert place is not None  # noqa: S101  # items that lack a band are refused before
        key, number = place
        own, sensor = self.assets[key], self.sensor
        described = _listed(own.get("raster:bands"), own.get("bands"))
        facts = described[number - 1] if len(described) >= number else None
        facts = facts if isinstance(facts, dict) else {}
        # What the asset itself states holds for all of its bands (STAC 1.1).
        scale = _first(facts.get("scale"), facts.get("raster:scale"), own.get("raster:scale"))
        offset = _first(facts.get("offset"), facts.get("raster:offset"), own.get("raster:offset"))
        nodata = _first(facts.get("nodata"), own.get("nodata"), sensor.nodata)
        return BandSource(
            key,
            number,
            own["href"],
            sensor.scale if scale is None else self._number(key, "scale", scale),
            self._offset_of(None if offset is None else self._number(key, "offset", offset)),
            None if nodata is None else self._number(key, "nodata", nodata),
        )

    def mask(self) -> BandSource | None:
        """Where the quality band lies, if the sensor has one.

        Raises:
            ModelMismatchError: If the item does not have it.
        """
        rule = self.sensor.mask
        if rule is None:
            return None
        place = _band_place(self.document, rule.aliases)
        if place is None:
            raise ModelMismatchError(
                f"item {self.id} with the assets {', '.join(sorted(self.assets))}",
                f"the quality band {rule.band} of {self.sensor.title}: without it clouds would pass as land",
                "choose another collection",
            )
        key, number = place
        return BandSource(key, number, self.assets[key]["href"])

    def witnesses(self, bands: Sequence[str]) -> dict[str, BandSource]:
        """Dark bands that the model does not read, as far as the item has them and says what they are."""
        found = {}
        for band in self.sensor.dark_bands:
            if band in bands:
                continue
            with suppress(ModelMismatchError):  # nothing is lost where one cannot be understood
                if self.place_of(band) is not None:
                    found[band] = self.source(band)
        return found

    def _offset_of(self, stated: float | None) -> float:
        if not self.sensor.name.startswith("sentinel-2"):
            return self.sensor.offset if stated is None else stated
        if stated is not None:
            return sentinel2_offset(self.properties, stated)
        if self._offset is None:
            self._offset = sentinel2_offset(self.properties, None)
        return self._offset

    def _number(self, asset: str, what: str, value: Any) -> float:
        """A number that an asset states. Nodata may be infinite, or no number.

        Raises:
            ModelMismatchError: If it is none that could be meant.
        """
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
            what = f"{what} {value!r}" if str(value).lower() != "nan" else what
        if what == "nodata" or (math.isfinite(number) and (number or what == "offset")):
            return number
        words = what if repr(value) in what else f"{what} {value!r}"
        raise ModelMismatchError(
            f"item {self.id} whose asset {asset} states the {words}"[:300],
            "a number, and a scale that is not 0",
            "leave the item out with --datetime, or choose another --collection",
        )


def _first(*values: object) -> object:
    """The first value that is stated; ``None`` where none is."""
    for value in values:
        if value is not None:
            return value
    return None


def _percent(stated: object) -> float | None:
    return float(stated) if isinstance(stated, int | float) and math.isfinite(stated) else None


def _document(
    stated: _Stated,
    sources: Sequence[BandSource],
    grids: Mapping[str, GeoBox | None],
    packed: PackedDocument | None,
) -> PackedDocument:
    """The item as JSON: as it stands, where reading finds bands and grids in it."""

    def is_plain(source: BandSource) -> bool:
        facts = stated.assets[source.asset]
        bands = _listed(facts.get("raster:bands"), facts.get("bands")) or ["the only one"] * ("eo:bands" not in facts)
        return source.index <= len(bands) and grids[source.asset] is not None

    if packed is not None and all(map(is_plain, sources)):
        return PackedDocument(packed, links=False)
    return PackedDocument(_numbered(stated.document, sources))


def _numbered(document: Mapping[str, Any], sources: Iterable[BandSource]) -> dict[str, Any]:
    """The item with its bands numbered where an asset holds several: reading finds them by the count of this list.

    Grids that cannot be are left out.
    """
    assets = {key: dict(asset) for key, asset in document["assets"].items()}
    links = [link for link in document["links"] if link.get("rel") != "self"]
    changed = {**document, "links": links, "properties": dict(document["properties"]), "assets": assets}
    for source in sources:
        asset = assets[source.asset]
        known, named = _listed(asset.get("raster:bands"), asset.get("bands")), asset.get("eo:bands")
        if source.index > len(known):
            asset["raster:bands"] = [{} for _ in (named if isinstance(named, list) else range(source.index))]
        if claimed_geobox(changed, source.asset) is None:  # what cannot be a grid would stop those who read it later
            for fields in (asset, changed["properties"]):
                fields.pop("proj:shape", None)
                fields.pop("proj:transform", None)
    return changed


def _version(properties: Mapping[str, Any]) -> str:
    names = ("s2:processing_baseline", "processing:version", "version", "updated")
    return " ".join([f"{name}={properties[name]}" for name in names if name in properties])


def _band_place(document: Mapping[str, Any], names: Sequence[str]) -> tuple[str, int] | None:
    """Asset and number of a band: an asset of that key, else one that states to hold it; ``None`` where none does.

    Raises:
        ModelMismatchError: If several state to hold it.
    """
    assets: Mapping[str, Mapping[str, Any]] = document["assets"]
    for name in names:
        if name in assets:
            return name, 1
    wanted = {name.lower() for name in names}
    stated = {key: _stated_bands(document, asset) for key, asset in assets.items() if not _is_picture(asset)}
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
            f"item {document['id']}, whose assets {', '.join(key for key, _ in claiming)} all state to hold {names[0]}",
            "one asset for each band",
            "leave the item out with --datetime, or choose another --collection",
        )
    return claiming[0] if claiming else None


def _is_picture(asset: Mapping[str, Any]) -> bool:
    """Whether an asset is there to be looked at: its numbers are no measurements."""
    roles = asset.get("roles")
    return isinstance(roles, list) and any(role in {"visual", "overview", "thumbnail"} for role in map(str, roles))


def _listed(*values: object) -> list[Any]:
    """The first list that has anything in it, of what a document may hold in its place."""
    return next((value for value in values if isinstance(value, list) and value), [])


def _stated_bands(document: Mapping[str, Any], asset: Mapping[str, Any]) -> list[set[str]]:
    """For each band of an asset, its name and common name in lower case.

    Older items list their bands once and let assets name them by position.
    """
    listed = _listed(asset.get("bands"), asset.get("eo:bands"))
    common = _listed(document["properties"].get("eo:bands"))
    bands = [common[band] if isinstance(band, int) and band < len(common) else band for band in listed]
    return [
        {str(band[name]).lower() for name in ("name", "common_name", "eo:common_name") if band.get(name)}
        if isinstance(band, dict)
        else set()
        for band in bands
    ]


def _named(href: str) -> str:
    """A file that cannot be opened; one of this machine with what it is."""
    if is_address(href):
        return unsigned(href)
    try:
        check_plain(href)
    except OSError as err:
        return f"{href}, {err.strerror}"
    return f"{href}, {what_it_is(href)[0]}"


def _finest_geobox(
    stated: _Stated, sources: Iterable[BandSource], grids: Mapping[str, GeoBox | None], opener: Opener | None
) -> GeoBox:
    geoboxes = {}  # in their order; assets share theirs
    href = ""
    for source in sources:
        href = source.href
        grid = grids[source.asset]
        grid = _geobox_of_file(source, opener) if grid is None else grid
        if grid is not None:
            geoboxes[id(grid)] = grid
    if not geoboxes:
        raise AssetReadError(
            f"item {stated.id} without proj:transform and proj:shape, and with files that cannot be opened: {_named(href)}",
            "one of the two: leaving it out would let another scene stand in unannounced",
            "repair the files, or leave the item out with --datetime",
        )
    return min(geoboxes.values(), key=lambda g: abs(g.transform.determinant))


def _geobox_of_file(source: BandSource, opener: Opener | None) -> GeoBox | None:
    from geoseg.scenes.rasters import geobox_of_file  # noqa: PLC0415  # most items need no rasterio here

    return geobox_of_file(source.href) if opener is None else geobox_of_file(source.href, opener)


def claimed_geobox(document: Mapping[str, Any], asset: str) -> GeoBox | None:
    """Pixel grid of an asset as its item (JSON) states it; ``None`` where it does not."""
    own, common = document["assets"][asset], document["properties"]
    shape = own.get("proj:shape", common.get("proj:shape"))
    transform = own.get("proj:transform", common.get("proj:transform"))
    code = (
        own.get("proj:code", common.get("proj:code"))
        or own.get("proj:epsg", common.get("proj:epsg"))
        or own.get("proj:wkt2", common.get("proj:wkt2"))
    )
    if not (code and shape and transform):
        return None
    try:
        return _geobox_of(code, tuple(shape), tuple(transform[:6]))
    except (TypeError, KeyError):  # then the file itself says
        return None


@lru_cache(_GRIDS_KEPT)
def _geobox_of(code: Any, shape: tuple[Any, ...], place: tuple[Any, ...]) -> GeoBox | None:
    """The grid that a projection states; the same object for all dates of a square."""
    try:
        rows, cols = map(int, shape)
        transform = Affine(*map(float, place))
        crs = CRS(code)
    except (TypeError, ValueError, OverflowError, CRSError):  # then the file itself says
        return None
    usable = min(rows, cols) > 0 and all(map(math.isfinite, transform[:6])) and transform.determinant
    return GeoBox((rows, cols), transform, crs) if usable else None
