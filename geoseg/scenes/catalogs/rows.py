"""Rows of a table of items to their JSON: those without anything odd many at a time, the others one by one."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pystac
import shapely
from numpy.typing import NDArray

from geoseg.scenes.catalogs.documents import CURRENT, Question, UnusableItemError, absolute, item_of_row, misshapen
from geoseg.scenes.stated import parsed_moment, stated_by
from geoseg.timerange import in_utc

# Columns that are members of the item; all others are properties.
_MEMBERS = frozenset(
    {"type", "stac_version", "stac_extensions", "id", "bbox", "geometry", "links", "assets", "collection"}
)
_SIDES = ("xmin", "ymin", "xmax", "ymax")

type Row = dict[str, Any]
type _Plain = Callable[[Any], Any]


class Rows:
    """Turns rows of one table into items.

    Args:
        schema: Of the table.
        start: Path of the table; relative hrefs count from it.
        question: What is wanted.
        skipped: Gets the id of every row that is no usable item, with the reason.
    """

    def __init__(self, schema: pa.Schema, start: str, question: Question, skipped: list[tuple[str, str]]) -> None:
        self._start, self._question, self._skipped = start, question, skipped
        columns = {field.name: _plain_of(field.type) for field in schema if field.name != "bbox"}
        self._plain = {name: made for name, made in columns.items() if made is not None}
        self._properties = tuple(name for name in columns if name not in _MEMBERS)
        self._has_boxes = "bbox" in schema.names and pa.types.is_struct(schema.field("bbox").type)
        self._version = pystac.get_stac_version()
        self._link = pystac.Link.self_href(start).to_dict(transform_href=False)

    def items(self, batch: pa.RecordBatch) -> list[Mapping[str, Any]]:
        """The JSON of those rows that are items, and wanted."""
        shapes = batch.column("geometry").to_pylist()
        outlines = _outlines(shapes)
        usable = self._placed(batch, outlines)
        near = shapely.intersects(outlines, shapely.box(*self._question.bounds))
        texts = shapely.to_geojson(outlines)
        found = []
        for number, row in enumerate(batch.drop_columns(["geometry"]).to_pylist()):
            for name, plain in self._plain.items():
                if name in row:  # the geometry is not
                    row[name] = plain(row[name])
            known = self._usual(row, texts[number]) if usable[number] else None
            if known is None:
                odd = self._odd(row, shapes[number])
                found += [] if odd is None else [odd]
            elif near[number] and self._is_asked_for(*known):
                found.append(known[0])
        return found

    def _placed(self, batch: pa.RecordBatch, outlines: NDArray[np.object_]) -> NDArray[np.bool_]:
        """Rows with an outline that lies somewhere and agrees with their bounding box, as far as that is a usual one."""
        placed: NDArray[np.bool_] = ~(shapely.is_missing(outlines) | shapely.is_empty(outlines))
        points, numbers = shapely.get_coordinates(outlines, return_index=True)
        placed[numbers[~np.isfinite(points).all(axis=1)]] = False
        if not self._has_boxes:
            return placed
        boxes = batch.column("bbox")
        stated = ~boxes.is_null().to_numpy(zero_copy_only=False)
        columns = (pc.struct_field(boxes, side).to_numpy(zero_copy_only=False) for side in _SIDES)
        sides = np.stack([np.asarray(column, dtype=np.float64) for column in columns])
        west, south, east, north = sides
        there = placed & stated & np.isfinite(sides).all(axis=0) & (west <= east) & (south <= north)
        agrees = ~stated
        around = shapely.box(*shapely.bounds(outlines[there]).T)
        agrees[there] = shapely.intersects(shapely.box(west[there], south[there], east[there], north[there]), around)
        placed &= agrees
        return placed

    def _usual(self, row: Row, outline: str) -> tuple[dict[str, Any], dt.datetime] | None:
        """A row as `item_of_row` and pystac have it, with its instant; ``None`` where that is for them to say."""
        properties = {name: row[name] for name in self._properties if row[name] is not None}
        version, stated, collection = row.get("stac_version"), properties.get("datetime"), row.get("collection")
        is_current = version is None or CURRENT.fullmatch(str(version))
        if not (is_current and isinstance(stated, str) and (collection is None or isinstance(collection, str))):
            return None
        try:
            moment = parsed_moment(stated)
        except (ValueError, OverflowError):
            return None
        properties["datetime"] = pystac.utils.datetime_to_str(moment)
        bbox = row.get("bbox") if self._has_boxes else None
        document: dict[str, Any] = {
            "type": "Feature",
            "stac_version": self._version,
            "stac_extensions": row.get("stac_extensions") or [],
            "id": row["id"],
            "geometry": json.loads(outline),
            "bbox": [] if bbox is None else [bbox[side] for side in _SIDES],
            "properties": properties,
            "links": [self._link],
            "assets": row["assets"],
        }
        if misshapen(document):
            return None
        for asset in document["assets"].values():
            asset["href"] = absolute(asset["href"], self._start)
        if collection:
            document["collection"] = collection
        return document, moment

    def _is_asked_for(self, document: Mapping[str, Any], moment: dt.datetime) -> bool:
        question = self._question
        is_in = question.collection in {None, document.get("collection")}
        return is_in and question.start <= in_utc(moment) <= question.end

    def _odd(self, row: Row, geometry: bytes | None) -> Mapping[str, Any] | None:
        """The JSON of any row; ``None`` where nobody asks for it, or where it is no item."""
        try:
            outline = None if geometry is None else shapely.from_wkb(geometry)
            item = item_of_row(_document(row, outline), outline, self._start)
        except (UnusableItemError, shapely.errors.ShapelyError) as err:
            self._skipped.append((str(row.get("id")), str(err)))
            return None
        return stated_by(item) if self._question.wants(item, outline) else None


def _outlines(shapes: Sequence[bytes | None]) -> NDArray[np.object_]:
    """Geometries; ``None`` for those that cannot be read."""
    binary = np.empty(len(shapes), dtype=object)
    binary[:] = shapes
    outlines: NDArray[np.object_] = shapely.from_wkb(binary, on_invalid="ignore")
    return outlines


def _document(row: Row, outline: shapely.Geometry | None) -> dict[str, Any]:
    """A row as the JSON of its item."""
    members = {name: row[name] for name in _MEMBERS - {"bbox", "geometry"} if row.get(name) is not None}
    properties = {name: value for name, value in row.items() if name not in _MEMBERS and value is not None}
    properties.setdefault("datetime", None)
    document = {"type": "Feature", "stac_version": "1.0.0", **members, "properties": properties, "links": []}
    document["geometry"] = None if outline is None else json.loads(shapely.to_geojson(outline))
    if isinstance(row.get("bbox"), dict):
        document["bbox"] = [row["bbox"][side] for side in _SIDES]
    return document


def _plain_of(kind: pa.DataType) -> _Plain | None:
    """What makes JSON's types of the values of a column; ``None`` where they are.

    Instants become text, and members go that are null: columns give them to items that lack one.
    """
    types = pa.types
    if types.is_timestamp(kind):
        return _instant
    if types.is_struct(kind):
        return _plain_struct({field.name: _plain_of(field.type) for field in kind})
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _plain_of(kind.value_type)
        return None if inner is None else _plain_list(inner)
    if types.is_primitive(kind) or types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind):
        return None
    return _any


def _plain_struct(fields: Mapping[str, _Plain | None]) -> _Plain:
    members = [(name, plain) for name, plain in fields.items() if plain is not None]

    def plain_struct(value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is None:
            return None
        kept = {name: member for name, member in value.items() if member is not None}
        for name, plain in members:
            if name in kept:
                kept[name] = plain(kept[name])
        return kept

    return plain_struct


def _plain_list(inner: _Plain) -> _Plain:
    return lambda value: None if value is None else [inner(member) for member in value]


def _any(value: Any) -> Any:
    """A value of any type."""
    if isinstance(value, dict):
        return {name: _any(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_any(member) for member in value]
    return _instant(value)


def _instant(value: Any) -> Any:
    if not isinstance(value, dt.datetime):
        return value
    zoned = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return zoned.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
