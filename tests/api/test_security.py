"""Groups I and J of the list of faults: requests that mean no good."""

from __future__ import annotations

import ast
import http.server
import json
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from geoseg.errors import RequestError
from geoseg.pipeline.evidence import _RASTERS
from geoseg_api import ServiceSettings, create_app
from geoseg_api.gate import RefusedAddressError, check_address, check_path, child_environment, is_public
from geoseg_api.logs import JsonFormatter
from geoseg_api.problems import Problem, problem_of
from geoseg_api.store import KeyStore
from tests.api.test_processes import ASYNC, execute

BOX = [9, 47, 9.01, 47.01]


@pytest.fixture
def canary():
    """A server that nobody may ask; it remembers who did."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1], asked
        server.shutdown()
        thread.join()


HOSTS = [
    "127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]", "169.254.169.254", "10.0.0.1", "192.168.1.1", "[fe80::1]", "[fd00::1]", "user@127.0.0.1",
    "[::ffff:a9fe:a9fe]", "[2002:7f00:1::]", "224.0.0.1", "100.64.0.1",
]  # fmt: skip


@pytest.mark.fault(87)
@pytest.mark.parametrize("host", HOSTS)
def test_fault_87_no_address_leads_inside(client, canary, host):
    port, asked = canary
    for field, address in (
        ("catalog", f"http://{host}:{port}/catalog.json"),
        ("catalog", f"https://{host}/stac"),
        ("scenes", [f"http://{host}:{port}/a.tif"]),
        ("dem", f"http://{host}:{port}/dem.tif"),
    ):
        answer = execute(
            client, {"aoi": BOX, "model": "tiny", field: address, "evidence": "landslide"}, "landcover", ASYNC
        )
        assert answer.status_code == 403, answer.json()
        assert answer.json()["errors"][0]["pointer"] == f"/inputs/{field}"
    assert asked == []
    assert client.get("/jobs").json()["jobs"] == []


@pytest.mark.fault(87)
@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://example.com/a", "gopher://example.com", "http:///a", "http://a b/"]
)
def test_fault_87_other_schemes_are_refused(address):
    with pytest.raises(RefusedAddressError):
        check_address(address, (), "catalog")


@pytest.mark.fault(87)
def test_fault_87_what_is_public_is_told_from_what_is_not():
    assert [is_public(a) for a in ("8.8.8.8", "2606:4700::1", "127.0.0.1", "::1", "64:ff9b::808:808", "fe80::1%eth0", "x")] == [
        True, True, False, False, True, False, False,
    ]  # fmt: skip
    check_address("http://127.0.0.1:9999/a", ("127.0.0.1:9999",), "catalog")
    with pytest.raises(RefusedAddressError):
        check_address("http://127.0.0.1:9998/a", ("127.0.0.1:9999",), "catalog")


@pytest.mark.fault(87)
def test_fault_87_a_connection_inside_fails_wherever_it_comes_from(canary, tmp_path):
    """As after a redirect, or a second look-up of a name: the address is judged when the connection is made."""
    port, asked = canary
    code = f"""
import socket, httpx, urllib.request
from geoseg_api.gate import guard_connections
guard_connections()
for ask in (
    lambda: httpx.get("http://127.0.0.1:{port}/httpx", trust_env=False),
    lambda: urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open("http://localhost:{port}/urllib"),
    lambda: socket.create_connection(("127.0.0.1", {port})),
):
    try:
        ask()
    except PermissionError:
        continue
    except Exception as err:
        assert "neither public nor allowed" in str(err), err
    else:
        raise SystemExit("connected")
"""
    settings = ServiceSettings(data=tmp_path)
    subprocess.run([sys.executable, "-c", code], check=True, env=child_environment(settings))
    assert asked == []
    allowing = settings.model_copy(update={"allow_hosts": (f"127.0.0.1:{port}",)})
    code = f"""
import socket
from geoseg_api.gate import guard_connections
guard_connections()
socket.create_connection(("127.0.0.1", {port})).close()
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=child_environment(allowing))


