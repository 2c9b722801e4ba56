"""Every workflow as a job over HTTP, by a real worker with its real processes; and one that ends whoever computes it."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time

import geopandas
import psutil
import pytest
import rasterio
import shapely.geometry
from fastapi.testclient import TestClient
from geojson_pydantic import FeatureCollection
from pairs import write_pair

from geoseg.demo import write_demo
from geoseg_api import ServiceSettings, create_app
from geoseg_api.worker import Worker
from tests.api.test_processes import ASYNC, execute

# The scene of December 2023 shows land that is another one in part.
BEFORE, AFTER = "2021-12-01/2022-02-28", "2023-12-01/2023-12-31"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A client of a service with a small demo; its processes are started, and keep the environment of that moment."""
    folder = tmp_path_factory.mktemp("workflows")
    pair = write_pair(folder / "pair")
    settings = ServiceSettings(data=folder / "data", allow_paths=(folder / "pair",))
    demo = write_demo(settings.demo, shape=(192, 288), uav_shape=(256, 256), later=True)
    with TestClient(create_app(settings)) as client:
        client.demo, client.pair, client.service = demo, pair, client.app.state.service
        with working(client.service):
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("GEOSEG_CACHE", str(folder / "cache"))
                status = ended(client, execute(client, {}, "demo", headers=ASYNC))
                assert status["status"] == "successful", status
            yield client
        client.service.close()


class working:  # noqa: N801  # a context
    """A worker of this process, for a while."""

    def __init__(self, service):
        self.worker = Worker(service.settings, service.jobs)
        self.thread = threading.Thread(target=self.worker.run)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.worker.stopping.set()
        self.thread.join()


def ended(client, answer):
    """The status of a job that was asked for, once it is final."""
    assert answer.status_code == 201, answer.text
    end, between = time.monotonic() + 240, threading.Event()
    while (status := client.get(answer.headers["location"]).json())["status"] in {"accepted", "running"}:
        assert time.monotonic() < end, status
        between.wait(0.1)
    return status


def test_change_of_a_pair_is_that_of_the_command_line(site, tmp_path, caplog):
    caplog.set_level("INFO")
    inputs = {"scenes_before": [str(site.pair.before)], "scenes_after": [str(site.pair.after)]}
    status = ended(site, execute(site, inputs, "change", headers=ASYNC))
    assert status["status"] == "successful", status
    ours = site.pair.run(tmp_path / "map").out
    for name in ("classes.tif", "polygons.parquet", "areas.csv"):
        assert site.get(f"/jobs/{status['jobID']}/files/{name}").content == (ours / name).read_bytes()
    assert {"before", "after"} <= {layer["id"] for layer in site.get(f"/jobs/{status['jobID']}/tiles").json()["layers"]}
    tiles = [one.tile for one in caplog.records if hasattr(one, "tile") and one.job == status["jobID"]]
    report = site.get(f"/jobs/{status['jobID']}/results/report").json()
    assert len(set(tiles)) == len(tiles) == report["tiles"]["computed"]
    assert all(re.fullmatch(r"-?\d+/-?\d+", tile) for tile in tiles)


def test_change_between_two_dates_of_the_catalogue_says_from_what_to_what(site):
    inputs = {**place(site), "before": BEFORE, "after": AFTER, "model": "demo-landcover"}
    status = ended(site, execute(site, inputs, "change", headers=ASYNC))
    assert status["status"] == "successful", status
    found = site.get(f"/collections/{status['jobID']}/items?limit=1000").json()["features"]
    assert {"before", "after", "area_m2"} <= set(found[0]["properties"])
    assert any(one["properties"]["before"] == "forest" for one in found)


