"""Finished maps made by hand: the files that an assessment reads, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from geoseg.assessment import FinishedMap
from geoseg.outputs.areas import AreaTable
from geoseg.outputs.raster import write_cog
from geoseg.outputs.record_parts import ClassFacts

UTM = GeoBox((180, 240), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32633")
# Rows from the equator to 80 degrees north: areas of pixels differ by a factor of five.
DEGREES = GeoBox((160, 240), Affine(0.5, 0, 10, 0, -0.5, 80), "EPSG:4326")
NAMES = ("water", "forest", "grass")


def finished_map(
    folder: Path,
    classes: NDArray[np.uint8],
    geobox: GeoBox,
    names: tuple[str, ...] = NAMES,
    confidence: NDArray[np.uint8] | None = None,
    key: str = "k",
    codes: tuple[int, ...] = (),
) -> FinishedMap:
    """A map on a disk."""
    folder.mkdir(parents=True, exist_ok=True)
    table = [
        ClassFacts(index=number, name=name, colour=f"#{40 + number:02x}8080", code=codes[number] if codes else None)
        for number, name in enumerate(names)
    ]
    areas = AreaTable(geobox, table)
    whole = slice(0, geobox.shape[0]), slice(0, geobox.shape[1])
    areas.add(*whole, classes)
    write_cog(folder / "classes.tif", geobox, [(*whole, classes)])
    if confidence is not None:
        write_cog(folder / "confidence.tif", geobox, [(*whole, confidence)])
    report = {
        "job": {"key": key, "title": ""},
        "model": {"title": "A map made by hand"},
        "grid": {"anchor": [7, -3]},
        "classes": [one.model_dump() for one in table],
        "areas": [
            {"feature": row.feature, "index": row.index, "pixels": row.pixels, "area_m2": row.area_m2}
            for row in areas.rows()
        ],
        "pixels": {"classified": int((classes < 254).sum()), "aoi": int(classes.size)},
    }
    (folder / "report.json").write_text(json.dumps(report))
    return FinishedMap.open(folder)