@pytest.mark.fault(88)
@pytest.mark.parametrize(
    "text",
    [
        "/vsicurl/http://127.0.0.1/a.tif", "/vsizip//etc/a.zip", "/vsistdin/", "/vsisubfile/0_10,/etc/passwd", " /vsimem/a",
        "/VSICURL/http://a", 'NETCDF:"/etc/passwd":x', "GTI:/etc/a.gpkg", "HDF5:a", "GTIFF_RAW:/etc/passwd", "PG:host=a",
        "WMS:http://a", "file:///etc/passwd", "s3://bucket/a.tif", "<VRTDataset/>", '{"type": "x"}', "/etc/passwd", "../../etc/passwd", "~/.ssh/id", "//host/share", "a\0b", "",
    ],
)  # fmt: skip
def test_fault_88_no_path_leads_to_files_of_the_server(client, text):
    for inputs in (
        {"scenes": [text]},
        {"aoi": BOX, "catalog": text},
        {"aoi": BOX, "model": text},
        {"aoi": BOX, "like": text},
    ):
        answer = execute(client, inputs, "landcover", ASYNC)
        assert answer.status_code in {400, 403}, (inputs, answer.json())
    for field in ("collection", "sensor", "crs", "evidence", "comment", "dem", "workflow"):
        answer = execute(client, {"aoi": BOX, "evidence": "landslide", field: text or "../x"}, "landslide", ASYNC)
        assert answer.status_code in {400, 403}, (field, answer.json())


@pytest.mark.fault(88)
def test_fault_88_no_name_is_that_of_a_file_where_the_server_runs(client, tmp_path, monkeypatch):
    """A plain name, which for `geoseg run` is a file of the folder that one is in."""
    monkeypatch.chdir(tmp_path)
    square = {"type": "Polygon", "coordinates": [[[9, 47], [9.1, 47], [9.1, 47.1], [9, 47]]]}
    (tmp_path / "secret.json").write_text(json.dumps(square))
    (tmp_path / "cop-dem").mkdir()
    asked = [("prompt", "example", "secret.json"), ("prompt", "example", ["secret.json"])]
    asked += [("landslide", "dem", name) for name in ("cop-dem", "A.TIF", *(f"a{end}" for end in _RASTERS))]
    for process, field, value in asked:
        answer = execute(client, {"aoi": BOX, field: value}, process, ASYNC)
        assert answer.status_code in {400, 403}, (value, answer.json())
        assert answer.json()["errors"][0]["pointer"] == f"/inputs/{field}"


def documents(scene, canary):
    """What GDAL knows by its content, whatever its name: each would open another file or a server, or run code."""
    source = f"<SimpleSource><SourceFilename>{scene}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    raster = '<VRTDataset rasterXSize="10" rasterYSize="10">{}</VRTDataset>'
    code = f"def f(*a, **k):\n    open({str(canary)!r}, 'w').close()\n"
    derived = (
        '<VRTRasterBand dataType="Byte" band="1" subClass="VRTDerivedRasterBand"><PixelFunctionType>f</PixelFunctionType>'
        f"<PixelFunctionLanguage>Python</PixelFunctionLanguage><PixelFunctionCode>{code}</PixelFunctionCode>{source}"
        "</VRTRasterBand>"
    )
    address = "http://127.0.0.1:9/"
    return {
        "vrt": raster.format(f'<VRTRasterBand dataType="Byte" band="1">{source}</VRTRasterBand>'),
        "python": raster.format(derived),
        "wms": f'<GDAL_WMS><Service name="TMS"><ServerUrl>{address}${{z}}</ServerUrl></Service><DataWindow><SizeX>9</SizeX>'
        "<SizeY>9</SizeY><TileLevel>1</TileLevel></DataWindow></GDAL_WMS>",
        "wmts": f"<GDAL_WMTS><GetCapabilitiesUrl>{address}</GetCapabilitiesUrl><Layer>a</Layer></GDAL_WMTS>",
        "wcs": f"<WCS_GDAL><ServiceURL>{address}</ServiceURL><CoverageName>a</CoverageName></WCS_GDAL>",
        "gti": f"<GDALTileIndexDataset><IndexDataset>{scene}</IndexDataset></GDALTileIndexDataset>",
        "stacit": '{"type": "FeatureCollection", "stac_version": "1.0.0", "features": [{"type": "Feature", "assets": '
        f'{{"a": {{"href": "{address}a.tif"}}}}}}]}}',
        "ogr-vrt": f"<OGRVRTDataSource><OGRVRTLayer name='a'><SrcDataSource>{address}a.geojson</SrcDataSource></OGRVRTLayer>"
        "</OGRVRTDataSource>",
    }


