"""The values that a two-date job fits, once, before its first tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np

from geoseg.change.alignment import LEAST_SHIFT_PX, MOST_SCATTER_PX, MOST_SHIFT_PX, Alignment
from geoseg.change.detectors import Detector, Variates, fit_detector
from geoseg.change.sample import Part, alignment_of, gather, sample_areas
from geoseg.errors import NothingToDoError, RequestError
from geoseg.grid import Window

#: Reads an area of both dates; the later one ``(rows, columns)`` farther down and right, which brings it back.
type Reader = Callable[[Window, tuple[float, float]], Part]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What all tiles of a two-date job share.

    Attributes:
        overlap: What the scenes of both dates cover, on the lattice.
        alignment: How the dates lay on each other before the correction.
        detector: What finds the change; ``None`` where a network does, or the classes of both dates.
        pixels: Pixels of the sample.
    """

    overlap: Window
    alignment: Alignment
    detector: Detector | None
    pixels: int

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know before they believe the map."""
        return (*self._of_alignment, *self._of_detector)

    @property
    def _of_detector(self) -> tuple[str, ...]:
        measure = None if self.detector is None else self.detector.measure
        if isinstance(measure, Variates) and not measure.mad.variances:
            return ("one of the two dates shows the same value everywhere: that nothing changed is not to be believed",)
        return ()

    @property
    def _of_alignment(self) -> tuple[str, ...]:
        lies = self.alignment
        if lies.verdict == "unmeasured":
            found = f"{lies.good} of {lies.windows} windows show the same ground"
            return (f"whether the two dates lie on each other could not be measured: {found} on both",)
        if lies.verdict == "left":
            far = f"{lies.shift_px:.1f} px apart in the median, windows scatter by {lies.scatter_px:.1f} px"
            return (f"the two dates were left as they lie (--align measure): {far}",)
        if lies.left_px > LEAST_SHIFT_PX and not any(lies.correction):
            apart = f"the two dates lie {lies.left_px:.1f} px apart here and there, and no single shift mends it"
            return (f"{apart}: narrow polygons along edges may be no change",)
        return ()

    def facts(self) -> dict[str, Any]:
        """All of it as JSON: for the job's folder, the report and the keys of its tiles."""
        return {
            "overlap": asdict(self.overlap),
            "alignment": self.alignment.facts(),
            "detector": None if self.detector is None else self.detector.facts(),
            "pixels": self.pixels,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """The values that gave these facts, also where they were JSON meanwhile."""
        return cls(
            Window(**facts["overlap"]),
            Alignment(**facts["alignment"]),
            None if facts["detector"] is None else Detector.from_facts(facts["detector"]),
            facts["pixels"],
        )


def fit_dates(
    read: Reader, overlap: Window, detector: str | None, bands: tuple[str, ...] = (), *, mends: bool = True
) -> Fitted:
    """Measure how two dates lie on each other, and fit a detector to them as they will be read.

    Args:
        read: Reads an area. It is asked twice for every area where the dates have to be moved.
        overlap: What the scenes of both dates cover, whole; never cut to an AOI.
        detector: One of ``geoseg.change.detectors.DETECTORS``; ``None`` fits the alignment alone.
        bands: Names of the bands.
        mends: Whether dates that lie apart are moved or refused; else that is only measured.

    Raises:
        NothingToDoError: If the dates have nothing in common.
        RequestError: If the dates do not lie on each other, and no shift mends it.
    """
    areas = sample_areas(overlap)
    if not areas:
        raise NothingToDoError("two dates whose scenes do not overlap", "scenes of one place", "choose other scenes")
    parts = [part for area in areas for part in read(area, (0.0, 0.0)).windows]
    alignment = alignment_of(parts)
    if not mends and alignment.verdict != "unmeasured":
        alignment = replace(alignment, verdict="left")
    if alignment.verdict == "refused":
        raise _apart(alignment)
    if detector is None:
        return Fitted(overlap, alignment, None, 0)
    if any(alignment.correction):
        parts = [part for area in areas for part in read(area, alignment.correction).windows]
    sample = gather(parts, overlap)
    made = fit_detector(detector, sample.before, sample.after, bands)
    return Fitted(overlap, alignment, made, int(np.shape(sample.before)[1]))


def _apart(alignment: Alignment) -> RequestError:
    rows, cols = f"{alignment.dy_px:+.1f} rows", f"{alignment.dx_px:+.1f} columns"
    return RequestError(
        f"two dates that lie {rows} and {cols} apart, by {alignment.good} windows that lie {alignment.scatter_px:.1f} px "
        "from it in the median",
        f"a shift of at most {MOST_SHIFT_PX:g} px, and windows within {MOST_SCATTER_PX:g} px of it",
        "register the later scenes to the earlier ones, work on a coarser grid with --resolution, or take them as they lie "
        "with --align measure",
    )
