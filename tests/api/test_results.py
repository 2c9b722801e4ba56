"""Results of a finished job: files in ranges, polygons in pages, a STAC tree, map tiles."""

from __future__ import annotations

import io
import json
import urllib.parse

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from pystac.validation import validate_dict

from geoseg_api.polygons import Polygons


def pages(client, address):
    """All features of a chain of `next` links, and the number of pages."""
    features, count = [], 0
    while address:
        document = client.get(address).json()
        assert document["numberReturned"] == len(document["features"])
        features += document["features"]
        count += 1
        address = next((link["href"] for link in document["links"] if link["rel"] == "next"), None)
    return features, count


def test_results_are_links_that_lead_to_the_files(client, finished, world):
    document = client.get(f"/jobs/{finished}/results").json()
    assert set(document) >= {"masks", "polygons", "classes", "confidence", "areas", "report", "item"}
    for name, file in (("classes", "classes.tif"), ("masks", "polygons.geojson"), ("polygons", "polygons.parquet")):
        answer = client.get(document[name]["href"])
        assert answer.content == (world.map / file).read_bytes()
        assert answer.headers["content-type"].startswith(document[name]["type"])
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get(f"/jobs/{finished}/results/nothing").status_code == 400
    assert client.get(f"/jobs/{finished}/results/entropy").status_code == 404


def test_every_file_is_listed_and_nothing_else_is_served(client, finished, world):
    links = client.get(f"/jobs/{finished}/files").json()["links"]
    names = {link["title"] for link in links}
    assert names >= {"classes.tif", "report.html", "areas.csv"}
    assert not any(name.startswith("job/") for name in names)
    assert {client.get(link["href"]).status_code for link in links} == {200}
    for name in ("job/spec.json", "../../service.db", "%2e%2e/%2e%2e/service.db", "none"):
        assert client.get(f"/jobs/{finished}/files/{name}").status_code == 404
    page = client.get(f"/jobs/{finished}/files/report.html")
    assert "sandbox" in page.headers["content-security-policy"]
    assert client.head(f"/jobs/{finished}/files/classes.tif").headers["content-length"] == str(
        (world.map / "classes.tif").stat().st_size
    )


@pytest.mark.fault(84)
def test_fault_84_ranges_of_a_large_file_come_alone(client, service, finished):
    """A sparse file of 1 GB: its ends are read without the middle."""
    path = service.settings.results / finished / "classes.tif"
    path.write_bytes(b"II*\0")
    with path.open("r+b") as file:
        file.truncate(10**9)
        file.seek(10**9 - 4)
        file.write(b"tail")
    address = f"/jobs/{finished}/results/classes"
    for words, body, place in (
        ("bytes=0-3", b"II*\0", "bytes 0-3/"),
        ("bytes=-4", b"tail", "bytes 999999996-999999999/"),
    ):
        answer = client.get(address, headers={"Range": words})
        assert (answer.status_code, answer.content) == (206, body)
        assert answer.headers["content-range"] == f"{place}1000000000"
    assert client.get(address, headers={"Range": "bytes=2000000000-"}).status_code == 416