@pytest.mark.fault(89)
def test_fault_89_files_that_name_other_files_do_not_open(world, tmp_path):
    """By content, under the name of a GeoTIFF and of GeoJSON; in the environment of the processes that read."""
    canary = tmp_path / "canary"
    for name, text in documents(world.scene, canary).items():
        for suffix in ("tif", "geojson"):
            (tmp_path / f"{name}.{suffix}").write_text(text)
    code = f"""
from pathlib import Path
from geoseg_api.gate import check_drivers
check_drivers()
import rasterio, pyogrio
assert rasterio.open({world.scene!r}).count == 3
asks = [lambda: rasterio.open("/vsicurl/http://127.0.0.1:9/a.tif")]
for path in sorted(Path({str(tmp_path)!r}).glob("*.*")):
    asks += [lambda path=path: rasterio.open(path).read(), lambda path=path: rasterio.open(path.read_text()).read()]
    if path.stem != "stacit":  # as vectors it is plain GeoJSON, which names nothing
        asks += [lambda path=path: pyogrio.read_info(path), lambda path=path: pyogrio.read_info(path.read_text())]
for ask in asks:
    try:
        ask()
    except Exception:
        continue
    raise SystemExit(f"opened {{ask.__defaults__}}")
"""
    settings = ServiceSettings(data=tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env=child_environment(settings), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not canary.exists()
    plain = {name: value for name, value in os.environ.items() if not name.startswith("GDAL_")}
    again = subprocess.run(
        [sys.executable, "-c", "from geoseg_api.gate import check_drivers; check_drivers()"],
        check=False, env=plain, capture_output=True, text=True,
    )  # fmt: skip
    assert "GDAL opens VRT" in again.stderr, "the check can fail"


@pytest.mark.fault(90)
def test_fault_90_a_link_in_an_allowed_folder_leads_nowhere_else(tmp_path):
    (tmp_path / "allowed").mkdir()
    (tmp_path / "secret.tif").write_bytes(b"secret")
    (tmp_path / "allowed" / "link.tif").symlink_to(tmp_path / "secret.tif")
    allowed = ((tmp_path / "allowed").resolve(),)
    check_path(str(tmp_path / "allowed" / "a.tif"), allowed, "scenes")
    for name in ("link.tif", "../secret.tif", "../allowed-not/a.tif"):
        with pytest.raises(RefusedAddressError):
            check_path(f"{tmp_path}/allowed/{name}", allowed, "scenes")


@pytest.mark.fault(92)
def test_fault_92_nothing_that_a_request_says_becomes_a_page(client):
    evil = "<script>alert(1)</script>"
    for answer in (
        client.get(f"/jobs/{evil}"),
        client.get("/docs"),
        client.get(f"/{evil}"),
        execute(client, {evil: 1}),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe-eval" not in policy
        assert "'unsafe-inline'" not in policy.partition("style-src")[0]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"].startswith("application/") or evil not in answer.text


@pytest.mark.fault(93)
def test_fault_93_a_line_of_the_log_is_one_event():
    record = logging.LogRecord("geoseg", logging.INFO, "", 1, "a\nb \x1b[31mred %s", ("x\r\ny",), None)
    record.path, record.job = "/jobs\n/forged", "j"
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "\x1b" not in line
    assert json.loads(line)["message"].startswith("a\nb")
    assert json.loads(line)["job"] == "j"


@pytest.mark.fault(94)
@pytest.mark.parametrize(
    "secret", ["https://u:CANARY@host/a", "https://h/a?sig=CANARY&se=1", "/vsicurl/https://h/a?token=CANARY"]
)
def test_fault_94_no_signature_in_problems_or_logs(secret):
    texts = [json.dumps(Problem(400, secret, secret, secret).document())]
    texts.append(json.dumps(problem_of(RequestError(secret, secret, secret))))
    record = logging.LogRecord("geoseg", logging.INFO, "", 1, "read %s", (secret,), None)
    record.path = secret
    err = ValueError(secret)
    record.exc_info = (ValueError, err, None)
    texts.append(JsonFormatter().format(record))
    assert [text for text in texts if "CANARY" in text] == []


@pytest.mark.fault(79)
def test_fault_79_the_words_of_a_failed_job_hold_no_folder_of_the_server():
    told = problem_of(
        RequestError("/srv/data/work/x/1/a.tif is odd", "/srv/data", "see /home/me"), ("/srv/data", "/home/me")
    )
    assert "/srv" not in json.dumps(told)
    assert "/home" not in json.dumps(told)
    assert told["status"] == 400


@pytest.fixture
def guarded(settings):
    with TestClient(create_app(settings.model_copy(update={"keys": True}))) as client:
        yield client
        client.app.state.service.close()


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.fault(95)
def test_fault_95_without_a_good_key_there_is_nothing(guarded):
    keys = KeyStore(guarded.app.state.service.database)
    good, reader = keys.add("me"), keys.add("reader", ["read"])
    for headers in ({}, bearer("x"), bearer(good[:-1]), {"X-API-Key": "geoseg_a_b"}, {"Authorization": "Basic eDp5"}):
        for method, path in (
            ("GET", "/jobs"),
            ("GET", "/jobs/x"),
            ("GET", "/processes"),
            ("GET", "/stac"),
            ("DELETE", "/jobs/x"),
        ):
            answer = guarded.request(method, path, headers=headers)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Bearer")
    assert guarded.get(f"/jobs?api_key={good}").status_code == 401
    assert guarded.get("/jobs", headers=bearer(good)).status_code == 200
    assert guarded.get("/jobs", headers={"X-API-Key": good}).status_code == 200
    assert execute(guarded, {"text": "x"}, headers={**ASYNC, **bearer(reader)}).status_code == 403
    keys.revoke(keys.check(good).id)
    assert guarded.get("/jobs", headers=bearer(good)).status_code == 401
    assert guarded.get("/health").status_code == 200


@pytest.mark.fault(95)
def test_fault_95_a_job_of_another_key_does_not_exist(guarded):
    keys = KeyStore(guarded.app.state.service.database)
    mine, yours, admin = keys.add("me"), keys.add("you"), keys.add("root", ["admin"])
    job = execute(guarded, {"text": "x"}, headers={**ASYNC, **bearer(mine)}).json()["jobID"]
    nothing = guarded.get("/jobs/none", headers=bearer(yours)).json()
    for method, path in (
        ("GET", ""),
        ("GET", "/results"),
        ("GET", "/events"),
        ("GET", "/log"),
        ("GET", "/tiles"),
        ("DELETE", ""),
    ):
        answer = guarded.request(method, f"/jobs/{job}{path}", headers=bearer(yours))
        assert answer.status_code == 404
        assert answer.json()["type"] == nothing["type"]
    assert guarded.get("/jobs", headers=bearer(yours)).json()["jobs"] == []
    assert [one["jobID"] for one in guarded.get("/jobs", headers=bearer(admin)).json()["jobs"]] == [job]


@pytest.mark.fault(95)
def test_fault_95_keys_are_off_on_loopback_only(tmp_path):
    assert not ServiceSettings(data=tmp_path).needs_keys
    assert ServiceSettings(data=tmp_path, host="0.0.0.0").needs_keys
    for more in ({"public_url": "https://maps.example"}, {"proxies": ("127.0.0.1",)}):
        assert ServiceSettings(data=tmp_path, **more).needs_keys, "others come by a proxy"
        assert not ServiceSettings(data=tmp_path, keys=False, **more).needs_keys, "which may ask for passwords itself"
    with pytest.raises(RequestError, match="without API keys"):
        ServiceSettings.with_options(data=tmp_path, host="0.0.0.0", keys=False)


@pytest.mark.fault(95)
def test_fault_95_without_keys_nobody_comes_by_another_name(settings, client):
    """By a proxy in front, or by a page of others whose name was made to stand for this machine."""
    for host in ("127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:80", "maps.localhost", "127.8.9.10", "box"):
        assert client.get("/jobs", headers={"Host": host}).status_code == 200, host
    for host in ("maps.example", "127.0.0.1.example:8000", "10.0.0.1", "localhost.example", "[::", "8.8.8.8:8000"):
        for method, path in (("GET", "/jobs"), ("POST", "/processes/echo/execution"), ("GET", "/stac/search")):
            answer = client.request(method, path, headers={"Host": host})
            assert answer.status_code == 403, (host, path)
            assert "GEOSEG_SERVICE_KEYS" in answer.json()["hint"]
    with TestClient(create_app(settings.model_copy(update={"keys": False}))) as told:
        assert told.get("/jobs", headers={"Host": "maps.example"}).status_code == 200
        told.app.state.service.close()


@pytest.mark.fault(96)
def test_fault_96_limits_of_bodies_requests_and_jobs(settings, tmp_path):
    small = settings.model_copy(update={"max_body": 1000, "requests_per_minute": 20, "jobs_in_flight": 2})
    with TestClient(create_app(small), raise_server_exceptions=False) as client:
        big = b'{"inputs": {"text": "' + b"x" * 2000 + b'"}}'
        json_kind = {"Content-Type": "application/json"}
        assert client.post("/processes/echo/execution", content=big, headers=json_kind).status_code == 413
        chunks = (big[start : start + 100] for start in range(0, len(big), 100))
        assert client.post("/processes/echo/execution", content=chunks, headers=json_kind).status_code == 413
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: execute(client, {"text": "x"}, headers=ASYNC), range(6)))
        assert sorted(answer.status_code for answer in answers) == [201, 201, 429, 429, 429, 429]
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers if answer.status_code == 429)
        last = [client.get("/jobs") for _ in range(30)][-1]
        assert last.status_code == 429
        assert int(last.headers["retry-after"]) >= 1
        client.app.state.service.close()


