"""The texts of a bundle: how to use it, on what terms it comes, which libraries it was made with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import geoseg
from geoseg.bundle.manifest import BundledModel

_FIRST_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_README = """\
# A bundle of geoseg {version}

For machines without a network: models with their weights, a generated sample to try them on, and the versions of the
libraries that they were run with. `manifest.json` has the SHA-256 of every file.

## Use

geoseg itself is installed apart. On a machine with a network, of the same system and the same Python, in a checkout:

    python -m pip wheel -c constraints.txt -w wheels '.[torch]'

and with the folder `wheels` on this one: `python -m pip install --no-index --find-links wheels 'geoseg[torch]'`. Then, in this folder:

```sh
geoseg bundle check .
export GEOSEG_MODELS="$PWD/models" GEOSEG_OFFLINE=1
geoseg run --workflow demo --catalog sample/catalog.json --aoi sample/region.geojson --out ../sample-map
```

With scenes of your own, one of the models below, and the two variables set:

    geoseg run --model NAME --catalog CATALOG/catalog.json --aoi region.geojson --out ../map

Keep what runs write outside of this folder: a file that is not in the manifest fails the check.

## Models

| name | what | licence |
| --- | --- | --- |
{models}
{warnings}
The licence of each model holds for its weights, and may hold for maps that are made with it: see `NOTICE.md` and the
files beside the weights. The sample is generated, and as free as geoseg (Apache-2.0).
"""

_NOTICE = """\
# Whose the models of this bundle are

{models}
"""


def readme(models: Sequence[BundledModel]) -> str:
    """``README.md`` of a bundle."""
    rows = [f"| {_cell(m.name)} | {_cell(m.title + _needs(m))} | {_cell(m.licence)} |" for m in models]
    said = [f"- {' '.join(m.warning.split())}" for m in models if m.warning]
    warnings = "\n".join(["", "Before you pass this bundle on:", "", *said, ""]) if said else ""
    return _README.format(version=geoseg.__version__, models="\n".join(rows), warnings=warnings)


def notice(models: Sequence[BundledModel]) -> str:
    """``NOTICE.md`` of a bundle."""
    parts = []
    for m in models:
        lines = [f"## {m.name}", "", f"{m.title}. Licence: {m.licence}."]
        lines += [f"Attribution: {m.attribution}"] if m.attribution else []
        lines += [f"From: {m.source}"] if m.source else []
        parts.append("\n".join(lines))
    return _NOTICE.format(models="\n\n".join(parts))


def _needs(model: BundledModel) -> str:
    return f" (needs the plug-in {model.needs}, which is installed apart)" if model.needs else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def versions() -> str:
    """Constraints for pip: those of the checkout, or the versions of what is installed of geoseg's requirements."""
    checkout = Path(geoseg.__file__).parent.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "constraints.txt").is_file():
        return (checkout / "constraints.txt").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    waiting = ["geoseg"]
    while waiting:
        name = waiting.pop()
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # of an extra or a system that is not here
        key = re.sub(r"[-_.]+", "-", name).lower()
        if key not in found:
            found[key] = distribution.version
            waiting += [_required(line) for line in distribution.requires or () if _is_for_users(key, line)]
    found.pop("geoseg", None)
    lines = [f"{name}=={version}" for name, version in sorted(found.items())]
    return "\n".join(["# What geoseg ran with where this bundle was made.", *lines, ""])


def _is_for_users(name: str, line: str) -> bool:
    """Whether a requirement is one of running geoseg: of its own extras all but that of developers, of others none."""
    extra = re.search(r"extra\s*==\s*['\"]([^'\"]*)", line)
    return extra is None or (name == "geoseg" and extra[1] != "dev")


def _required(line: str) -> str:
    word = _FIRST_WORD.match(line)
    return word[0] if word else line
