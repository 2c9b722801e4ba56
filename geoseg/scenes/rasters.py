"""Plain rasters on disk become items too."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioIOError

from geoseg.errors import GeosegError, RequestError
from geoseg.grid import poles_of
from geoseg.remote import unsigned
from geoseg.scenes.product import Product, product_of
from geoseg.scenes.raster_bands import guess_sensor, lacking, landsat_of, name_in_path
from geoseg.scenes.raster_files import Opener, RasterGroup, group_files, home_of
from geoseg.scenes.raster_header import ALPHA, MASK, RasterHeader
from geoseg.scenes.recognise import sensor_named
from geoseg.scenes.scene import BandSource, Item
from geoseg.scenes.sensors import SENSORS, Sensor


@dataclass(frozen=True, slots=True)
class RasterScenes:
    """What the rasters of a job are.

    Attributes:
        items: One for each scene, each with an id of its own.
        skipped: Files of folders that are no scene of the model's: name and reason.
        notes: What was guessed, in words, files of one kind in one line.
        warnings: What a person should know before they believe the map.
    """

    items: tuple[Item, ...]
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def geobox_of_file(href: str, opener: Opener = rasterio.open) -> GeoBox | None:
    """Pixel grid of a raster, or ``None`` when it cannot be opened."""
    try:
        with opener(href) as source:
            return GeoBox(source.shape, source.transform, source.crs) if source.crs else None
    except RasterioIOError:
        return None


def items_of_rasters(
    paths: Sequence[str],
    bands: Sequence[str],
    sensor: str | None,
    wanted: Sequence[str],
    *,
    pixel_grid: bool = False,
    opener: Opener = rasterio.open,
) -> RasterScenes:
    """Read the headers of rasters and describe them as items.

    Args:
        paths: Files that GDAL reads, folders of them, or addresses.
        bands: Names of the bands of each file in order, or of as many files of one band, where the user gave them.
        sensor: Name in the sensor table, where the user gave it.
        wanted: Bands that the model reads; empty for all that each file has.
        pixel_grid: Whether the rasters have no place: rows and columns are all that counts.
        opener: Opens a file or an address.

    Raises:
        RequestError: If a file does not exist, is no raster, or has no place.
        ModelMismatchError: If it lacks a wanted band, or its bands have no names.
    """
    described: list[tuple[str, Item, str, tuple[str, ...]]] = []
    skipped: list[tuple[str, GeosegError]] = []
    for group in group_files(paths, bands, wanted, opener):
        name = Path(unsigned(group.paths[0])).name
        try:
            described.append((name, *_item(group, sensor, wanted, pixel_grid, opener)))
        except RequestError as err:
            if not group.found:
                raise
            skipped.append((name, err))
    if not described:
        raise skipped[0][1]
    items = [item for _, item, _, _ in described]
    if pixel_grid:
        _refuse_shapes(items)
    return RasterScenes(
        _with_own_names(_on_one_side(items)),
        tuple((name, f"{err.given}; expected {err.expected}") for name, err in skipped),
        tuple(_folded([(name, note) for name, _, note, _ in described])),
        tuple(_folded([(name, words) for name, _, _, warnings in described for words in warnings])),
    )


def _folded(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Words with the files that they are about: one by its name, several by their number and the first one."""
    alike: dict[str, list[str]] = {}
    for name, words in pairs:
        alike.setdefault(words, []).append(name)
    return [
        f"{names[0] if len(names) == 1 else f'{len(names)} rasters ({names[0]} …)'}: {words}"
        for words, names in alike.items()
    ]


def _with_own_names(items: Sequence[Item]) -> tuple[Item, ...]:
    """Rasters of one name from several folders get numbers: an id names one item of a job."""
    seen: Counter[str] = Counter()
    named = []
    for item in items:
        seen[item.id] += 1
        name = item.id if seen[item.id] == 1 else f"{item.id} ({seen[item.id]})"
        named.append(replace(item, id=name, document={**item.document, "id": name}))
    return tuple(named)


