"""Real processes: a server with its worker, killed at bad moments; and the same map as the command line makes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import httpx
import psutil
import pytest
import worlds

from geoseg.cli import main

FILES = ("classes.tif", "confidence.tif", "polygons.parquet", "polygons.geojson", "areas.csv")


class Server:
    """`geoseg serve` in a process of its own."""

    def __init__(self, world, data, **variables):
        self.environment = {
            **os.environ,
            "GEOSEG_MODELS": str(world.folder / "models"),
            "GEOSEG_CACHE": str(data.parent / "cache"),
            "GEOSEG_TILE_SIZE": "64",
            "GEOSEG_BACKEND": "torch",
            "GEOSEG_SERVICE_ALLOW_PATHS": str(world.folder / "scenes"),
            "GEOSEG_SERVICE_LEASE_S": "3",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            **variables,
        }
        self.data, self.port = data, 0
        (data / "demo").mkdir(parents=True)  # nothing to make at the start
        (data / "demo" / "catalog.json").write_text("{}")

    def start(self):
        command = [
            sys.executable,
            "-m",
            "geoseg",
            "serve",
            "--data",
            str(self.data),
            "--port",
            str(self.port),
            "--with-echo",
        ]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=self.environment)
        for line in self.process.stderr:
            if found := re.search(r"serving on http://127.0.0.1:(\d+)", line):
                self.port = int(found[1])
                break
        threading.Thread(target=self.read, args=(self.process.stderr,), daemon=True).start()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)
        return self

    def read(self, stream):
        with (self.data.parent / "log").open("a") as log:
            log.writelines(stream)

    def children(self, module):
        found = []
        for one in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if module in " ".join(one.cmdline()):
                    found.append(one)
        return found

    def ask(self, inputs, process="landcover"):
        answer = self.client.post(
            f"/processes/{process}/execution", json={"inputs": inputs}, headers={"Prefer": "respond-async"}
        )
        assert answer.status_code == 201, answer.text + (self.data.parent / "log").read_text()[-3000:]
        return answer.json()["jobID"]

    def wait(self, job, until=("successful", "failed", "dismissed"), within_s=240):
        end, between = time.monotonic() + within_s, threading.Event()
        while time.monotonic() < end:
            status = self.client.get(f"/jobs/{job}").json()
            if status["status"] in until:
                return status
            between.wait(0.2)  # whoever asks without a pause takes the core that the job wants, and is told to wait
        raise AssertionError(status)

    def stop(self):
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def server(world, tmp_path_factory):
    server = Server(world, tmp_path_factory.mktemp("live") / "data").start()
    yield server
    if server.process.poll() is None:
        server.stop()


def files(folder):
    """What a job made; GeoJSON only where there are few polygons."""
    found = {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
    assert {"classes.tif", "polygons.parquet"} <= set(found)
    return found


def test_the_same_job_by_http_and_by_command_line_makes_the_same_bytes(server, world, tmp_path):
    status = server.wait(server.ask(world.inputs))
    assert status["status"] == "successful", status
    theirs = files(server.data / "results" / status["jobID"])
    words = ["--scenes", world.scene, "--model", "tiny", "--min-area", "20000"]
    command = [sys.executable, "-m", "geoseg", "run", *words, "--out", str(tmp_path / "map"), "--quiet"]
    subprocess.run(command, check=True, env={**server.environment, "GEOSEG_CACHE": str(tmp_path / "cache")})
    ours = files(tmp_path / "map")
    assert "polygons.geojson" in ours
    assert [name for name in FILES if ours[name] != theirs[name]] == []


@pytest.mark.fault(80)
def test_the_client_of_the_command_line(server, world, tmp_path, capsys):
    url = ["--url", f"http://127.0.0.1:{server.port}"]
    assert (
        _cli(
            [
                "submit",
                "landcover",
                "--input",
                f'scenes=["{world.scene}"]',
                "--input",
                "model=tiny",
                "--input",
                "min_area_m2=20000",
                "--wait",
                *url,
            ]
        )
        == 0
    )
    job = capsys.readouterr().out.strip()
    assert _cli(["status", job, *url]) == 0
    assert capsys.readouterr().out.startswith("successful, 100 %")
    assert _cli(["results", job, "--out", str(tmp_path / "r"), *url]) == 0
    assert files(tmp_path / "r") == files(server.data / "results" / job)
    report = json.loads((server.data / "results" / job / "report.json").read_text())
    assert report["tiles"]["computed"] == 0, "another job of the same kind shares its tiles"
    assert _cli(["submit", "landcover", "--input", "colour=red", *url]) == 2
    assert "colour" in capsys.readouterr().err
    assert _cli(["status", "none", *url]) == 2


def _cli(words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code


@pytest.mark.fault(84)
def test_fault_84_a_large_result_is_streamed_in_little_memory_while_others_are_served(server, world):
    job = server.wait(server.ask(world.inputs))["jobID"]
    with (server.data / "results" / job / "classes.tif").open("r+b") as file:
        file.truncate(500_000_000)
    api = psutil.Process(server.process.pid)
    idle = most = api.memory_info().rss
    size = 0
    with server.client.stream("GET", f"/jobs/{job}/results/classes") as answer:
        for number, part in enumerate(answer.iter_raw()):
            size += len(part)
            if number % 500 == 0:
                most = max(most, api.memory_info().rss)
                assert server.client.get("/health").status_code == 200
    assert size == 500_000_000
    assert most - idle < 60e6


@pytest.fixture(scope="module")
def large(world):
    """A raster of some seconds, and what an undisturbed run makes of it."""
    path = world.folder / "scenes" / "large.tif"
    worlds.write_raster(path, worlds.landscape((1024, 1024), 3, 5).astype("uint8"), names=worlds.BANDS)
    return str(path.resolve())


@pytest.mark.fault(66)
def test_fault_66_a_server_that_is_asked_to_end_gives_its_jobs_back(server, world, large):
    job = server.ask({"pause": 60}, "echo")
    server.wait(job, ("running",))
    workers = server.children("geoseg_api")
    assert workers
    assert server.stop() == 0
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []
    from geoseg_api.store import JobStore, open_database

    database = open_database(server.data)
    assert JobStore(database).get(job).status == "accepted"
    database.close()
    server.start()
    assert server.client.delete(f"/jobs/{job}").json()["status"] == "dismissed"


@pytest.mark.fault(83)
def test_fault_83_a_caller_who_goes_away_leaves_a_job_and_no_worker(server):
    with pytest.raises(httpx.ReadTimeout):
        server.client.post("/processes/echo/execution", json={"inputs": {"pause": 2, "text": "x"}}, timeout=0.5)
    (job,) = server.client.get("/jobs?limit=1").json()["jobs"]
    assert server.wait(job["jobID"])["status"] == "successful"
    assert len(server.children("geoseg_api.tied")) == 1
