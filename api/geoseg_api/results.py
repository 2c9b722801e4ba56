"""The files of a finished job: what they are called, of what kind they are, where they lie."""

from __future__ import annotations

import json
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Kind:
    """An output.

    Attributes:
        file: Name of the file.
        media_type: Its kind.
        title: For people.
    """

    file: str
    media_type: str
    title: str


#: Outputs by the names that requests use.
OUTPUTS: dict[str, Kind] = {
    "masks": Kind("polygons.geojson", "application/geo+json", "Polygons of the classes in longitude and latitude"),
    "polygons": Kind("polygons.parquet", "application/vnd.apache.parquet", "Polygons in the CRS of the map"),
    "classes": Kind("classes.tif", COG, "Class of each pixel; 254 failed, 255 nodata"),
    "confidence": Kind("confidence.tif", COG, "Confidence of the class in percent"),
    "areas": Kind("areas.csv", "text/csv", "Area of each class"),
    "report": Kind("report.json", _JSON, "Record of the run"),
    "page": Kind("report.html", "text/html", "Report for people"),
    "preview": Kind("preview.png", "image/png", "Small picture of the map"),
    "item": Kind("item.json", "application/geo+json", "STAC item"),
    "imagery": Kind("imagery.tif", COG, "Imagery under the map in natural colours"),
    "before": Kind("before.tif", COG, "Imagery of the earlier date in natural colours"),
    "after": Kind("after.tif", COG, "Imagery of the later date in natural colours"),
    "scores": Kind("scores.tif", COG, "Probability of every class in percent"),
    "sets": Kind("sets.tif", COG, "Class sets: how many classes a pixel may well have, and which"),
    "entropy": Kind("entropy.tif", COG, "Entropy of the probabilities in percent"),
    "margin": Kind("margin.tif", COG, "Lead of the first choice in percent"),
    "flatgeobuf": Kind("polygons.fgb", "application/vnd.flatgeobuf", "Polygons as FlatGeobuf"),
    "geopackage": Kind("polygons.gpkg", "application/geopackage+sqlite3", "Polygons as GeoPackage"),
    "pmtiles": Kind("polygons.pmtiles", "application/vnd.pmtiles", "Polygons as vector tiles"),
    "collection": Kind("collection.json", _JSON, "STAC collection of the dates"),
}
_MEDIA = {kind.file: kind.media_type for kind in OUTPUTS.values()} | {".qml": "application/xml", ".tif": COG}


@dataclass(frozen=True, slots=True)
class Folder:
    """Folder of a finished job."""

    path: Path

    def present(self) -> dict[str, Kind]:
        """The outputs that this job has, by name."""
        return {name: kind for name, kind in OUTPUTS.items() if (self.path / kind.file).is_file()}

    def files(self) -> list[str]:
        """Names of all files, below the folder; what the run keeps for itself is left out."""
        found = sorted(path.relative_to(self.path) for path in self.path.rglob("*") if path.is_file())
        return [name.as_posix() for name in found if name.parts[0] != "job" and not name.name.startswith(".")]

    def file(self, name: str) -> Path | None:
        """A file of the job by its name; ``None`` where it has none of that name."""
        return self.path / name if name in self.files() else None

    def read(self, name: str) -> Any:
        """Content of a JSON file."""
        return json.loads((self.path / name).read_text(encoding="utf-8"))


def media_type_of(name: str) -> str:
    """Kind of a file, by its name."""
    path = Path(name)
    known = _MEDIA.get(path.name) or _MEDIA.get(path.suffix)
    return known or mimetypes.guess_type(name)[0] or "application/octet-stream"
