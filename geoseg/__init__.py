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
            ``out="map"``.

    Returns:
        The finished map.

    Raises:
        GeosegError: Three lines each: what was given, what was expected, what to do.
    """
    from geoseg.pipeline import run as run_job  # noqa: PLC0415
    from geoseg.settings import Settings  # noqa: PLC0415
    from geoseg.spec import JobSpec  # noqa: PLC0415

    where = {name: options.pop(name) for name in list(options) if name in Settings.model_fields and name != "catalog"}
    settings = Settings.with_options(**where) if settings is None else settings.model_copy(update=where)
    return run_job(spec or JobSpec.build(default_catalog=settings.catalog, **options), settings)
