"""What a job asks for, held against what it is given: the pixel grid, the kind of numbers, an earlier result."""

from __future__ import annotations

from pathlib import Path

from odc.geo.geobox import GeoBox

from geoseg.errors import ModelMismatchError, RequestError
from geoseg.models import ModelSpec
from geoseg.models.backends import Backend, Choice
from geoseg.models.legends import Legend
from geoseg.scenes import Found
from geoseg.spec import JobSpec


def check_pixel_grid(spec: JobSpec) -> None:
    """Refuse what has no meaning for rasters without a place."""
    if not spec.pixel_grid:
        return
    if not (spec.scenes or spec.scenes_before):
        raise RequestError("--pixel-grid without --scenes", "rasters to map as they are", "add --scenes")
    named = {"--aoi": spec.aoi, "--crs": spec.crs, "--resolution": spec.resolution, "--like": spec.like}
    given = " and ".join(option for option, value in named.items() if value is not None)
    if given:
        raise RequestError(
            f"--pixel-grid with {given}",
            "a map in rows and columns, which has no place on Earth",
            f"drop {given}, or --pixel-grid",
        )


def check_quantity(found: Found, model: ModelSpec) -> list[str]:
    """Refuse numbers of the wrong kind; say in words where model and imagery differ in level."""
    warnings = []
    for item in found.items:
        if model.quantity == "reflectance" and item.sensor.quantity != "reflectance":
            raise ModelMismatchError(
                f"{item.id} as {item.sensor.title}, whose numbers are not reflectance",
                f"reflectance, which the model {model.name} wants",
                "say what the image is with --sensor, or choose another model",
            )
    if any(item.sensor.quantity == "reflectance" and item.mask is None for item in found.items):
        warnings.append("these scenes come without a cloud mask: clouds are classified as if they were ground")
    sensors = sorted({item.sensor.name for item in found.items})
    if model.expects and any(sensor != model.expects for sensor in sensors):
        warnings.append(f"{model.name} was trained on {model.expects}; this run reads {', '.join(sensors)}")
    return warnings


def like_of(spec: JobSpec) -> GeoBox | None:
    """Pixel grid of an earlier result: a folder, or a raster.

    Raises:
        RequestError: If there is none.
    """
    if spec.like is None:
        return None
    from geoseg.scenes.rasters import geobox_of_file  # noqa: PLC0415  # rasterio only where a file is opened

    path = Path(spec.like)
    path = path / "classes.tif" if path.is_dir() else path
    geobox = geobox_of_file(str(path))
    if geobox is None:
        raise RequestError(f"--like {spec.like}", "an earlier result, or a georeferenced raster", "check the path")
    return geobox


def sums_of(legend: Legend | None) -> list[str]:
    """Which classes are several of the model's."""
    said = legend is not None and legend.words
    return [f"classes of {legend.title} whose probabilities are sums: {said}"] if legend is not None and said else []


def of_another_backend(begun_with: Choice | None, backend: Backend) -> list[str]:
    """What is to be said where a job goes on with another backend than it was begun with: somebody asked for it."""
    if begun_with is None or begun_with == backend.choice:
        return []
    return [f"this job was begun with {begun_with.describe()}; its tiles are computed again"]
