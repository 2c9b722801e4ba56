"""Rasters on this machine as scenes, for tests of what is found, refused and read."""

from __future__ import annotations

from typing import Any

import pytest
import worlds

from geoseg.errors import GeosegError
from geoseg.load import lazy_item, pixels_of, reading
from geoseg.scenes import Found, find_scenes
from geoseg.spec import JobSpec

RGB = ("red", "green", "blue")


def found(*paths: object, wanted: tuple[str, ...] = RGB, **options: Any) -> Found:
    """What geoseg takes rasters for, when a model reads the bands ``wanted``."""
    return find_scenes(JobSpec.build(scenes=tuple(map(str, paths)), model="any", **options), None, wanted)


def refusal(*paths: object, wanted: tuple[str, ...] = RGB, **options: Any) -> GeosegError:
    """Why rasters are refused, in three lines."""
    with pytest.raises(GeosegError) as refused:
        found(*paths, wanted=wanted, **options)
    assert refused.value.exit_code == 2
    assert [line.split(":")[0] for line in str(refused.value).splitlines()] == ["given", "expected", "to do"]
    return refused.value


def image(shape: tuple[int, int] = (60, 70), bands: int = 3) -> Any:
    """Smooth blobs of 8 bits, (band, y, x)."""
    return worlds.landscape(shape, bands).astype("uint8")


def read(item: Any) -> Any:
    """Pixels of an item on its own grid, and what could not be read."""
    with reading(10**8):
        lazy = lazy_item(item, item.geobox, item.geobox.shape[0], item.sensor.quantity)
        return pixels_of(lazy, slice(0, item.geobox.shape[0]), 2)
