"""STAC documents of the generated scenes, shaped like those of Earth Search v1's ``sentinel-2-l2a``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.warp import transform_geom
from shapely.geometry import Polygon, mapping, shape

from geoseg.demo import clouds
from geoseg.demo.scenes import FINE_BANDS, SCALE, Pass

COLLECTION = "sentinel-2-l2a"

_EXTENSIONS = [
    f"https://stac-extensions.github.io/{name}/schema.json"
    for name in ("eo/v1.1.0", "raster/v1.1.0", "projection/v1.2.0", "grid/v1.1.0", "view/v1.0.0", "sentinel-2/v1.0.0")
]
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_GEOJSON = "application/geo+json"

# Asset key, band, STAC common name, centre and width in micrometres.
_BANDS: tuple[tuple[str, str, str, float, float], ...] = (
    ("blue", "B02", "blue", 0.49, 0.098),
    ("green", "B03", "green", 0.56, 0.045),
    ("red", "B04", "red", 0.665, 0.038),
    ("rededge1", "B05", "rededge", 0.704, 0.019),
    ("rededge2", "B06", "rededge", 0.74, 0.018),
    ("rededge3", "B07", "rededge", 0.783, 0.028),
    ("nir", "B08", "nir", 0.842, 0.145),
    ("nir08", "B8A", "nir08", 0.865, 0.033),
    ("swir16", "B11", "swir16", 1.61, 0.143),
    ("swir22", "B12", "swir22", 2.19, 0.242),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """Where an item's pixels lie.

    Attributes:
        square: MGRS square, e.g. ``60GUA``.
        crs: Coordinate reference system.
        outline: Outline of the valid pixels in metres of the CRS.
        shape: Rows and columns at 10 m.
        transform: Affine at 10 m.
    """

    square: str
    crs: str
    outline: Polygon
    shape: tuple[int, int]
    transform: Affine


def item_name(overpass: Pass, square: str) -> str:
    """The item's id, after the pattern of Earth Search."""
    unit = overpass.platform[-1].upper()
    return f"S2{unit}_{square}_{overpass.when:%Y%m%d}_0_L2A"


def make_item(overpass: Pass, frame: Frame, scl: NDArray[np.uint8]) -> dict[str, Any]:
    """The STAC item of one overpass over one square.

    Args:
        overpass: Facts of the acquisition.
        frame: Where its pixels lie.
        scl: Scene classification of the square, which the percentages are counted from.
    """
    geometry = lonlat_geometry(frame.outline, frame.crs)
    epsg = CRS.from_string(frame.crs).to_epsg()
    when = f"{overpass.when:%Y-%m-%dT%H:%M:%S}.000000Z"
    up = "../../"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "stac_extensions": _EXTENSIONS,
        "id": item_name(overpass, frame.square),
        "geometry": geometry,
        "bbox": [round(value, 7) for value in shape(geometry).bounds],
        "properties": {
            "created": when,
            "updated": when,
            "datetime": when,
            "platform": overpass.platform,
            "constellation": "sentinel-2",
            "instruments": ["msi"],
            "gsd": 10,
            "description": "Generated scene of a place that does not exist",
            "proj:code": frame.crs,
            "proj:epsg": epsg,
            "grid:code": f"MGRS-{frame.square}",
            "view:sun_azimuth": overpass.sun.azimuth_deg,
            "view:sun_elevation": overpass.sun.elevation_deg,
            **_percentages(scl),
            "s2:processing_baseline": overpass.baseline,
            "s2:product_type": "S2MSI2A",
            "s2:sequence": "0",
            "earthsearch:boa_offset_applied": False,
        },
        "links": [
            {"rel": "root", "href": f"{up}catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../collection.json", "type": "application/json"},
            {"rel": "collection", "href": "../collection.json", "type": "application/json"},
        ],
        "assets": _assets(overpass, frame),
        "collection": COLLECTION,
    }


