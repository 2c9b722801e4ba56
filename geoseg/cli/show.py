"""What a person sees before and after a run. Everything but results goes to stderr."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from geoseg.cli.progress import console
from geoseg.models.backends import Backend
from geoseg.models.licences import licence_kind, licence_warning
from geoseg.models.weights import weights_at_hand
from geoseg.outputs.geodesy import area_m2
from geoseg.outputs.report_text import amount, area_unit, percent, size
from geoseg.pipeline.dates import PER_DATE, split
from geoseg.pipeline.foretell import forecast_of
from geoseg.pipeline.subject import is_detector
from geoseg.scenes.raster_checks import short_name
from geoseg.tiles import finite_halo

if TYPE_CHECKING:
    from geoseg.pipeline import Prepared
    from geoseg.result import Result

_ALIKE_SHOWN = 3


def plan_facts(prepared: Prepared, price_per_hour: float | None = None) -> dict[str, Any]:
    """What a run would do, as JSON."""
    model, budget = prepared.model.spec, prepared.budget
    scenes = [scene for coverage in prepared.coverages for scene in coverage.touching(prepared.region.window)]
    row, col = prepared.region.window.row0, prepared.region.window.col0
    maps = len(split(prepared)) if prepared.spec.composite == PER_DATE else 1
    return {
        "km2": float(f"{_area_m2(prepared) / 1e6:.6g}"),
        "scenes": [{"datetime": s.datetime, "items": [item.id for item in s.items]} for s in scenes],
        "model": {
            "name": model.name,
            "licence": model.licence,
            "licence_kind": licence_kind(model.licence),
            "kind": model.kind,
        },
        "weights": _weights(prepared),
        "grid": {
            "crs": None if prepared.spec.pixel_grid else str(prepared.lattice.crs),
            "transform": list(prepared.geobox.transform)[:6],
            "shape": list(prepared.geobox.shape),
            "origin": prepared.lattice_origin,
        },
        "anchor": [row, col],
        "cell_px": model.cell_px,
        "stride_px": model.stride_px,
        "halo_px": list(finite_halo(model.radius_px, model.stride_px)),
        "chip_px": model.chip_px or budget.chip_cells * model.cell_px,
        "tile_px": budget.tile_cells * model.cell_px,
        "maps": maps,
        "tiles": sum(len(one.tasks) for one in prepared.lists) * maps,
        "megapixels": round(prepared.pixels * maps / 1e6, 3),
        "forecast": forecast_of(prepared, price_per_hour).as_json(),
        "notes": list(dict.fromkeys(_notes(prepared))),
    }


def _weights(prepared: Prepared) -> dict[str, Any]:
    """Whether the weights are on this machine; if not, what is fetched and from where."""
    folder = prepared.lists[0].model
    reference = folder.spec.weights
    here = folder.path if is_detector(folder) else weights_at_hand(folder)
    return {
        "file": reference.file_name,
        "sha256": reference.sha256,
        "here": here is not None,
        "size_bytes": reference.size_bytes,
        "href": reference.href,
        "fetched": here is None and folder.may_fetch,
    }


def _area_m2(prepared: Prepared) -> float:
    """Area of the region, or of the raster where there is no region."""
    region = prepared.spec.region
    if region:
        return region.area_km2 * 1e6
    return (
        prepared.region.window.size_px * prepared.pixel_m**2 if prepared.spec.pixel_grid else area_m2(prepared.geobox)
    )


def area_words(area_m2: float) -> str:
    """An area in the unit that fits it: km2, ha or m2."""
    unit, factor = area_unit(area_m2)
    return f"{_plain(amount(area_m2 / factor))} {_plain(unit)}"


def _plain(text: str) -> str:
    """Without the characters that some terminals lack."""
    return text.replace("\u202f", ",").replace("²", "2")


def forecast_words(told: dict[str, Any]) -> str:
    """A forecast in a line."""
    words = [
        f"reads {size(told['read_bytes'])}",
        f"memory {size(told['peak_bytes'])}",
        f"disk {size(told['disk_bytes'])}",
    ]
    known = told["wall_s"] is not None
    time = (
        f"about {told['wall_s']:,.0f} s from start to end"
        if known
        else "unknown time: the first run of this model here"
    )
    if told["cost"] is not None:
        words.append(f"cost {told['cost']:,.2f}")
    return _plain(", ".join([time, *words]))


def show_before(prepared: Prepared, price_per_hour: float | None = None) -> None:
    """Say what will be done."""
    facts = plan_facts(prepared, price_per_hour)
    days = sorted({scene["datetime"][:10] for scene in facts["scenes"] if scene["datetime"]})
    dates = len({scene["datetime"] or tuple(scene["items"]) for scene in facts["scenes"]})
    items = sum(len(scene["items"]) for scene in facts["scenes"])
    span = f", {days[0]} to {days[-1]}" if len(days) > 1 else f", {days[0]}" if days else ""
    rows, cols = facts["grid"]["shape"]
    side, land_cover = facts["tile_px"], prepared.land_cover
    lines = [
        ("map", f"{area_words(_area_m2(prepared))}, {short_name(prepared.lattice.crs)}"),
        ("size", f"{cols} x {rows} px (width x height), a pixel is {prepared.pixel_m:.3g} m wide"),
        ("grid", facts["grid"]["origin"]),
        ("scenes", f"{items} item(s) on {dates} date(s){span}; {prepared.spec.composite}"),
        ("time range", _ranges(prepared)),
        ("model", _model_words(facts["model"], prepared.model.spec.title)),
        ("land cover", "" if land_cover is None else f"{land_cover.spec.title} ({land_cover.spec.licence})"),
        ("weights", _weights_words(facts["weights"])),
        ("tiles", f"{facts['tiles']} of {side} x {side} px, {facts['megapixels']:,.2f} Mpx"),
        ("backend", _backend_words(prepared.backend) + _hands(prepared)),
        ("forecast", forecast_words(facts["forecast"])),
    ]
    if prepared.spec.pixel_grid:
        lines[:2] = [("size", f"{cols} x {rows} px (width x height), without a place")]
    lines += [("note", text) for text in facts["notes"]]
    out = console()
    for name, text in lines:
        if text:
            out.print(f"{name:>10}  {text}", markup=False)


def _notes(prepared: Prepared) -> Iterator[str]:
    for found in prepared.founds:
        yield from found.notes
    yield from prepared.warnings


def _ranges(prepared: Prepared) -> str:
    spec = prepared.spec
    return spec.datetime or (f"before {spec.before}, after {spec.after}" if spec.before else "")


def _hands(prepared: Prepared) -> str:
    """What computes beside this process."""
    if prepared.workers == 1:
        return ""
    return f", {prepared.workers} processes" if prepared.workers else f", workers of {prepared.settings.scheduler}"


def _backend_words(backend: Backend) -> str:
    rounding = "" if backend.profile == "exact" else f", {backend.profile}"
    return f"{backend.name} on {backend.device}{rounding}" + (f" ({backend.why})" if backend.why else "")


def _model_words(model: dict[str, Any], title: str) -> str:
    use = ", non-commercial use only" if model["licence_kind"] == "non-commercial" else ""
    return f"{title} ({model['licence']}{use}), {model['kind']}"


def show_licence(prepared: Prepared) -> None:
    """Say who may not use the map, even to those who want to hear nothing else."""
    for model in (folder.spec for folder in (prepared.model, prepared.land_cover) if folder is not None):
        if licence_kind(model.licence) == "non-commercial":
            console().print(f"note: {licence_warning(model.name, model.licence)}", markup=False)


def _weights_words(weights: dict[str, Any]) -> str:
    if weights["here"]:
        return ""
    large = size(weights["size_bytes"]) if weights["size_bytes"] is not None else "a file of unknown size"
    if weights["fetched"]:
        return f"not on this machine: a run first fetches {large} from {weights['href']}"
    return (
        f"not on this machine, and a run does not fetch them: put {weights['file']} ({large}, SHA-256 "
        f"{weights['sha256'][:16]}…) into a folder that GEOSEG_MODELS names"
    )


def show_after(result: Result) -> None:
    """Say what was made, how much of what there is, and what was skipped."""
    report, out = result.report, console()
    if "dates" in report:
        _show_dates(report, out)
    else:
        _show_classes(report, out)
    tiles, pixels = report["tiles"], report["pixels"]
    inside = max(1, pixels["aoi"])
    out.print(f"tiles: {tiles['computed']} computed, {tiles['reused']} reused", markup=False)
    if repeated := len(report.get("tiles_repeated", ())):
        out.print(f"tiles repeated because a worker was lost: {repeated}", markup=False)
    for words, count in (
        ("without data in any scene", pixels["nodata_unobserved"]),
        ("masked on every date", pixels["nodata_masked"]),
        *((f"failed ({cause})", count) for cause, count in pixels["failed"].items()),
        ("classified, but near failed ones", pixels["near_failed"]),
    ):
        if count:
            out.print(f"pixels {words}: {count:,} ({percent(count / inside)})", markup=False)
    for reason, ids in _by_reason(report["scenes_skipped"]).items():
        out.print(f"not used: {_some(ids, 'scenes')}: {reason}", markup=False)
    for text in _folded(report["warnings"]):
        out.print(f"note: {text}", markup=False)
    if "dates" in report:
        out.print(f"the maps: {result.out / 'collection.json'}, one folder for each date", markup=False)
        return
    out.print(f"polygons: {report['polygons']['count']:,}, in {_polygon_files(report)}", markup=False)
    out.print(f"the map: {result.out / 'classes.tif'}", markup=False)
    out.print(f"the report: {result.out / 'report.html'}", markup=False)


def _show_dates(report: dict[str, Any], out: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("date", "classified", "polygons"):
        table.add_column(name, justify="left" if name == "date" else "right")
    for line in report["dates"]:
        pixels = line["pixels"]
        table.add_row(line["date"], percent(pixels["classified"] / max(1, pixels["aoi"])), f"{line['polygons']:,}")
    out.print(table)


def _polygon_files(report: dict[str, Any]) -> str:
    files = [file["path"] for file in report["outputs"] if file["path"].startswith("polygons.")]
    files = [name for name in files if name != "polygons.qml"]
    hint = "" if "polygons.geojson" in files else "; --format geojson adds polygons.geojson"
    return " and ".join(files) + hint


def _show_classes(report: dict[str, Any], out: Console) -> None:
    rows = [row for row in report["areas"] if row["feature"] == "all" and row["pixels"]]
    if not rows:
        out.print("no pixel has a class", markup=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("class", "left"), ("area", "right"), ("share", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]  # the two words that rich knows
    names = {entry["index"]: entry["name"] for entry in report["classes"]}
    for row in rows:
        area = "" if row["area_m2"] is None else area_words(row["area_m2"])
        table.add_row(names[row["index"]], area, percent(row["share"]))
    out.print(table)


def _by_reason(skipped: Sequence[dict[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for scene in skipped:
        found.setdefault(scene["reason"], []).append(scene["id"])
    return found


def _some(names: Sequence[str], what: str) -> str:
    """One by its name, several by their number and the first of them."""
    if len(names) == 1:
        return names[0]
    rest = ", …" if len(names) > _ALIKE_SHOWN else ""
    return f"{len(names)} {what} ({', '.join(names[:_ALIKE_SHOWN])}{rest})"


def _folded(texts: Sequence[str]) -> list[str]:
    """Texts, of which those that begin alike are shown a few times and then counted."""
    shown = []
    for head, group in itertools.groupby(texts, key=lambda text: text.partition(": ")[0]):
        alike = list(group)
        shown += alike[:_ALIKE_SHOWN]
        if len(alike) > _ALIKE_SHOWN:
            shown.append(f"{head}: {len(alike) - _ALIKE_SHOWN} more, named in the report")
    return shown
