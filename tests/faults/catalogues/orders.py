"""What tests of catalogues ask, and how they spoil one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from stac_api import EVERYWHERE

from geoseg.errors import GeosegError
from geoseg.scenes import Found, find_scenes
from geoseg.spec import JobSpec

BANDS = ("B02", "B04", "B11")

type Ends = Callable[..., tuple[int, str]]


def job(catalog: Path | str, **options: Any) -> JobSpec:
    options = {"datetime": "2021-01-01/2022-12-31", "collection": "sentinel-2-l2a", **options}
    return JobSpec.build(aoi="175,-40,176,-39", catalog=str(catalog), model="any", **options)


def found(catalog: Path | str, **options: Any) -> Found:
    return find_scenes(job(catalog), EVERYWHERE, BANDS, **options)


def refusal(kind: type[GeosegError], catalog: Path | str) -> GeosegError:
    with pytest.raises(kind) as refused:
        found(catalog)
    assert len(str(refused.value).splitlines()) == 3
    return refused.value


def item_paths(folder: Path) -> list[Path]:
    return sorted(folder.rglob("S2*.json"))


def edit(path: Path, **changed: Any) -> dict[str, Any]:
    """Replace members of a document; ``None`` removes one. Dots lead into members."""
    document: dict[str, Any] = json.loads(path.read_text())
    for name, value in changed.items():
        *above, last = name.split("__")
        place = document
        for step in above:
            place = place[step]
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    path.write_text(json.dumps(document))
    return document


def read_classes(folder: Path) -> np.ndarray:
    with rasterio.open(folder / "classes.tif") as file:
        return file.read(1)