def write_tree(folder: Path, items: Sequence[Path]) -> None:
    """Write ``catalog.json`` and the collection that lists the items."""
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in items]
    boxes = np.array([document["bbox"] for document in documents])
    times = sorted(document["properties"]["datetime"] for document in documents)
    home = folder / COLLECTION
    collection = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": COLLECTION,
        "title": "Generated scenes, Sentinel-2 Level-2A",
        "description": "Generated scenes shaped like Sentinel-2 Level-2A; the place does not exist.",
        "license": "Apache-2.0",
        "extent": {
            "spatial": {"bbox": [[*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]]},
            "temporal": {"interval": [[times[0], times[-1]]]},
        },
        "links": [
            {"rel": "root", "href": "../catalog.json", "type": "application/json"},
            {"rel": "parent", "href": "../catalog.json", "type": "application/json"},
            *({"rel": "item", "href": f"./{path.relative_to(home).as_posix()}", "type": _GEOJSON} for path in items),
        ],
    }
    write_json(home / "collection.json", collection)
    root = {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "geoseg-demo",
        "title": "geoseg demo",
        "description": "A static catalogue of generated scenes, with truth.",
        "links": [
            {"rel": "root", "href": "./catalog.json", "type": "application/json"},
            {"rel": "child", "href": f"./{COLLECTION}/collection.json", "type": "application/json"},
        ],
    }
    # The root comes last, so that a folder with a catalogue is a whole one.
    write_json(folder / "catalog.json", root)


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write JSON under a temporary name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def lonlat_geometry(outline: Polygon, crs: str) -> dict[str, Any]:
    """GeoJSON of a projected outline, with points every kilometre, since straight lines of one are bent in the other."""
    dense = shapely.segmentize(outline, 1000.0)
    moved = shape(transform_geom(crs, "EPSG:4326", mapping(dense), precision=7))
    return dict(mapping(shapely.orient_polygons(moved)))


def _percentages(scl: NDArray[np.uint8]) -> dict[str, float]:
    counts = np.bincount(scl.ravel(), minlength=12)
    seen = max(1, int(counts[1:].sum()))

    def percent(*codes: int) -> float:
        return round(100.0 * int(counts[list(codes)].sum()) / seen, 4)

    return {
        "eo:cloud_cover": percent(clouds.SCL_CLOUD_MEDIUM, clouds.SCL_CLOUD_HIGH, clouds.SCL_CIRRUS),
        "s2:cloud_shadow_percentage": percent(clouds.SCL_SHADOW),
        "s2:vegetation_percentage": percent(clouds.SCL_VEGETATION),
        "s2:not_vegetated_percentage": percent(clouds.SCL_BARE),
        "s2:water_percentage": percent(clouds.SCL_WATER),
        "s2:nodata_pixel_percentage": round(100.0 * int(counts[0]) / scl.size, 4),
    }


def _assets(overpass: Pass, frame: Frame) -> dict[str, Any]:
    assets = {}
    for key, band, common, centre, width in _BANDS:
        size = 10 if band in FINE_BANDS else 20
        raster = {"nodata": 0, "data_type": "uint16", "spatial_resolution": size, "scale": SCALE}
        raster["offset"] = round(-overpass.add * SCALE, 4)
        eo = {"name": band, "common_name": common, "center_wavelength": centre, "full_width_half_max": width}
        assets[key] = {**_grid(frame, size), "href": f"./{band}.tif", "title": f"{band} - {size}m", "eo:bands": [eo]}
        assets[key] |= {"raster:bands": [raster], "roles": ["data", "reflectance"]}
    raster = {"nodata": 0, "data_type": "uint8", "spatial_resolution": 20}
    assets["scl"] = {**_grid(frame, 20), "href": "./SCL.tif", "title": "Scene classification map (SCL)"}
    assets["scl"] |= {"raster:bands": [raster], "roles": ["data"]}
    return assets


def _grid(frame: Frame, size: int) -> dict[str, Any]:
    factor = size // 10
    left, top = frame.transform.c, frame.transform.f
    return {
        "type": _COG,
        "gsd": size,
        "proj:shape": [side // factor for side in frame.shape],
        "proj:transform": [float(size), 0.0, left, 0.0, float(-size), top],
    }