def _on_one_side(items: Sequence[Item]) -> list[Item]:
    """Grids in degrees on both sides of the antimeridian brought together by whole turns."""
    first = max((item.geobox for item in items), key=lambda g: g.boundingbox.left + g.boundingbox.right)
    if first.crs is None or not first.crs.geographic:
        return list(items)
    west = first.boundingbox.left + first.boundingbox.right
    turned = []
    for item in items:
        box = item.geobox.boundingbox
        turns = round((west - box.left - box.right) / 720) if item.geobox.crs == first.crs else 0
        geobox = item.geobox
        if turns:
            geobox = GeoBox(geobox.shape, Affine.translation(360.0 * turns, 0) @ geobox.transform, geobox.crs)
            stated = {"proj:shape": list(geobox.shape), "proj:transform": list(geobox.transform)[:6]}
            assets = {key: {**asset, **stated} for key, asset in item.document["assets"].items()}
            item = replace(item, geobox=geobox, document={**item.document, "assets": assets})  # noqa: PLW2901
        turned.append(item)
    return turned


def _refuse_shapes(items: Sequence[Item]) -> None:
    shapes = {item.geobox.shape.yx: item.id for item in items}
    if len(shapes) > 1:
        raise RequestError(
            "--pixel-grid with rasters of " + " and ".join(f"{c} x {r} ({name})" for (r, c), name in shapes.items()),
            "rasters of one size: without a place, equal rows and columns are the same spot",
            "map them one by one",
        )


def _item(
    group: RasterGroup, sensor: str | None, wanted: Sequence[str], pixel_grid: bool, opener: Opener
) -> tuple[Item, str, tuple[str, ...]]:
    """An item, in words what was guessed, and warnings."""
    described = [
        RasterHeader.read(path, group, number, wanted, pixel_grid, opener) for number, path in enumerate(group.paths)
    ]
    names = [name for file in described for name in file.names]
    product = product_of(group.paths[0])
    told = SENSORS[product.sensor] if product else landsat_of(group.paths[0]) if len(described) > 1 else None
    entry = sensor_named(sensor) if sensor else told or guess_sensor(names)
    origin = group.origin or described[0].origin
    if not set(wanted) <= set(names):
        raise lacking(unsigned(group.paths[0]), f"the bands {', '.join(names)} ({origin})", len(names), wanted)
    if not wanted:
        wanted = [name for name in names if name not in {ALPHA, MASK, entry.mask.band if entry.mask else ""}]
    sources = {band: source for file in described for band, source in file.sources(entry, pixel_grid).items()}
    beside = [band for band in entry.dark_bands if band in sources and band not in wanted]
    bands, radiometry, damage = _as_delivered({band: sources[band] for band in (*wanted, *beside)}, product, entry)
    witnesses = {band: bands.pop(band) for band in beside}
    mask = next((sources[name] for name in (ALPHA, MASK) if name in sources), None)
    is_alpha = mask is not None
    if mask is None and entry.mask is not None and entry.mask.band in names and len(described) > 1:
        mask = replace(sources[entry.mask.band], scale=1.0, offset=0.0, nodata=None)
    first = min((file for file in described if set(file.names) & set(wanted)), key=lambda f: f.pixel_area)
    stem = _stem(group, wanted)
    document = pystac.Item.from_dict(_document(stem, described, first.geobox))
    item = Item(
        id=stem,
        collection=None,
        sensor=entry,
        datetime=first.moment,
        platform="",
        cloud_cover_percent=None,
        version=" ".join([*(["pixel grid"] if pixel_grid else []), *(file.sidecar for file in described)]).strip(),
        geobox=first.geobox,
        bands=bands,
        mask=mask,
        alpha=is_alpha,
        licence="",
        document=document.to_dict(include_self_link=False, transform_hrefs=False),
        href=first.path,
        witnesses=witnesses,
    )
    warnings = [words for file in described for words in file.warnings(entry)]
    return item, f"{entry.title}; bands {', '.join(names)} ({origin}){radiometry}", (*warnings, *damage)


