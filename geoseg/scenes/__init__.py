"""From a catalogue or rasters on disk to scenes. Planning only: no pixel is read here."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from geoseg.aoi import box_in_words, split_bounds
from geoseg.errors import ModelMismatchError, NothingToDoError
from geoseg.scenes.packed import PackedDocument, Packer
from geoseg.scenes.scene import BandSource, Item, Scene, group_scenes, order_scenes
from geoseg.scenes.sensors import SENSOR_TABLE_VERSION, SENSORS, MaskRule, Sensor
from geoseg.timerange import parse_time_range

_SHOWN = 5  # collections or ids in a message
# Signatures of addresses differ from search to search.
_SIGNATURE = re.compile(r"\?[^\"]*")

if TYPE_CHECKING:
    from geoseg.scenes.raster_files import Opener
    from geoseg.spec import JobSpec

__all__ = [
    "SENSORS",
    "SENSOR_TABLE_VERSION",
    "BandSource",
    "Found",
    "Item",
    "MaskRule",
    "Scene",
    "Sensor",
    "changes",
    "find_scenes",
    "group_scenes",
    "order_scenes",
    "shared_bands",
    "with_bands",
]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave.

    Attributes:
        items: Items that can be used, ordered by id.
        skipped: Item id and reason, for the others.
        notes: What was guessed, in plain words.
        documents: Every item that was found, as JSON, to be frozen with the job.
        superseded: Item id and the newer version that takes its place.
        warnings: What a person should know before they believe the map, in plain words.
    """

    items: tuple[Item, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    documents: tuple[Mapping[str, Any], ...] = ()
    superseded: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()


def find_scenes(
    spec: JobSpec,
    bounds: tuple[float, float, float, float] | None,
    bands: Sequence[str],
    documents: Sequence[Mapping[str, Any]] = (),
    *,
    allow_lacking: bool = False,
    opener: Opener | None = None,
) -> Found:
    """Items for a job.

    Args:
        spec: The job.
        bounds: West, south, east, north in degrees, grown so far that whatever the job reads is covered;
            ``None`` with ``spec.scenes`` takes the rasters as they are.
        bands: Bands that the model reads; empty for all that there are.
        documents: Item documents that an earlier search froze; then no catalogue is asked.
        allow_lacking: Whether items that lack a band are left out, instead of ending the job.
        opener: Opens files and addresses to look at their headers; GDAL by itself where it is not given.

    Raises:
        NothingToDoError: If there are no items.
        ModelMismatchError: If an item of the right sensor lacks a band, or no item has a known sensor.
        CatalogError: If the catalogue cannot be read.
        RequestError: If a raster or a sensor name is wrong.
    """
    if spec.scenes:
        found = _from_rasters(spec, bands, opener)
    else:
        found = _from_catalog(spec, bounds, bands, documents, allow_lacking=allow_lacking, opener=opener)
    stated = {name: value for name in ("scale", "offset") if (value := getattr(spec, name)) is not None}
    return replace(found, items=tuple(_as_stated(item, stated) for item in found.items)) if stated else found


def shared_bands(items: Sequence[Item]) -> tuple[str, ...]:
    """Bands that all items have, in the order of the first one."""
    return tuple(band for band in items[0].bands if all(band in item.bands for item in items))


def with_bands(found: Found, bands: Sequence[str]) -> Found:
    """The same items, reduced to some of their bands."""
    items = (replace(item, bands={band: item.bands[band] for band in bands}) for item in found.items)
    return replace(found, items=tuple(items))


def _as_stated(item: Item, stated: Mapping[str, Any]) -> Item:
    """The item with the scale and the offset that the job states."""
    bands, witnesses = (
        {name: replace(source, **stated) for name, source in sources.items()}
        for sources in (item.bands, item.witnesses)
    )
    return replace(item, bands=bands, witnesses=witnesses)


def _from_rasters(spec: JobSpec, bands: Sequence[str], opener: Opener | None) -> Found:
    from geoseg.scenes.rasters import items_of_rasters  # noqa: PLC0415  # rasterio only where a file is opened

    how: dict[str, Any] = {"pixel_grid": spec.pixel_grid} | ({} if opener is None else {"opener": opener})
    found = items_of_rasters(spec.scenes, spec.bands, spec.sensor, bands, **how)
    return Found(found.items, found.skipped, found.notes, warnings=found.warnings)


def _from_catalog(
    spec: JobSpec,
    bounds: tuple[float, float, float, float] | None,
    bands: Sequence[str],
    documents: Sequence[Mapping[str, Any]],
    *,
    allow_lacking: bool,
    opener: Opener | None,
) -> Found:
    from geoseg.scenes.catalogs import each_item  # noqa: PLC0415  # pystac: 0.2 s that --help need not wait
    from geoseg.scenes.choose import without_superseded  # noqa: PLC0415
    from geoseg.scenes.recognise import sensor_of  # noqa: PLC0415
    from geoseg.scenes.stated import thawed  # noqa: PLC0415
    from geoseg.scenes.understand import understand  # noqa: PLC0415

    skipped: list[tuple[str, str]] = []
    if documents:
        given: Iterable[Mapping[str, Any]] = map(thawed, documents)
    else:
        assert bounds is not None and spec.catalog is not None  # noqa: S101, PT018  # JobSpec guarantees both
        given = each_item(spec.catalog, spec.collection, bounds, spec.datetime, skipped)
    # One by one: of a hundred thousand items only the slim facts stay, and their JSON in a small form.
    items: list[Item] = []
    refused: list[tuple[str, ModelMismatchError]] = []
    lacking: list[tuple[str, ModelMismatchError]] = []
    reasons: list[tuple[str, str]] = []
    frozen: list[tuple[str, PackedDocument]] = []
    packer = Packer()
    for item in given:
        name = item["id"]
        document = PackedDocument(item, packer=packer)
        frozen.append((name, document))
        try:
            sensor = sensor_of(item, spec.sensor)
        except ModelMismatchError as err:
            refused.append((name, err))
            reasons.append((name, f"of an unknown sensor (collection {item.get('collection')})"))
            continue
        try:
            items.append(understand(item, bands, sensor, opener, document))
        except ModelMismatchError as err:
            lacking.append((name, err))
            reasons.append((name, f"does not have {err.expected}"))
    if not frozen:
        raise _nothing_found(spec, bounds, skipped)
    if lacking and not allow_lacking:
        raise min(lacking, key=_name)[1]
    if not items:
        raise min((*refused, *lacking), key=_name)[1]
    used, superseded = without_superseded(sorted(items, key=lambda item: item.id))
    documents = tuple(document for _, document in sorted(frozen, key=_name))
    return Found(used, (*sorted(reasons, key=_name), *skipped), (), documents, superseded)


def _name(named: tuple[str, Any]) -> str:
    return named[0]


def _nothing_found(
    spec: JobSpec, bounds: tuple[float, float, float, float] | None, skipped: Sequence[tuple[str, str]]
) -> NothingToDoError:
    """What was asked for, what there is, and which of the two does not fit the other."""
    from geoseg.scenes.catalogs import Question, is_address, plugin_of_catalog  # noqa: PLC0415  # as above
    from geoseg.scenes.catalogs.holdings import holdings  # noqa: PLC0415

    assert bounds is not None and spec.catalog is not None  # noqa: S101, PT018  # JobSpec guarantees both
    has = holdings(spec.catalog)
    named = [holding for holding in has if spec.collection in {None, holding.collection}]
    there = [h for h in named if any(_meet(box, part) for box in h.boxes for part in split_bounds(bounds))]
    start, end = parse_time_range(spec.datetime)
    ways = {
        "name one of its collections with --collection": not named,
        "move the region (--aoi)": named and not there,
        "set --datetime to a time that it has": named and not any(h.start <= end and h.end >= start for h in named),
    }
    fitting = " and ".join(way for way, fits in ways.items() if fits) if has else ""
    if is_address(spec.catalog) and plugin_of_catalog(spec.catalog) is None:
        from geoseg.scenes.catalogs.api import helpful_change  # noqa: PLC0415

        fitting = helpful_change(spec.catalog, Question(spec.collection, bounds, start, end, spec.datetime))
    shown = "; ".join(str(holding) for holding in has[:_SHOWN]) + ("; …" if len(has) > _SHOWN else "")
    bad = f"; {len(skipped)} cannot be used ({skipped[0][0]}: {skipped[0][1]})" if skipped else ""
    return NothingToDoError(
        f"no item of {spec.collection or 'any collection'} in {spec.catalog} for {spec.datetime or 'any time'} "
        f"and {box_in_words(bounds)}{bad}",
        f"at least one item; the catalogue has {shown}" if has else "at least one item",
        fitting or "widen --datetime, check --collection, or move the region (--aoi)",
    )


def changes(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> str:
    """What a new search found otherwise than the one that a job froze, in words; "" where nothing changed."""

    def named(documents: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], bytes]:
        return {(str(d.get("collection")), str(d["id"])): _digest(d) for d in documents}

    old, new = named(before), named(after)
    parts = {
        "new": sorted(name for _, name in new.keys() - old.keys()),
        "gone": sorted(name for _, name in old.keys() - new.keys()),
        "changed": sorted(key[1] for key in old.keys() & new.keys() if old[key] != new[key]),
    }
    words = [
        f"{len(names)} {what} ({', '.join(names[:_SHOWN])}{', …' * (len(names) > _SHOWN)})"
        for what, names in parts.items()
        if names
    ]
    return "since the last search: " + ", ".join(words) if words else ""


def _digest(document: Mapping[str, Any]) -> bytes:
    """What an item says, signatures left out, in a few bytes: there may be many."""
    text = _SIGNATURE.sub("", json.dumps({**document, "links": []}, sort_keys=True))
    return hashlib.sha256(text.encode()).digest()


def _meet(box: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return box[0] <= other[2] and box[2] >= other[0] and box[1] <= other[3] and box[3] >= other[1]
