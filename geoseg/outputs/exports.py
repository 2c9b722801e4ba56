"""FlatGeobuf, GeoPackage and PMTiles: made from the finished ``polygons.parquet``, batch by batch, only when asked for.

GDAL writes them; what it says at the end of a full disk cannot be relied on, so each is read back whole before it gets
its name. FlatGeobuf and GeoPackage must hold the very bytes of every geometry. Vector tiles snap to the grid of their
tiles and are cut at their borders; of them every polygon must be found again, and those that are not are counted.
"""

from __future__ import annotations

import gzip
import json
import math
import sqlite3
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pyproj
from odc.geo import CRS
from pyogrio import errors as faults

from geoseg.grid import poles_of
from geoseg.outputs.files import output_error, whole_file

DRIVERS = {"fgb": "FlatGeobuf", "gpkg": "GPKG", "pmtiles": "PMTiles"}

_LAYER = "polygons"
_OF_CLASSES = ("classes", "classes of the map")
_ROWS = 5_000
_FAULTS = (
    *(faults.DataSourceError, faults.DataLayerError, faults.FeatureError, faults.FieldError, faults.GeometryError),
    *(faults.CRSError, pa.ArrowException, sqlite3.Error),
)
# Vector tiles: 4,096 steps on a side; a quarter of a pixel is one of them at the deepest zoom.
_EQUATOR_M, _STEPS, _STEPS_PER_PIXEL = 40_075_016.686, 4_096, 4
_DEEPEST, _LEVELS = 22, 9
_MOST_LATITUDE = 85.0511287
_WORLD_E7 = (-1_800_000_000, -850_511_287, 1_800_000_000, 850_511_287)
_OGR_FIELDS = {"string": "String", "bool": "Boolean"}


@dataclass(frozen=True, slots=True)
class Export:
    """A finished file.

    Attributes:
        path: Where it is.
        left_out: Polygons that are too small, too crowded or too near a pole to be found in it; vector tiles only.
    """

    path: Path
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class _Table:
    """The polygons as they lie in the GeoParquet file; the boxes of the rows stay there."""

    path: Path
    schema: pa.Schema
    count: int
    crs: str | None
    notes: Mapping[str, str]
    bounds: tuple[float, float, float, float] | None

    @classmethod
    def of(cls, path: Path) -> _Table:
        with pq.ParquetFile(path) as file:
            stored = {name.decode(): text.decode() for name, text in (file.metadata.metadata or {}).items()}
            schema, count = file.schema_arrow.remove_metadata(), file.metadata.num_rows
        column = json.loads(stored.pop("geo"))["columns"]["geometry"]
        crs = column["crs"]
        stored.pop("ARROW:schema", None)
        schema = schema.remove(schema.get_field_index("bbox"))
        wkt = crs and pyproj.CRS.from_json_dict(crs).to_wkt()
        return cls(path, schema, count, wkt, stored, column.get("bbox") and tuple(column["bbox"]))

    def batches(self) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self.path) as file:
            for group in range(file.num_row_groups):  # a reader of all groups keeps what it has read of each
                yield from file.iter_batches(_ROWS, row_groups=[group], columns=self.schema.names, use_threads=False)


@dataclass(slots=True)
class _Sum:
    """Number of polygons and a checksum of them that does not depend on their order."""

    count: int = 0
    value: int = 0

    def add(self, batch: pa.RecordBatch, geometry: str) -> None:
        self.count += len(batch)
        for identifier, wkb in zip(batch["id"].to_pylist(), batch[geometry].to_pylist(), strict=True):
            self.value = (self.value + (identifier + 1) * zlib.crc32(wkb)) % 2**64


def export_polygons(parquet: Path, kind: str, *, pixel_m: float, style: str = "") -> Export | None:
    """Writes the polygons of a map in another format, beside ``polygons.parquet``.

    Args:
        parquet: The finished GeoParquet file.
        kind: ``fgb``, ``gpkg`` or ``pmtiles``.
        pixel_m: Side of a pixel on the ground, which decides how deep vector tiles go.
        style: Content of a QGIS style, kept inside a GeoPackage as the layer's own.

    Returns:
        The file; ``None`` for vector tiles of a map without a CRS, which have no place.

    Raises:
        OutputError: If the file could not be written whole, or reads back different.
    """
    table, path = _Table.of(parquet), parquet.with_suffix(f".{kind}")
    if kind == "pmtiles" and table.crs is None:
        return None
    needed = parquet.stat().st_size * 4  # these formats compress less, or not at all
    with _writing(path, needed), whole_file(path, needed_bytes=needed) as temporary:
        if kind == "pmtiles":
            return Export(path, _write_tiles(temporary, path, table, pixel_m))
        _write(temporary, kind, table, {"layer_options": _about(table.notes)})
        if kind == "gpkg" and style:
            keep_style(temporary, style)
        _check(temporary, path, table)
    return Export(path)


@contextmanager
def _writing(path: Path, needed_bytes: int) -> Iterator[None]:
    try:
        yield
    except _FAULTS as err:
        raise output_error(path, str(err), needed_bytes=needed_bytes) from err


def _write(temporary: Path, kind: str, table: _Table, more: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="'crs' was not provided")  # a plain pixel grid has none
        pyogrio.write_arrow(
            pa.RecordBatchReader.from_batches(table.schema, table.batches()),
            temporary,
            layer=_LAYER,
            driver=DRIVERS[kind],
            geometry_name="geometry",
            geometry_type="Polygon",
            crs=table.crs,
            **more,
        )


