"""What the report says, in words and numbers for people. Plain text: the template escapes it."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from geoseg.outputs.areas import ALL
from geoseg.outputs.legend import FAILED_COLOUR, FAILED_NAME, rgba
from geoseg.outputs.record import AreaFacts, ForecastFacts, PixelCounts, Record
from geoseg.outputs.record_parts import ClassFacts, ModelFacts

_UNITS = (("km²", 1e6), ("ha", 1e4), ("m²", 1.0))
_PLACES_NAMED = 20
_COVERED, _MASKED, _UNOBSERVED = "#2f8f7f", "#9aa8b4", "#d3d9dc"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that stands out."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class in the legend or in a table; ``area`` is in the unit of its group."""

    name: str
    colour: str
    share: float
    pixels: int
    area: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class AreaGroup:
    """The classes of one feature, or of all."""

    title: str
    unit: str
    rows: tuple[ClassRow, ...]


@dataclass(frozen=True, slots=True)
class CoveragePart:
    """What became of some pixels of the AOI; shares of it, ``start`` being the sum of the parts before."""

    label: str
    colour: str
    pixels: int
    share: float
    start: float


@dataclass(frozen=True, slots=True)
class FactGroup:
    """Labels and values under a title."""

    title: str
    rows: tuple[tuple[str, str], ...]


def percent(share: float) -> str:
    """A share as a percentage that never rounds something to nothing, nor all but something to all."""
    value = share * 100
    if 0 < value < 0.1:
        return "< 0.1 %"
    if 99.9 < value < 100:
        return "> 99.9 %"
    return f"{value:.1f} %" if 0 < value < 100 else f"{value:.0f} %"


def count(number: int) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\u202f")


def size(number: int) -> str:
    """A number of bytes."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def date(time: dt.datetime | None) -> str:
    """A day, in UTC."""
    return "no date" if time is None else f"{time.astimezone(dt.UTC):%Y-%m-%d}"


def seconds(value: float) -> str:
    """A duration."""
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


FILTERS: Mapping[str, Callable[..., str]] = {"percent": percent, "count": count, "size": size, "date": date}


def byline(record: Record) -> str:
    """When, from what, by what."""
    platforms = sorted({scene.platform for scene in record.scenes if scene.platform})
    parts = [" and ".join(platforms), record.model.title]
    if record.interval is not None:
        first, last = (date(time) for time in record.interval)
        parts.insert(0, first if first == last else f"{first} to {last}")
    return " · ".join(part for part in parts if part)


def verdict(record: Record) -> str:
    """What became of the AOI, in sentences."""
    pixels = record.pixels
    aoi = max(pixels.aoi, 1)
    said = [f"{percent(pixels.classified / aoi)} of the area of interest has a class."]
    if pixels.nodata_masked:
        where = "in every scene" if record.change is None else "on one of the dates"
        said.append(f"{percent(pixels.nodata_masked / aoi)} is hidden {where}, by cloud or shadow.")
    if pixels.nodata_unobserved:
        said.append(f"{percent(pixels.nodata_unobserved / aoi)} is covered by no scene.")
    if pixels.failed_total:
        said.append(
            f"{percent(pixels.failed_total / aoi)} failed: it is magenta on the map. Once the files named below can be "
            "read, the same command computes it."
        )
    else:
        said.append("Every read succeeded.")
    return " ".join(said)


def figures(record: Record) -> list[Figure]:
    """The numbers at the top."""
    areas = [row.area_m2 for row in record.areas if row.feature == ALL and row.area_m2 is not None]
    found = []
    if areas:
        unit, factor = area_unit(sum(areas))
        found.append(Figure("Mapped area", f"{amount(sum(areas) / factor)} {unit}"))
    else:
        found.append(Figure("Mapped pixels", count(record.pixels.classified)))
    height, width = record.grid.pixel_size
    sides = f"{width:g}" if abs(height - width) <= 1e-9 * width else f"{width:g} by {height:g}"
    return [
        *found,
        Figure("Pixel", f"{sides} {_UNIT_SIGNS.get(record.grid.unit, record.grid.unit)}"),
        Figure("Scenes", count(len(record.scenes))),
        Figure("Polygons", count(record.polygons.count)),
        Figure("Time", seconds(record.timing.total_s)),
    ]


_UNIT_SIGNS = {"metre": "m", "degree": "°", "foot": "ft", "US survey foot": "ft", "pixel": "px"}


def legend(record: Record) -> list[ClassRow]:
    """The classes, and what failed where anything did, with their shares of the AOI's classified pixels."""
    classified = max(record.pixels.classified, 1)
    rows = [_class_row(entry, record.pixels.per_class.get(entry.index, 0), classified, "") for entry in record.classes]
    if record.pixels.failed_total:
        failed = record.pixels.failed_total
        rows.append(ClassRow(FAILED_NAME, FAILED_COLOUR, failed / max(record.pixels.aoi, 1), failed))
    return rows


