"""A catalogue on disk whose files lie on a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import worlds
from odc.geo.geobox import GeoBox

from tests import imagery

SIDE = 256
PLACE = imagery.box((SIDE, SIDE))
LENGTH = SIDE * SIDE * 2  # bytes of pixels in a file, without its header


def write_bands(folder: Path, bands: tuple[str, ...] = worlds.BANDS, seed: int = 0) -> None:
    """A file for each band: 16 blocks of noise, not compressed, so that every byte is a pixel."""
    image = np.random.default_rng(seed).integers(1, 250, (len(bands), SIDE, SIDE)).astype("uint16")
    for name, band in zip(bands, image, strict=True):
        imagery.paint(folder / f"{name}.tif", band[None], PLACE, compress="none")


def write_catalogue(folder: Path, url: str, bands: tuple[str, ...] = worlds.BANDS, query: str = "") -> Path:
    """A catalogue of one item, its files below an address."""
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "scene",
        "collection": "rgb",
        "geometry": json.loads(json.dumps(_outline(PLACE))),
        "bbox": list(PLACE.footprint("EPSG:4326").boundingbox),
        "properties": {"datetime": "2022-03-01T10:00:00Z", "proj:code": imagery.UTM33},
        "links": [],
        "assets": {
            band: {
                "href": f"{url}/{band}.tif{query}",
                "proj:shape": list(PLACE.shape),
                "proj:transform": list(PLACE.transform)[:6],
                "raster:bands": [{}],
            }
            for band in bands
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scene.json").write_text(json.dumps(item))
    root = {
        "type": "Catalog",
        "stac_version": "1.0.0",
        "id": "root",
        "description": "one scene",
        "links": [{"rel": "item", "href": "./scene.json"}],
    }
    (folder / "catalog.json").write_text(json.dumps(root))
    return folder / "catalog.json"


def _outline(geobox: GeoBox) -> Any:
    return geobox.footprint("EPSG:4326").json


def request(folder: Path, url: str, model: Path, **options: Any) -> dict[str, Any]:
    """Keywords of ``geoseg.run`` for a map of the whole scene."""
    catalogue = write_catalogue(folder / "catalogue", url, query=options.pop("query", ""))
    west, south, east, north = PLACE.footprint("EPSG:4326").boundingbox
    region = worlds.region(folder / "region.json", west, south, east, north)
    return {
        "aoi": str(region),
        "catalog": str(catalogue),
        "collection": "rgb",
        "sensor": "rgb",
        "datetime": "2022-01-01/2022-12-31",
        "composite": "first",
        "model": str(model),
        "device": "cpu",
        **options,
    }
