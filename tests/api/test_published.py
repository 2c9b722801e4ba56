"""Bodies held against what others made from the published documents.

Processes: classes that a generator made from the OpenAPI document of version 1.0 (the package ogc-api-processes-client).
STAC and its API: stac-pydantic, and the schemas that pystac ships. GeoJSON: geojson-pydantic.
"""

from __future__ import annotations

import pytest
from geojson_pydantic import Feature, FeatureCollection
from ogc_api_processes_client import models as ogc
from ogc_api_processes_client.models.exception import Exception as OgcException
from pydantic import ValidationError
from pystac.validation import validate_dict
from stac_pydantic import api as stac

from tests.api.test_processes import ASYNC, execute, wait


def body(client, path):
    answer = client.get(path)
    assert answer.status_code < 500
    return answer.json()


def test_processes(client):
    ogc.LandingPage.from_dict(body(client, "/"))
    ogc.ConfClasses.from_dict(body(client, "/conformance"))
    listed = ogc.ProcessList.from_dict(body(client, "/processes?limit=100"))
    for process in listed.processes:
        described = ogc.Process.from_dict(body(client, f"/processes/{process.id}"))
        assert described.inputs
        assert described.outputs
    for path in ("/jobs/none", "/processes/none", "/nothing", "/jobs?limit=0"):
        OgcException.from_dict(body(client, path))


def test_jobs(client, worker, finished):
    answer = execute(client, {"text": "teststring", "object": {}}, headers=ASYNC)
    ogc.StatusInfo.from_dict(answer.json())
    ogc.StatusInfo.from_dict(wait(client, answer.headers["location"]))
    assert len(ogc.JobList.from_dict(body(client, "/jobs")).jobs) == 2
    for by_reference in body(client, f"/jobs/{finished}/results").values():
        assert ogc.Link.from_dict(by_reference).href.startswith("http")
    by_value = body(client, f"{answer.headers['location']}/results")["object"]
    ogc.QualifiedInputValue.from_dict(by_value)


def test_polygons(client, finished, world):
    page = FeatureCollection.model_validate(body(client, f"/collections/{finished}/items?limit=5"))
    assert len(page.features) == 5
    Feature.model_validate(body(client, f"/collections/{finished}/items/{page.features[0].id}"))
    FeatureCollection.model_validate_json((world.map / "polygons.geojson").read_bytes())


def test_stac(client, add_finished):
    for _ in range(2):
        job = add_finished()
    stac.LandingPage.model_validate(body(client, "/stac"))
    stac.Conformance.model_validate(body(client, "/stac/conformance"))
    stac.Collections.model_validate(body(client, "/stac/collections"))
    stac.Collection.model_validate(body(client, "/stac/collections/geoseg-results"))
    items = "/stac/collections/geoseg-results/items"
    for path in (items, "/stac/search", f"{items}?limit=1", "/stac/search?limit=1"):
        document = body(client, path)
        stac.ItemCollection.model_validate(document)
        for item in document["features"]:
            validate_dict({**item, "stac_extensions": []})  # schemas of extensions are in no package
    stac.Item.model_validate(body(client, f"{items}/{job}"))


def test_these_classes_can_refuse():
    with pytest.raises(ValidationError):
        ogc.StatusInfo.from_dict({"jobID": "a", "status": "lost", "type": "process"})
    with pytest.raises(ValidationError):
        FeatureCollection.model_validate({"type": "FeatureCollection", "features": [{"type": "Point"}]})
    with pytest.raises(ValidationError):
        stac.LandingPage.model_validate({"type": "Catalog", "id": "a", "description": "b", "links": []})