def area_groups(record: Record) -> list[AreaGroup]:
    """Areas, first of all together, then of each feature; the unit is one per group, so that rows compare."""
    classes = {entry.index: entry for entry in record.classes}
    groups = []
    for feature, found in itertools.groupby(record.areas, key=lambda row: row.feature):
        rows = sorted(found, key=lambda row: -row.pixels)
        unit, factor = area_unit(sum(row.area_m2 or 0 for row in rows))
        has_area = any(row.area_m2 is not None for row in rows)
        groups.append(
            AreaGroup(
                title="" if feature == ALL else feature,
                unit=unit if has_area else "",
                rows=tuple(_area_row(row, classes[row.index], factor) for row in rows),
            )
        )
    return groups


def coverage(pixels: PixelCounts) -> list[CoveragePart]:
    """What became of the AOI's pixels, by reason."""
    parts = [
        ("classified", _COVERED, pixels.classified),
        ("no data: hidden in every scene (cloud, shadow, nodata)", _MASKED, pixels.nodata_masked),
        ("no data: covered by no scene", _UNOBSERVED, pixels.nodata_unobserved),
        *((f"failed: {cause}", FAILED_COLOUR, number) for cause, number in sorted(pixels.failed.items())),
    ]
    aoi = max(pixels.aoi, 1)
    starts = itertools.accumulate((number for _, _, number in parts), initial=0)
    return [
        CoveragePart(label, colour, number, number / aoi, start / aoi)
        for (label, colour, number), start in zip(parts, starts, strict=False)
    ]


def facts(record: Record) -> list[FactGroup]:
    """Grid, model and machine."""
    grid, model, settings = record.grid, record.model, record.settings
    limits = f"{size(settings.max_memory_bytes)} allowed"
    if settings.peak_memory_bytes is not None:
        limits = f"{size(settings.peak_memory_bytes)} at most, {limits}"
    tiles = record.tiles
    return [
        FactGroup(
            "Model",
            (
                ("Name", f"{model.title} ({model.name})"),
                ("Kind", model.kind),
                *((("Trained on", model.trained_on),) if model.trained_on else ()),
                ("Weights", f"sha256 {model.sha256}" if not _is_nothing(model) else "none"),
                *_land_cover(record),
            ),
        ),
        *_two_dates(record),
        FactGroup(
            "Grid",
            (
                ("CRS", grid.crs or "none: plain pixels"),
                ("Width x height", f"{count(grid.shape[1])} x {count(grid.shape[0])} px"),
                ("Cell, tile, halo", f"{grid.cell_px}, {grid.tile_px}, {grid.halo_px} px"),
                ("Tiles", f"{count(tiles.total)}: {count(tiles.computed)} computed, {count(tiles.reused)} reused"),
                *_repeated(record),
            ),
        ),
        FactGroup(
            "Run",
            (
                ("Settings of", f"the workflow {record.job.workflow}, and the options given with it"),
                ("Device", f"{settings.device}, {settings.backend}, {settings.precision}"),
                ("Workers", _workers(record)),
                ("Memory", limits),
                ("Speed", _speed(record)),
                *((("Forecast", _forecast(record.forecast)),) if record.forecast else ()),
            ),
        ),
    ]


def _is_nothing(model: ModelFacts) -> bool:
    return model.sha256 == hashlib.sha256(b"").hexdigest()


def _land_cover(record: Record) -> tuple[tuple[str, str], ...]:
    model = record.land_cover
    if model is None:
        return ()
    return (("Land cover", f"{model.title} ({model.name})"), ("Its weights", f"sha256 {model.sha256}"))


