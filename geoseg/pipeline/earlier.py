"""The date before a map's own: red and near infrared of both, by which evidence tells what plants lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geoseg.composite import make_composite
from geoseg.errors import NothingToDoError
from geoseg.evidence import GreennessFacts, LossOfOutlines, Rules, ndvi_drop
from geoseg.grid import Window
from geoseg.inputs import with_true_grids
from geoseg.keys import asset_facts
from geoseg.load import Rasters, reading
from geoseg.machine import usable_cores
from geoseg.models import ModelFolder
from geoseg.pipeline.other_dates import Earlier, asked_as
from geoseg.pipeline.prepared import Prepared
from geoseg.pipeline.subject import quantity_of
from geoseg.plan import Coverage, cover, search_bounds
from geoseg.plan.checks import check_offline
from geoseg.scenes import Found, Item, changes, find_scenes
from geoseg.spec import JobSpec, When

if TYPE_CHECKING:
    from geoseg.pipeline.pair import Asked, Documents

# Common names, the better one first; what catalogues and files call so is in the sensor table.
_RED, _NIR = ("red",), ("nir", "nir08")
# Items whose headers a plan reads, spread over all where there are more.
_HEADERS_PLANNED = 64


def prepare_looking_back(spec: JobSpec, asked: Asked, folder: ModelFolder | None) -> Prepared:
    """The map of the later date, with the earlier one beside it.

    Args:
        spec: A job that looks back.
        asked: What is known of it.
        folder: Its model, where it was resolved before.

    Raises:
        NothingToDoError: If no scene of the earlier date touches the region.
        GeosegError: See ``geoseg.pipeline.prepare.prepare``.
    """
    with asked_as("after"):
        own = asked.prepared(spec.of_date("after"), asked.later, folder, notes=asked.notes)
    with ExitStack() as undo:  # what is refused leaves no connection open
        undo.enter_context(own.remote)
        dates = [_found(spec, when, asked, own) for when in ("before", "after")]
        earlier = _compared(dates, own, spec, asks_files=asked.asks_files)
        documents = (*dates[0].documents, *own.found.documents)
        notes = [words] if asked.forgotten and (words := changes(asked.forgotten, documents)) else []
        if earlier.coverages:
            days = _days(earlier.coverages[0], own.region.window)
            notes.append(f"evidence looks back at {', '.join(days[:3])}{', …' * (len(days) > 3)}")
        read = [source.href for coverage in earlier.coverages for item in coverage.items for source in item.sources]
        check_offline(sorted(set(read)), offline=asked.settings.offline)
        versions = asset_facts(read, own.remote) if asked.asks_files else {}
        undo.pop_all()
    unmeasured = f"what plants lost between the dates is not measured: {earlier.unmeasured}"
    return replace(
        own,
        spec=spec,
        found=replace(own.found, notes=(*notes, *own.found.notes)),
        asset_facts={**own.asset_facts, **versions},
        warnings=(*own.warnings, *earlier.found.warnings, *([unmeasured] if earlier.unmeasured else [])),
        earlier=earlier,
    )


def _found(spec: JobSpec, when: When, asked: Asked, own: Prepared) -> Found:
    """Items of one of the dates, with all bands that they have."""
    one = spec.of_date(when)
    documents: Documents = asked.documents if when == "before" else own.found.documents
    check_offline(one.scenes or (() if documents else (one.catalog or "",)), offline=asked.settings.offline)
    bounds = None if spec.region is None else search_bounds(spec.region, 2 * own.pixel_m)
    with asked_as(when):
        return find_scenes(one, bounds, (), documents, allow_lacking=True, opener=Rasters(own.remote).opened)


def _compared(dates: Sequence[Found], own: Prepared, spec: JobSpec, *, asks_files: bool) -> Earlier:
    """Both dates on the map's grid, or why their greenness cannot be compared.

    Raises:
        NothingToDoError: If no scene of the earlier date touches the region.
    """
    if not cover(dates[0], spec.composite, own.lattice).touching(own.region.window):
        raise NothingToDoError(
            "an earlier date whose scenes do not touch the region", "scenes of one place", "choose other scenes"
        )
    kept: list[tuple[Item, ...]] = []
    for found in dates:
        kept.append(tuple(filter(None, map(with_greenness, found.items))))
        if not kept[-1]:
            item = found.items[0]
            has = ", ".join(item.bands) or "no bands"
            return Earlier(dates[0], unmeasured=f"{item.id} has {has}, and no red with near infrared")
    units = [quantity_of(items) for items in kept]
    if units[0] != units[1]:
        return Earlier(dates[0], unmeasured=f"{units[0]} on the earlier date, {units[1]} on the later one")
    warnings: list[str] = []
    if not spec.scenes_before:
        for number, items in enumerate(kept):
            most = None if asks_files else _HEADERS_PLANNED
            kept[number], said = with_true_grids(items, Rasters(own.remote), most=most)
            warnings += said
    made = [replace(found, items=items) for found, items in zip(dates, kept, strict=True)]
    before, after = (cover(found, spec.composite, own.lattice) for found in made)
    return Earlier(replace(dates[0], warnings=(*dates[0].warnings, *warnings)), (before, after))


def with_greenness(item: Item) -> Item | None:
    """An item that is reduced to red and near infrared; ``None`` where it has not both."""
    bands = [next(filter(None, (_called(item, name) for name in names)), None) for names in (_RED, _NIR)]
    red, nir = bands
    return None if red is None or nir is None else replace(item, bands={name: item.bands[name] for name in (red, nir)})


def _called(item: Item, name: str) -> str | None:
    """The band of an item that has a common name, by itself or by the sensor table."""
    for band in item.bands:
        if name in {band.lower(), *(alias.lower() for alias in item.sensor.aliases.get(band, ()))}:
            return band
    return None


@dataclass(frozen=True)
class Greenness:
    """What plants lost inside the polygons of a job.

    Attributes:
        facts: What was compared.
        losses: Facts of outlines in pixels of the map.
        failures: Files that could not be read, and why; filled while outlines are looked at.
    """

    facts: GreennessFacts
    losses: LossOfOutlines
    failures: dict[str, str]


def greenness_of(prepared: Prepared, rules: Rules) -> Greenness | None:
    """What evidence asks for losses; ``None`` where the job has no earlier date, or it cannot be compared."""
    if prepared.earlier is None or not prepared.earlier.coverages:
        return None
    window = prepared.region.window
    before, after = prepared.earlier.coverages
    failures: dict[str, str] = {}
    facts = GreennessFacts(
        before=_days(before, window),
        after=_days(after, window),
        bands=tuple(dict.fromkeys(band for item in (*before.items, *after.items) for band in item.bands)),
        quantity=quantity_of(before.items),
    )
    read = _reader(prepared, failures)
    return Greenness(facts, LossOfOutlines(read, (window.row0, window.col0), rules.ndvi_limit), failures)


def _days(coverage: Coverage, window: Window) -> tuple[str, ...]:
    items = (item for scene in coverage.touching(window) for item in scene.items)
    return tuple(sorted({item.datetime[:10] or item.id for item in items}))


def _reader(prepared: Prepared, failures: dict[str, str]) -> Callable[[int, int, int, int], NDArray[np.float32]]:
    """Reads the drop of the NDVI in pixels of the map; keeps what could not be read."""
    assert prepared.earlier is not None  # noqa: S101  # its caller asked
    coverages, region, budget = prepared.earlier.coverages, prepared.region.window, prepared.budget

    def read(row0: int, row1: int, col0: int, col1: int) -> NDArray[np.float32]:
        window = Window(region.row0 + row0, region.col0 + col0, region.row0 + row1, region.col0 + col1)
        images = []
        with reading(budget.gdal_cache_bytes):  # settings of GDAL are those of a thread
            for coverage in coverages:
                image = make_composite(
                    coverage.touching(window),
                    prepared.lattice.geobox(window),
                    2,
                    prepared.spec.composite,
                    quantity_of(coverage.items),
                    counted=np.zeros(window.shape, dtype=bool),
                    strip_bytes=budget.strip_bytes,
                    threads=usable_cores(),
                    rasters=prepared.rasters,
                )
                failures.update(image.failures)
                images.append((image.values[0], image.values[1]))
        return np.asarray(ndvi_drop(*images), np.float32)

    return read
