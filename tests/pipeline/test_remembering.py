"""Promise 3: nothing computed is lost, nothing stale is used."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import worlds
from rasterio.warp import transform_bounds

import geoseg
from geoseg.grid import Lattice, Window
from geoseg.keys import KeyParts, asset_facts, unsigned
from geoseg.models import ModelFolder
from geoseg.remote import RemoteFiles
from geoseg.scenes import Item, find_scenes
from geoseg.spec import JobSpec
from geoseg.tiles import Tile


def record_files(cache: Path) -> dict[str, bytes]:
    """Every finished record."""
    return {path.name: path.read_bytes() for path in (cache / "tiles").rglob("*.zip")}


@pytest.mark.fault(62)
def test_kill_at_random_moments_changes_nothing(tmp_path: Path, scene: Path, finite: ModelFolder) -> None:
    command = [sys.executable, "-m", "geoseg", "run", "--scenes", str(scene), "--model", str(finite.path)]
    command += ["--tile-size", "1", "--quiet", "--device", "cpu", "--out"]
    calm_cache, cache, out = tmp_path / "calm-cache", tmp_path / "cache", tmp_path / "map"
    start = time.monotonic()
    subprocess.run([*command, str(tmp_path / "calm")], env=environment(calm_cache), check=True)
    length_s = time.monotonic() - start
    moments = random.Random(20220101)
    finished: set[str] = set()
    for _ in range(6):
        process = subprocess.Popen([*command, str(out)], env=environment(cache), start_new_session=True)
        try:
            process.wait(timeout=moments.uniform(0.3, 1.0) * length_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        now = set(record_files(cache))
        assert finished <= now
        finished = now
    last = geoseg.Result.open(out) if (out / "report.json").is_file() else None
    subprocess.run([*command, str(out)], env=environment(cache), check=True)
    result = geoseg.Result.open(out)
    assert result.report["tiles"]["reused"] >= len(finished)
    assert result.report["tiles"]["computed"] == result.report["tiles"]["total"] - result.report["tiles"]["reused"]
    assert last is None or last.report["tiles"]["total"] == result.report["tiles"]["total"]
    assert record_files(cache) == record_files(calm_cache)
    for name in ("classes.tif", "confidence.tif", "polygons.parquet"):
        assert (out / name).read_bytes() == (tmp_path / "calm" / name).read_bytes(), name


def environment(cache: Path) -> dict[str, str]:
    """The test's environment with a cache of its own."""
    return {**os.environ, "GEOSEG_CACHE": str(cache)}


def test_a_run_that_reuses_every_tile_loads_no_network(tmp_path: Path, scene: Path, finite: ModelFolder) -> None:
    words = f"scenes=({str(scene)!r},), model={str(finite.path)!r}, out={str(tmp_path / 'map')!r}, device='cpu'"
    code = (
        "import sys, geoseg\n"
        "class Told:\n"
        "    stages = []\n"
        "    def stage(self, name): self.stages.append(name)\n"
        "    def note(self, text): pass\n"
        "    def tiles(self, total, pixels): pass\n"
        "    def tile_done(self, pixels, **more): pass\n"
        "from geoseg.pipeline import run\n"
        f"run(*geoseg._understand(None, None, dict({words})), Told())\n"
        "print('torch' in sys.modules, 'loading the model' in Told.stages)\n"
    )
    done = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment(tmp_path / "cache"),
            check=True,
            capture_output=True,
            text=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert done == [["True", "True"], ["False", "False"]]


def test_finished_tiles_are_reused_and_a_larger_region_adds_cells_only(
    tmp_path: Path, scene: Path, finite: ModelFolder
) -> None:
    import rasterio

    with rasterio.open(scene) as file:
        west, south, east, north = transform_bounds(file.crs, "EPSG:4326", *file.bounds)
    middle = (west + east) / 2
    small = worlds.region(tmp_path / "small.geojson", west, south, middle, north)
    large = worlds.region(tmp_path / "large.geojson", west, south, east, north)
    options = {"scenes": (str(scene),), "model": str(finite.path), "cache": tmp_path / "cache", "tile_size": 128}
    one = geoseg.run(aoi=str(small), out=tmp_path / "one", **options)
    again = geoseg.run(aoi=str(small), out=tmp_path / "again", **options)
    assert again.report["tiles"]["computed"] == 0
    assert again.report["timing"]["computed_megapixels"] == 0
    grown = geoseg.run(aoi=str(large), out=tmp_path / "grown", **options)
    alone = geoseg.run(aoi=str(large), out=tmp_path / "alone", **{**options, "cache": tmp_path / "other"})
    first, added, whole = (r.report["timing"]["computed_megapixels"] for r in (one, grown, alone))
    assert added == pytest.approx(whole - first)
    assert 0 < added < whole
    assert (worlds.read(grown.out / "classes.tif") == worlds.read(alone.out / "classes.tif")).all()


