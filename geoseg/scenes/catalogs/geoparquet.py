"""A stac-geoparquet file: one row per item, its properties as columns (stac-geoparquet specification 1.0)."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pystac
import shapely

from geoseg.errors import CatalogError
from geoseg.scenes.catalogs.documents import Question, UnusableItemError, item_of_row

# Columns that are members of the item; all others are properties.
_MEMBERS = frozenset(
    {"type", "stac_version", "stac_extensions", "id", "bbox", "geometry", "links", "assets", "collection"}
)
_NEEDED = frozenset({"id", "geometry", "assets"})
_ROWS_AT_ONCE = 1024


def items_of_table(catalog: str, question: Question, skipped: list[tuple[str, str]]) -> Iterator[list[pystac.Item]]:
    """Items of a stac-geoparquet file, some at a time; rows outside the box and the time are not turned into items.

    Args:
        catalog: The file.
        question: What is wanted.
        skipped: Gets the id of every row that is no usable item, with the reason.

    Raises:
        CatalogError: If the file cannot be read, or holds no items.
    """
    try:
        with pq.ParquetFile(catalog) as file:
            if not set(file.schema_arrow.names) >= _NEEDED:
                raise CatalogError(
                    f"--catalog {catalog}: columns {', '.join(file.schema_arrow.names[:12])}",
                    f"a stac-geoparquet file with {', '.join(sorted(_NEEDED))}",
                    "write it with a stac-geoparquet tool, or name a static catalogue",
                )
            start = str(Path(catalog).absolute())
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                rows = _touching(batch, question).to_pylist()
                found = (_item(row, start, question, skipped) for row in rows)
                yield [item for item in found if item is not None]
    except (OSError, pa.ArrowException) as err:
        raise CatalogError(
            f"--catalog {catalog}: {err}", "a stac-geoparquet file", "check the path, or write the file anew"
        ) from err


def _item(row: dict[str, Any], start: str, question: Question, skipped: list[tuple[str, str]]) -> pystac.Item | None:
    """A row as an item; ``None`` where nobody asks for it, or where it is none."""
    try:
        geometry = row.get("geometry")
        outline = None if geometry is None else shapely.from_wkb(geometry)
        item = item_of_row(_document(row, outline), outline, start)
    except (UnusableItemError, shapely.errors.ShapelyError) as err:
        skipped.append((str(row.get("id")), str(err)))
        return None
    return item if question.wants(item, outline) else None


def _touching(batch: pa.RecordBatch, question: Question) -> pa.RecordBatch:
    """Rows whose bounding box touches that of the question; all of them where the file has no boxes."""
    if "bbox" not in batch.schema.names or not pa.types.is_struct(batch.schema.field("bbox").type):
        return batch
    west, south, east, north = question.bounds
    box = batch.column("bbox")
    sides = {name: pc.struct_field(box, name) for name in ("xmin", "ymin", "xmax", "ymax")}
    crosses = pc.greater(sides["xmin"], sides["xmax"])  # the antimeridian
    beside = pc.and_(pc.less_equal(sides["xmin"], east), pc.greater_equal(sides["xmax"], west))
    level = pc.and_(pc.less_equal(sides["ymin"], north), pc.greater_equal(sides["ymax"], south))
    return batch.filter(pc.fill_null(pc.and_(pc.or_(crosses, beside), level), fill_value=True))


def _document(row: dict[str, Any], outline: shapely.Geometry | None) -> dict[str, Any]:
    """A row as the JSON of its item."""
    plain = {name: _plain(value) for name, value in row.items() if name not in {"geometry", "bbox"}}
    members = {name: plain[name] for name in _MEMBERS & set(plain) if plain[name] is not None}
    properties = {name: value for name, value in plain.items() if name not in _MEMBERS and value is not None}
    properties.setdefault("datetime", None)
    document = {"type": "Feature", "stac_version": "1.0.0", **members, "properties": properties, "links": []}
    document["geometry"] = None if outline is None else json.loads(shapely.to_geojson(outline))
    if isinstance(row.get("bbox"), dict):
        document["bbox"] = [row["bbox"][side] for side in ("xmin", "ymin", "xmax", "ymax")]
    return document


def _plain(value: Any) -> Any:
    """JSON's types: instants as text, and without the nulls that columns give to items that lack a member."""
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_plain(member) for member in value]
    if isinstance(value, dt.datetime):
        zoned = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return zoned.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    return value