def test_words_and_landslides_are_processes_too(site):
    inputs = {**place(site), "prompt": ["forest", "grass"]}
    refused = execute(site, inputs, "prompt")
    assert refused.status_code == 400, "the last twelve months have no scene"
    assert refused.json()["hint"] == "set 'datetime' to a time that it has", "an input, no option of the command line"
    assert refused.json()["errors"][0]["pointer"] == "/inputs/datetime"
    inputs["datetime"] = "2021-06-01/2022-12-31"
    status = ended(site, execute(site, inputs, "prompt", headers=ASYNC))
    assert status["status"] == "successful", status
    report = site.get(f"/jobs/{status['jobID']}/results/report").json()
    assert {one["name"] for one in report["classes"]} >= {"forest", "grass"}
    del inputs["prompt"]
    status = ended(site, execute(site, inputs, "landslide", headers=ASYNC))
    assert status["status"] == "successful", status
    with rasterio.open(site.service.settings.results / status["jobID"] / "classes.tif") as classes:
        assert classes.read(1).any()
    table = geopandas.read_parquet(site.service.settings.results / status["jobID"] / "polygons.parquet")
    assert len(table) == site.get(f"/collections/{status['jobID']}/items").json()["numberMatched"]


def place(site):
    """The catalogue of the demo, and its region without what its file says of it."""
    outline = geopandas.read_file(site.demo.region).to_crs(4326).geometry.iloc[0]
    return {"catalog": str(site.demo.catalog), "aoi": shapely.geometry.mapping(outline)}


def test_a_small_job_is_answered_with_its_masks_and_a_larger_one_with_the_way_to_a_job(site, monkeypatch):
    answer = execute(site, {}, "demo")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/geo+json")
    masks = FeatureCollection.model_validate_json(answer.content)
    assert masks.features
    job = re.search(r"/jobs/([a-z0-9-]+)>; rel=\"monitor\"", answer.headers["link"])[1]
    assert answer.content == site.get(f"/jobs/{job}/files/polygons.geojson").content
    before = len(site.get("/jobs?limit=1000").json()["jobs"])
    monkeypatch.setattr(site.service, "settings", site.service.settings.model_copy(update={"sync_megapixels": 1e-3}))
    refused = execute(site, {}, "demo")
    assert (refused.status_code, refused.headers["content-type"]) == (413, "application/problem+json")
    assert "Prefer: respond-async" in refused.json()["hint"]
    assert len(site.get("/jobs?limit=1000").json()["jobs"]) == before


def test_who_computes_steps_back_behind_the_server(site):
    computing = [one for one in psutil.Process().children() if "geoseg_api.child compute" in " ".join(one.cmdline())]
    assert [one.nice() for one in computing] == [min(19, psutil.Process().nice() + 5)]


def test_what_is_kept_long_enough_is_removed(client, service):
    service.settings = service.settings.model_copy(update={"retention_days": 1e-9})
    with working(service):
        location = execute(client, {"text": "x"}, headers=ASYNC).headers["location"]
        end, between = time.monotonic() + 60, threading.Event()
        while client.get(location).status_code != 404:
            assert time.monotonic() < end
            between.wait(0.1)
    assert list(service.settings.results.iterdir()) == []
    assert list(service.settings.work.iterdir()) == []
    assert client.get("/jobs").json()["jobs"] == []


def test_a_job_that_ends_every_process_fails_and_the_worker_goes_on(client, service, world, tmp_path, monkeypatch):
    """The process that computes gets a signal as it begins, as from a kernel without memory."""
    code = "import os, sys\nif 'compute' in sys.orig_argv: os.kill(os.getpid(), 9)\n"
    (tmp_path / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))
    with working(service):
        status = ended(client, execute(client, world.inputs, "landcover", headers=ASYNC))
        assert status["status"] == "failed"
        assert status["exception"]["type"] == "urn:geoseg:poison"
        assert "begun 5 times" in status["exception"]["detail"]
        assert f"signal {signal.SIGKILL.value}" in status["exception"]["detail"]
        refused = client.get(f"/jobs/{status['jobID']}/results")
        assert (refused.status_code, refused.headers["content-type"]) == (500, "application/problem+json")
        assert execute(client, {"text": "next"}).text == "next"