@pytest.mark.fault(97)
def test_fault_97_the_service_starts_no_cluster(repository, monkeypatch):
    """Nothing of it imports dask.distributed, and its processes compute by themselves."""
    names = set()
    for path in (repository / "api" / "geoseg_api").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            names |= {str(node.module)} if isinstance(node, ast.ImportFrom) else set()
    assert not [name for name in names if name.startswith(("distributed", "dask", "geoseg.cluster"))]
    monkeypatch.setenv("GEOSEG_WORKERS", "4")
    assert "GEOSEG_WORKERS" not in child_environment(ServiceSettings(data=Path("/tmp")))


@pytest.mark.fault(98)
def test_fault_98_other_origins_are_let_in_by_name_only(settings):
    asked = {"Origin": "https://maps.example", "Access-Control-Request-Method": "POST"}
    with TestClient(create_app(settings)) as client:
        assert "access-control-allow-origin" not in client.get("/jobs", headers=asked).headers
        client.app.state.service.close()
    with TestClient(create_app(settings.model_copy(update={"origins": ("https://maps.example",)}))) as client:
        answer = client.options("/jobs", headers=asked)
        assert answer.headers["access-control-allow-origin"] == "https://maps.example"
        assert "access-control-allow-credentials" not in answer.headers
        other = client.options("/jobs", headers={**asked, "Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        client.app.state.service.close()


@pytest.mark.fault(15)
def test_fault_15_a_region_that_is_a_bomb_costs_nothing(client):
    nested = b'{"inputs": {"aoi": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}"
    digits = b'{"inputs": {"aoi": [' + b"9" * 1_000_000 + b", 1, 2, 3]}}"
    many = json.dumps({"inputs": {"aoi": {"type": "Polygon", "coordinates": [[[0, 0]] * 150_000]}}}).encode()
    huge = b'{"inputs": {"aoi": {"type": "Polygon", "coordinates": [[[1e308, 0], [1, 1], [0, 1], [1e308, 0]]]}}}'
    long = b'{"inputs": {"aoi": [15, 45, 1e9, 46]}}'
    for body, status in ((nested, 413), (digits, 413), (many, 413), (huge, 400), (long, 400)):
        answer = client.post("/processes/landcover/plan", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == status