def test_pages_of_polygons_are_the_file(client, finished, world):
    table = geopandas.read_parquet(world.map / "polygons.parquet")
    features, count = pages(client, f"/collections/{finished}/items?limit=7")
    assert count == -(-len(table) // 7)
    assert [feature["id"] for feature in features] == table["id"].tolist()
    for feature, row, outline in zip(features, table.itertuples(), table.to_crs(4326).geometry, strict=True):
        assert feature["properties"]["pixels"] == row.pixels
        assert shapely.equals_exact(
            shapely.normalize(shapely.geometry.shape(feature["geometry"])), shapely.normalize(outline), 1e-6
        )
    first = client.get(f"/collections/{finished}/items?limit=7").json()
    assert first["numberMatched"] == len(table)
    alone = client.get(f"/collections/{finished}/items/{features[3]['id']}").json()
    assert (alone["geometry"], alone["properties"]) == (features[3]["geometry"], features[3]["properties"])
    assert client.get(f"/collections/{finished}/items/999999999999").status_code == 404
    assert client.get(f"/collections/{finished}/items/../x").status_code == 404


@pytest.mark.parametrize(
    "share", [(0.2, 0.3, 0.4, 0.5), (0.0, 0.0, 0.01, 0.01), (0.9, 0.1, 1.5, 0.2), (2.0, 2.0, 3.0, 3.0)]
)
def test_a_box_gives_what_shapely_gives(client, finished, world, share):
    table = geopandas.read_parquet(world.map / "polygons.parquet").to_crs(4326)
    west, south, east, north = table.total_bounds
    box = [
        west + share[0] * (east - west),
        south + share[1] * (north - south),
        west + share[2] * (east - west),
        south + share[3] * (north - south),
    ]
    wanted = set(table["id"][table.intersects(shapely.box(*box))])
    features, _ = pages(client, f"/collections/{finished}/items?limit=3&bbox={','.join(map(repr, map(float, box)))}")
    assert sorted(feature["id"] for feature in features) == sorted(wanted)
    everywhere = f"/collections/{finished}/items?limit=1&bbox=170,-80,169,80"  # the long way round
    assert client.get(everywhere).json()["features"]


def test_row_groups_do_not_show_in_pages(tmp_path, world, monkeypatch):
    """The same polygons in groups of five rows."""
    import pyarrow.parquet as pq

    whole = pq.read_table(world.map / "polygons.parquet")
    metadata = pq.read_metadata(world.map / "polygons.parquet").metadata
    with pq.ParquetWriter(tmp_path / "p.parquet", whole.schema) as writer:
        writer.write_table(whole, row_group_size=5)
        writer.add_key_value_metadata({"geo": metadata[b"geo"].decode()})
    small, large = Polygons(tmp_path / "p.parquet"), Polygons(world.map / "polygons.parquet")
    for after, limit in ((0, 3), (4, 4), (7, 100), (10**6, 5)):
        assert small.page(after, limit) == large.page(after, limit)
    box = large.bounds
    assert small.page(3, 6, box) == large.page(3, 6, box)


def test_requests_for_polygons_that_make_no_sense(client, finished):
    for query in ("limit=0", "limit=x", "bbox=1,2,3", "bbox=1,5,2,4", "bbox=a,b,c,d", "colour=red", "datetime=now"):
        assert client.get(f"/collections/{finished}/items?{query}").status_code == 400, query
    assert client.get(f"/collections/{finished}/items?limit=1000000").status_code == 200


def test_collections_page_and_describe(client, add_finished):
    names = [add_finished() for _ in range(3)]
    first = client.get("/collections?limit=2").json()
    rest = client.get(next(link["href"] for link in first["links"] if link["rel"] == "next")).json()
    found = first["collections"] + rest["collections"]
    assert [one["id"] for one in found] == names[::-1]
    assert found[0]["itemType"] == "feature"
    west, south, east, north = found[0]["extent"]["spatial"]["bbox"][0]
    assert west < east
    assert south < north
    assert client.get(f"/collections/{names[0]}").json() == found[2]


def test_the_stac_tree_validates_and_its_links_resolve(client, finished):
    catalog = client.get("/stac").json()
    validate_dict(catalog)
    assert {link["rel"] for link in catalog["links"]} >= {
        "self",
        "root",
        "conformance",
        "data",
        "search",
        "service-desc",
    }
    collection = client.get("/stac/collections/geoseg-results").json()
    validate_dict(collection)
    document = client.get("/stac/search").json()
    (item,) = document["features"]
    validate_dict({**item, "stac_extensions": []})  # schemas of extensions are elsewhere
    assert item["id"] == finished
    assert {client.get(asset["href"]).status_code for asset in item["assets"].values()} == {200}
    own = [link["href"] for link in item["links"] if link["href"].startswith("http://testserver")]
    assert {client.get(href).status_code for href in own} == {200}


def test_searches_of_stac(client, add_finished):
    names = [add_finished() for _ in range(3)]
    bbox = client.get("/stac/search").json()["features"][0]["bbox"]
    here = ",".join(map(str, bbox))
    assert len(client.get(f"/stac/search?bbox={here}").json()["features"]) == 3
    assert client.get("/stac/search?bbox=-10,-10,-9,-9").json()["features"] == []
    assert client.get("/stac/search?datetime=1900-01-01T00:00:00Z/1901-01-01T00:00:00Z").json()["features"] == []
    assert [f["id"] for f in client.get(f"/stac/search?ids={names[1]}").json()["features"]] == [names[1]]
    assert client.get("/stac/search?collections=other").json()["features"] == []
    shape = {"type": "Polygon", "coordinates": [[[0, 0], [60, 0], [60, 80], [0, 80], [0, 0]]]}
    assert len(client.post("/stac/search", json={"intersects": shape, "limit": 10}).json()["features"]) == 3
    both = client.post("/stac/search", json={"intersects": shape, "bbox": bbox})
    assert both.status_code == 400
    features, count = pages(client, "/stac/collections/geoseg-results/items?limit=2")
    assert ([feature["id"] for feature in features], count) == (names[::-1], 2)
    found, body = [], {"limit": 2}
    for _ in range(2):
        document = client.post("/stac/search", json=body).json()
        found += [feature["id"] for feature in document["features"]]
        body |= next((link["body"] for link in document["links"] if link["rel"] == "next"), {})
    assert found == names[::-1]


def test_a_tile_shows_the_pixels_of_the_map(client, finished, world):
    layers = {layer["id"]: layer for layer in client.get(f"/jobs/{finished}/tiles").json()["layers"]}
    assert set(layers) >= {"classes", "confidence"}
    west, south, east, north = layers["classes"]["bounds"]
    zoom = layers["classes"]["maxzoom"]
    x, y = _tile_of((west + east) / 2, (south + north) / 2, zoom)
    address = urllib.parse.urlsplit(layers["classes"]["tiles"][0].format(z=zoom, x=x, y=y)).path
    answer = client.get(address)
    assert answer.headers["content-type"] == "image/png"
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))
    assert pixels.shape == (256, 256, 4)
    with rasterio.open(world.map / "classes.tif") as source:
        palette = {
            tuple(colour[:3]) for value, colour in source.colormap(1).items() if value in np.unique(source.read(1))
        }
    shown = {tuple(int(part) for part in colour[:3]) for colour in pixels[pixels[..., 3] == 255]}
    assert shown
    assert shown <= palette
    assert client.get(f"/jobs/{finished}/tiles/classes/3/0/0.png").status_code == 204
    for wrong in ("classes/3/9/0", "soil/3/0/0"):
        assert client.get(f"/jobs/{finished}/tiles/{wrong}.png").status_code == 404
    assert client.get(f"/jobs/{finished}/tiles/classes/99/0/0.png").status_code == 400


