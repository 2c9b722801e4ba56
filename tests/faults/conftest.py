"""What tests of faults share: a model, and patience that costs no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stamina
import worlds
from numpy.typing import NDArray
from pyproj import Transformer

import geoseg
from geoseg.cli import main
from geoseg.models import ModelFolder
from geoseg.remote import policy
from tests.faults import painted
from tests.faults.regions import Ends
from tests.faults.server import FaultServer, serving


@pytest.fixture(scope="session")
def finite(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A finite network with random weights."""
    return worlds.finite_model(tmp_path_factory.mktemp("models") / "finite")


@pytest.fixture(scope="session")
def positions(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A model that reads rows and columns; only its bands matter."""
    return worlds.finite_model(tmp_path_factory.mktemp("models") / "positions", bands=painted.BANDS)


@pytest.fixture(scope="session")
def colours(finite: ModelFolder) -> ModelFolder:
    """A small network of red, green and blue."""
    return finite


@pytest.fixture
def server(folder: Path) -> Iterator[FaultServer]:
    """A server of the folder."""
    with serving(folder) as running:
        yield running


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch):
    """Retries without waits; a stall ends after a tenth of a second."""
    monkeypatch.setattr(policy, "PATIENT", replace(policy.PATIENT, read_s=0.1, connect_s=5.0))
    with stamina.set_testing(testing=True, attempts=6):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to serve."""
    path = tmp_path / "served"
    path.mkdir()
    return path


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a raster, one that lies across the 180th meridian, and a model; they share a tile store."""
    folder = tmp_path_factory.mktemp("world")
    image = worlds.landscape((100, 130), 3).astype("uint8")
    worlds.write_raster(folder / "scene.tif", image, names=worlds.BANDS)
    x, y = Transformer.from_crs(4326, 32660, always_xy=True).transform(180.0, 50.0)
    across = (round(x, -1) - 600, round(y, -1) + 500)
    worlds.write_raster(folder / "across.tif", image, names=worlds.BANDS, crs="EPSG:32660", origin=across)
    worlds.finite_model(folder / "model")
    return folder


@pytest.fixture
def made(world: Path, tmp_path: Path) -> Callable[..., tuple[NDArray[np.uint8], dict[str, Any], Path]]:
    """Runs a region; gives classes, report and folder."""

    def call(aoi: Any, scene: str = "scene.tif", **options: Any) -> tuple[NDArray[np.uint8], dict[str, Any], Path]:
        out = tmp_path / f"map{len(list(tmp_path.iterdir()))}"
        result = geoseg.run(
            aoi=aoi, scenes=str(world / scene), model=str(world / "model"), out=out, cache=world / "cache", **options
        )
        return worlds.read(out / "classes.tif"), result.report, out

    return call


@pytest.fixture
def ends(capfd: pytest.CaptureFixture[str], world: Path, tmp_path: Path) -> Ends:
    """`geoseg run` on the raster with more words; gives the exit status, and the three lines or "" after success."""

    def call(*words: str, scene: str = "scene.tif") -> tuple[int, str]:
        capfd.readouterr()
        request = ["--scenes", str(world / scene), "--model", str(world / "model"), "--out", str(tmp_path / "out")]
        with pytest.raises(SystemExit) as ended:
            main(["run", *request, "--quiet", *words])
        err = capfd.readouterr().err
        if ended.value.code:
            assert [line[:10].rstrip() for line in err.splitlines()] == ["given:", "expected:", "to do:"]
            assert not (tmp_path / "out").exists(), "a refused request leaves nothing behind"
        assert isinstance(ended.value.code, int)
        return ended.value.code, err

    return call
