"""Scenes and models that the tests of the whole road share."""

from __future__ import annotations

from pathlib import Path

import pytest
import worlds

from geoseg.models import ModelFolder


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 x 230 pixels on a grid whose corner is a multiple of nothing, with a hole of nodata."""
    image = worlds.landscape((200, 230), 3).astype("uint8")
    image[:, 60:75, 20:90] = 0
    return worlds.write_raster(
        tmp_path_factory.mktemp("scene") / "scene_20220101.tif", image, names=worlds.BANDS, nodata=0
    )


@pytest.fixture(scope="session")
def finite(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A finite network with random weights."""
    return worlds.finite_model(tmp_path_factory.mktemp("models") / "finite")


@pytest.fixture(scope="session")
def chip_global(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A network with squeeze-and-excite, random weights, small chips."""
    return worlds.global_model(tmp_path_factory.mktemp("models") / "global")
