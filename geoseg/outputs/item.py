"""The STAC item of a result: what it is, where it lies, and all that it was made from.

References:
    STAC 1.1.0, with the extensions projection 2.0, processing 1.2, classification 2.0 and file 2.1. ``mlm:name`` is the
    field by which the Machine Learning Model extension lets a result name its model.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import shapely
from odc.geo.geobox import GeoBox

from geoseg.outputs.files import file_facts, whole_file
from geoseg.outputs.geodesy import footprint
from geoseg.outputs.hrefs import plain_href
from geoseg.outputs.legend import FAILED, FAILED_COLOUR, FAILED_NAME, NODATA
from geoseg.outputs.record import OutputFile, PixelCounts, Record
from geoseg.outputs.record_parts import ModelFacts

_EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)
_COG = "image/tiff; application=geotiff; profile=cloud-optimized"

# name of the file: (asset key, media type, title, roles)
_KINDS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "classes.tif": ("classes", _COG, "Classes", ("data", "classification")),
    "classes.qml": ("style", "application/xml", "QGIS style of the classes", ("metadata",)),
    "confidence.tif": ("confidence", _COG, "Confidence of the class, in percent", ("data", "confidence")),
    "confidence.qml": ("confidence-style", "application/xml", "QGIS style of the confidence", ("metadata",)),
    "scores.tif": ("scores", _COG, "Probability of every class, in percent", ("data", "confidence")),
    "entropy.tif": ("entropy", _COG, "Entropy of the probabilities, in percent", ("data", "confidence")),
    "margin.tif": ("margin", _COG, "Lead of the first choice, in percent", ("data", "confidence")),
    "sets.tif": ("sets", _COG, "Class sets: how many classes a pixel may well have, and which", ("data", "confidence")),
    "polygons.parquet": ("polygons", "application/vnd.apache.parquet", "Polygons in the grid's CRS", ("data",)),
    "polygons.geojson": ("polygons-geojson", "application/geo+json", "Polygons in longitude and latitude", ("data",)),
    "polygons.fgb": ("polygons-fgb", "application/vnd.flatgeobuf", "Polygons as FlatGeobuf", ("data",)),
    "polygons.gpkg": ("polygons-gpkg", "application/geopackage+sqlite3", "Polygons as GeoPackage", ("data",)),
    "polygons.pmtiles": ("polygons-pmtiles", "application/vnd.pmtiles", "Polygons as vector tiles", ("visual",)),
    "polygons.qml": ("polygons-style", "application/xml", "QGIS style of the polygons", ("metadata",)),
    "areas.csv": ("areas", "text/csv", "Areas per class and feature", ("data",)),
    "preview.png": ("preview", "image/png", "Preview", ("overview", "visual")),
    "report.json": ("record", "application/json", "Record of the run", ("metadata",)),
    "report.html": ("report", "text/html", "Report", ("metadata",)),
}


def output_file(folder: Path, path: Path) -> OutputFile:
    """The facts of a finished file of the output folder."""
    key, media_type, _, _ = _KINDS.get(path.name, (_slug(path.stem), "application/octet-stream", "", ()))
    facts = file_facts(path)
    relative = path.relative_to(folder).as_posix()
    return OutputFile(name=key, path=relative, media_type=media_type, size_bytes=facts.size_bytes, sha256=facts.sha256)


def build_item(record: Record, geobox: GeoBox, files: Sequence[OutputFile]) -> dict[str, Any]:
    """The STAC item as a JSON object.

    Args:
        record: Of the run.
        geobox: Of the map.
        files: All files to list as assets, the reports included.
    """
    outline = footprint(geobox)
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": list(_EXTENSIONS),
        "id": record.job.key,
        "geometry": None if outline is None else shapely.geometry.mapping(outline),
    }
    if outline is not None:
        item["bbox"] = _bbox(outline)
    item["properties"] = (
        _times(record) | _described(record) | _projection(geobox) | _processing(record) | _provenance(record)
    )
    item["links"] = _links(record)
    item["assets"] = {file.name: _asset(file, record) for file in files}
    plain: dict[str, Any] = json.loads(json.dumps(item, allow_nan=False))
    return plain


def write_item(path: Path, item: dict[str, Any]) -> Path:
    """Writes ``item.json``.

    Raises:
        OutputError: If the file could not be written whole.
    """
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(item, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return path


def _bbox(outline: shapely.Polygon | shapely.MultiPolygon) -> list[float]:
    west, south, east, north = outline.bounds
    if outline.geom_type == "MultiPolygon" and west == -180 and east == 180:  # cut there: RFC 7946 has west > east
        west = min(part.bounds[0] for part in outline.geoms if part.bounds[0] > -180)
        east = max(part.bounds[2] for part in outline.geoms if part.bounds[2] < 180)
    return [west, south, east, north]


def _times(record: Record) -> dict[str, Any]:
    interval = record.interval
    processed = {"created": _utc(record.timing.finished), "processing:datetime": _utc(record.timing.finished)}
    if interval is None:
        return {"datetime": _utc(record.timing.finished), "geoseg:datetime": "processing"} | processed
    start, end = interval
    if start == end:
        return {"datetime": _utc(start)} | processed
    return {"datetime": None, "start_datetime": _utc(start), "end_datetime": _utc(end)} | processed


def _described(record: Record) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "title": record.job.title or record.model.title,
        "description": " ".join((*record.warnings, *record.notes)) or f"A map made by {record.model.title}.",
        "license": "other",
        "geoseg:licences": _licences(record),
    }
    platforms = sorted({scene.platform for scene in record.scenes if scene.platform})
    if len(platforms) == 1:
        facts["platform"] = platforms[0]
    return facts


def _licences(record: Record) -> dict[str, Any]:
    scenes = {scene.collection or scene.id: scene.licence or "unknown" for scene in record.scenes}
    land_cover = {} if record.land_cover is None else {"land_cover": record.land_cover.licence}
    return {"model": record.model.licence, "model_kind": record.model.licence_kind, **land_cover, "scenes": scenes}


def _projection(geobox: GeoBox) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "proj:shape": list(geobox.shape),
        "proj:transform": list(tuple(geobox.transform)[:6]),
    }
    if geobox.crs is None:
        return facts | {"proj:code": None}
    authority = geobox.crs.proj.to_authority()
    facts["proj:code"] = None if authority is None else ":".join(authority)
    if authority is None:
        facts["proj:wkt2"] = geobox.crs.proj.to_wkt("WKT2_2019")
        facts["proj:projjson"] = geobox.crs.proj.to_json_dict()
    facts["proj:bbox"] = list(geobox.boundingbox.bbox)
    return facts


def _processing(record: Record) -> dict[str, Any]:
    software = {"geoseg": record.software.geoseg, "python": record.software.python} | record.software.libraries
    scenes = len(record.scenes)
    facts = {
        "processing:level": "L4",
        "processing:software": software,
        "processing:lineage": (
            f"{record.model.title} ({record.model.name}) over {scenes} scene{'' if scenes == 1 else 's'}, "
            f"by geoseg {record.software.geoseg}, workflow {record.job.workflow}."
        ),
        "mlm:name": record.model.name,
    }
    if record.model.href:
        facts["processing:expression"] = {"format": "stac-mlm", "expression": record.model.href}
    return facts


def _provenance(record: Record) -> dict[str, Any]:
    settings = record.settings
    return {
        "geoseg:key": record.job.key,
        "geoseg:spec": record.job.spec,
        "geoseg:model": _model(record.model),
        **({} if record.land_cover is None else {"geoseg:land_cover": _model(record.land_cover)}),
        **({} if record.change is None else {"geoseg:change": record.change.model_dump(mode="json")}),
        "geoseg:settings": {
            "device": settings.device,
            "backend": settings.backend,
            "precision": settings.precision,
            "threads_per_pass": settings.threads_per_pass,
            "allow_pickle": settings.allow_pickle,
        },
        "geoseg:coverage": _coverage(record.pixels),
        "geoseg:scenes": [
            {"id": scene.id, "share": scene.share, "notes": list(scene.notes)} for scene in record.scenes
        ],
        "geoseg:notes": [*record.warnings, *record.notes],
    }


def _model(model: ModelFacts) -> dict[str, Any]:
    names = ("name", "sha256", "spec_sha256", "kind", "licence", "licence_kind", "revision", "attribution")
    return {name: getattr(model, name) for name in names}


def _coverage(pixels: PixelCounts) -> dict[str, Any]:
    """Shares of the AOI, by what its pixels became."""
    aoi = max(pixels.aoi, 1)
    return {
        "aoi_pixels": pixels.aoi,
        "classified": pixels.classified / aoi,
        "nodata_unobserved": pixels.nodata_unobserved / aoi,
        "nodata_masked": pixels.nodata_masked / aoi,
        "failed": pixels.failed_total / aoi,
        "near_failed": pixels.near_failed / aoi,
    }


def _links(record: Record) -> list[dict[str, Any]]:
    links: list[dict[str, Any]] = []
    if record.model.href:
        model = {"rel": "derived_from", "href": record.model.href, "type": "application/geo+json"}
        links.append(model | {"title": record.model.title, "mlm:name": record.model.name})
    for scene in record.scenes:
        links += [{"rel": "derived_from", "href": plain_href(href), "title": scene.id} for href in scene.item_hrefs]
    return links


def _asset(file: OutputFile, record: Record) -> dict[str, Any]:
    _, _, title, roles = _KINDS.get(Path(file.path).name, ("", "", file.name, ("data",)))
    asset: dict[str, Any] = {
        "href": f"./{file.path}",
        "type": file.media_type,
        "title": title,
        "roles": list(roles),
        "file:size": file.size_bytes,
        "file:checksum": "1220" + file.sha256,  # multihash: sha2-256, 32 bytes
    }
    if file.name == "classes":
        asset |= {"data_type": "uint8", "nodata": NODATA, "bands": [{"name": "class"}]}
        asset["classification:classes"] = _classes(record)
    if file.name in {"confidence", "scores", "entropy", "margin"}:
        bands = [entry.name for entry in record.classes] if file.name == "scores" else [file.name]
        asset |= {"data_type": "uint8", "nodata": NODATA, "unit": "%", "bands": [{"name": name} for name in bands]}
    if file.name == "sets":
        bands = ["number of classes", *(entry.name for entry in record.classes)]
        asset |= {"data_type": "uint8", "nodata": NODATA, "bands": [{"name": name} for name in bands]}
    return asset


def _classes(record: Record) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    names: set[str] = set()
    for entry in record.classes:
        name = _slug(entry.name) or f"class-{entry.index}"
        name = f"{name}-{entry.index}" if name in names else name
        names.add(name)
        described = {"description": entry.description} if entry.description else {}
        entries.append(
            {"value": entry.index, "name": name, "title": entry.name, "color_hint": entry.colour[1:].upper()}
            | described
            | {"count": record.pixels.per_class.get(entry.index, 0)}
        )
    failed = {"value": FAILED, "name": "geoseg-failed", "title": FAILED_NAME, "color_hint": FAILED_COLOUR[1:].upper()}
    nodata = {"value": NODATA, "name": "geoseg-nodata", "title": "no data", "nodata": True}
    return [*entries, failed | {"count": record.pixels.failed_total}, nodata]


def _slug(text: str) -> str:
    return re.sub(r"[^0-9A-Za-z]+", "-", text).strip("-").lower()


def _utc(time: dt.datetime) -> str:
    return time.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
