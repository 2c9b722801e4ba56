"""Names that the shell completes: from this machine alone, without a network, without importing a plug-in or torch."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import get_args

from geoseg.errors import GeosegError

type Completions = list[tuple[str, str]]


def models(incomplete: str) -> Completions:
    """Names of models: built in, and in folders of this machine, with their titles."""
    from geoseg.models import list_models  # noqa: PLC0415  # each shell asks for one list only
    from geoseg.settings import Settings  # noqa: PLC0415

    _be_silent()
    with suppress(GeosegError):
        settings = Settings.with_options(offline=True)
        found = list_models(models_dirs=settings.models, cache=settings.cache, offline=True)
        return _starting(incomplete, ((folder.path.name, folder.spec.title) for folder in found))
    return []


def workflows(incomplete: str) -> Completions:
    """Names of the shipped workflows, with their titles."""
    from geoseg.spec import list_workflows  # noqa: PLC0415

    return _starting(incomplete, list_workflows().items())


def sensors(incomplete: str) -> Completions:
    """Names of sensors, those of plug-ins too."""
    from geoseg.scenes import SENSORS  # noqa: PLC0415
    from geoseg.scenes.recognise import sensor_names  # noqa: PLC0415

    _be_silent()
    return _starting(incomplete, ((n, SENSORS[n].title if n in SENSORS else "of a plug-in") for n in sensor_names()))


def collections(incomplete: str) -> Completions:
    """Collections of public catalogues whose sensor is known."""
    from geoseg.scenes.recognise import collection_names  # noqa: PLC0415

    return _starting(incomplete, ((name, "") for name in collection_names()))


def rules(incomplete: str) -> Completions:
    """Composite rules."""
    from geoseg.spec import Rule  # noqa: PLC0415

    return _starting(incomplete, ((name, "") for name in get_args(Rule)))


def detectors(incomplete: str) -> Completions:
    """Detectors of change."""
    from geoseg.spec import DetectorName  # noqa: PLC0415

    return _starting(incomplete, ((name, "") for name in get_args(DetectorName)))


def formats(incomplete: str) -> Completions:
    """Formats of polygons, one after the other with commas."""
    return _listed("format", incomplete)


def layers(incomplete: str) -> Completions:
    """Further rasters, one after the other with commas."""
    return _listed("layers", incomplete)


def _be_silent() -> None:
    """What is broken on this machine is no word for the terminal in the middle of a line."""
    logging.disable()


def _starting(incomplete: str, names: Iterable[tuple[str, str]]) -> Completions:
    return [(name, title) for name, title in names if name.startswith(incomplete)]


def _listed(field: str, incomplete: str) -> Completions:
    """What a field takes several of: names that are not there yet, behind those that are."""
    from geoseg.spec import JobSpec  # noqa: PLC0415

    names = get_args(get_args(JobSpec.model_fields[field].annotation)[0])
    before, comma, _ = incomplete.rpartition(",")
    given = before.split(",")
    return _starting(incomplete, ((f"{before}{comma}{name}", "") for name in names if name not in given))
