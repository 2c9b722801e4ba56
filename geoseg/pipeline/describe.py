"""A finished run to the record that every report is made from."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geoseg import __version__
from geoseg.evidence import Evidence
from geoseg.grid import poles_of
from geoseg.machine import MemoryWatch
from geoseg.models import ModelFolder
from geoseg.models.licences import licence_kind
from geoseg.mosaic import Counts
from geoseg.outputs.areas import AreaRow
from geoseg.outputs.record import (
    AreaFacts,
    ForecastFacts,
    GridFacts,
    JobFacts,
    OutputFile,
    PixelCounts,
    PolygonCounts,
    Record,
    RunSettings,
    Software,
    TileCounts,
    Timing,
)
from geoseg.outputs.record_parts import AlignmentFacts, ChangeFacts, ClassFacts, ModelFacts
from geoseg.pipeline.prepared import Prepared
from geoseg.pipeline.scene_facts import scenes_of, skipped_of
from geoseg.tally import Tally
from geoseg.tiles import finite_halo

if TYPE_CHECKING:
    from geoseg.pipeline import Clock

_CHIPS_NAMED = 20  # in the warnings
_LIBRARIES = ("numpy", "rasterio", "odc-geo", "odc-loader", "odc-stac", "shapely", "scipy", "torch")


def describe(
    prepared: Prepared,
    tally: Tally,
    counts: Counts,
    by_class: NDArray[np.int64],
    areas: Sequence[AreaRow],
    polygons: PolygonCounts,
    outputs: tuple[OutputFile, ...],
    clock: Clock,
    memory: MemoryWatch,
    remarks: Sequence[str] = (),
    evidence: Evidence | None = None,
) -> Record:
    """Fill the record.

    Args:
        prepared: The job.
        tally: What was computed.
        counts: Pixels by reason.
        by_class: (256,) pixels per value of the finished raster.
        areas: Areas per class and feature.
        polygons: Number of polygons.
        outputs: Files written so far.
        clock: Start and stages.
        memory: Peak of the process tree.
        remarks: What the writing of the files has to say.
        evidence: What is known of the candidates, where the job asks for it.
    """
    spec, model = prepared.spec, prepared.model.spec
    return Record(
        job=JobFacts(key=spec.key, workflow=spec.workflow, spec=spec.model_dump(mode="json")),
        software=_software(prepared),
        settings=RunSettings(
            device=prepared.backend.device,
            backend=prepared.backend.name,
            precision=prepared.key_parts.precision,
            threads_per_pass=prepared.key_parts.threads,
            workers=prepared.workers,
            passes_at_once=prepared.share.passes if prepared.share else prepared.budget.passes_at_once,
            max_memory_bytes=prepared.settings.max_memory,
            peak_memory_bytes=memory.peak_bytes,
            allow_pickle=prepared.settings.allow_pickle,
        ),
        forecast=_forecast(clock, memory),
        timing=Timing.measured(
            clock.started,
            clock.total_s,
            {**clock.seconds, **{f"tiles: {name}": value for name, value in tally.seconds.items()}},
            tally.computed_px,
        ),
        grid=_grid(prepared),
        model=_model(prepared.model, task="semantic-segmentation" if prepared.later is None else "change-detection"),
        land_cover=None if prepared.land_cover is None else _model(prepared.land_cover, task="semantic-segmentation"),
        classes=tuple(
            ClassFacts(
                index=c.index,
                name=c.name,
                colour=c.colour,
                code=c.code,
                description=c.description,
                before=c.before,
                after=c.after,
            )
            for c in prepared.classes
        ),
        scenes=scenes_of(prepared, tally),
        scenes_skipped=skipped_of(prepared, tally),
        tiles=TileCounts(
            total=sum(len(one.tasks) for one in prepared.lists),
            computed=tally.computed,
            reused=tally.reused,
            incomplete=tally.incomplete,
        ),
        tiles_repeated=tuple(sorted(tally.repeated)),
        pixels=_pixels(counts, by_class),
        areas=tuple(
            AreaFacts(
                feature=row.feature,
                index=row.index,
                pixels=row.pixels,
                area_m2=row.area_m2,
                area_m2_planar=row.area_m2_planar,
                share=row.share,
            )
            for row in areas
        ),
        polygons=polygons,
        change=change_facts(prepared),
        evidence=None if evidence is None else evidence.model_dump(mode="json"),
        outputs=outputs,
        warnings=(*_warnings(prepared, tally, counts), *remarks),
        notes=(
            *dict.fromkeys(
                (
                    *model.notes,
                    *_notes_of(prepared.land_cover),
                    *(note for found in prepared.founds for note in found.notes),
                )
            ),
            f"pixel grid: {prepared.lattice_origin}",
        ),
        model_failures=_model_failures(prepared, tally),
    )


def _model(folder: ModelFolder, *, task: str) -> ModelFacts:
    model = folder.spec
    return ModelFacts(
        name=model.name,
        title=model.title,
        kind=model.kind,
        sha256=model.weights.sha256,
        spec_sha256=model.digest,
        licence=model.licence,
        licence_kind=licence_kind(model.licence),
        attribution=model.attribution,
        href=folder.href or None,
        revision=folder.revision,
        radius_px=max(model.radius_px) if model.kind == "finite" else None,
        task=task,
        trained_on=model.expects or "",
    )


def _notes_of(folder: ModelFolder | None) -> tuple[str, ...]:
    return () if folder is None else folder.spec.notes


def _software(prepared: Prepared) -> Software:
    found = {plugin.distribution: plugin.version for plugin in prepared.plugins}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return Software(
        geoseg=__version__,
        python=platform.python_version(),
        libraries=found,
        platform=f"{platform.system()} {platform.machine()}",
    )


def _grid(prepared: Prepared) -> GridFacts:
    geobox, lattice, model = prepared.geobox, prepared.lattice, prepared.model.spec
    code = lattice.crs.to_epsg()
    rows, cols = geobox.shape
    outline = [geobox.transform @ corner for corner in ((0, 0), (cols, 0), (cols, rows), (0, rows))]
    placed = geobox.crs is not None
    unit = "degree" if lattice.crs.geographic else str(lattice.crs.units[0])
    return GridFacts(
        crs=None if not placed else f"EPSG:{code}" if code else lattice.crs.to_wkt(),
        transform=tuple(geobox.transform)[:6],
        shape=geobox.shape,
        pixel_size=lattice.pixel_size,
        unit=unit if placed else "pixel",
        anchor=(prepared.region.window.row0, prepared.region.window.col0),
        cell_px=model.cell_px,
        tile_px=prepared.tasks[0].tile.side_px,
        stride_px=model.stride_px,
        halo_px=max(finite_halo(model.radius_px, model.stride_px)),
        corners_lonlat=_to_lonlat(prepared, outline) if placed else (),
    )


def _to_lonlat(prepared: Prepared, points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    transform = prepared.lattice.crs.transformer_to_crs("EPSG:4326")
    xs, ys = transform(
        np.array([x for x, _ in points]), np.clip([y for _, y in points], *poles_of(prepared.lattice.crs))
    )
    wrapped = (np.asarray(xs) + 180) % 360 - 180 if prepared.lattice.crs.geographic else xs
    turned = np.where(np.abs(xs) > 180, wrapped, xs)
    return tuple((float(x), float(y)) for x, y in zip(turned, ys, strict=True))


def _forecast(clock: Clock, memory: MemoryWatch) -> ForecastFacts | None:
    told = clock.forecast
    if told is None:
        return None
    return ForecastFacts(
        wall_s=told.wall_s,
        wall_s_fact=clock.total_s,
        peak_memory_bytes=told.peak_bytes,
        peak_memory_bytes_fact=memory.peak_bytes,
        read_bytes=told.read_bytes,
        disk_bytes=told.disk_bytes,
    )


def change_facts(prepared: Prepared) -> ChangeFacts | None:
    """What a job of two dates fitted; ``None`` for one of a single date."""
    fitted, spec = prepared.fitted, prepared.spec
    if fitted is None:
        return None
    lies, detector, overlap = fitted.alignment, fitted.detector, fitted.overlap
    network = prepared.model.spec.name if prepared.model.spec.dates == 2 else str(spec.detector)
    return ChangeFacts(
        detector=network if detector is None else detector.name,
        threshold=None if detector is None else detector.split.threshold,
        fit=spec.fit,
        bands=prepared.model.spec.bands,
        overlap_px=(overlap.row0, overlap.col0, overlap.row1, overlap.col1),
        pixels=fitted.pixels,
        alignment=AlignmentFacts(
            **lies.facts(), good_share=lies.good_share, correction_px=lies.correction, left_px=lies.left_px
        ),
        values=fitted.facts(),
    )


def _pixels(counts: Counts, by_class: NDArray[np.int64]) -> PixelCounts:
    per_class = {index: int(count) for index, count in enumerate(by_class[:254]) if count}
    failed = {"read": counts.failed, "model": counts.failed_model, "worker": counts.failed_lost}
    return PixelCounts(
        total=counts.aoi + counts.outside,
        aoi=counts.aoi,
        outside_aoi=counts.outside,
        classified=sum(per_class.values()),
        per_class=per_class,
        nodata_unobserved=counts.unobserved,
        nodata_masked=counts.masked,
        failed={cause: count for cause, count in failed.items() if count},
        near_failed=counts.near_failed,
    )


def _model_failures(prepared: Prepared, tally: Tally) -> tuple[str, ...]:
    """The chips over the region that have no answer, in words."""
    region, found = prepared.region.window, []
    for window in sorted(tally.model_failures, key=lambda w: (w.row0, w.col0, w.row1, w.col1)):
        if not window & region:
            continue
        rows = f"rows {window.row0 - region.row0} to {window.row1 - region.row0}"
        cols = f"columns {window.col0 - region.col0} to {window.col1 - region.col0}"
        corners = [(window.col0, window.row0), (window.col1, window.row1)]
        (west, north), (east, south) = _to_lonlat(prepared, [prepared.lattice.transform @ at for at in corners])
        place = f" (longitude {west:.5f} to {east:.5f}, latitude {south:.5f} to {north:.5f})"
        place = "" if prepared.geobox.crs is None else place
        found.append(f"{rows}, {cols} of the map{place}, {tally.model_failures[window]}")
    return tuple(found)


def _warnings(prepared: Prepared, tally: Tally, counts: Counts) -> tuple[str, ...]:
    words = list(prepared.warnings)
    for href, cause in sorted(tally.failures.items()):
        words.append(f"could not be read: {href}: {cause}")
    words += [f"not computed: the tile {row}, {col}: {why}" for (row, col), why in sorted(tally.lost.items())]
    words += sorted(tally.said)
    chips = _model_failures(prepared, tally)
    words += [f"the network gave no answer for a chip: {chip}" for chip in chips[:_CHIPS_NAMED]]
    if len(chips) > _CHIPS_NAMED:
        words.append(f"the network gave no answer for {len(chips) - _CHIPS_NAMED} more chips; report.json names them")
    if counts.near_failed:
        words.append(f"{counts.near_failed} pixels have a class but lie within the network's reach of failed ones")
    if prepared.spec.min_area_m2 > 0:
        words.append(
            "regions below the minimum mapping unit took a neighbour's class; confidence is that of the first choice"
        )
    return tuple(words)
