"""A stac-geoparquet file: one row per item, its properties as columns (stac-geoparquet specification 1.0)."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely

from geoseg.errors import CatalogError
from geoseg.scenes.catalogs import Search
from geoseg.scenes.catalogs.documents import Question, UnusableItemError, item_of

# Columns that are members of the item; all others are properties.
_MEMBERS = frozenset(
    {"type", "stac_version", "stac_extensions", "id", "bbox", "geometry", "links", "assets", "collection"}
)
_NEEDED = frozenset({"id", "geometry", "assets"})


def search_table(catalog: str, question: Question) -> Search:
    """Items of a stac-geoparquet file; rows outside the box and the time are not turned into items.

    Raises:
        CatalogError: If the file cannot be read, or holds no items.
    """
    search = Search()
    try:
        with pq.ParquetFile(catalog) as file:
            if not set(file.schema_arrow.names) >= _NEEDED:
                raise CatalogError(
                    f"--catalog {catalog}: columns {', '.join(file.schema_arrow.names[:12])}",
                    f"a stac-geoparquet file with {', '.join(sorted(_NEEDED))}",
                    "write it with a stac-geoparquet tool, or name a static catalogue",
                )
            for batch in file.iter_batches():
                for row in _touching(batch, question).to_pylist():
                    _add(search, row, catalog, question)
    except (OSError, pa.ArrowException) as err:
        raise CatalogError(
            f"--catalog {catalog}: {err}", "a stac-geoparquet file", "check the path, or write the file anew"
        ) from err
    return search


def _add(search: Search, row: dict[str, Any], catalog: str, question: Question) -> None:
    try:
        item = item_of(_document(row), str(Path(catalog).absolute()))
    except (UnusableItemError, shapely.errors.ShapelyError) as err:
        search.skipped.append((str(row.get("id")), str(err)))
        return
    if question.wants(item):
        search.items.append(item)


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


def _document(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the JSON of its item."""
    plain = {name: _plain(value) for name, value in row.items() if name not in {"geometry", "bbox"}}
    members = {name: plain[name] for name in _MEMBERS & set(plain) if plain[name] is not None}
    properties = {name: value for name, value in plain.items() if name not in _MEMBERS and value is not None}
    properties.setdefault("datetime", None)
    document = {"type": "Feature", "stac_version": "1.0.0", **members, "properties": properties, "links": []}
    geometry = row.get("geometry")
    document["geometry"] = None if geometry is None else json.loads(shapely.to_geojson(shapely.from_wkb(geometry)))
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