def _about(notes: Mapping[str, str]) -> dict[str, str]:
    """Licence and attribution, in the one place that all three formats have."""
    text = "; ".join(f"{name}: {note}" for name, note in notes.items())
    return {"DESCRIPTION": text} if text else {}


def keep_style(temporary: Path, style: str, layer: str = _LAYER, about: tuple[str, str] = _OF_CLASSES) -> None:
    """The table in which QGIS looks for the style of a layer when it opens the file.

    Args:
        temporary: A GeoPackage.
        style: Content of a QML file.
        layer: Which layer.
        about: Name of the style, and what it shows.
    """
    with closing(sqlite3.connect(temporary)) as database, database:
        database.execute(
            "CREATE TABLE layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), "
            "f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), "
            "styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), "
            "update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))"
        )
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) VALUES "
            "('layer_styles', 'attributes', 'layer_styles')"
        )
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, "
            "styleQML, styleSLD, useAsDefault, description, owner) "
            "SELECT '', '', table_name, column_name, ?, ?, '', 1, ?, '' "
            "FROM gpkg_geometry_columns WHERE table_name = ?",
            (about[0], style, about[1], layer),
        )


def _check(temporary: Path, path: Path, table: _Table) -> None:
    """Compares every polygon with the one it was made from."""
    wanted, found = _Sum(), _Sum()
    for batch in table.batches():
        wanted.add(batch, "geometry")
    with pyogrio.open_arrow(temporary, layer=_LAYER, use_pyarrow=True, batch_size=_ROWS) as (facts, reader):
        fields = list(facts["fields"])
        for batch in reader:
            found.add(batch, facts["geometry_name"] or "wkb_geometry")
    lacking = [name for name in table.schema.names if name not in (*fields, "geometry")]
    if found != wanted or lacking:
        raise output_error(path, f"reads back with {found.count} polygons, which are not the {wanted.count} written")


def _write_tiles(temporary: Path, path: Path, table: _Table, pixel_m: float) -> int:
    """Vector tiles of all zooms; returns how many polygons cannot be found in them."""
    deepest = math.ceil(math.log2(_EQUATOR_M / _STEPS * _STEPS_PER_PIXEL / pixel_m))
    deepest = min(max(deepest, 0), _DEEPEST)
    if not table.count or _is_beyond_tiles(table):
        temporary.write_bytes(_no_tiles(table.schema, deepest))
        return table.count
    options = {"NAME": _LAYER, "MINZOOM": max(0, deepest - _LEVELS + 1), "MAXZOOM": deepest}
    _write(temporary, "pmtiles", table, {"dataset_options": options | _about(table.notes)})
    known = np.concatenate([np.zeros(0, "int64"), *(batch["id"].to_numpy() for batch in table.batches())])
    found = np.zeros(len(known), bool)
    known.sort()
    with pyogrio.open_arrow(temporary, layer=_LAYER, use_pyarrow=True, batch_size=_ROWS) as (_, reader):
        for batch in reader:
            identifiers = batch["id"].to_numpy().astype("int64")
            place = np.minimum(np.searchsorted(known, identifiers), len(known) - 1)
            if not len(known) or (known[place] != identifiers).any():
                raise output_error(path, "reads back with polygons that nobody wrote")
            found[place] = True
    if len(known) and not found.any():
        raise output_error(path, f"reads back without any of its {len(known)} polygons")
    return int(np.count_nonzero(~found))


def _is_beyond_tiles(table: _Table) -> bool:
    """Whether the whole map lies between a pole and the end of the world's tiles, where GDAL writes no archive."""
    if table.bounds is None:
        return False
    to_degrees = pyproj.Transformer.from_crs(table.crs, 4326, always_xy=True)
    west, low, east, high = table.bounds
    low, high = np.clip((low, high), *poles_of(CRS(table.crs)))  # pixels may go on behind a pole
    _, south, _, north = to_degrees.transform_bounds(west, low, east, high)
    return bool(south > _MOST_LATITUDE or north < -_MOST_LATITUDE)


def _no_tiles(schema: pa.Schema, deepest: int) -> bytes:
    """A whole archive of version 3 with the layer's fields and one tile, of the world, that holds nothing.

    GDAL writes none without a feature. https://github.com/protomaps/PMTiles/blob/main/spec/v3/spec.md
    """
    fields = {field.name: _OGR_FIELDS.get(str(field.type), "Number") for field in schema if field.name != "geometry"}
    layer = {"id": _LAYER, "fields": fields, "minzoom": 0, "maxzoom": deepest}
    tile = gzip.compress(b"", mtime=0)
    # One entry: its number, how often it repeats, its length, and where it starts, plus one.
    directory = gzip.compress(bytes((1, 0, 1, len(tile), 1)), mtime=0)
    metadata = gzip.compress(json.dumps({"name": _LAYER, "vector_layers": [layer]}).encode(), mtime=0)
    head = 127
    after = head + len(directory), head + len(directory) + len(metadata)
    header = struct.pack(
        "<7sB11Q6B4iB2i",
        *(b"PMTiles", 3),
        *(head, len(directory), after[0], len(metadata), after[1], 0, after[1], len(tile), 1, 1, 1),
        *(1, 2, 2, 1, 0, deepest),  # clustered; gzip inside and in tiles; vector tiles; zooms
        *_WORLD_E7,
        *(0, 0, 0),
    )
    return header + directory + metadata + tile
