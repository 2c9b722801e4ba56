"""A stac-geoparquet file: one row per item, its properties as columns (stac-geoparquet specification 1.0)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from geoseg.errors import CatalogError
from geoseg.scenes.catalogs.documents import Question
from geoseg.scenes.catalogs.rows import Rows

_NEEDED = frozenset({"id", "geometry", "assets"})
_ROWS_AT_ONCE = 1024


def items_of_table(
    catalog: str, question: Question, skipped: list[tuple[str, str]]
) -> Iterator[list[Mapping[str, Any]]]:
    """Items of a stac-geoparquet file as JSON, some at a time; rows outside the box and the time are left out early.

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
            rows = Rows(file.schema_arrow, str(Path(catalog).absolute()), question, skipped)
            for batch in file.iter_batches(_ROWS_AT_ONCE):
                yield rows.items(_touching(batch, question))
    except (OSError, pa.ArrowException) as err:
        raise CatalogError(
            f"--catalog {catalog}: {err}", "a stac-geoparquet file", "check the path, or write the file anew"
        ) from err


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
