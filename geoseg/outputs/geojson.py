"""GeoJSON as RFC 7946 has it, feature by feature."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import shapely

from geoseg.outputs.files import WholeFile
from geoseg.outputs.geodesy import Geometries, cut_at_antimeridian

_NOT_PROPERTIES = ("id", "bbox", "geometry")


class GeoJSONSpool:
    """A feature collection in the making, given up when it grows past its limit.

    Args:
        path: Final name.
        limit: Most features, or ``None``. Past it the file is given up, and `commit` gives nothing.
        decimals: Of the coordinates, in degrees.
        metadata: Foreign members of the collection, by name.

    Attributes:
        path: Final name.
        is_wanted: Whether the limit still holds.
        writing: Context that names the file where the disk refuses.
    """

    def __init__(self, path: Path, limit: int | None, decimals: int, metadata: Mapping[str, str]) -> None:
        self.path = path
        self.is_wanted = True
        self._limit, self._decimals = limit, decimals
        self._count = 0
        self._file = WholeFile(path)
        self.writing = self._file.writing
        self._stream = self._file.temporary.open("w", encoding="utf-8", newline="\n")
        head = json.dumps({"type": "FeatureCollection", **metadata}, ensure_ascii=False)
        self._stream.write(f'{head[:-1]}, "features": [')

    def takes(self, count: int) -> bool:
        """Whether so many more polygons stay within the limit; if not, the file is given up."""
        if self.is_wanted and self._limit is not None and self._count + count > self._limit:
            self.is_wanted = False
            self.discard()
        return self.is_wanted

    def add(self, lonlat: Geometries, rows: pa.RecordBatch) -> None:
        """Takes polygons in degrees, and the rows of the table that belong to them."""
        for feature in _features(lonlat, rows, self._decimals):
            self._stream.write(",\n" if self._count else "\n")
            self._stream.write(feature)
            self._count += 1

    def close(self) -> None:
        """Writes the end of the file.

        Raises:
            OSError: If the disk refuses.
        """
        if self.is_wanted:
            self._stream.write("\n]}\n")
            self._stream.close()

    def commit(self) -> list[Path]:
        """Gives the file its name, or, if it was given up, removes an earlier run's, which is not of these polygons.

        Raises:
            OSError: If the disk refuses.
        """
        if self.is_wanted:
            self._file.commit()
            return [self.path]
        self.path.unlink(missing_ok=True)
        return []

    def discard(self) -> None:
        """Removes what was not finished."""
        with contextlib.suppress(OSError):  # what is still in the buffer may not fit on a full disk
            self._stream.close()
        self._file.discard()


def _features(lonlat: Geometries, rows: pa.RecordBatch, decimals: int) -> Iterator[str]:
    rounded = shapely.transform(lonlat, lambda xy: np.round(xy, decimals))
    whole = shapely.orient_polygons(cut_at_antimeridian(rounded))
    properties = rows.drop_columns([name for name in _NOT_PROPERTIES if name in rows.schema.names]).to_pylist()
    for identifier, outline, facts in zip(rows["id"].to_pylist(), shapely.to_geojson(whole), properties, strict=True):
        table = json.dumps(facts, ensure_ascii=False, allow_nan=False)
        yield f'{{"type": "Feature", "id": {identifier}, "properties": {table}, "geometry": {outline}}}'
