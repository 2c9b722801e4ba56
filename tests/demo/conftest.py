"""One small demo on disk, shared by the tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest

from geoseg.demo import DemoCatalog, write_demo

SMALL = (256, 384)
SMALL_UAV = (320, 288)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCatalog:
    """A demo of 256 x 384 pixels."""
    folder: Path = tmp_path_factory.mktemp("demo")
    return write_demo(folder, shape=SMALL, uav_shape=SMALL_UAV)
