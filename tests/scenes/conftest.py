"""One small demo catalogue, shared by the tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest

from geoseg.demo import DemoCatalog, write_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCatalog:
    """Two squares on three dates, 256 x 384 pixels in all."""
    folder: Path = tmp_path_factory.mktemp("demo")
    return write_demo(folder, shape=(256, 384), uav_shape=(256, 256))
