"""The STAC part under stac-api-validator, where that is installed: it is no part of the test extra, its needs are many."""

from __future__ import annotations

import io
import json
import socket
import threading
from pathlib import Path

import pystac.validation as schemas
import pytest
import requests
import uvicorn

from geoseg_api import create_app

validations = pytest.importorskip("stac_api_validator.validations", reason="needs stac-api-validator")

CLASSES = ["core", "collections", "features", "item-search"]


@pytest.fixture
def offline(monkeypatch):
    """Published schemas come from pystac's files; those of extensions, which are in no package, take everything."""
    folder, send = Path(schemas.__file__).parent / "jsonschemas", requests.Session.send

    def answer(session, request, **options):
        if "127.0.0.1" in request.url:
            return send(session, request, **options)
        name = request.url.partition("#")[0].rpartition("/")[2]
        known = [path for path in folder.rglob(name) if "stac-extensions" not in request.url]
        found = requests.Response()
        found.status_code, found.url, found.request = 200, request.url, request
        found.headers["Content-Type"] = "application/json"
        found.raw = io.BytesIO(known[0].read_bytes() if known else b'{"type": "object"}')
        return found

    monkeypatch.setattr(requests.Session, "send", answer)


@pytest.mark.slow
def test_the_stac_part_passes_its_validator(client, settings, add_finished, offline):
    for _ in range(12):
        job = add_finished()
    west, south, east, north = client.get(f"/stac/collections/geoseg-results/items/{job}").json()["bbox"]
    around = {"type": "Polygon", "coordinates": [[[west, south], [east, south], [east, north], [west, south]]]}
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        root = f"http://127.0.0.1:{listening.getsockname()[1]}/stac"
        nothing = validations.QueryConfig(*[None] * len(validations.QueryConfig.__dataclass_fields__))
        asked = (root, CLASSES, "geoseg-results", json.dumps(around), None, None, None, True, nothing, None, None)
        _, errors = validations.validate_api(*asked)
    finally:
        server.should_exit = True
        thread.join()
        app.state.service.close()
    assert list(map(str, errors)) == []
