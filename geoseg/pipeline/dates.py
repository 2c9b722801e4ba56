"""One map for each date, all on one grid: a job becomes several, made one after the other."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, compress
from pathlib import Path
from typing import Any

from geoseg.errors import NothingToDoError
from geoseg.grid import Lattice, Window
from geoseg.outputs.collection import write_collection
from geoseg.outputs.files import remove_leftovers, whole_file
from geoseg.pipeline.prepared import Prepared
from geoseg.plan import cover, plan_tiles
from geoseg.scenes import Item

PER_DATE = "per-date"

_RULE = "least-cloudy"  # where scenes of one day overlap; the tiles are then those of a job for that day alone
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def split(prepared: Prepared) -> dict[str, Prepared]:
    """The job of each date that touches the region, by the name of its folder, oldest first.

    Args:
        prepared: The job of all dates.

    Returns:
        ``2022-06-12`` (UTC) to the job of its scenes; scenes without a date are called by their ids,
        the abutting parts of one image by the first part's.
    """
    days: dict[str, list[Item]] = {}
    near = [item for scene in prepared.coverage.touching(prepared.region.window) for item in scene.items]
    for item in near:
        if item.datetime:
            days.setdefault(item.datetime[:10], []).append(item)
    for parts in _images([item for item in near if not item.datetime]):
        days.setdefault(_folder_of(parts[0].id), []).extend(parts)
    return {day: _of_date(prepared, day, days[day]) for day in sorted(days)}


def _images(items: Sequence[Item]) -> list[list[Item]]:
    """Parts that abut on one pixel grid are one image; where two of these overlap, each is an image of its own."""
    left = _placed(sorted(items, key=lambda item: item.id))
    images: list[list[Item]] = []
    while left:
        image = [left.pop(0)]
        for _, grid, window in image:  # grows while it is gone through
            around = window.padded(1, 1, 1, 1)
            abutting = [grid == other and bool(around & there) and not window & there for _, other, there in left]
            image += compress(left, abutting)
            left = [placed for placed, taken in zip(left, abutting, strict=True) if not taken]
        parts = [item for item, _, _ in image]
        overlap = any(one & other for (_, _, one), (_, _, other) in combinations(image, 2))
        images += [[part] for part in parts] if overlap else [parts]
    return images


def _placed(items: Sequence[Item]) -> list[tuple[Item, int, Window]]:
    """Items with the number of their pixel grid, and where they lie on it."""
    grids: list[Lattice] = []
    placed = []
    for item in items:
        windows = ((number, grid.window_of(item.geobox)) for number, grid in enumerate(grids))
        number, window = next((found for found in windows if found[1] is not None), (len(grids), None))
        if window is None:
            grids.append(Lattice.from_geobox(item.geobox))
            window = grids[-1].window_of(item.geobox)
        assert window is not None  # noqa: S101  # a grid has a place on its own lattice
        placed.append((item, number, window))
    return placed


def _folder_of(name: str) -> str:
    return re.sub(r"[^0-9A-Za-z_-]+", "-", name).strip("-") or "scene"


def _of_date(prepared: Prepared, day: str, items: Sequence[Item]) -> Prepared:
    spec, model = prepared.spec, prepared.model.spec
    changes: dict[str, Any] = {"composite": _RULE}
    if spec.scenes:
        files = {source.href for item in items for source in item.sources}
        changes["scenes"] = tuple(scene for scene in spec.scenes if scene in files) or spec.scenes
    else:
        changes["datetime"] = f"{day}/{day}"
    found = replace(prepared.found, items=tuple(sorted(items, key=lambda item: item.id)), skipped=(), documents=())
    coverage = cover(found, _RULE, prepared.lattice)
    return replace(
        prepared,
        spec=spec.model_copy(update=changes),
        found=found,
        coverage=coverage,
        tasks=plan_tiles(prepared.region, coverage, prepared.budget.tile_cells, model.cell_px),
        key_parts=replace(prepared.key_parts, composite=_RULE),
    )


def make_dates(prepared: Prepared, out: Path, make: Callable[[Prepared, Path], dict[str, Any]]) -> dict[str, Any]:
    """Make the map of each date in a folder of its own, and what holds them together.

    Args:
        prepared: The job of all dates.
        out: The output folder.
        make: Makes one map in a folder, and returns the content of its report.

    Returns:
        The content of ``report.json``: sums over all dates, and where each date's own report is.

    Raises:
        NothingToDoError: If not a single pixel was observed on any date.
    """
    jobs = split(prepared)
    _clear_others(out, jobs)
    reports: dict[str, dict[str, Any]] = {}
    empty: NothingToDoError | None = None
    for day, job in jobs.items():
        folder = out / day
        folder.mkdir(exist_ok=True)
        remove_leftovers(folder)
        try:
            reports[day] = make(job, folder)
        except NothingToDoError as err:  # the files are there, valid and empty; other dates may have more
            reports[day] = json.loads((folder / "report.json").read_text())
            empty = err
    title = f"{prepared.model.spec.title}: {len(jobs)} dates"
    write_collection(out, prepared.spec.key, title, list(jobs))
    content = _summed(prepared, reports)
    with whole_file(out / "report.json") as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if empty is not None and not content["pixels"]["classified"] and not content["pixels"]["failed"]:
        raise empty
    return content


def _clear_others(out: Path, jobs: Mapping[str, Prepared]) -> None:
    """Remove maps of dates that an earlier search found and this one does not; folders that are no maps stay."""
    for path in out.iterdir():
        is_map = _DAY.fullmatch(path.name) is not None or (path / "item.json").is_file()
        if path.is_dir() and is_map and path.name not in jobs:
            shutil.rmtree(path)


def _summed(prepared: Prepared, reports: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Numbers of all dates together; pixels count once for every date."""
    pixels: dict[str, Any] = {"failed": {}, "per_class": {}}
    tiles: dict[str, int] = {}
    for report in reports.values():
        _add(pixels, report["pixels"])
        _add(tiles, report["tiles"])
    said = [(day, text) for day, report in reports.items() for text in report["warnings"]]
    return {
        "record_version": 1,
        "job": {"key": prepared.spec.key, "spec": prepared.spec.model_dump(mode="json")},
        "dates": [_line(day, report) for day, report in reports.items()],
        "pixels": pixels,
        "tiles": tiles,
        "tiles_repeated": [place for report in reports.values() for place in report["tiles_repeated"]],
        "scenes_skipped": [{"id": name, "reason": reason} for name, reason in prepared.found.skipped],
        "warnings": [f"{day}: {text}" for day, text in said if text not in prepared.warnings] + [*prepared.warnings],
    }


def _line(day: str, report: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "date": day,
        "report": f"{day}/report.json",
        "item": f"{day}/item.json",
        "scenes": [scene["id"] for scene in report["scenes"]],
        "pixels": report["pixels"],
        "polygons": report["polygons"]["count"],
    }


def _add(total: dict[str, Any], numbers: Mapping[str, Any]) -> None:
    for name, number in numbers.items():
        if isinstance(number, Mapping):
            _add(total.setdefault(name, {}), number)
        else:
            total[name] = total.get(name, 0) + number
