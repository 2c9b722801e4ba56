"""What a person sees: before, during and after a run. Everything but results goes to stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from geoseg.tiles import finite_halo

if TYPE_CHECKING:
    from geoseg.pipeline import Prepared
    from geoseg.progress import Progress as Receiver
    from geoseg.result import Result

_PLAIN_EVERY_S = 10.0


def _console() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True)


def plan_facts(prepared: Prepared) -> dict[str, Any]:
    """What a run would do, as JSON."""
    model, budget = prepared.model.spec, prepared.budget
    scenes = prepared.coverage.touching(prepared.region.window)
    row, col = prepared.region.window.row0, prepared.region.window.col0
    return {
        "km2": round(_area_km2(prepared), 4),
        "scenes": [{"datetime": s.datetime, "items": [item.id for item in s.items]} for s in scenes],
        "model": {"name": model.name, "licence": model.licence, "kind": model.kind},
        "grid": {
            "crs": str(prepared.lattice.crs),
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
        "tiles": len(prepared.tasks),
        "megapixels": round(prepared.pixels / 1e6, 3),
        "seconds": prepared.estimate_s,
    }


def _area_km2(prepared: Prepared) -> float:
    """Area of the region, or of the raster where there is no region."""
    region = prepared.spec.region
    return region.area_km2 if region else prepared.region.window.size_px * prepared.pixel_m**2 / 1e6


def show_before(prepared: Prepared) -> None:
    """Say what will be done."""
    facts = plan_facts(prepared)
    days = sorted({scene["datetime"][:10] for scene in facts["scenes"] if scene["datetime"]})
    dates = len({scene["datetime"] or tuple(scene["items"]) for scene in facts["scenes"]})
    items = sum(len(scene["items"]) for scene in facts["scenes"])
    span = f", {days[0]} to {days[-1]}" if len(days) > 1 else f", {days[0]}" if days else ""
    rows, cols = facts["grid"]["shape"]
    estimate = facts["seconds"]
    lines = [
        ("map", f"{facts['km2']:,.2f} km2, {rows} x {cols} px of {prepared.pixel_m:.3g} m, {facts['grid']['crs']}"),
        ("grid", facts["grid"]["origin"]),
        ("scenes", f"{items} item(s) on {dates} date(s){span}; {prepared.spec.composite}"),
        ("time range", prepared.spec.datetime or ""),
        ("model", f"{prepared.model.spec.title} ({facts['model']['licence']}), {facts['model']['kind']}"),
        ("tiles", f"{facts['tiles']} of {facts['tile_px']} px, {facts['megapixels']:,.2f} Mpx on {prepared.device}"),
        ("time", f"about {estimate:,.0f} s" if estimate else "unknown: the first run of this model on this machine"),
    ]
    lines += [("note", text) for text in (*prepared.found.notes, *prepared.warnings)]
    console = _console()
    for name, text in lines:
        if text:
            console.print(f"{name:>10}  {text}", markup=False)


def show_after(result: Result) -> None:
    """Say what was made, how much of what there is, and what was skipped."""
    report, console = result.report, _console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("class", "left"), ("ha", "right"), ("share", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]  # the two words that rich knows
    names = {entry["index"]: entry["name"] for entry in report["classes"]}
    for row in report["areas"]:
        if row["feature"] == "all" and row["pixels"]:
            area = row["area_m2"]
            hectares = "" if area is None else f"{area / 1e4:,.2f}"
            table.add_row(names[row["index"]], hectares, f"{row['share']:.1%}")
    console.print(table)
    tiles, pixels = report["tiles"], report["pixels"]
    inside = max(1, pixels["total"] - pixels["outside_aoi"])
    console.print(f"tiles: {tiles['computed']} computed, {tiles['reused']} reused", markup=False)
    for words, count in (
        ("without data in any scene", pixels["nodata_unobserved"]),
        ("masked on every date", pixels["nodata_masked"]),
        *((f"failed ({cause})", count) for cause, count in pixels["failed"].items()),
        ("classified, but near failed ones", pixels["near_failed"]),
    ):
        if count:
            console.print(f"pixels {words}: {count:,} ({count / inside:.2%})", markup=False)
    for skipped in report["scenes_skipped"]:
        console.print(f"not used: {skipped['id']}: {skipped['reason']}", markup=False)
    for text in report["warnings"]:
        console.print(f"note: {text}", markup=False)
    console.print(f"the map: {result.out / 'classes.tif'}", markup=False)
    console.print(f"the report: {result.out / 'report.html'}", markup=False)


@contextmanager
def show_progress(*, quiet: bool) -> Iterator[Receiver]:
    """A progress bar on a terminal, plain lines elsewhere, nothing when quiet."""
    from geoseg.progress import Silent  # noqa: PLC0415

    if quiet:
        yield Silent()
    elif sys.stderr.isatty():
        with _Bar() as bar:
            yield bar
    else:
        yield _Lines()


class _Rate:
    """Tiles, pixels and speed so far; reused tiles count as done and not as speed."""

    def __init__(self) -> None:
        self.total = self.done = self.pixels_left = 0
        self._computed_px, self._start = 0, time.monotonic()

    def begin(self, total: int, pixels: int) -> None:
        self.total, self.done, self.pixels_left = total, 0, pixels
        self._computed_px, self._start = 0, time.monotonic()

    def advance(self, pixels: int, *, reused: bool) -> None:
        self.done += 1
        self.pixels_left -= pixels
        self._computed_px += 0 if reused else pixels

    @property
    def mpx_per_s(self) -> float:
        return self._computed_px / 1e6 / max(1e-6, time.monotonic() - self._start)

    @property
    def seconds_left(self) -> float | None:
        speed = self.mpx_per_s
        return self.pixels_left / 1e6 / speed if speed > 0 else None


class _Lines:
    """A plain line per stage, and one every few seconds while tiles are computed."""

    def __init__(self) -> None:
        self._rate, self._said = _Rate(), 0.0

    def stage(self, name: str) -> None:
        self._say(name)

    def note(self, text: str) -> None:
        self._say(text)

    def tiles(self, total: int, pixels: int) -> None:
        self._rate.begin(total, pixels)
        self._said = time.monotonic()

    def tile_done(self, pixels: int, *, reused: bool) -> None:
        self._rate.advance(pixels, reused=reused)
        now, rate = time.monotonic(), self._rate
        if now - self._said >= _PLAIN_EVERY_S or rate.done == rate.total:
            self._said = now
            left = "" if rate.seconds_left is None else f", {rate.seconds_left:.0f} s left"
            self._say(f"tiles {rate.done}/{rate.total}, {rate.mpx_per_s:.2f} Mpx/s{left}")

    @staticmethod
    def _say(text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


class _Bar:
    """One bar with tiles, Mpx/s and time left."""

    def __init__(self) -> None:
        self._rate = _Rate()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(),
            console=_console(),
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, facts="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def stage(self, name: str) -> None:
        self._progress.update(self._task, description=name)

    def note(self, text: str) -> None:
        self._progress.console.print(text, markup=False)

    def tiles(self, total: int, pixels: int) -> None:
        self._rate.begin(total, pixels)
        self._progress.reset(self._task, total=total, facts=f"0/{total} tiles")

    def tile_done(self, pixels: int, *, reused: bool) -> None:
        self._rate.advance(pixels, reused=reused)
        rate = self._rate
        facts = f"{rate.done}/{rate.total} tiles  {rate.mpx_per_s:.2f} Mpx/s"
        self._progress.update(self._task, completed=rate.done, facts=facts)
