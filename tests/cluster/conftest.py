"""A scheduler and a worker in processes of their own, and an S3 server, all on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import worlds
from distributed import Client

from geoseg.models import ModelFolder

_START_S = 60


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 x 130 pixels, in tiles of 32 pixels."""
    image = worlds.landscape((100, 130), 3).astype("uint8")
    return worlds.write_raster(tmp_path_factory.mktemp("scene") / "scene.tif", image, names=worlds.BANDS)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    return worlds.finite_model(tmp_path_factory.mktemp("models") / "finite")


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """Address of a bucket; the keys and the server are in the environment, also of processes that start later."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    said = {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    said |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in said.items():
            patch.setenv(name, value)
        import s3fs

        s3fs.S3FileSystem().mkdir("bucket")
        yield "s3://bucket"
        server.stop()


@pytest.fixture(scope="session")
def scheduler(s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a scheduler with one worker of two threads."""
    with running_cluster(tmp_path_factory.mktemp("cluster")) as (address, _):
        yield address


@contextmanager
def running_cluster(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler with one worker of two threads; gives its address and its process."""
    facts = folder / "scheduler.json"
    host = ["--host", "127.0.0.1"]
    commands = (
        ["distributed.cli.dask_scheduler", *host, "--port", "0", "--dashboard-address", "127.0.0.1:0", "--no-show"],
        ["distributed.cli.dask_worker", *host, "--no-nanny", "--nthreads", "2", "--no-dashboard"],
    )
    processes = []
    with (folder / "log").open("wb") as log:
        try:
            for words in commands:
                command = [sys.executable, "-m", *words, "--scheduler-file", str(facts)]
                processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=dict(os.environ)))
            with Client(scheduler_file=str(facts), timeout=_START_S, set_as_default=False) as client:
                client.wait_for_workers(1, timeout=_START_S)
                address = client.scheduler.address
            yield address, processes[0]
        finally:
            for process in processes:
                process.kill()
                process.wait()


@pytest.fixture
def mortal(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler that a test may end, with a worker that loads the test's `preload.py`."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    (tmp_path / "preload.py").touch()
    monkeypatch.setenv("DASK_DISTRIBUTED__WORKER__PRELOAD", str([str(tmp_path / "preload.py")]))
    with running_cluster(folder) as found:
        yield found
