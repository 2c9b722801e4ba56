"""Model folders: ``item.json``, the weights (here or elsewhere), a card.

A folder that ``save_pretrained`` of segmentation_models_pytorch wrote is a model folder once it has an ``item.json``:
its ``config.json`` then gives the hyperparameters.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from geoseg.errors import ModelSpecError
from geoseg.models.fetching import may_ask, temporary_beside
from geoseg.models.spec import ModelSpec
from geoseg.models.steps import JSON

ITEM = "item.json"
CARD = "README.md"
SMP_CONFIG = "config.json"
#: An item is a few kB; something larger is not one.
MAX_JSON_BYTES = 8 * 2**20

#: Facts that ``geoseg models check`` measures, and what stands in for them until then.
UNMEASURED: Mapping[str, JSON] = {
    "geoseg.kind": "finite",
    "geoseg.stride_px": 1,
    "geoseg.radius_px": [0, 0, 0, 0],
    "geoseg.workspace_bytes_per_px": 0.0,
}
_CHECKSUM = "file:checksum"
_SMP_MODEL = "_model_class"
_SMP_NOT_ARGUMENTS = {"encoder_weights", "activation"}


@dataclass(frozen=True)
class ModelFolder:
    """A folder and the spec in it.

    Attributes:
        path: The folder.
        spec: What its item says.
        search: More folders in which the weights file may lie, found by checksum.
        cache: Where weights are kept that are fetched, or ``None``.
        offline: Never fetch.
        undeclared: Facts that the item does not state yet; stand-ins are in the spec. Empty for every folder that
            may be run.
        href: Address of the item, where it is published; else empty.
        revision: Which version of it this is: a commit, or the item's SHA-256.
    """

    path: Path
    spec: ModelSpec
    search: tuple[Path, ...] = ()
    cache: Path | None = None
    offline: bool = False
    undeclared: frozenset[str] = frozenset()
    href: str = ""
    revision: str = ""

    @property
    def may_fetch(self) -> bool:
        """Whether weights that are not on this machine would be fetched."""
        return not self.offline and self.cache is not None and may_ask(self.spec.weights.href)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        search: tuple[Path, ...] = (),
        cache: Path | None = None,
        offline: bool = False,
        measured: bool = True,
    ) -> ModelFolder:
        """Read the item of a folder.

        Args:
            path: The folder.
            search: See the class.
            cache: See the class.
            offline: See the class.
            measured: Refuse an item that lacks a measured fact; ``False`` is for the check that measures it.

        Raises:
            ModelSpecError: If there is no item, or it contradicts itself.
        """
        item = read_item(path)
        undeclared = frozenset[str]() if measured else _stand_in(path, item)
        spec = ModelSpec.from_item(item)
        origin = item["properties"].get("geoseg:origin")
        origin = origin if isinstance(origin, dict) else {}
        href, revision = (str(origin.get(key) or "") for key in ("href", "revision"))
        return cls(path, spec, search, cache, offline, undeclared, href, revision)

    def published_at(self, href: str, revision: str) -> ModelFolder:
        """The same model with addresses where its item has paths.

        Args:
            href: Address of the item.
            revision: See the class.
        """
        weights = replace(self.spec.weights, href=urljoin(href, self.spec.weights.href))
        return replace(self, spec=replace(self.spec, weights=weights), href=href, revision=revision)


def read_item(path: Path) -> dict[str, Any]:  # Any: parsed JSON
    """The item of a folder, with the network's hyperparameters from ``config.json`` where smp wrote one.

    Raises:
        ModelSpecError: If a file is missing, no JSON, or the two contradict each other.
    """
    item = read_document(path / ITEM)
    if (path / SMP_CONFIG).is_file():
        _merge_smp_config(item, read_document(path / SMP_CONFIG), path)
    return item


def write_item(path: Path, item: Mapping[str, Any]) -> None:  # Any: a JSON document
    """Write ``item.json`` whole: under a temporary name, then renamed."""
    text = json.dumps(item, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with temporary_beside(path / ITEM) as temporary:
        temporary.write_text(text, encoding="utf-8")


def add_checksums(path: Path, item: Mapping[str, Any]) -> bool:  # Any: a JSON document
    """Fill in checksum and size of assets that lie in the folder and have none; whether there were any."""
    added = False
    assets = item.get("assets")
    for asset in assets.values() if isinstance(assets, dict) else ():
        if not isinstance(asset, dict):
            continue  # whoever reads the item says so
        file = path / str(asset.get("href", ""))
        if _CHECKSUM not in asset and file.is_file():
            with file.open("rb") as stream:
                asset[_CHECKSUM] = "1220" + hashlib.file_digest(stream, "sha256").hexdigest()
            asset["file:size"] = file.stat().st_size
            added = True
    return added


def _stand_in(path: Path, item: dict[str, Any]) -> frozenset[str]:  # Any: a JSON document
    """Put stand-ins for missing facts into an item; their names."""
    properties = item.setdefault("properties", {})
    hyperparameters = properties.setdefault("mlm:hyperparameters", {}) if isinstance(properties, dict) else None
    if not isinstance(hyperparameters, dict):
        return frozenset()  # no item: whoever reads it says so
    missing = frozenset(key for key in UNMEASURED if key not in hyperparameters)
    for key in missing:
        hyperparameters[key] = UNMEASURED[key]
    if "geoseg.kind" in missing:
        hyperparameters.pop("geoseg.chip_px", None)
        hyperparameters.pop("geoseg.chip_step_px", None)
    return missing | ({_CHECKSUM} if add_checksums(path, item) else frozenset())


def _merge_smp_config(item: dict[str, Any], config: Mapping[str, JSON], path: Path) -> None:
    """Add smp's own configuration to the item's hyperparameters; refuse where they differ."""
    properties = item.setdefault("properties", {})
    architecture = f"smp:{config.get(_SMP_MODEL)}"
    declared = properties.setdefault("mlm:architecture", architecture)
    if declared not in {architecture, architecture.removeprefix("smp:")}:
        raise _contradiction(path, "architecture", declared, architecture)
    properties["mlm:architecture"] = architecture
    hyperparameters = properties.setdefault("mlm:hyperparameters", {})
    for key, value in config.items():
        if key.startswith("_") or key in _SMP_NOT_ARGUMENTS:
            continue
        if hyperparameters.setdefault(key, value) != value:
            raise _contradiction(path, key, hyperparameters[key], value)


def _contradiction(path: Path, what: str, item: JSON, config: JSON) -> ModelSpecError:
    return ModelSpecError(
        f"{path / ITEM} says {what} {item!r}, {SMP_CONFIG} says {config!r}",
        "the same in both",
        f"correct {ITEM}, or leave it out there",
    )


def read_document(path: Path) -> dict[str, Any]:  # Any: parsed JSON
    """A JSON object of a file.

    Raises:
        ModelSpecError: If it is missing, too large, or none.
    """
    if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:
        raise ModelSpecError(
            f"the model folder {path.parent}",
            f"a file {path.name} of at most {MAX_JSON_BYTES >> 20} MiB in it",
            "write the model's STAC item there (`geoseg models show --json demo-landcover` shows one), or name it: "
            f"geoseg models add {path.parent} --item FILE",
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as err:
        raise ModelSpecError(f"{path}: {err}", "a JSON document", "correct the file") from err
    if not isinstance(document, dict):
        raise ModelSpecError(f"{path}: a {type(document).__name__}", "a JSON object", "correct the file")
    return document