def _tile_of(lon, lat, zoom):
    size = 2**zoom
    return int((lon + 180) / 360 * size), int((1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2 * size)


TIMES = {
    200: ("1985-04-12T23:20:50.52Z", "1996-12-19t16:39:57-08:00", "../1985-04-12T23:20:50z", "1985-04-12T23:20:50Z/", "/1985-04-12T23:20:50Z",
          "1985-04-12T23:20:50.52+01:00/1986-04-12T23:20:50.012345678+01:00"),
    400: ("/", "../..", "/..", "../", "1985-04-12", "1985-12-12T23:20:50", "1985-04-12T23:20:50+0100", "21985-12-12T23:20:50Z", "1985-04-12T23:20:50.Z",
          "1985-13-12T23:20:50Z", "1985-12-01T25:20:50Z", "1985-04-12T23:20:50,5Z", "1986-04-12T23:20:50Z/1985-04-12T23:20:50Z", "1984-04-12T23:20:50Z/1985-04-12T23:20:50Z/"),
}  # fmt: skip


@pytest.mark.parametrize(("status", "time"), [(status, time) for status, times in TIMES.items() for time in times])
def test_times_of_stac_are_those_of_the_standard(client, status, time):
    assert client.get("/stac/search", params={"datetime": time}).status_code == status
    assert client.post("/stac/search", json={"datetime": time}).status_code == status


def test_numbers_of_stac_are_those_of_the_standard(client):
    for limit, status in ((1, 200), (10_000, 200), (1_000_000, 200), (0, 400), (-1, 400)):
        assert client.get(f"/stac/search?limit={limit}").status_code == status
        assert client.post("/stac/search", json={"limit": limit}).status_code == status
    for box, status in (
        ("0,0,1,1", 200),
        ("0,0,0,1,1,1", 200),
        ("[0, 0, 1, 1]", 400),
        ("0,1,1,0", 400),
        ("0,0,1", 400),
    ):
        assert client.get("/stac/search", params={"bbox": box}).status_code == status
    for box, status in (
        ([0, 0, 1, 1], 200),
        ("0,0,1,1", 400),
        ([0, 1, 1, 0], 400),
        ([0, 0, 0, 1, 1], 400),
        (["x"] * 4, 400),
    ):
        assert client.post("/stac/search", json={"bbox": box}).status_code == status


def test_links_know_the_proxy(settings, add_finished, client):
    from fastapi.testclient import TestClient

    from geoseg_api import create_app

    job = add_finished()
    behind = settings.model_copy(update={"public_url": "https://maps.example/geoseg", "keys": False})
    with TestClient(create_app(behind)) as outside:
        document = outside.get(f"/collections/{job}/items?limit=1&bbox=-180,-90,180,90").json()
        hrefs = [link["href"] for link in document["links"]]
        assert all(href.startswith("https://maps.example/geoseg/") for href in hrefs)
        following = next(link["href"] for link in document["links"] if link["rel"] == "next")
        assert "bbox=" in following
        assert "limit=1" in following
        outside.app.state.service.close()


@pytest.mark.fault(78)
@pytest.mark.parametrize(("end", "status"), [("failed", 400), ("dismissed", 410), ("", 404)])
def test_fault_78_results_of_a_job_without_a_good_end(client, service, end, status):
    from tests.api.test_store import PLENTY, job

    new = service.jobs.add(job(), **PLENTY).job
    lease = service.jobs.claim("w")
    if end == "failed":
        problem = {"type": "urn:geoseg:RequestError", "status": 400, "detail": "no such band", "errors": []}
        service.jobs.finish(lease, "failed", problem, None)
    elif end:
        service.jobs.dismiss(new.id)
    for path in ("results", "results/classes", "files", "files/classes.tif", "tiles"):
        answer = client.get(f"/jobs/{new.id}/{path}")
        assert answer.status_code == status
        assert json.loads(answer.content)["status"] == status
