"""The STAC collection over the maps of several dates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geoseg.outputs.item import write_item

Items = Mapping[str, dict[str, Any]]


def build_collection(key: str, title: str, items: Items) -> dict[str, Any]:
    """A STAC collection as a JSON object; its items lie in folders beside it.

    Args:
        key: The job's; names the collection.
        title: For people.
        items: Folder to the item in it, at least one, in the order of the dates.
    """
    boxes = [item["bbox"] for item in items.values() if "bbox" in item]
    times = sorted(time for item in items.values() for time in _times(item["properties"]))
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": key,
        "title": title,
        "description": f"Maps of one region, one for each of {len(items)} dates.",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [boxes[0] if boxes else [-180, -90, 180, 90]]},  # all maps share one grid
            "temporal": {"interval": [[times[0], times[-1]] if times else [None, None]]},
        },
        "links": [
            {"rel": "root", "href": "./collection.json", "type": "application/json"},
            *(
                {"rel": "item", "href": f"./{folder}/item.json", "type": "application/geo+json", "title": folder}
                for folder in items
            ),
        ],
    }


def write_collection(folder: Path, key: str, title: str, names: list[str]) -> Path:
    """Writes ``collection.json``, and into the items that they belong to it.

    Args:
        folder: Where the collection goes.
        key: The job's.
        title: For people.
        names: Folders of the items.

    Raises:
        OutputError: If a file could not be written whole.
    """
    items: dict[str, dict[str, Any]] = {}
    for name in names:
        path = folder / name / "item.json"
        items[name] = _belonging(json.loads(path.read_text(encoding="utf-8")), key)
        write_item(path, items[name])
    return write_item(folder / "collection.json", build_collection(key, title, items))


def _belonging(item: dict[str, Any], key: str) -> dict[str, Any]:
    above = [
        {"rel": rel, "href": "../collection.json", "type": "application/json"}
        for rel in ("root", "parent", "collection")
    ]
    return item | {"collection": key, "links": [*above, *item["links"]]}


def _times(properties: Mapping[str, Any]) -> list[str]:
    """When the scenes were taken; nothing where only the day of the processing is known."""
    if properties.get("geoseg:datetime") == "processing":
        return []
    both = properties["datetime"], properties.get("start_datetime"), properties.get("end_datetime")
    return [time for time in both if time]
