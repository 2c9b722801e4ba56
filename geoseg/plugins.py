"""Plug-ins: what other distributions add through entry points. They are listed from metadata, and imported when used.

A group is a kind of thing. ``geoseg.sensors``: a `geoseg.scenes.Sensor` of the entry's name. ``geoseg.heads``: a
callable from a loaded network to a `geoseg.heads.Head`. ``geoseg.catalogs``: a callable from a reference and a question
to what was found (`geoseg.scenes.catalogs`); the entry's name is a prefix (``toy://``) or an ending (``.toy``).
``geoseg.commentators``: a `geoseg.evidence.comments.Commentator`.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import logging
import sys
from collections.abc import Collection
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from geoseg.errors import PluginError

SENSORS = "geoseg.sensors"
HEADS = "geoseg.heads"
CATALOGS = "geoseg.catalogs"
COMMENTATORS = "geoseg.commentators"

_LOG = logging.getLogger(__name__)
_WORDS = {SENSORS: "sensor", HEADS: "head", CATALOGS: "catalogue", COMMENTATORS: "commentator"}


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry of another distribution.

    Attributes:
        group: Kind of thing.
        name: As it is asked for.
        target: ``module:attribute``.
        distribution: Name of the distribution that adds it.
        version: Of that distribution.
    """

    group: str
    name: str
    target: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"the {_WORDS[self.group]} {self.name} of {self.distribution} {self.version} ({self.target})"

    @property
    def fingerprint(self) -> str:
        """Distribution, version and digest of its code: a part of the key of tiles that depend on it.

        The digest covers the Python files of the package that the target names, so that a plug-in under development
        does not find the tiles of its earlier text. Nothing is imported.
        """
        return f"{self.distribution} {self.version} {_code_digest(self.target)}"

    def load(self) -> Any:
        """What the target names.

        Raises:
            PluginError: If it cannot be imported.
        """
        try:
            return metadata.EntryPoint(self.name, self.target, self.group).load()
        except (Exception, SystemExit) as err:  # code of others: whatever it raises, the fault is there
            raise self.error(f"{type(err).__name__}: {err}", "a plug-in that can be imported") from err

    def error(self, problem: str, expected: str) -> PluginError:
        """The refusal of this plug-in."""
        return PluginError(
            f"{self}: {problem}", expected, f"update or repair {self.distribution}, or uninstall it (pip uninstall)"
        )


def plugin_names(group: str) -> tuple[str, ...]:
    """Names that other distributions add to a group, sorted; nothing is imported."""
    return tuple(sorted({plugin.name for plugin in _plugins(group, tuple(sys.path))}))


def find_plugin(group: str, name: str, own: Collection[str] = ()) -> Plugin | None:
    """The plug-in of that name; ``None`` where no other distribution adds it.

    Args:
        group: Kind of thing.
        name: As it is asked for.
        own: Names that geoseg has itself.

    Raises:
        PluginError: If two distributions add the name, or one adds a name of geoseg's own.
    """
    found = [plugin for plugin in _plugins(group, tuple(sys.path)) if plugin.name == name]
    if not found:
        return None
    owners = ["geoseg itself"] if name in own else []
    owners += [f"{plugin.distribution} {plugin.version} ({plugin.target})" for plugin in found]
    if len(owners) > 1:
        raise PluginError(
            f"the {_WORDS[group]} {name}, which {' and '.join(owners)} add",
            "one of each name",
            f"uninstall one of them ({', '.join(sorted({p.distribution for p in found}))}), or rename its entry point",
        )
    return found[0]


@functools.lru_cache
def _plugins(group: str, path: tuple[str, ...]) -> tuple[Plugin, ...]:
    """All plug-ins of a group; asked for every item of a search, and looked up once for a search path."""
    del path  # what metadata searches
    # Names are read of those with entries only: reading all metadata would take four times as long.
    named = {_fact(found, "Name"): found for found in metadata.distributions() if _entries(found, group)}
    plugins = []
    for name, found in named.items():
        try:
            first = metadata.distribution(name)  # of several on the path the one that is imported
        except (metadata.PackageNotFoundError, ValueError):
            first = found
        version = _fact(first, "Version")
        plugins += [Plugin(group, entry.name, entry.value, name, version) for entry in _entries(first, group)]
    return tuple(plugins)


def _entries(distribution: metadata.Distribution, group: str) -> tuple[metadata.EntryPoint, ...]:
    try:
        return tuple(distribution.entry_points.select(group=group))
    except (OSError, TypeError, ValueError):  # what is wrong with a stranger must not stop a run
        name = _fact(distribution, "Name")
        _LOG.warning("the entry points of %s cannot be read: what it adds is not there", name)
        return ()


def _fact(distribution: metadata.Distribution, field: str) -> str:
    stated = distribution.metadata.get(field)
    return str(stated) if stated else f"(without a {field.lower()})"


@functools.lru_cache
def _code_digest(target: str) -> str:
    """SHA-256 of the Python files of the top-level package of a target; "" where they cannot be found."""
    top = target.partition(":")[0].partition(".")[0].strip()
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return ""
    if spec is None:
        return ""
    folders = [Path(place) for place in spec.submodule_search_locations or ()]
    files = [(str(path.relative_to(folder)), path) for folder in folders for path in folder.rglob("*.py")]
    if not folders and spec.origin and Path(spec.origin).is_file():
        files = [(Path(spec.origin).name, Path(spec.origin))]
    digest = hashlib.sha256()
    for name, path in sorted(files):
        digest.update(f"{name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
