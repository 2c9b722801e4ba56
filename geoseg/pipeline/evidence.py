"""Evidence of a job: rules, elevations and a commentator, found before the first tile and used after the last."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import shapely
from odc.geo.geobox import GeoBox

from geoseg.errors import ModelMismatchError, NothingToDoError, RequestError
from geoseg.evidence import Candidate, Dem, DemFile, Evidence, Gathering, Roles, Rules, load_rules
from geoseg.evidence.comments import LoadedCommentator, Picture, load_commentator
from geoseg.evidence.surroundings import FinishedMap
from geoseg.grid import Window
from geoseg.pipeline.earlier import Greenness, greenness_of
from geoseg.pipeline.imagery import preview_imagery
from geoseg.pipeline.prepared import Prepared
from geoseg.plan import search_bounds
from geoseg.plan.checks import check_offline
from geoseg.scenes import find_scenes
from geoseg.spec import JobSpec

_RASTERS = (".tif", ".tiff", ".vrt", ".img", ".asc", ".hgt", ".dt2", ".jp2")
_PICTURE_PX = 256


@dataclass(frozen=True)
class EvidencePlan:
    """What polygons are held against.

    Attributes:
        rules: The table.
        roles: Classes of the model.
        dem: Elevations.
        commentator: Plug-in that comments.
        greenness: Of two dates, where it can be compared.
    """

    rules: Rules
    roles: Roles
    dem: Dem | None
    commentator: LoadedCommentator | None
    greenness: Greenness | None = None

    def gathering(self, prepared: Prepared, source: FinishedMap) -> Gathering:
        """What gathers the evidence of one map."""
        geobox = prepared.geobox
        assert geobox.crs is not None  # noqa: S101  # JobSpec refuses evidence without a place
        greenness, earlier = self.greenness, prepared.earlier
        return Gathering(
            self.rules,
            self.roles,
            geobox.crs,
            geobox.transform,
            source,
            self.dem,
            prepared.spec.dem or "",
            known=None if greenness is None else self._lost,
            greenness=None if greenness is None else greenness.facts,
            greenness_unknown="" if earlier is None else earlier.unmeasured,
        )

    def _lost(self, outline: shapely.Polygon) -> dict[str, float | None]:
        """What plants lost inside an outline in pixels of the map."""
        assert self.greenness is not None  # noqa: S101  # its caller asked
        return self.greenness.losses.of(outline).facts(self.rules.ndvi_least_seen)


def with_evidence(prepared: Prepared) -> Prepared:
    """The job with what its polygons will be held against; refused here, before the first pixel is read.

    Raises:
        RequestError: If the rules or the DEM are not what they should be.
        ModelMismatchError: If the model has no class that the rules judge.
        NothingToDoError: If the catalogue has no elevations of the region.
        PluginError: If there is no such commentator.
    """
    spec, model = prepared.spec, prepared.model.spec
    if spec.evidence is None:
        return prepared
    rules = load_rules(spec.evidence)
    roles = Roles.of(rules, {entry.index: entry.name for entry in prepared.classes})
    if not roles.landslide:
        raise ModelMismatchError(
            f"--evidence {spec.evidence} with the model {model.name}, which knows "
            f"{', '.join(entry.name for entry in prepared.classes)}",
            f"a model with a class that is called {' or '.join(rules.landslide_classes)}",
            "choose another --model, or name the class in landslide_classes of the rules",
        )
    dem = Dem(_dem_files(prepared, spec.dem), prepared.rasters) if spec.dem else None
    commentator = load_commentator(spec.comment) if spec.comment else None
    warnings = prepared.warnings
    if dem is None:
        warnings += ("no --dem: slope, relief and drop of the candidates are not known, and few can be demoted",)
    plan = EvidencePlan(rules, roles, dem, commentator, greenness_of(prepared, rules))
    return replace(prepared, evidence=plan, warnings=warnings)


def evidence_of(prepared: Prepared, gathering: Gathering | None) -> tuple[Evidence | None, list[str]]:
    """What was gathered, with comments where they are asked for, and what is to be said of it."""
    if gathering is None or prepared.evidence is None:
        return None, []
    found, remarks = gathering.evidence(prepared.evidence.commentator, _pictures(prepared))
    unread = {} if prepared.evidence.greenness is None else prepared.evidence.greenness.failures
    lost = [
        f"could not be read, for the evidence of two dates: {href}: {cause}" for href, cause in sorted(unread.items())
    ]
    return found, [*lost, *remarks]


def _pictures(prepared: Prepared) -> Callable[[Candidate], Picture]:
    """Natural colours around a candidate, at most 256 pixels wide."""
    geobox = prepared.geobox
    cols = geobox.shape.x

    def picture(candidate: Candidate) -> Picture:
        row, col = divmod(candidate.id, cols)
        length_m = max(candidate.facts.length_m or 0.0, 10 * prepared.pixel_m)
        side = math.ceil(3 * length_m / prepared.pixel_m)
        step = max(1, math.ceil(side / _PICTURE_PX))
        half = math.ceil(side / 2 / step) * step
        around = Window(row - half, col - half, row + half, col + half)
        transform = geobox.transform @ geobox.transform.translation(around.col0, around.row0)
        pixels = 2 * half // step
        small = GeoBox((pixels, pixels), transform @ geobox.transform.scale(step), geobox.crs)
        found = preview_imagery(prepared, small)
        return None if found is None else np.where(found[1][..., None], found[0], np.uint8(0))

    return picture


def _dem_files(prepared: Prepared, dem: str) -> list[DemFile]:
    """The rasters of elevations that were asked for."""
    settings, path = prepared.settings, Path(dem)
    if "://" not in dem and path.is_dir():
        inside = sorted(str(p) for p in path.rglob("*") if p.suffix.lower() in _RASTERS and p.is_file())
        if not inside:
            raise RequestError(f"--dem {dem}, a folder without a raster", "rasters of elevations", "name another one")
        return [DemFile(href) for href in inside]
    if "://" in dem or path.exists() or path.suffix.lower() in _RASTERS:
        check_offline([dem], offline=settings.offline)
        return [DemFile(dem)]
    return _from_collection(prepared, dem)


def _from_collection(prepared: Prepared, collection: str) -> list[DemFile]:
    """The elevations of a collection over the region, from the catalogue of the scenes."""
    spec = prepared.spec
    if spec.catalog is None or spec.region is None:
        raise RequestError(
            f"--dem {collection} with --scenes", "a raster of elevations", "name a file, or a folder of files"
        )
    margin_m = load_rules(str(spec.evidence)).relief_radius_m + 2 * prepared.pixel_m
    asked = JobSpec(aoi=spec.aoi, model=spec.model, catalog=spec.catalog, collection=collection, sensor="dem")
    found = find_scenes(asked, search_bounds(spec.region, margin_m), ("elevation",), opener=prepared.rasters.opened)
    sources = [item.bands["elevation"] for item in found.items if "elevation" in item.bands]
    if not sources:
        raise NothingToDoError(
            f"--dem {collection}, which has no elevations here", "a collection that covers the region", "name another"
        )
    check_offline([source.href for source in sources], offline=prepared.settings.offline)
    return [DemFile(s.href, s.index, s.scale, s.offset, s.nodata) for s in sources]
