"""Evidence for the candidates of a map, gathered while its polygons are written.

Each candidate is looked at by itself: its elevations are read from the DEM on the DEM's own grid, its surroundings from
the finished map. So the facts depend neither on tiles nor on the order of the polygons, and memory is that of one
candidate's windows, whatever the size of the map.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Protocol, Self

import numpy as np
import pyarrow as pa
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS

from geoseg.errors import PluginError
from geoseg.evidence.comments import LoadedCommentator, Picture
from geoseg.evidence.dem import Dem
from geoseg.evidence.facts import QUANTITIES, Candidate, DemFacts, Evidence, Facts, GreennessFacts
from geoseg.evidence.ground import Ground
from geoseg.evidence.rules import Rules
from geoseg.evidence.shape import shape_of
from geoseg.evidence.surroundings import FinishedMap, MapWindows, reach_px, surroundings_of
from geoseg.evidence.terrain import terrain_of
from geoseg.evidence.words import describe

# Straight edges of the map are bent on the DEM's grid.
_LONGEST_EDGE_PX = 64.0
_OWN = ("area_m2", "confidence_network")  # which the polygons have in columns of their own


class Outlines(Protocol):
    """Polygons of a batch as flat arrays; see ``geoseg.polygons``."""

    @property
    def vertices(self) -> NDArray[np.number]:
        """(n, 2): column, row."""

    @property
    def ring_offsets(self) -> NDArray[np.int64]:
        """Where rings begin among the vertices."""

    @property
    def polygon_offsets(self) -> NDArray[np.int64]:
        """Where polygons begin among the rings."""


class Batch(Protocol):
    """Some polygons of a map; see ``geoseg.outputs.vector.PolygonBatch``."""

    @property
    def polygons(self) -> Outlines:
        """In pixels of the map."""

    @property
    def class_index(self) -> NDArray[np.uint8]:
        """Class of each."""

    @property
    def confidence_mean(self) -> NDArray[np.float64]:
        """Percent; NaN where there is none."""

    @property
    def first_pixel(self) -> NDArray[np.int64]:
        """Names the polygon."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Which classes of a map are what, by index and name."""

    landslide: Mapping[int, str]
    water: Mapping[int, str]
    cultivated: Mapping[int, str]

    @classmethod
    def of(cls, rules: Rules, names: Mapping[int, str]) -> Self:
        """The classes that a table of rules names, whatever their case."""

        def named(wanted: Sequence[str]) -> dict[int, str]:
            lower = {name.lower() for name in wanted}
            return {index: name for index, name in names.items() if name.lower() in lower}

        return cls(named(rules.landslide_classes), named(rules.water_classes), named(rules.cultivated_classes))


