"""What a job of two dates fits before its first tile: how the dates lie on each other, and where change begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import shapely

from geoseg.change.fitting import Fitted, fit_dates
from geoseg.change.sample import Part
from geoseg.composite import Composite, join, make_composite
from geoseg.grid import Window
from geoseg.load import reading
from geoseg.machine import usable_cores
from geoseg.pipeline.prepared import Prepared
from geoseg.pipeline.subject import is_detector
from geoseg.pixels import Reason
from geoseg.plan import Coverage
from geoseg.plan.region import pixels_around
from geoseg.store.record import digest_of


def with_fitted(
    prepared: Prepared, frozen: Mapping[str, Any] | None, say: Callable[[str], object] = lambda _: None
) -> Prepared:
    """The job with what it fits; one of a single date as it is.

    Args:
        prepared: The job.
        frozen: What an earlier run of the job fitted.
        say: Told what takes a while.

    Raises:
        NothingToDoError: If the dates have nothing in common.
        RequestError: If they do not lie on each other.
    """
    if prepared.later is None:
        return prepared
    if frozen is None:
        say("fitting two dates")
        name = prepared.spec.detector if is_detector(prepared.model) else None
        bands = prepared.model.spec.bands
        with reading(prepared.budget.gdal_cache_bytes):
            mends = prepared.spec.align == "correct"
            fitted = fit_dates(_reader(prepared), overlap_of(prepared), name, bands, mends=mends)
    else:
        fitted = Fitted.from_facts(frozen)
    moved = fitted.alignment.correction
    before, after = prepared.of_dates[:1], prepared.of_dates[1:]
    shifted = (replace(one, moved=moved, key_parts=replace(one.key_parts, moved=moved)) for one in after)
    return replace(
        prepared,
        fitted=fitted,
        moved=moved,
        key_parts=replace(prepared.key_parts, fitted=digest_of(fitted.facts())),
        of_dates=(*before, *shifted),
        warnings=(*prepared.warnings, *fitted.warnings, *_of_region(prepared)),
    )


def _of_region(prepared: Prepared) -> Sequence[str]:
    if prepared.spec.fit == "scene":
        return ()
    return ("alignment and threshold were fitted to this region alone (--fit aoi): another region gives other pixels",)


def overlap_of(prepared: Prepared) -> Window:
    """What the scenes of both dates cover on the grid, as a box; cut to the region only where the job asks for it."""
    covered = [_covered(coverage) for coverage in prepared.coverages]
    shared = covered[0] & covered[1]
    return shared & prepared.region.window if prepared.spec.fit == "aoi" else shared


def _covered(coverage: Coverage) -> Window:
    boxes = np.array([shapely.bounds(outline) for outline in coverage.outlines.values()])
    return pixels_around(shapely.box(*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)))


def _reader(prepared: Prepared) -> Callable[[Window, tuple[float, float]], Part]:
    """Reads a window of both dates, the later one moved; the earlier one, which never is, once."""
    bands = len(prepared.model.spec.bands)
    first, second = prepared.coverages
    earlier: dict[Window, Composite] = {}

    def read(window: Window, moved: tuple[float, float]) -> Part:
        if window not in earlier:
            earlier[window] = _read(prepared, first, window, (0.0, 0.0))
        both = join(earlier[window], _read(prepared, second, window, moved))
        before, after = both.values.reshape(2, bands, *window.shape)
        return Part(window, before, after, both.reason == Reason.OBSERVED)

    return read


def _read(prepared: Prepared, coverage: Coverage, window: Window, moved: tuple[float, float]) -> Composite:
    """A window of one date, as tiles will see it."""
    dy, dx = moved
    geobox = prepared.lattice.geobox(window)
    return make_composite(
        coverage.touching(window.padded(*(_SPARE_PX,) * 4)),
        geobox.translate_pix(dx, dy) if dx or dy else geobox,
        len(prepared.model.spec.bands),
        prepared.spec.composite,
        prepared.model.spec.quantity,
        counted=np.zeros(window.shape, dtype=bool),
        strip_bytes=prepared.budget.strip_bytes,
        threads=usable_cores(),
        rasters=prepared.rasters,
        resampling="cubic" if dx or dy else "bilinear",
    )


# More than the largest shift that is mended, and the kernel.
_SPARE_PX = 6
