"""Polygons to GeoParquet, and to GeoJSON where there are few or where it is asked for; streamed, in one pass."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS

from geoseg.outputs.files import WholeFile, output_error
from geoseg.outputs.flattened import FlatAreas, Outlines, geometry_of
from geoseg.outputs.geodesy import Geodesy
from geoseg.outputs.geojson import GeoJSONSpool
from geoseg.outputs.legend import ClassTable
from geoseg.outputs.wkb import to_wkb

Float = NDArray[np.float64]

GEOJSON_LIMIT = 20_000

_GROUP_ROWS = 65_536
_GROUP_VERTICES = 1_000_000
_HELD_VERTICES = 2_000_000
_BBOX = ("xmin", "ymin", "xmax", "ymax")


class PolygonBatch(Protocol):
    """Some polygons of a map; arrays are aligned.

    Attributes of one polygon are those of the whole region, whatever tile it was joined from.
    """

    @property
    def polygons(self) -> Outlines:
        """The polygons, in pixel coordinates of the map: x = column, y = row."""

    @property
    def class_index(self) -> NDArray[np.uint8]:
        """Class of each."""

    @property
    def pixels(self) -> NDArray[np.int64]:
        """Number of pixels."""

    @property
    def confidence_mean(self) -> NDArray[np.float64]:
        """Mean of the confidence, in percent; NaN where there is none."""

    @property
    def confidence_p10(self) -> NDArray[np.uint8]:
        """Tenth percentile of the confidence, in percent; 255 where there is none."""

    @property
    def first_pixel(self) -> NDArray[np.int64]:
        """Position of the first pixel in row-major order; unique, so it names the polygon."""

    @property
    def split(self) -> NDArray[np.bool_]:
        """Whether it is a part of a region that was too large for one polygon."""


class FurtherColumns(Protocol):
    """Columns that another room adds to the polygons while they are written."""

    @property
    def fields(self) -> Sequence[pa.Field]:
        """Names and types."""

    def arrays(self, batch: PolygonBatch, areas_m2: Float | None) -> Sequence[pa.Array]:
        """The columns of a batch, in the order of the fields, with the true areas of its polygons at hand."""


class PolygonWriter:
    """Writes the polygons of one map, batch by batch. Use it as a context manager: leaving by an error leaves no file.

    ``polygons.parquet`` is GeoParquet 1.1 in the grid's CRS with a bounding box per row, in the order of the stream.
    ``polygons.geojson`` is RFC 7946; areas are geodesic in both, and null on a grid without CRS, which has no GeoJSON.

    Args:
        folder: Where to write. Must exist.
        crs: CRS of the grid, or ``None`` for a plain pixel grid.
        transform: From (column, row) to the CRS.
        classes: The class table; a ``code`` column is made when any class has a code.
        formats: ``geojson`` asks for GeoJSON whatever the number of polygons. GeoParquet is always written.
        geojson_limit: Most polygons that are written as GeoJSON unasked.
        metadata: Licence, attribution and the like, by name; kept in both files.
        further: Add columns of their own.

    Attributes:
        count: Polygons so far.
        split_count: Those of them that are parts of a region.
        pixels: Pixels so far per class, int64 of shape (256,).
        has_geojson: Whether the GeoJSON file is (still) to be written.
    """

    def __init__(
        self,
        folder: Path,
        crs: CRS | None,
        transform: Affine,
        classes: ClassTable,
        *,
        formats: frozenset[str] | set[str] = frozenset(),
        geojson_limit: int = GEOJSON_LIMIT,
        metadata: Mapping[str, str] | None = None,
        further: Sequence[FurtherColumns] = (),
    ) -> None:
        self.count = 0
        self.split_count = 0
        self.pixels = np.zeros(256, np.int64)
        self._crs, self._transform = crs, transform
        self._geodesy = None if crs is None else Geodesy(crs, transform)
        self._flat = None if self._geodesy is None else FlatAreas(self._geodesy)
        self._legend = _Legend(classes, further)
        self._metadata = dict(metadata or {})
        self._bounds = np.array([np.inf, np.inf, -np.inf, -np.inf])
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_vertices = 0
        self._held: list[tuple[Outlines, pa.RecordBatch]] = []
        self._held_vertices = 0
        self._parquet = WholeFile(folder / "polygons.parquet")
        self._geojson: GeoJSONSpool | None = None
        try:
            with self._parquet.writing():
                self._begin(folder, None if "geojson" in formats else geojson_limit)
        except BaseException:  # nobody enters a writer that could not begin
            self._parquet.discard()
            raise

    def _begin(self, folder: Path, geojson_limit: int | None) -> None:
        self._writer = pq.ParquetWriter(
            self._parquet.temporary,
            self._legend.schema,
            compression="zstd",
            write_page_checksum=True,
            use_dictionary=["class", "name", "code", "confidence_p10", "split"],  # what repeats itself
        )
        if self._geodesy is not None:
            decimals = _decimals(self._geodesy)
            self._geojson = GeoJSONSpool(folder / "polygons.geojson", geojson_limit, decimals, self._metadata)

    @property
    def has_geojson(self) -> bool:
        """Whether GeoJSON is being written: not without a CRS, and not any more above the limit."""
        return self._geojson is not None and self._geojson.is_wanted

    def add(self, batch: PolygonBatch) -> None:
        """Takes some polygons.

        Raises:
            OutputError: If the disk refuses.
            ValueError: If a class is not in the table.
        """
        if len(batch.class_index) == 0:
            return
        geometry, bounds = to_wkb(batch.polygons, self._transform)
        areas = None if self._flat is None else self._flat.areas_m2(batch.polygons)
        rows = self._legend.rows(batch, geometry, bounds, areas)
        self.count += len(rows)
        self.split_count += int(np.count_nonzero(batch.split))
        np.add.at(self.pixels, batch.class_index, batch.pixels)
        self._bounds[:2] = np.minimum(self._bounds[:2], bounds[:, :2].min(axis=0))
        self._bounds[2:] = np.maximum(self._bounds[2:], bounds[:, 2:].max(axis=0))
        self._waiting.append(rows)
        self._waiting_vertices += len(batch.polygons.vertices)
        if sum(map(len, self._waiting)) >= _GROUP_ROWS or self._waiting_vertices >= _GROUP_VERTICES:
            self._flush()
        if self._geojson is not None and self._geojson.takes(sum(len(held) for _, held in self._held) + len(rows)):
            self._held.append((batch.polygons, rows))
            self._held_vertices += len(batch.polygons.vertices)
            if self._held_vertices > _HELD_VERTICES:
                self._write_held()
        else:
            self._held = []

    def close(self) -> list[Path]:
        """Finishes the files, reads them back and gives them their names.

        Returns:
            The files that were written, GeoParquet first.

        Raises:
            OutputError: If a file could not be written whole.
        """
        self._flush()
        self._write_held()
        path = self._parquet.path
        with self._parquet.writing():
            self._writer.add_key_value_metadata({"geo": json.dumps(self._geo())} | self._metadata)
            self._writer.close()
            self._check_parquet()
        if self._geojson is not None:
            with self._geojson.writing():
                self._geojson.close()
        with self._parquet.writing():
            self._parquet.commit()
        if self._geojson is None:
            return [path]
        with self._geojson.writing():
            return [path, *self._geojson.commit()]

    def discard(self) -> None:
        """Removes what was not finished."""
        with contextlib.suppress(OSError, pa.ArrowException):
            self._writer.close()
        self._parquet.discard()
        if self._geojson is not None:
            self._geojson.discard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def _flush(self) -> None:
        if self._waiting:
            with self._parquet.writing():
                self._writer.write_table(pa.Table.from_batches(self._waiting).combine_chunks())
        self._waiting, self._waiting_vertices = [], 0

    def _write_held(self) -> None:
        """What is held back for GeoJSON, until it shows whether there are too many polygons for it."""
        if self._geojson is not None and self._geodesy is not None:
            for polygons, rows in self._held:
                with self._geojson.writing():
                    self._geojson.add(self._geodesy.lonlat(geometry_of(polygons)), rows)
        self._held, self._held_vertices = [], 0

    def _geo(self) -> dict[str, object]:
        column: dict[str, object] = {
            "encoding": "WKB",
            "geometry_types": ["Polygon"],
            "crs": None if self._crs is None else self._crs.proj.to_json_dict(),
            "orientation": "counterclockwise",
            "edges": "planar",
            "covering": {"bbox": {side: ["bbox", side] for side in _BBOX}},
        }
        if self.count:
            column["bbox"] = self._bounds.tolist()
        return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}

    def _check_parquet(self) -> None:
        rows = 0
        try:
            with pq.ParquetFile(self._parquet.temporary, page_checksum_verification=True) as file:
                whole = b"geo" in (file.metadata.metadata or {})
                # Group by group: a reader of all of them keeps what it has read of each.
                for group in range(file.num_row_groups):
                    rows += len(file.read_row_group(group, use_threads=False))
        except pa.ArrowException as err:
            raise output_error(self._parquet.path, f"cannot be read back: {err}") from err
        if rows != self.count or not whole:
            raise output_error(self._parquet.path, f"reads back with {rows} rows instead of {self.count}")


class _Legend:
    """The columns that come from the class table, and the schema they make."""

    def __init__(self, classes: ClassTable, further: Sequence[FurtherColumns] = ()) -> None:
        self._further = further
        self._known = np.zeros(256, bool)
        names: list[str | None] = [None] * 256
        codes: list[int | None] = [None] * 256
        for entry in classes:
            self._known[entry.index] = True
            names[entry.index], codes[entry.index] = entry.name, entry.code
        self._names, self._codes = pa.array(names, pa.string()), pa.array(codes, pa.int64())
        self._has_codes = any(code is not None for code in codes)
        code = [pa.field("code", pa.int64())] if self._has_codes else []
        self.schema = pa.schema(
            [
                pa.field("id", pa.int64(), nullable=False),
                pa.field("class", pa.uint8(), nullable=False),
                pa.field("name", pa.string(), nullable=False),
                *code,
                pa.field("area_m2", pa.float64()),
                pa.field("confidence_mean", pa.float64()),
                pa.field("confidence_p10", pa.uint8()),
                pa.field("pixels", pa.int64(), nullable=False),
                pa.field("split", pa.bool_(), nullable=False),
                *(field for one in further for field in one.fields),
                pa.field("bbox", pa.struct([(side, pa.float64()) for side in _BBOX]), nullable=False),
                pa.field("geometry", pa.binary(), nullable=False),
            ]
        )

    def rows(self, batch: PolygonBatch, geometry: pa.Array, bounds: Float, areas: Float | None) -> pa.RecordBatch:
        classes = np.asarray(batch.class_index, np.uint8)
        if not self._known[classes].all():
            raise ValueError(f"classes {np.unique(classes[~self._known[classes]]).tolist()} are not in the class table")
        sides = [pa.array(side) for side in bounds.T]
        mean, low = np.asarray(batch.confidence_mean, float), np.asarray(batch.confidence_p10, np.uint8)
        columns = [
            pa.array(batch.first_pixel, pa.int64()),
            pa.array(classes),
            self._names.take(pa.array(classes)),
            *([self._codes.take(pa.array(classes))] if self._has_codes else []),
            pa.nulls(len(classes), pa.float64()) if areas is None else pa.array(areas),
            pa.array(mean, mask=~np.isfinite(mean)),
            pa.array(low, mask=low > 100),
            pa.array(batch.pixels, pa.int64()),
            pa.array(batch.split, pa.bool_()),
            *(array for one in self._further for array in one.arrays(batch, areas)),
            pa.StructArray.from_arrays(sides, list(_BBOX)),
            geometry,
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)


def _decimals(geodesy: Geodesy) -> int:
    """Seven, or as many as a hundredth of a pixel needs, so that rounding never folds an outline."""
    lonlat = geodesy.points(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    pixel_deg = np.abs(lonlat[1:] - lonlat[0]).max(axis=1).min()
    return int(np.clip(np.ceil(-np.log10(pixel_deg)) + 2, 7, 12)) if pixel_deg > 0 else 7