@dataclass
class Gathering:
    """Evidence of one map; use it as a context manager while polygons are added.

    Implements ``geoseg.outputs.vector.FurtherColumns``.

    Attributes:
        rules: The table.
        roles: Classes of the map.
        crs: Of the map.
        transform: From (column, row) to the CRS.
        source: The finished map.
        dem: Elevations, if there are any.
        dem_source: As they were asked for.
        known: Facts of an outline that are measured elsewhere, such as ``ndvi_drop``.
        greenness: What ``ndvi_drop`` was measured on, if it was.
        greenness_unknown: Of two dates, why it was not.
    """

    rules: Rules
    roles: Roles
    crs: CRS
    transform: Affine
    source: FinishedMap
    dem: Dem | None = None
    dem_source: str = ""
    known: Callable[[shapely.Polygon], Mapping[str, float | None]] | None = None
    greenness: GreennessFacts | None = None
    greenness_unknown: str = ""
    _counts: dict[str, int] = field(default_factory=lambda: {"kept": 0, "demoted": 0})
    _areas: dict[str, int] = field(default_factory=lambda: {"kept": 0, "demoted": 0})
    _best: list[tuple[float, float, int, Candidate]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ground = Ground(self.crs, self.transform)
        self._windows = MapWindows(self.source)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        if self.dem is not None:
            self._open.enter_context(self.dem.opened())
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def fields(self) -> tuple[pa.Field, ...]:
        """Columns that the polygons get; null for all that are no candidates."""
        numbers = [pa.field(name, pa.float64()) for name in QUANTITIES if name not in _OWN]
        return (
            pa.field("verdict", pa.string()),
            pa.field("confidence_evidence", pa.float64()),
            pa.field("likely_kind", pa.string()),
            *numbers,
        )

    def arrays(self, batch: Batch, areas_m2: NDArray[np.float64] | None) -> list[pa.Array]:
        """The columns of a batch.

        Args:
            batch: Polygons of any class.
            areas_m2: Their true areas, float64 (n,).

        Raises:
            AssetReadError: If the DEM cannot be read.
        """
        found: list[Candidate | None] = [None] * len(batch.class_index)
        places = np.flatnonzero(np.isin(batch.class_index, list(self.roles.landslide)))
        if not len(places):
            return [pa.nulls(len(found), column.type) for column in self.fields]
        for place, polygon in zip(places.tolist(), _polygons(batch.polygons, places), strict=True):
            confidence = float(batch.confidence_mean[place]) / 100
            area_m2 = None if areas_m2 is None else float(areas_m2[place])
            found[place] = self._add(int(batch.first_pixel[place]), polygon, area_m2, confidence)
        columns: list[list[object]] = [
            [candidate and candidate.verdict for candidate in found],
            [candidate and candidate.confidence for candidate in found],
            [candidate and candidate.kind for candidate in found],
        ]
        columns += [
            [candidate and getattr(candidate.facts, name) for candidate in found]
            for name in QUANTITIES
            if name not in _OWN
        ]
        return [pa.array(column, kind.type) for column, kind in zip(columns, self.fields, strict=True)]

    def evidence(
        self,
        commentator: LoadedCommentator | None = None,
        picture: Callable[[Candidate], Picture] = lambda _: None,
    ) -> tuple[Evidence, tuple[str, ...]]:
        """All that was gathered, and what is to be said of it.

        Args:
            commentator: Plug-in that comments on what is listed.
            picture: Natural colours around a candidate.
        """
        listed = [entry[3] for entry in sorted(self._best, key=lambda entry: (-entry[0], -entry[1], -entry[2]))]
        remarks: list[str] = []
        if commentator is not None:
            listed = [self._commented(candidate, commentator, picture, remarks) for candidate in listed]
        water = tuple(self.roles.water.values())
        return Evidence(
            rules=self.rules.model_dump(mode="json"),
            rules_sha256=self.rules.sha256,
            calibration="without-dem" if self.dem is None else "with-dem",
            classes=tuple(self.roles.landslide.values()),
            water_classes=water,
            water_reach_m=round(self._water_reach_m, 1) if water else None,
            cultivated_classes=tuple(self.roles.cultivated.values()),
            dem=self._dem_facts,
            greenness=self.greenness,
            greenness_unknown=self.greenness_unknown,
            commentator="" if commentator is None else str(commentator.plugin),
            candidates=sum(self._counts.values()),
            kept=self._counts["kept"],
            demoted=self._counts["demoted"],
            kept_area_m2=self._areas["kept"],
            demoted_area_m2=self._areas["demoted"],
            listed=tuple(listed),
        ), tuple(remarks)

    def _add(self, identifier: int, polygon: shapely.Polygon, area_m2: float | None, confidence: float) -> Candidate:
        facts = self._facts(polygon, area_m2, confidence)
        score, reasons, unknown = self.rules.score(facts)
        verdict, judged = self.rules.judge(score, with_dem=facts.dem_share is not None)
        kind = self.rules.kind(facts) if verdict == "kept" else ""
        candidate = Candidate(
            id=identifier,
            facts=facts,
            verdict=verdict,
            confidence=judged,
            kind=kind,
            reasons=reasons,
            unknown=unknown,
            words=describe(identifier, facts, verdict, judged, kind, reasons),
        )
        self._counts[verdict] += 1
        self._areas[verdict] += int(facts.area_m2 or 0)  # whole square metres, so that no order matters
        entry = (judged, facts.area_m2 or 0.0, -identifier, candidate)
        if len(self._best) < self.rules.listed:
            heapq.heappush(self._best, entry)
        elif self._best:
            heapq.heappushpop(self._best, entry)
        return candidate

    def _facts(self, polygon: shapely.Polygon, area_m2: float | None, confidence: float) -> Facts:
        middle = np.array(polygon.envelope.centroid.coords[0])
        steps = self._ground.steps_m(middle[None])[0]
        shape = shape_of(polygon, steps)
        pixel_m = float(np.linalg.norm(steps[1])), float(np.linalg.norm(steps[0]))
        around = surroundings_of(
            polygon,
            self._windows,
            pixel_m,
            water=self.roles.water,
            cultivated=self.roles.cultivated,
            radius_m=self.rules.water_radius_m,
            ring_px=self.rules.ring_px,
        )
        values: dict[str, float | None] = {
            "area_m2": area_m2,
            "confidence_network": confidence,
            "length_m": shape.length_m,
            "width_m": shape.width_m,
            "elongation": shape.elongation,
            "orientation_deg": shape.azimuth_deg,
            "water_distance_m": around.water_distance_m,
            "cultivated_share": around.cultivated_share,
        }
        terrain = self._terrain(polygon)
        aspect = terrain.get("aspect_deg")
        values["fall_elongation"] = None if aspect is None else shape.elongation_along(aspect)
        further = {} if self.known is None else self.known(polygon)
        return Facts.rounded(**values, **terrain, **further)

    def _terrain(self, polygon: shapely.Polygon) -> dict[str, float | None]:
        if self.dem is None:
            return {}
        outline = shapely.segmentize(polygon, _LONGEST_EDGE_PX)
        a, b, c, d, e, f = tuple(self.transform)[:6]
        placed = shapely.transform(
            outline, lambda xy: np.column_stack((c + xy[:, 0] * a + xy[:, 1] * b, f + xy[:, 0] * d + xy[:, 1] * e))
        )
        window = self.dem.around(placed, self.crs, self.rules.relief_radius_m)
        if window is None:
            return {}
        terrain = terrain_of(window.elevation_m, window.steps_m, window.inside, self.rules.gentle_deg)
        if terrain.height_drop_m is None or terrain.highest is None or terrain.lowest is None:
            return {}
        (row0, col0), (row1, col1) = terrain.highest, terrain.lowest
        runout = window.ground.distance_m((col0 + 0.5, row0 + 0.5), (col1 + 0.5, row1 + 0.5))
        travel = terrain.height_drop_m / runout if runout else None
        slope = terrain.slope_mean_deg
        rise = math.tan(math.radians(slope)) if slope else 0.0
        return {
            "slope_mean_deg": slope,
            "slope_p90_deg": terrain.slope_p90_deg,
            "slope_spread": terrain.slope_spread,
            "gentle_share": terrain.gentle_share,
            "aspect_deg": terrain.aspect_deg,
            "relief_m": terrain.relief_m,
            "height_drop_m": terrain.height_drop_m,
            "hypsometric_integral": terrain.hypsometric_integral,
            "runout_m": runout,
            "travel_angle_deg": None if travel is None else math.degrees(math.atan(travel)),
            "descent_ratio": None if travel is None or not rise else travel / rise,
            "dem_share": terrain.known_share,
        }

    @property
    def _water_reach_m(self) -> float:
        rows, cols = self._windows.shape
        steps = self._ground.steps_m(np.array([[cols / 2, rows / 2]]))[0]
        pixel_m = float(np.linalg.norm(steps, axis=1).min())
        return min(self.rules.water_radius_m, reach_px(self.rules.water_radius_m, pixel_m) * pixel_m)

    @property
    def _dem_facts(self) -> DemFacts | None:
        if self.dem is None:
            return None
        return DemFacts(
            source=self.dem_source, files=len(self.dem.files), crs=self.dem.crs, pixel_m=round(self.dem.pixel_m, 2)
        )

    def _commented(
        self,
        candidate: Candidate,
        commentator: LoadedCommentator,
        picture: Callable[[Candidate], Picture],
        remarks: list[str],
    ) -> Candidate:
        """A candidate with its comment; one that cannot be had is said, and takes nothing else with it."""
        try:
            comment = commentator.comment(candidate, picture(candidate), knows_water=bool(self.roles.water))
        except PluginError as err:
            remarks.append(f"no comment on polygon {candidate.id}: {err.given}")
            return candidate
        return candidate.model_copy(update={"comment": comment})


def _polygons(outlines: Outlines, places: NDArray[np.int64]) -> list[shapely.Polygon]:
    """Some polygons of a batch as shapely has them."""
    found = []
    vertices = np.asarray(outlines.vertices, np.float64)
    rings, polygons = outlines.ring_offsets, outlines.polygon_offsets
    for place in places:
        first, last = polygons[place], polygons[place + 1]
        shell, *holes = (vertices[rings[ring] : rings[ring + 1]] for ring in range(first, last))
        found.append(shapely.Polygon(shell, holes))
    return found
