"""Tile records to files: mosaic, polygons, tables, report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoseg.errors import NothingToDoError
from geoseg.evidence import Gathering
from geoseg.machine import MemoryWatch, release_memory, usable_cores
from geoseg.models.licences import licence_kind
from geoseg.mosaic import Blocks, Counts
from geoseg.outputs.areas import write_areas
from geoseg.outputs.exports import DRIVERS, export_polygons
from geoseg.outputs.item import build_item, output_file, write_item
from geoseg.outputs.layers import write_layers
from geoseg.outputs.preview import preview_geobox, read_preview, write_preview
from geoseg.outputs.raster import WrittenRaster
from geoseg.outputs.record import PolygonCounts, Record, write_record
from geoseg.outputs.report import Imagery, write_report
from geoseg.outputs.style import confidence_style, polygon_style, raster_style, write_style
from geoseg.outputs.vector import GEOJSON_LIMIT, PolygonWriter
from geoseg.pipeline.changes import ChangeColumns, Sorting, changes_of, mosaic_of
from geoseg.pipeline.describe import describe
from geoseg.pipeline.evidence import evidence_of
from geoseg.pipeline.imagery import preview_imagery
from geoseg.pipeline.prepared import Prepared
from geoseg.pipeline.rasters import COG_CACHE_BYTES, Rasters
from geoseg.pipeline.word_columns import WordColumns
from geoseg.polygons import ClassSource, RegionBatch, polygonize, sieve, simplify
from geoseg.progress import Progress
from geoseg.store import Store
from geoseg.tally import Tally

if TYPE_CHECKING:
    from geoseg.pipeline import Clock

Block = tuple[slice, slice, NDArray[np.uint8]]

# Rasters and polygons are written at the same time where the memory holds what both need of a wide map.
_BESIDE_BYTES = 2 * 10**9
# A row of blocks ends with all regions that cross it; writing makes several copies of what it is given.
_VERTICES_AT_ONCE = 200_000
_LARGE_GEOJSON_BYTES = 100 * 10**6


def finish(
    prepared: Prepared,
    tallies: Sequence[Tally],
    store: Store,
    out: Path,
    progress: Progress,
    clock: Clock,
    memory: MemoryWatch,
) -> dict[str, Any]:
    """Write every output.

    Args:
        prepared: The job.
        tallies: What was done of each of its tile lists.
        store: The records.
        out: Where the files go.
        progress: Told what happens.
        clock: Its times.
        memory: Peak of the process tree.

    Returns:
        The content of ``report.json``.

    Raises:
        NothingToDoError: If not a single pixel was observed; the files are written all the same.
        OutputError: If a file cannot be written whole.
        RequestError: If a change map has more classes than a raster can hold.
    """
    tally = Tally.of_lists(tallies)
    prepared, mosaic = mosaic_of(prepared, tallies, store)
    progress.stage("writing rasters and polygons")
    has_room = prepared.budget.finish_bytes >= _BESIDE_BYTES
    with (
        Rasters(prepared, mosaic, _sieved(prepared, mosaic), out) as rasters,
        ThreadPoolExecutor(2 if has_room else 1, "rasters") as beside,
    ):
        counts, areas = rasters.counts, rasters.areas
        look = beside.submit(_look, prepared).result if has_room else partial(_look, prepared)
        polygons, files, gathering = _write_polygons(prepared, rasters, out)
        finishing = beside.submit(_finish_rasters, prepared, mosaic, rasters, out, look, at_once=2 if has_room else 1)
        if not has_room:
            finishing.result()
            release_memory()
        remarks = _write_exports(prepared, out, files, polygons.count)
        evidence, said = evidence_of(prepared, gathering)
        classes, further, picture = finishing.result()
    write_areas(out / "areas.csv", areas.rows())
    clock.lap("rasters and polygons")
    release_memory()
    progress.stage("writing the report")
    rasters_and_styles = ["classes.tif", "classes.qml", "confidence.tif", "confidence.qml", *further]
    names = [*rasters_and_styles, *files, "areas.csv", "preview.png"]
    outputs = tuple(output_file(out, out / name) for name in names)
    remarks += said
    record = describe(
        prepared, tally, counts, classes.counts, areas.rows(), polygons, outputs, clock, memory, remarks, evidence
    )
    write_report(
        out / "report.html", record, picture.pixels, picture.geobox, picture.imagery, picture.valid, picture.dates
    )
    return _write_record(record, prepared, out, counts)


@dataclass(frozen=True, slots=True)
class _Picture:
    """What the report shows: classes (y, x) uint8 and imagery (y, x, 3) uint8 with its valid pixels, on a small geobox.

    Of two dates the imagery is the later one, and both stand in ``dates``.
    """

    geobox: GeoBox
    pixels: NDArray[np.uint8]
    imagery: NDArray[np.uint8] | None
    valid: NDArray[np.bool_] | None
    dates: tuple[Imagery, ...] = ()


def _look(prepared: Prepared) -> list[Imagery | None]:
    """The scenes of each date on the small geobox of the report."""
    small = preview_geobox(prepared.geobox)
    return [preview_imagery(prepared, small, later=later) for later in (False, True)[: len(prepared.coverages)]]


def _finish_rasters(
    prepared: Prepared,
    mosaic: Blocks,
    rasters: Rasters,
    out: Path,
    look: Callable[[], list[Imagery | None]],
    *,
    at_once: int,
) -> tuple[WrittenRaster, list[str], _Picture]:
    """Classes and confidence, which were written already, what else was asked for, and the preview."""
    classes = rasters.close(at_once)
    further = _write_layers(prepared, mosaic, out)
    small = preview_geobox(prepared.geobox)
    pixels = read_preview(out / "classes.tif", small.shape.yx)
    shown = look()
    imagery, valid = shown[-1] or (None, None)
    write_preview(out / "preview.png", pixels, prepared.classes, imagery, valid)
    dates = tuple(one for one in shown if one is not None)
    both = dates if len(dates) == len(("before", "after")) else ()
    return classes, further, _Picture(small, pixels, imagery, valid, both)


def _write_record(record: Record, prepared: Prepared, out: Path, counts: Counts) -> dict[str, Any]:
    """The machine-readable ends: ``report.json`` and ``item.json``."""
    write_record(out / "report.json", record)
    reports = [output_file(out, out / name) for name in ("report.json", "report.html")]
    write_item(out / "item.json", build_item(record, prepared.geobox, [*record.outputs, *reports]))
    if counts.aoi == counts.unobserved + counts.masked:
        raise NothingToDoError(
            f"a region of {counts.aoi} pixels, {counts.unobserved} without a scene and {counts.masked} masked on every date",
            "at least one observed pixel",
            f"{_way_to_pixels(prepared)}; the (empty) files are in {out}",
        )
    content: dict[str, Any] = json.loads(record.model_dump_json())
    return content


def _way_to_pixels(prepared: Prepared) -> str:
    if prepared.spec.scenes or prepared.spec.scenes_before:
        return "name other files with --scenes, or check the nodata and the mask of these"
    option = "--after" if prepared.spec.looks_back else "--datetime"
    return f"widen {option}, or move the region (--aoi)"


def _sieved(prepared: Prepared, mosaic: Blocks) -> ClassSource:
    """The map with the minimum mapping unit applied, if there is one."""
    if prepared.spec.min_area_m2 <= 0:
        return mosaic
    least = int(np.ceil(prepared.spec.min_area_m2 / prepared.planar_pixel_m**2 - 1e-9))
    return sieve(mosaic, least)


def _write_layers(prepared: Prepared, mosaic: Blocks, out: Path) -> list[str]:
    """Further rasters, where they are asked for; their names."""

    def blocks(names: Sequence[str]) -> Iterator[Block]:
        for block in mosaic.blocks():
            yield *mosaic.slices(*block), mosaic.layers(names, *block)

    wanted, classes = prepared.spec.layers, prepared.classes
    written = write_layers(
        out, prepared.geobox, wanted, classes, blocks, memory_bytes=COG_CACHE_BYTES, threads=usable_cores()
    )
    return [path.name for path in written]


def _write_beside(writer: PolygonWriter, batches: Iterable[RegionBatch]) -> None:
    """Write what was outlined while the next regions are, so many at once that a batch costs nothing by itself."""
    with ThreadPoolExecutor(1, "polygons") as pool:
        written: Future[None] | None = None
        for batch in _of_one_size(batches):
            if written is not None:
                written.result()
            written = pool.submit(writer.add, batch)
        if written is not None:
            written.result()


def _of_one_size(batches: Iterable[RegionBatch]) -> Iterator[RegionBatch]:
    """The same regions in batches of about as many vertices; single regions may have more."""
    waiting: list[RegionBatch] = []
    vertices = 0
    for batch in batches:
        for part in batch.parts(_VERTICES_AT_ONCE):
            if waiting and vertices + len(part.polygons.vertices) > _VERTICES_AT_ONCE:
                yield RegionBatch.chained(waiting)
                waiting, vertices = [], 0
            waiting.append(part)
            vertices += len(part.polygons.vertices)
    if waiting:
        yield RegionBatch.chained(waiting)


def _write_polygons(
    prepared: Prepared, source: Rasters, out: Path
) -> tuple[PolygonCounts, list[str], Gathering | None]:
    spec, model = prepared.spec, prepared.model.spec
    columns = sorting = None
    worded = None if prepared.words is None else WordColumns(prepared.words, source.source, source.mosaic)
    batches = polygonize(source if prepared.later is None else changes_of(source), threads=usable_cores())
    if prepared.later is not None:
        columns = ChangeColumns(prepared, source.mosaic, source.source, usable_cores())
        sorting = Sorting(prepared, columns)
    if spec.simplify_m > 0:
        tolerance_px = spec.simplify_m / prepared.planar_pixel_m
        batches = simplify(batches, prepared.geobox.shape.yx, tolerance_px, prepared.budget.finish_bytes)
    if sorting is not None:
        batches = sorting.kept(batches)
    geobox = prepared.geobox
    notes = {"model": model.name, "model licence": model.licence, "attribution": model.attribution}
    notes["model licence kind"] = licence_kind(model.licence)
    if prepared.land_cover is not None:
        other = prepared.land_cover.spec
        notes |= {"land cover model": other.name, "land cover licence": other.licence}
        notes |= {"land cover attribution": other.attribution, "land cover licence kind": licence_kind(other.licence)}
    gathering = None if prepared.evidence is None else prepared.evidence.gathering(prepared, source.source)
    with (
        gathering or nullcontext(),
        PolygonWriter(
            out,
            geobox.crs,
            geobox.transform,
            prepared.classes,
            formats=set(spec.format),
            metadata={name: text for name, text in notes.items() if text},
            further=tuple(one for one in (columns, worded, gathering) if one is not None),
        ) as writer,
    ):
        _write_beside(writer, batches)
        files = [path.name for path in writer.close()]
    counts = PolygonCounts(
        count=writer.count,
        split=writer.split_count,
        min_area_m2=spec.min_area_m2,
        simplify_m=spec.simplify_m,
        dropped=0 if sorting is None else sorting.dropped,
    )
    return counts, files, gathering


def _write_exports(prepared: Prepared, out: Path, files: list[str], count: int) -> list[str]:
    """What was asked for beside GeoParquet, and the styles; adds to the names of the files, returns what is to be said."""
    classes, remarks = prepared.classes, _too_large(out, files, count)
    write_style(out / "classes.qml", raster_style(classes))
    write_style(out / "confidence.qml", confidence_style())
    style = polygon_style(classes)
    for kind in (kind for kind in DRIVERS if kind in prepared.spec.format):
        made = export_polygons(out / "polygons.parquet", kind, pixel_m=prepared.pixel_m, style=style)
        if made is None:
            remarks.append(f"no polygons.{kind}: the map has no place on the globe")
            continue
        files.append(made.path.name)
        if made.left_out:
            remarks.append(
                f"{made.left_out:,} polygons are too small, too crowded or too near a pole for polygons.{kind}; polygons.parquet has all"
            )
    files.append(write_style(out / "polygons.qml", style).name)
    return remarks


def _too_large(out: Path, files: list[str], count: int) -> list[str]:
    """Where to turn when there are more polygons than GeoJSON is good for."""
    name = "polygons.geojson"
    if name not in files:
        return [f"no {name}: {count:,} polygons are too many for it; polygons.parquet has them all"] * (
            count > GEOJSON_LIMIT
        )
    size_bytes = (out / name).stat().st_size
    if count <= GEOJSON_LIMIT and size_bytes <= _LARGE_GEOJSON_BYTES:
        return []
    large = f"{name} holds {count:,} polygons in {size_bytes / 1e6:,.0f} MB, which most programs are slow to read"
    return [f"{large}; polygons.parquet holds the same"]
