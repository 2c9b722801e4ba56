"""Every door that takes bytes from outside, and bytes that are right for it.

A door is given bytes and either takes them or refuses them with a ``GeosegError``: anything else that it raises, more
than five seconds, or more than half a gigabyte is a find.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import worlds
from safetensors.numpy import save

from geoseg.aoi import AOI
from geoseg.errors import RequestError
from geoseg.models import ModelFolder, WeightsRef
from geoseg.scenes import find_scenes
from geoseg.spec import JobSpec
from geoseg.store.record import TileRecord, decode, encode, is_whole

type Door = Callable[[bytes], object]

_BANDS = ("red", "green", "blue")


@cache
def _folder() -> Path:
    """A place for files, for as long as the process lives."""
    return Path(tempfile.mkdtemp(prefix="geoseg-fuzz-"))


def _written(name: str, data: bytes) -> Path:
    path = _folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _document(data: bytes) -> Any:
    """What a parser makes of bytes; a request that is none, as the service refuses it before anything of ours."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as err:
        raise RequestError("bytes", "JSON", "send JSON") from err


def region(data: bytes) -> object:
    """A region file."""
    return AOI.read(_written("region.geojson", data))


def region_of_stranger(data: bytes) -> object:
    """A region in a request."""
    return AOI.from_bytes(data)


def job(data: bytes) -> object:
    """The body of a job: fields by name."""
    document = _document(data)
    if not isinstance(document, Mapping):
        raise RequestError("a body", "an object", "send one")
    return JobSpec.build(**{str(name): value for name, value in document.items()})


def stac_item(data: bytes) -> object:
    """An item of a catalogue on disk."""
    _written("catalog/item.json", data)
    links = [{"rel": "item", "href": "./item.json"}]
    root = {"type": "Catalog", "stac_version": "1.0.0", "id": "root", "description": "", "links": links}
    path = _written("catalog/catalog.json", json.dumps(root).encode())
    spec = JobSpec.build(
        aoi="15,45,16,46",
        catalog=str(path),
        collection="rgb",
        sensor="rgb",
        model="m",
        datetime="2022-01-01/2022-12-31",
    )
    return find_scenes(spec, (15.0, 45.0, 16.0, 46.0), _BANDS)


def mlm_item(data: bytes) -> object:
    """The item of a model folder."""
    return ModelFolder.open(_written("model/item.json", data).parent, measured=False)


def weights(data: bytes) -> object:
    """A safetensors file whose checksum somebody made to fit."""
    from geoseg.models.state import read_state

    path = _written("model.safetensors", data)
    reference = WeightsRef(path.name, hashlib.sha256(data).hexdigest(), len(data), path.name, "safetensors")
    return read_state(path, reference, path.parent)


def raster(data: bytes) -> object:
    """The header of a raster."""
    return find_scenes(JobSpec.build(scenes=str(_written("a.tif", data)), model="m"), None, _BANDS)


def tile_record(data: bytes) -> object:
    """A record of the tile store, which others may have written to."""
    return decode(data) if is_whole(data) else None


DOORS: dict[str, Door] = {
    door.__name__.replace("_", "-"): door
    for door in (region, region_of_stranger, job, stac_item, mlm_item, weights, raster, tile_record)
}


@cache
def seeds(door: str) -> tuple[bytes, ...]:
    """What a door takes."""
    if door.startswith("region"):
        ring = [[15.0, 45.0], [15.5, 45.0], [15.5, 45.4], [15.0, 45.4], [15.0, 45.0]]
        hole = [[15.1, 45.1], [15.2, 45.1], [15.2, 45.2], [15.1, 45.1]]
        apart = [[16.0, 45.0], [16.1, 45.0], [16.1, 45.1], [16.0, 45.0]]
        shape = {"type": "Polygon", "coordinates": [ring, hole]}
        feature = {"type": "Feature", "properties": {"name": "a"}, "geometry": shape}
        crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
        several = {"type": "MultiPolygon", "coordinates": [[ring], [apart]]}
        documents = [shape, feature, {"type": "FeatureCollection", "features": [feature], "crs": crs}, several]
    elif door == "job":
        fields = {"aoi": "15,45,16,46", "workflow": "landcover", "datetime": "2022-01-01/2022-12-31"}
        more = {"resolution": 10, "crs": "EPSG:32633", "format": ["geojson"], "layers": ["scores"], "min_area_m2": 100}
        documents = [fields, {**fields, **more}, {"scenes": ["a.tif"], "bands": ["red"], "scale": 0.1, "model": "m"}]
    elif door == "stac-item":
        documents = [_item()]
    elif door == "mlm-item":
        return (_model_item(),)
    else:
        return _binary(door)
    return tuple(json.dumps(document).encode() for document in documents)


def _item() -> dict[str, Any]:
    square = [[15.0, 45.0], [15.2, 45.0], [15.2, 45.2], [15.0, 45.2], [15.0, 45.0]]
    facts = {"proj:shape": [64, 64], "proj:transform": [10, 0, 500000, 0, -10, 5000000], "raster:bands": [{"scale": 1}]}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "scene",
        "collection": "rgb",
        "geometry": {"type": "Polygon", "coordinates": [square]},
        "bbox": [15.0, 45.0, 15.2, 45.2],
        "properties": {"datetime": "2022-03-01T10:00:00Z", "proj:code": "EPSG:32633", "eo:cloud_cover": 3.5},
        "links": [],
        "assets": {band: {"href": f"./{band}.tif", "roles": ["data"], **facts} for band in _BANDS},
    }


@cache
def _model_item() -> bytes:
    return (worlds.finite_model(_folder() / "seed").path / "item.json").read_bytes()


def _binary(door: str) -> tuple[bytes, ...]:
    if door == "weights":
        return (save({"a.weight": np.ones((2, 3), "float32"), "b": np.arange(4)}),)
    if door == "tile-record":
        layers = {"classes": np.zeros((8, 8), "uint8")}
        return (encode(TileRecord(layers, np.ones((1, 1), bool), facts={"used_px": {"a": 1}})),)
    image = worlds.landscape((64, 80), 3).astype("uint8")
    paths = [
        worlds.write_raster(_folder() / "seeds" / f"{name}.tif", image, names=worlds.BANDS, **profile)
        for name, profile in {"tiled": {}, "striped": {"tiled": False}, "nodata": {"nodata": 0}}.items()
    ]
    return tuple(path.read_bytes() for path in paths)
