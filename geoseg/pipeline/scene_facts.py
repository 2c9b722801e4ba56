"""The scenes of a job for its record: what each gave, and why others gave nothing."""

from __future__ import annotations

import datetime as dt

import numpy as np
from affine import Affine

from geoseg.grid import Lattice
from geoseg.load import COARSER
from geoseg.outputs.record_parts import SceneFacts, SkippedScene
from geoseg.pipeline.prepared import Prepared
from geoseg.scenes import Item
from geoseg.scenes.raster_checks import short_name
from geoseg.tally import Tally

_SAME_SIZE = 1e-6  # relative


def scenes_of(prepared: Prepared, tally: Tally) -> tuple[SceneFacts, ...]:
    """Items that gave pixels to the computed cells and touch the region; before them those that evidence looks back at."""
    window, back = prepared.region.window, prepared.earlier
    names = ("",) if prepared.later is None and back is None else ("before", "after")[-len(prepared.coverages) :]
    looked_at = [
        _scene(item, prepared, "before")
        for coverage in (() if back is None else back.coverages[:1])
        for scene in coverage.touching(window)
        for item in scene.items
    ]
    mixes = prepared.spec.composite in {"median", "mean-scores"} or prepared.later is not None
    total = sum(tally.used_px.values())
    mapped = [
        _scene(item, prepared, name, None if mixes else tally.used_px[item.key] / total)
        for name, coverage in zip(names, prepared.coverages, strict=True)
        for scene in coverage.touching(window)
        for item in scene.items
        if tally.used_px.get(item.key)
    ]
    return (*looked_at, *mapped)


def _scene(item: Item, prepared: Prepared, used_as: str, share: float | None = None) -> SceneFacts:
    offsets = sorted({source.offset for source in item.bands.values()})
    notes = [f"offset {offset:g} undone" for offset in offsets if offset]
    notes += _resampled(item, prepared.lattice)
    return SceneFacts(
        id=item.id,
        datetime=dt.datetime.fromisoformat(item.datetime) if item.datetime else None,
        platform=item.platform,
        collection=item.collection or "",
        licence=item.licence,
        cloud_cover_percent=item.cloud_cover_percent,
        item_hrefs=(item.href,) if item.href else (),
        used_as=used_as,
        share=share,
        notes=tuple(notes),
    )


def _resampled(item: Item, lattice: Lattice) -> list[str]:
    """Which bands were resampled, from what pixels to what, and how; nothing for bands on the map's own grid."""
    assets, properties = item.document.get("assets", {}), item.document.get("properties", {})
    target = float(np.sqrt(lattice.pixel_area))
    found: dict[str, list[str]] = {}
    for band, source in item.bands.items():
        stated = assets.get(source.asset, {}).get("proj:transform") or properties.get("proj:transform")
        transform = Affine(*stated[:6]) if stated else item.geobox.transform
        size = float(np.sqrt(abs(transform.determinant)))
        if item.geobox.crs != lattice.crs:
            own = "" if item.geobox.crs is None else short_name(item.geobox.crs)
            found.setdefault(f"warped from {own} ({size:g} units per pixel), bilinear or by area", []).append(band)
        elif abs(size / target - 1) > _SAME_SIZE:
            # The reader's rule: pixels well below the map's are averaged over its area.
            how = "averaged" if target / size >= COARSER else "bilinear"
            found.setdefault(f"resampled from {size:g} to {target:g} CRS units per pixel, {how}", []).append(band)
        elif lattice.window_of(item.geobox) is None:
            found.setdefault("shifted by less than a pixel, bilinear", []).append(band)
    return [f"{', '.join(bands)} {how}" for how, bands in found.items()]


def skipped_of(prepared: Prepared, tally: Tally) -> tuple[SkippedScene, ...]:
    """Items that were refused, that a newer version replaces, or that gave no pixel."""
    refused = [
        SkippedScene(id=name, reason=reason)
        for found in prepared.founds
        for name, reason in (*found.skipped, *found.superseded)
    ]
    touching = (coverage.touching(prepared.region.window) for coverage in prepared.coverages)
    near = {item.key for scenes in touching for scene in scenes for item in scene.items}
    for item in (item for coverage in prepared.coverages for item in coverage.items):
        if not tally.used_px.get(item.key) or item.key not in near:
            reason = _unused(item, tally) if item.key in near else "does not touch the region"
            refused.append(SkippedScene(id=item.id, reason=reason))
    return tuple(refused)


def _unused(item: Item, tally: Tally) -> str:
    """Why an item over the region gave no pixel: what of it could not be read, else what was in its way."""
    failed = sorted({source.href for source in item.sources} & tally.failures.keys())
    if not failed:
        return "gave no pixel: earlier scenes or its mask left none"
    files = len({source.href for source in item.sources})
    return f"could not be read: {len(failed)} of its {files} files; {tally.failures[failed[0]]}"
