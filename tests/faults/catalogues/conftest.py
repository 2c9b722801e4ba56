"""A small demo, a server of it, a copy to be spoilt, and runs on it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from stac_api import Api, serving

from geoseg.cli import main
from geoseg.demo import DemoCatalog, write_demo
from geoseg.scenes.catalogs import api
from tests.faults.catalogues.orders import Ends


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoCatalog:
    """Two squares on three dates, 256 x 384 pixels in all."""
    return write_demo(tmp_path_factory.mktemp("demo"), shape=(256, 384), uav_shape=(256, 256))


@pytest.fixture
def server(demo: DemoCatalog, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, type[Api]]]:
    """The demo behind an API whose faults cost no waiting."""
    monkeypatch.setattr(api, "_BACKOFF_S", 0)
    with serving(demo) as (address, handler):
        yield address, handler


@pytest.fixture
def copy(demo: DemoCatalog, tmp_path: Path) -> Path:
    """A copy of the catalogue to be spoilt, with the files where they were."""
    shutil.copytree(demo.folder, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def ends(capfd: pytest.CaptureFixture[str], demo: DemoCatalog, tmp_path: Path) -> Ends:
    """`geoseg run` of the demo's region on a catalogue; gives the exit status and what was said."""

    def call(catalog: Path | str, *words: str) -> tuple[int, str]:
        capfd.readouterr()
        request = ["--workflow", "demo", "--aoi", str(demo.region), "--catalog", str(catalog), "--device", "cpu"]
        with pytest.raises(SystemExit) as ended:
            main(["run", *request, "--out", str(tmp_path / "map"), "--quiet", *words])
        assert isinstance(ended.value.code, int)
        err = capfd.readouterr().err
        if ended.value.code:
            assert [line[:10].rstrip() for line in err.splitlines()] == ["given:", "expected:", "to do:"]
            assert not (tmp_path / "map" / "classes.tif").exists()
        return ended.value.code, err

    return call
