"""Model folders: ``item.json``, the weights (here or elsewhere), a card.

A folder that ``save_pretrained`` of segmentation_models_pytorch wrote is a model folder once it has an ``item.json``:
its ``config.json`` then gives the hyperparameters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoseg.errors import ModelSpecError
from geoseg.models.spec import ModelSpec
from geoseg.models.steps import JSON

ITEM = "item.json"
CARD = "README.md"
SMP_CONFIG = "config.json"
#: An item is a few kB; something larger is not one.
MAX_JSON_BYTES = 8 * 2**20

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
    """

    path: Path
    spec: ModelSpec
    search: tuple[Path, ...] = ()
    cache: Path | None = None
    offline: bool = False

    @classmethod
    def open(
        cls, path: Path, *, search: tuple[Path, ...] = (), cache: Path | None = None, offline: bool = False
    ) -> ModelFolder:
        """Read the item of a folder.

        Raises:
            ModelSpecError: If there is none, or it contradicts itself.
        """
        return cls(path, ModelSpec.from_item(read_item(path)), search, cache, offline)


def read_item(path: Path) -> dict[str, Any]:  # Any: parsed JSON
    """The item of a folder, with the network's hyperparameters from ``config.json`` where smp wrote one.

    Raises:
        ModelSpecError: If a file is missing, no JSON, or the two contradict each other.
    """
    item = _read_json(path / ITEM)
    if (path / SMP_CONFIG).is_file():
        _merge_smp_config(item, _read_json(path / SMP_CONFIG), path)
    return item


def write_item(path: Path, item: Mapping[str, Any]) -> None:  # Any: a JSON document
    """Write ``item.json`` whole: under a temporary name, then renamed."""
    path.mkdir(parents=True, exist_ok=True)
    temporary = path / f".{ITEM}.part"
    temporary.write_text(json.dumps(item, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path / ITEM)


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


def _read_json(path: Path) -> dict[str, Any]:  # Any: parsed JSON
    if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:
        raise ModelSpecError(
            f"the model folder {path.parent}",
            f"a file {path.name} of at most {MAX_JSON_BYTES >> 20} MiB in it",
            "write the model's STAC item there; `geoseg models show demo-landcover` shows one",
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as err:
        raise ModelSpecError(f"{path}: {err}", "a JSON document", "correct the file") from err
    if not isinstance(document, dict):
        raise ModelSpecError(f"{path}: a {type(document).__name__}", "a JSON object", "correct the file")
    return document
