"""geoseg: satellite and UAV scenes to maps.

Importing the package loads neither torch nor rasterio; the names below load what they need when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from geoseg.errors import GeosegError
    from geoseg.result import Result
    from geoseg.settings import Settings
    from geoseg.spec import JobSpec

__all__ = ["GeosegError", "JobSpec", "Result", "Settings", "__version__", "run"]

_HOMES = {
    "GeosegError": "geoseg.errors",
    "JobSpec": "geoseg.spec",
    "Result": "geoseg.result",
    "Settings": "geoseg.settings",
}


def __getattr__(name: str) -> Any:  # a module attribute may be anything
    from importlib import import_module  # noqa: PLC0415

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'geoseg' has no attribute {name!r}")


def run(spec: JobSpec | None = None, *, settings: Settings | None = None, **options: Any) -> Result:
    """Make a map.

    Args:
        spec: What to make; or give its fields as keywords.
        settings: Where it runs; from the environment where it is not given.
        **options: Fields of ``JobSpec``, such as ``aoi="region.geojson"``, and fields of ``Settings``, such as
            ``out="map"``. The region may be a vector file, a box (west, south, east, north) in degrees, GeoJSON, a
            shapely geometry in longitude and latitude, or a GeoDataFrame.

    Returns:
        The finished map.

    Raises:
        GeosegError: Three lines each: what was given, what was expected, what to do.
    """
    from geoseg.pipeline import run as run_job  # noqa: PLC0415

    job, where = _understand(spec, settings, options)
    return run_job(job, where)


def _understand(spec: JobSpec | None, settings: Settings | None, options: dict[str, Any]) -> tuple[JobSpec, Settings]:
    """What to make and where, from what ``run`` was given."""
    from geoseg.errors import RequestError, unknown_name  # noqa: PLC0415
    from geoseg.settings import Settings  # noqa: PLC0415
    from geoseg.spec import JobSpec  # noqa: PLC0415

    if spec is not None and not isinstance(spec, JobSpec):
        raise RequestError(
            f"geoseg.run with {spec!r} as its job",
            "a JobSpec, or keywords",
            'name it: geoseg.run(aoi="region.geojson")',
        )
    known = {*JobSpec.model_fields, *Settings.model_fields}
    for name in options:
        if name not in known:
            raise unknown_name("the keyword", name, known, "correct the name; help(geoseg.JobSpec) has them all")
    where = {name: options[name] for name in options if name in Settings.model_fields and name != "catalog"}
    make = {name: value for name, value in options.items() if name not in where}
    if spec is not None and make:
        raise RequestError(
            f"a JobSpec, and {', '.join(make)} beside it",
            "one of the two",
            "put them into the JobSpec, or leave it out",
        )
    given = {} if settings is None else {name: getattr(settings, name) for name in type(settings).model_fields}
    settings = Settings.with_options(**{**given, **where}) if where or settings is None else settings
    return spec or JobSpec.build(default_catalog=settings.catalog, **make), settings
