"""What tests of the service share: a small world, a server in this process, a worker in a thread, a finished job."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import worlds
from fastapi.testclient import TestClient

import geoseg
from geoseg_api import ServiceSettings, create_app
from geoseg_api.service import Service
from geoseg_api.store import NewJob
from geoseg_api.worker import Worker

MODEL = "tiny"
MIN_AREA_M2 = 20_000  # a network with random weights gives more polygons than anybody wants


@dataclass(frozen=True)
class World:
    """A raster, a model by its name, and the map that the command line makes of them."""

    folder: Path
    scene: str
    map: Path

    @property
    def inputs(self) -> dict[str, Any]:
        return {"scenes": [self.scene], "model": MODEL, "min_area_m2": MIN_AREA_M2}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("service-world")
    image = worlds.landscape((300, 260), 3).astype("uint8")
    worlds.write_raster(folder / "scenes" / "scene.tif", image, names=worlds.BANDS)
    worlds.finite_model(folder / "models" / MODEL)
    scene = str((folder / "scenes" / "scene.tif").resolve())
    options = {"scenes": scene, "model": MODEL, "models": (folder / "models",), "cache": folder / "cache"}
    geoseg.run(**options, workflow="landcover", out=folder / "map", backend="torch", min_area_m2=MIN_AREA_M2)
    return World(folder, scene, folder / "map")


@pytest.fixture
def settings(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServiceSettings:
    monkeypatch.setenv("GEOSEG_MODELS", str(world.folder / "models"))
    monkeypatch.setenv("GEOSEG_CACHE", str(world.folder / "cache"))
    return ServiceSettings(data=tmp_path / "data", allow_paths=(world.folder / "scenes",), with_echo=True)


@pytest.fixture
def client(settings: ServiceSettings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client
        client.app.state.service.close()


@pytest.fixture
def service(client: TestClient) -> Service:
    found: Service = client.app.state.service
    return found


@pytest.fixture
def worker(service: Service) -> Iterator[Worker]:
    """A worker of this process; ``echo`` needs no other."""
    worker = Worker(service.settings, service.jobs)
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield worker
    worker.stopping.set()
    thread.join()


@pytest.fixture
def add_finished(service: Service, world: World) -> Callable[..., str]:
    """Puts a finished map into the service, as a worker does; gives the id of its job."""

    def add(folder: Path = world.map, owner: str = "", process: str = "landcover") -> str:
        spec = {"datetime": None} if process == "echo" else {"scenes": [world.scene]}
        job_id = str(uuid.uuid4())
        new = NewJob(job_id, process, "key", owner, {"outputs": None, "response": None}, spec)
        service.jobs.add(new, most_queued=10**6, in_flight=10**6, km2_per_day=1e9)
        lease = service.jobs.claim("test")
        assert lease is not None
        shutil.copytree(folder, service.settings.results / job_id)
        assert service.jobs.finish(lease, "successful", None, 1e6)
        return job_id

    return add


@pytest.fixture
def finished(add_finished: Callable[..., str]) -> str:
    return add_finished()