def _as_delivered(
    bands: dict[str, BandSource], product: Product | None, entry: Sensor
) -> tuple[dict[str, BandSource], str, tuple[str, ...]]:
    """Bands with the scale and the offset that their product's metadata states; a note and warnings about that."""
    if product is None or not entry.name.startswith("sentinel-2"):
        return bands, "", ()
    name = product.path.name
    if product.damage:
        words = f"{name} cannot be read ({product.damage}): number x 0.0001 is taken for reflectance; state --offset"
        return bands, "", (words,)
    stated = {band: replace(source, scale=product.scale, offset=product.offset(band)) for band, source in bands.items()}
    offsets = ", ".join(f"{offset:g}" for offset in sorted({source.offset for source in stated.values()}))
    return stated, f"; scale {product.scale:g} and offset {offsets} from {name}", ()


def _stem(group: RasterGroup, wanted: Sequence[str]) -> str:
    """A scene's name: that of its file, what the names of its files share, or that of the folder they are in."""
    paths = [unsigned(path) for path in group.paths]
    own = Path(paths[0]).stem
    if len(paths) == 1:
        return own
    band, rest = name_in_path(paths[0], wanted)
    shared = rest if band else os.path.commonprefix([Path(p).stem for p in paths]).rstrip("_-. ")  # noqa: RUF071  # of letters
    return shared or home_of(paths[0]).name or own


def _document(name: str, files: Sequence[RasterHeader], geobox: GeoBox) -> dict[str, Any]:
    crs = geobox.crs
    assert crs is not None  # noqa: S101  # files without a place are refused, or have that of plain pixels
    west, south, east, north = _lonlat_bounds(geobox)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": [
            "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
            "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
            "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
        ],
        "id": name,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": [west, south, east, north],
        "properties": {
            "datetime": next((file.moment for file in files if file.moment), "1970-01-01T00:00:00Z"),
            "proj:code": f"EPSG:{code}" if (code := crs.to_epsg()) else None,
            "proj:wkt2": crs.to_wkt(),
        },
        "links": [],
        "assets": {file.asset: _asset(file) for file in files},
    }


def _lonlat_bounds(geobox: GeoBox) -> tuple[float, float, float, float]:
    """A box in degrees around a grid, from points along its border; the whole range where it holds a pole."""
    rows, cols = geobox.shape
    along = [step / 32 for step in range(33)]
    rim = [(col * cols, row * rows) for s in along for col, row in ((s, 0), (s, 1), (0, s), (1, s))]
    x, y = zip(*(geobox.transform @ place for place in rim), strict=True)
    assert geobox.crs is not None  # noqa: S101  # as the caller knows
    y = np.clip(y, *poles_of(geobox.crs))  # rows that are centred on a pole reach half a pixel past it
    lon, lat = geobox.crs.transformer_to_crs("EPSG:4326")(np.array(x), y)
    seen = np.isfinite(lon) & np.isfinite(lat)
    if not seen.any():
        return -180.0, -90.0, 180.0, 90.0
    return float(lon[seen].min()), float(lat[seen].min()), float(lon[seen].max()), float(lat[seen].max())


def _asset(file: RasterHeader) -> dict[str, Any]:
    # The mask is the last band: odc-stac knows bands by their place in this list.
    bands = [*zip(file.names, file.dtypes, strict=True), *([(MASK, "uint8")] if file.has_mask else [])]
    return {
        "href": file.path,
        "type": "image/tiff; application=geotiff",
        "roles": ["data"],
        "proj:shape": list(file.geobox.shape),
        "proj:transform": list(file.geobox.transform)[:6],
        "eo:bands": [{"name": name} for name, _ in bands],
        "raster:bands": [{"name": name, "data_type": dtype} for name, dtype in bands],
    }
