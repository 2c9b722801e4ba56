"""The geoseg service over HTTP: jobs that survive, results, and a map to look at.

`create_app()` needs the extra `service` (FastAPI); importing this module does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geoseg_api.app import create_app
    from geoseg_api.settings import ServiceSettings

__all__ = ["ServiceSettings", "create_app"]

_HOMES = {"create_app": "geoseg_api.app", "ServiceSettings": "geoseg_api.settings"}


def __getattr__(name: str) -> Any:  # a module attribute may be anything
    from importlib import import_module  # noqa: PLC0415

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'geoseg_api' has no attribute {name!r}")