def _two_dates(record: Record) -> tuple[FactGroup, ...]:
    """What was fitted to two dates, where there are two."""
    told = record.change
    if told is None:
        return ()
    lies = told.alignment
    moved = "left as it lay"
    if any(lies.correction_px):
        moved = f"moved back by {lies.correction_px[0]:+.2f} rows and {lies.correction_px[1]:+.2f} columns"
    apart = f"{lies.dy_px:+.2f} rows, {lies.dx_px:+.2f} columns" if lies.verdict != "unmeasured" else "not measured"
    where = "all that both dates cover" if told.fit == "scene" else "the region alone"
    return (
        FactGroup(
            "Two dates",
            (
                ("Detector", told.detector),
                ("Bands", ", ".join(told.bands)),
                *((("Threshold", f"{told.threshold:.4g}"),) if told.threshold is not None else ()),
                ("Apart", f"{apart}; scatter {lies.scatter_px:.2f} px, {lies.good} of {lies.windows} windows"),
                ("Later date", f"{moved}; edges may be off by {lies.left_px:.2f} px"),
                ("Fitted to", f"{where}, {count(told.pixels)} pixels"),
            ),
        ),
    )


def _repeated(record: Record) -> tuple[tuple[str, str], ...]:
    """Tiles that lost workers left to others."""
    places = [f"{row}, {col}" for row, col in record.tiles_repeated]
    if not places:
        return ()
    more = f" and {count(len(places) - _PLACES_NAMED)} more" if len(places) > _PLACES_NAMED else ""
    named = "; ".join(places[:_PLACES_NAMED])
    return (("Repeated tiles", f"{count(len(places))}, because a worker was lost: row, column {named}{more}"),)


def _workers(record: Record) -> str:
    settings = record.settings
    each = f"{settings.passes_at_once} forward passes of {settings.threads_per_pass} threads at the same time, at most"
    if settings.workers == 1:
        return f"this process, {each}"
    return f"{settings.workers} processes, each {each}" if settings.workers else f"those of a scheduler, each {each}"


def _speed(record: Record) -> str:
    if not record.tiles.computed:
        return "nothing to compute: every tile was reused"
    return f"{record.timing.megapixels_per_s:.3g} million pixels per second"


def _forecast(told: ForecastFacts) -> str:
    memory = f"{size(told.peak_memory_bytes)} of memory, it took {size(told.peak_memory_bytes_fact)}"
    if told.wall_s is None:
        return f"no time, it took {told.wall_s_fact:.0f} s; {memory}"
    return f"{told.wall_s:.0f} s, it took {told.wall_s_fact:.0f} s; {memory}"


def licences(record: Record) -> list[str]:
    """Licence and attribution of the model and of each collection, once."""
    models = [record.model, *([record.land_cover] if record.land_cover is not None else [])]
    lines = [_licence(f"Model {model.title}", model.licence, model.attribution) for model in models]
    lines += [
        _licence(f"Scenes of {scene.collection or scene.id}", scene.licence, scene.attribution)
        for scene in record.scenes
    ]
    return list(dict.fromkeys(lines))


def _licence(what: str, licence: str, attribution: str) -> str:
    return f"{what}: {licence or 'licence not stated'}" + (f". {attribution}" if attribution else "")


def _class_row(entry: ClassFacts, pixels: int, of: int, area: str) -> ClassRow:
    rgba(entry.colour)  # refuses what is no colour, before it goes into markup
    return ClassRow(entry.name, entry.colour.lower(), pixels / max(of, 1), pixels, area, entry.description)


def _area_row(row: AreaFacts, entry: ClassFacts, factor: float) -> ClassRow:
    area = "" if row.area_m2 is None else amount(row.area_m2 / factor)
    rgba(entry.colour)
    return ClassRow(entry.name, entry.colour.lower(), row.share, row.pixels, area)


def area_unit(total_m2: float) -> tuple[str, float]:
    """The unit that fits an area, and its square metres."""
    return next(((unit, factor) for unit, factor in _UNITS if total_m2 >= factor), _UNITS[-1])


def amount(value: float) -> str:
    """A number with as many decimals as its size deserves; never nothing for something."""
    if 0 < value < 0.005:
        return "< 0.01"
    if value >= 1000:
        return count(round(value))
    return f"{value:.1f}" if value >= 100 else f"{value:.2f}"
