"""Pages of the polygons of a finished map, in bounded memory: one row group of the GeoParquet file at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from pyproj import CRS, Transformer

from geoseg.outputs.geodesy import cut_at_antimeridian

_DECIMALS = 7
_AT_ONCE = 4096  # polygons decoded at the same time
_SEGMENTS = 16  # of an edge of a box that is brought into the CRS of the map
_HIDDEN = {"geometry", "bbox", "id"}

type Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Page:
    """Some polygons.

    Attributes:
        features: GeoJSON features in longitude and latitude.
        after: Where the next page begins, or ``None`` where there is none.
        total: Polygons of the whole, or ``None`` where that would mean looking at all of them.
    """

    features: list[dict[str, Any]]
    after: int | None
    total: int | None


class Polygons:
    """The polygons of a map.

    Args:
        path: ``polygons.parquet`` of the map; never changes once it is there.
    """

    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path, memory_map=True, pre_buffer=False)
        groups = [self._file.metadata.row_group(n).num_rows for n in range(self._file.metadata.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(groups)]).astype(int)

    @cached_property
    def _geo(self) -> dict[str, Any]:
        metadata = self._file.metadata.metadata or {}
        found: dict[str, Any] = json.loads(metadata[b"geo"])["columns"]["geometry"]
        return found

    @cached_property
    def crs(self) -> CRS | None:
        """CRS of the map; ``None`` for a plain pixel grid."""
        stated = self._geo.get("crs", "OGC:CRS84")
        return None if stated is None else CRS.from_user_input(stated)

    @cached_property
    def _to_degrees(self) -> Transformer:
        return Transformer.from_crs(self.crs, "OGC:CRS84", always_xy=True)

    @property
    def count(self) -> int:
        """Number of polygons."""
        return int(self._file.metadata.num_rows)

    @cached_property
    def bounds(self) -> Box:
        """West, south, east, north in degrees."""
        x0, y0, x1, y1 = self._geo.get("bbox") or (0.0, 0.0, 0.0, 0.0)
        west, south, east, north = self._to_degrees.transform_bounds(x0, y0, x1, y1)
        return float(west), float(south), float(east), float(north)

    def page(self, after: int, limit: int, box: Box | None = None) -> Page:
        """Polygons in the order of the file.

        Args:
            after: Position of the first one to look at.
            limit: Most polygons.
            box: West, south, east, north in degrees that they meet; west > east: across the 180th meridian.
        """
        features: list[dict[str, Any]] = []
        wanted = None if box is None else [shapely.box(*part) for part in _parts(box)]
        position = after
        for table in self._batches(after, limit + 1, None if box is None else self._own_boxes(box)):
            rows = table.to_pylist()
            outlines = self._in_degrees(table)
            for row, outline in zip(rows, outlines, strict=True):
                position = row.pop("_position")
                if position < after or (wanted and not any(shapely.intersects(outline, part) for part in wanted)):
                    continue
                if len(features) == limit:
                    return Page(features, position, None if box else self.count)
                features.append(_feature(row, outline))
        return Page(features, None, None if box else self.count)

    def one(self, identifier: int) -> dict[str, Any] | None:
        """A polygon by its id."""
        for number in range(self._file.metadata.num_row_groups):
            ids = self._file.read_row_group(number, columns=["id"])["id"]
            found = pc.index(ids, pa.scalar(identifier, ids.type)).as_py()
            if found >= 0:
                table = self._file.read_row_group(number).slice(found, 1)
                return _feature(table.to_pylist()[0], self._in_degrees(table)[0])
        return None

    def _own_boxes(self, box: Box) -> list[Box]:
        """A box of degrees as boxes in the CRS of the map that hold it."""
        back = Transformer.from_crs("OGC:CRS84", self.crs, always_xy=True)
        found = []
        for part in _parts(box):
            bounds = back.transform_bounds(*part, densify_pts=_SEGMENTS)
            if all(np.isfinite(bounds)):
                pad = 1e-6 * max(bounds[2] - bounds[0], bounds[3] - bounds[1], 1.0)
                found.append((bounds[0] - pad, bounds[1] - pad, bounds[2] + pad, bounds[3] + pad))
            else:  # reaches beyond where the CRS is defined: every polygon is looked at
                found.append((-np.inf, -np.inf, np.inf, np.inf))
        return found

    def _batches(self, after: int, most: int, boxes: list[Box] | None) -> Iterator[pa.Table]:
        """Rows from a position on that may be wanted, some at a time, with their positions; ``most`` of each group."""
        for number in range(self._file.metadata.num_row_groups):
            first, stop = int(self._starts[number]), int(self._starts[number + 1])
            if stop <= after:
                continue
            if boxes is None:
                chosen = np.arange(max(0, after - first), min(stop - first, max(0, after - first) + most))
            else:
                bounds = self._file.read_row_group(number, columns=["bbox"])["bbox"].combine_chunks()
                sides = [np.asarray(pc.struct_field(bounds, side)) for side in ("xmin", "ymin", "xmax", "ymax")]
                meets = np.zeros(stop - first, bool)
                for west, south, east, north in boxes:
                    meets |= (sides[0] <= east) & (sides[2] >= west) & (sides[1] <= north) & (sides[3] >= south)
                chosen = np.flatnonzero(meets & (np.arange(first, stop) >= after))
            yield from self._rows(number, first, chosen)

    def _rows(self, number: int, first: int, chosen: np.ndarray[Any, Any]) -> Iterator[pa.Table]:
        """Chosen rows of a group, in small tables."""
        at = 0
        for batch in self._file.iter_batches(_AT_ONCE, row_groups=[number]):
            here = chosen[(chosen >= at) & (chosen < at + batch.num_rows)]
            if here.size:
                table = pa.Table.from_batches([batch]).take(here - at)
                yield table.append_column("_position", pa.array(here + first))
            at += batch.num_rows

    def _in_degrees(self, table: pa.Table) -> Any:
        outlines = shapely.from_wkb(table["geometry"].to_pylist())
        turned = shapely.transform(outlines, lambda xy: np.stack(self._to_degrees.transform(*xy.T), axis=-1))
        rounded = shapely.transform(turned, lambda xy: np.round(xy, _DECIMALS))
        return shapely.orient_polygons(cut_at_antimeridian(rounded))


def _parts(box: Box) -> list[Box]:
    west, south, east, north = box
    return [box] if west <= east else [(west, south, 180.0, north), (-180.0, south, east, north)]


def _feature(row: dict[str, Any], outline: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": row["id"],
        "geometry": json.loads(shapely.to_geojson(outline)),
        "properties": {name: value for name, value in row.items() if name not in _HIDDEN},
    }
