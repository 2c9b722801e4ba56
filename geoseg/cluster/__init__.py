"""The same tile list on ``dask.distributed``: worker processes of this machine, or those of a cluster.

The scheduler sees tile numbers and bitmaps of cells, never pixels. Each worker has the job's recipe and one loaded model
from a plugin, and writes records itself, to a store that all of them reach.

Importing this room loads no ``distributed``; its modules do.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from geoseg.errors import RequestError

if TYPE_CHECKING:
    from geoseg.cluster.run import ClusterWorkers
    from geoseg.cluster.team import Team

__all__ = ["ClusterWorkers", "ModelLoader", "Team", "require_cluster"]

from geoseg.cluster.loading import ModelLoader

_DOORS = {"ClusterWorkers": "geoseg.cluster.run", "Team": "geoseg.cluster.team"}


def __getattr__(name: str) -> object:
    if name not in _DOORS:
        raise AttributeError(name)
    return getattr(import_module(_DOORS[name]), name)


def require_cluster(option: str) -> None:
    """See that ``distributed`` is installed.

    Args:
        option: What was asked for, such as ``--workers 4``.

    Raises:
        RequestError: If it is not.
    """
    try:
        import_module("distributed")
    except ImportError as err:
        raise RequestError(
            f"{option}, without the library dask.distributed",
            "an installation with the extra cluster",
            "pip install 'geoseg[cluster]', or leave the option away",
        ) from err