@pytest.fixture
def item(scene: Path) -> Item:
    """The raster as an item."""
    spec = JobSpec.build(scenes=(str(scene),), model="any")
    return find_scenes(spec, None, worlds.BANDS).items[0]


PARTS = KeyParts(
    model="m",
    composite="median",
    quantity="reflectance",
    bands=("red", "green", "blue"),
    lattice=Lattice.from_resolution("EPSG:32633", 10.0),
    backend="torch-cpu",
    precision="float32",
    threads=2,
    chip=(4, 1),
)
TILE = Tile(3, 4, 8, 256)
FACTS = {"a.tif": "10 bytes, 1 ns"}


def base_key(item: Item) -> str:
    """A key to compare with."""
    return PARTS.key(TILE, [item], FACTS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model", "n"),
        ("composite", "first"),
        ("quantity", "digital-number"),
        ("bands", ("green", "red", "blue")),
        ("lattice", Lattice.from_resolution("EPSG:32633", 20.0)),
        ("lattice", Lattice.from_resolution("EPSG:32634", 10.0)),
        ("backend", "torch-cuda"),
        ("precision", "bfloat16"),
        ("threads", 1),
        ("chip", (2, 1)),
        ("layers", ("classes", "confidence", "reason", "scores")),
    ],
)
def test_key_changes_with_every_shared_part(item: Item, name: str, value: object) -> None:
    assert replace(PARTS, **{name: value}).key(TILE, [item], FACTS) != base_key(item)


def test_key_changes_with_the_grid_phase(item: Item) -> None:
    lattice = PARTS.lattice
    moved = Lattice(lattice.crs, lattice.transform @ lattice.transform.translation(0.25, 0), lattice.anchor)
    assert replace(PARTS, lattice=moved).key(TILE, [item], FACTS) != base_key(item)


def test_key_does_not_depend_on_which_raster_defined_the_grid(item: Item) -> None:
    lattice = PARTS.lattice
    other = Lattice.from_geobox(lattice.geobox(Window(-512_345, 41_234, -512_000, 41_500)))
    assert replace(PARTS, lattice=other).key(TILE, [item], FACTS) == base_key(item)


@pytest.mark.parametrize("field", ["row", "col", "side_cells", "cell_px"])
def test_key_changes_with_the_tile(item: Item, field: str) -> None:
    tile = replace(TILE, **{field: getattr(TILE, field) * 2})
    assert PARTS.key(tile, [item], FACTS) != base_key(item)


@pytest.mark.parametrize(
    ("field", "value"), [("id", "other"), ("collection", "other"), ("version", "updated=2"), ("alpha", True)]
)
def test_key_changes_with_the_item(item: Item, field: str, value: object) -> None:
    assert PARTS.key(TILE, [replace(item, **{field: value})], FACTS) != base_key(item)


@pytest.mark.parametrize(
    ("field", "value"), [("href", "other.tif"), ("index", 7), ("scale", 0.5), ("offset", -0.1), ("nodata", 7.0)]
)
def test_key_changes_with_a_source(item: Item, field: str, value: object) -> None:
    bands = {**item.bands, "red": replace(item.bands["red"], **{field: value})}
    assert PARTS.key(TILE, [replace(item, bands=bands)], FACTS) != base_key(item)


def test_key_changes_with_the_order_and_the_version_of_files(item: Item) -> None:
    other = replace(item, id="other")
    assert PARTS.key(TILE, [item, other], FACTS) != PARTS.key(TILE, [other, item], FACTS)
    changed = {item.bands["red"].href: "11 bytes, 1 ns"}
    assert PARTS.key(TILE, [item], changed) != base_key(item)


def test_key_ignores_signatures(item: Item) -> None:
    def signed(query: str) -> Item:
        source = replace(item.bands["red"], href=f"https://data.example/a.tif{query}")
        return replace(item, bands={"red": source}, mask=None)

    keys = {PARTS.key(TILE, [signed(q)], {}) for q in ("", "?sig=abc&se=2022", "?X-Amz-Signature=1", "?sv=2&sp=r&sr=b")}
    assert len(keys) == 1
    assert PARTS.key(TILE, [signed("?version=2")], {}) not in keys


def test_unsigned_drops_credentials_and_keeps_what_names_the_file() -> None:
    assert unsigned("https://me:secret@data.example/a.tif?version=2&sig=x") == "https://data.example/a.tif?version=2"
    assert unsigned("/data/a.tif") == "/data/a.tif"


def test_asset_facts_tell_one_version_of_a_file_from_another(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    file.write_bytes(b"1")
    os.utime(file, ns=(1, 1))
    first = asset_facts([str(file)], RemoteFiles())
    os.utime(file, ns=(1, 2))
    second = asset_facts([str(file)], RemoteFiles())
    file.write_bytes(b"12")
    os.utime(file, ns=(1, 2))
    third = asset_facts([str(file)], RemoteFiles())
    assert (
        len({first[str(file)], second[str(file)], third[str(file)], asset_facts(["gone"], RemoteFiles())["gone"]}) == 4
    )
