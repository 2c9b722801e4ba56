"""Catalogues whose links lead anywhere: case 26; and one job from all kinds of catalogues."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
import rasterio
from stac_api import EVERYWHERE

import geoseg
from geoseg.demo import DemoCatalog
from geoseg.scenes.catalogs import find_items
from tests.faults.catalogues.orders import Ends, item_paths, read_classes


@pytest.mark.fault(26)
def test_fault_26_links_of_every_kind_are_followed_and_loops_end(copy: Path, tmp_path: Path, ends: Ends) -> None:
    """Relative, absolute, through `..`, as a file address; one that is broken, and one that leads back."""
    nested = tmp_path / "elsewhere" / "nested"
    nested.mkdir(parents=True)
    paths = item_paths(copy)
    hrefs = [
        os.path.relpath(paths[0], nested),
        str(paths[1]),
        paths[2].as_uri(),
        f"../nested/{'../' * 2}copy/catalog.json",
    ]
    links = [{"rel": "item", "href": href} for href in hrefs[:3]]
    links += [{"rel": "child", "href": hrefs[3]}, {"rel": "item", "href": "./gone.json"}]
    links += [{"rel": "child", "href": "./catalog.json"}, {"rel": "child", "href": "../nested/catalog.json"}]
    catalog = {"type": "Catalog", "stac_version": "1.0.0", "id": "outer", "description": "-", "links": links}
    (nested / "catalog.json").write_text(json.dumps(catalog))
    inner = json.loads((copy / "catalog.json").read_text())
    inner["links"].append({"rel": "child", "href": str(nested / "catalog.json")})
    (copy / "catalog.json").write_text(json.dumps(inner))
    search = find_items(str(nested), None, EVERYWHERE, None)
    assert len(search.items) == 6
    for item in search.items:
        assert all(Path(asset.href).is_file() for asset in item.assets.values())
    ((name, reason),) = search.skipped
    assert name == str(nested / "gone.json")
    assert "catalog.json" in reason
    assert ends(nested) == (0, "")
    skipped = json.loads((tmp_path / "map" / "report.json").read_text())["scenes_skipped"]
    assert [entry["id"] for entry in skipped] == [str(nested / "gone.json")]
    through = read_classes(tmp_path / "map")
    assert ends(copy, "--fresh") == (0, "")
    np.testing.assert_array_equal(read_classes(tmp_path / "map"), through)


@pytest.mark.fault(26)
def test_fault_26_a_catalogue_of_broken_links_alone_names_them_and_ends_with_3(copy: Path, ends: Ends) -> None:
    for path in item_paths(copy):
        path.unlink()
    status, said = ends(copy)
    assert status == 3
    assert "S2" in said
    assert "leads to nothing readable" in said


@pytest.fixture
def stac_server(demo: DemoCatalog, tmp_path: Path) -> Iterator[str]:
    """The demo's items behind rustac's API."""
    documents = [
        item.to_dict(include_self_link=False, transform_hrefs=False)
        for item in find_items(str(demo.catalog), None, EVERYWHERE, None).items
    ]
    items = tmp_path / "items.json"
    items.write_text(json.dumps({"type": "FeatureCollection", "features": documents}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    program = Path(sys.executable).with_name("rustac")
    command = [program, "serve", items, "--create-collections", "--addr", address]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(f"http://{address}", process)
            yield f"http://{address}"
        finally:
            process.kill()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        try:
            with urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail("rustac serves nothing")


@pytest.mark.slow
def test_one_job_from_a_folder_a_table_and_a_server_gives_the_same_pixels(
    demo: DemoCatalog, stac_server: str, tmp_path: Path
) -> None:
    """Each with a cache of its own, so that nothing is taken over; the table is written by rustac."""
    documents = [
        item.to_dict(include_self_link=False, transform_hrefs=False)
        for item in find_items(str(demo.catalog), None, EVERYWHERE, None).items
    ]
    (tmp_path / "plain.json").write_text(json.dumps({"type": "FeatureCollection", "features": documents}))
    table = tmp_path / "items.parquet"
    rustac = Path(sys.executable).with_name("rustac")
    subprocess.run([rustac, "translate", tmp_path / "plain.json", table], check=True, timeout=60)
    catalogs = {"folder": str(demo.catalog), "list": str(tmp_path / "plain.json"), "table": str(table)}
    maps = {}
    for name, catalog in {**catalogs, "server": stac_server}.items():
        result = geoseg.run(
            aoi=str(demo.region),
            catalog=catalog,
            workflow="demo",
            out=tmp_path / name,
            cache=tmp_path / f"cache-{name}",
        )
        with rasterio.open(result.out / "classes.tif") as file:
            maps[name] = (file.read(1), file.transform, file.crs)
        assert result.report["tiles"]["reused"] == 0
    first, *others = maps.values()
    assert (first[0] < 250).any()
    for pixels, transform, crs in others:
        np.testing.assert_array_equal(pixels, first[0])
        assert (transform, crs) == first[1:]
