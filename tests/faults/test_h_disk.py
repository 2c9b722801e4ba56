"""Faults of the disk and of the outputs (group H): whole or absent, said in three lines, and healed by the same command."""

from __future__ import annotations

import importlib
import json
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
import worlds
from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from rio_cogeo.cogeo import cog_validate

import geoseg
from geoseg import job
from geoseg.cli import main
from geoseg.errors import OutputError
from geoseg.mosaic import Mosaic
from geoseg.outputs import raster
from geoseg.outputs.files import WholeFile
from geoseg.outputs.raster import write_cog
from geoseg.outputs.vector import PolygonWriter
from geoseg.store import TileStore

finish = importlib.import_module("geoseg.pipeline.finish")  # the room has a function of that name
FORMATS = ("geojson", "fgb", "gpkg", "pmtiles")
POLYGONS = ("polygons.parquet", *(f"polygons.{kind}" for kind in FORMATS))
RASTERS = ("classes.tif", "confidence.tif")
PICTURES = (
    "classes.qml",
    "confidence.qml",
    "polygons.qml",
    "areas.csv",
    "preview.png",
    "report.json",
    "report.html",
    "item.json",
)
Ends = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raster, one without a pixel, and a model."""
    folder = tmp_path_factory.mktemp("world")
    image = worlds.landscape((70, 100), 3).astype("uint8")
    image[:, :9] = 0
    worlds.write_raster(folder / "scene.tif", image, names=worlds.BANDS, nodata=0)
    worlds.write_raster(folder / "blank.tif", np.zeros_like(image), names=worlds.BANDS, nodata=0)
    worlds.finite_model(folder / "model")
    return folder


@pytest.fixture
def words(world: Path, tmp_path: Path) -> list[str]:
    """A request that is right, for every format but the one that takes longest."""
    scene, model, out = world / "scene.tif", world / "model", tmp_path / "map"
    formats = "geojson,fgb,gpkg"
    return ["--scenes", str(scene), "--model", str(model), "--out", str(out), "--format", formats, "--tile-size", "64"]


@pytest.fixture
def ends(capsys: pytest.CaptureFixture[str]) -> Ends:
    """Calls the command line; gives its exit status, and what it said last if it was refused."""

    def call(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        lines = capsys.readouterr().err.rstrip("\n").splitlines()[-3:]
        assert isinstance(ended.value.code, int)
        if ended.value.code:
            assert [line[:10].rstrip() for line in lines] == ["given:", "expected:", "to do:"]
        return ended.value.code, "\n".join(lines)

    return call


@pytest.fixture
def room() -> Iterator[Callable[[int | None], None]]:
    """Sets how large a file may become, which is what a full disk looks like; ``None`` is as large as it likes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))

    yield limit
    limit(None)


@pytest.fixture(scope="module")
def clean(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result where nothing goes wrong; its tiles lie beside it."""
    folder = tmp_path_factory.mktemp("clean")
    scene, model, cache = world / "scene.tif", world / "model", folder / "cache"
    geoseg.run(scenes=(str(scene),), model=str(model), format=FORMATS, out=folder / "map", cache=cache, tile_size=64)
    return folder / "map"


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


# 70


@pytest.mark.fault(70)
@pytest.mark.parametrize("name", [*RASTERS, "classes-scratch.tif", *POLYGONS, *PICTURES])
def test_fault_70_a_disk_that_is_full_from_one_file_on(ends, words, clean, tmp_path, monkeypatch, room, name):
    """Of what comes before the file all is kept, of itself nothing; with room again the same command ends the job."""
    monkeypatch.setenv("GEOSEG_CACHE", str(clean.parent / "cache"))
    begin, out = WholeFile.__init__, tmp_path / "map"
    words = [*words, "--quiet", *(["--format", "pmtiles"] if "pmtiles" in name else [])]

    def fills(file: WholeFile, path: Path) -> None:
        begin(file, path)
        if path.name == name:
            room(64)

    with monkeypatch.context() as patch:
        patch.setattr(WholeFile, "__init__", fills)
        status, said = ends("run", *words)
    room(None)
    assert status == 1
    given, expected, _ = said.splitlines()
    named = name.replace("-scratch", "")
    assert f"{out}/" in given  # rasters and polygons are written at the same time, and the disk is full for both
    assert "room for " in expected
    assert "bytes are free there" in expected
    assert "again: finished tiles are kept" in said
    assert named not in files(out)
    assert not [left for left in files(out) if left.startswith(".")]
    assert ends("run", *words)[0] == 0
    for same in (*RASTERS, "polygons.parquet", "polygons.geojson", "polygons.fgb", "areas.csv"):
        if same in files(out):
            assert (clean / same).read_bytes() == (out / same).read_bytes(), same
    listed = json.loads((out / "report.json").read_text())["outputs"]
    assert files(out) == {file["path"] for file in listed} | {"report.json", "report.html", "item.json"}


@pytest.mark.fault(70)
def test_fault_70_a_disk_that_is_full_in_the_tile_store(ends, words, tmp_path, monkeypatch, room):
    put, done = TileStore.put, []

    def fills(store: TileStore, key: str, record: object) -> None:
        if len(done) == 2:
            room(64)
        put(store, key, record)
        done.append(key)

    with monkeypatch.context() as patch:
        patch.setattr(TileStore, "put", fills)
        status, said = ends("run", *words, "--quiet")
    room(None)
    assert status == 1
    assert "tile record" in said
    assert "bytes are free there" in said
    assert not list((tmp_path / "map").glob("*.tif"))
    assert ends("run", *words, "--quiet")[0] == 0
    report = json.loads((tmp_path / "map" / "report.json").read_text())
    assert report["tiles"]["reused"] == 2


@pytest.mark.fault(70)
def test_fault_70_a_disk_that_is_full_when_the_job_begins(ends, words, tmp_path, monkeypatch, room):
    write = job._write

    def fills(path: Path, content: object) -> None:
        room(8)
        write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(job, "_write", fills)
        status, said = ends("run", *words, "--quiet")
    room(None)
    assert status == 1
    assert str(tmp_path / "map" / "job" / "spec.json") in said
    assert "room for " in said
    assert "bytes are free there" in said
    assert ends("run", *words, "--quiet")[0] == 0


@pytest.mark.fault(70)
def test_fault_70_a_disk_without_a_byte_when_polygons_begin(tmp_path, room):
    """The first four bytes of the file find no room: nobody has entered the writer that should remove it."""
    room(0)
    with pytest.raises(OutputError) as failed:
        PolygonWriter(tmp_path, CRS("EPSG:32633"), Affine(10, 0, 500_000, 0, -10, 5_000_000), ())
    room(None)
    assert "polygons.parquet" in failed.value.given
    assert not list(tmp_path.iterdir())


@pytest.mark.fault(70)
def test_fault_70_a_flush_that_fails_at_close_is_found_by_reading_back(tmp_path, monkeypatch):
    """rasterio says nothing then; the file is cut as a disk would cut it, behind the back of its writer."""
    copy = raster.rasterio.shutil.copy

    def cuts(source: str, target: str, **options: object) -> None:
        copy(source, target, **options)
        with Path(target).open("r+b") as file:
            file.truncate(Path(target).stat().st_size - 200)

    monkeypatch.setattr(raster.rasterio.shutil, "copy", cuts)
    noise = np.random.default_rng(0).integers(0, 250, (600, 600)).astype(np.uint8)
    box = GeoBox(noise.shape, Affine.scale(10, -10), "EPSG:32633")
    with pytest.raises(OutputError) as failed:
        write_cog(tmp_path / "c.tif", box, [(slice(0, 600), slice(0, 600), noise)])
    assert failed.value.exit_code == 1
    assert "bytes are free there" in failed.value.expected
    assert not list(tmp_path.iterdir())


# 71


@pytest.mark.fault(71)
@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("place", ["file", "no such folder/map", "file/map", "/proc/geoseg-map", "/proc/1/fd/x/map"])
def test_fault_71_a_place_that_cannot_be_written_ends_with_2_before_any_read(ends, words, tmp_path, command, place):
    """The scene does not exist, and nobody looks for it."""
    (tmp_path / "file").write_text("mine")
    out = tmp_path / place
    status, said = ends(command, *words, "--out", str(out), "--scenes", str(tmp_path / "absent.tif"))
    assert status == 2
    assert f"--out {out}" in said
    assert "absent.tif" not in said
    assert files(tmp_path) == {"file"}
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "no such folder").exists()


@pytest.mark.fault(71)
def test_fault_71_a_disk_that_refuses_is_asked_and_not_its_permissions(ends, words, tmp_path, monkeypatch):
    def refuses(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(job.tempfile, "TemporaryFile", refuses)
    status, said = ends("run", *words)
    assert status == 2
    assert "Read-only file system" in said


# 72


@pytest.mark.fault(72)
def test_fault_72_results_of_another_job_stay_unless_fresh_and_are_never_mixed(ends, words, tmp_path):
    out = tmp_path / "map"
    assert ends("run", *words, "--quiet")[0] == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    other = [*words[:6], "--composite", "first"]  # and without the other formats
    status, said = ends("run", *other, "--quiet")
    assert status == 2
    assert "another job" in said
    assert "--fresh" in said
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert ends("run", *other, "--fresh", "--quiet")[0] == 0
    assert not files(out) & {"polygons.fgb", "polygons.gpkg", "polygons.pmtiles"}
    report = json.loads((out / "report.json").read_text())
    assert report["job"]["spec"]["composite"] == "first"
    assert files(out) == {file["path"] for file in report["outputs"]} | {"report.json", "report.html", "item.json"}


# 73


@pytest.mark.fault(73)
@pytest.mark.parametrize(("formats", "is_there"), [("geojson", True), ("parquet", False)])
def test_fault_73_geojson_above_its_limit_is_a_warning_that_names_geoparquet(
    ends, words, tmp_path, monkeypatch, formats, is_there
):
    monkeypatch.setattr(finish, "GEOJSON_LIMIT", 3)
    monkeypatch.setitem(finish.PolygonWriter.__init__.__kwdefaults__, "geojson_limit", 3)
    out = tmp_path / "map"
    assert ends("run", *words[:6], "--format", formats, "--quiet")[0] == 0
    report = json.loads((out / "report.json").read_text())
    assert report["polygons"]["count"] > 3
    assert (out / "polygons.geojson").exists() == is_there
    said = [text for text in report["warnings"] if "polygons.geojson" in text]
    assert len(said) == 1
    assert "polygons.parquet" in said[0]


@pytest.mark.fault(73)
def test_fault_73_a_large_geojson_of_few_polygons_is_a_warning_too(ends, words, tmp_path, monkeypatch):
    assert ends("run", *words[:6], "--quiet")[0] == 0
    assert "polygons.geojson" not in str(json.loads((tmp_path / "map" / "report.json").read_text())["warnings"])
    monkeypatch.setattr(finish, "_LARGE_GEOJSON_BYTES", 1000)
    assert ends("run", *words[:6], "--quiet")[0] == 0
    assert "polygons.parquet" in str(json.loads((tmp_path / "map" / "report.json").read_text())["warnings"])


# 74


@pytest.mark.fault(74)
@pytest.mark.parametrize("there", [False, True])
def test_fault_74_an_interrupted_mosaic_is_whole_or_absent(ends, words, tmp_path, monkeypatch, there):
    out, read, calls = tmp_path / "map", Mosaic.read, []
    if there:
        assert ends("run", *words, "--quiet")[0] == 0
        before = (out / "classes.tif").read_bytes()

    def breaks(mosaic: Mosaic, *place: int) -> tuple[np.ndarray, np.ndarray]:
        calls.append(place)
        if len(calls) >= 4:  # the map has four blocks, and the polygons read at least one of them
            raise KeyboardInterrupt
        return read(mosaic, *place)

    with monkeypatch.context() as patch:
        patch.setattr(Mosaic, "read", breaks)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            main(("run", *words, "--quiet"))
    assert len(calls) >= 4
    if there:
        assert (out / "classes.tif").read_bytes() == before
    else:
        assert "classes.tif" not in files(out)
    assert ends("run", *words, "--quiet")[0] == 0
    assert not [left for left in files(out) if left.startswith(".")]
    valid, errors, warned = cog_validate(out / "classes.tif", strict=True)
    assert valid, (errors, warned)


# 75


@pytest.mark.fault(75)
def test_fault_75_no_polygons_make_valid_empty_files_with_their_columns(ends, words, world, tmp_path):
    blank = [*words[:1], str(world / "blank.tif"), *words[2:5], str(tmp_path / "blank"), *words[6:]]
    assert ends("run", *blank, "--format", ",".join(FORMATS), "--quiet")[0] == 3
    tables = {name: tmp_path / "blank" / name for name in POLYGONS}
    assert len(gpd.read_parquet(tables["polygons.parquet"])) == 0
    columns = set(gpd.read_parquet(tables["polygons.parquet"]).columns) - {"geometry", "bbox"}
    assert len(json.loads(tables["polygons.geojson"].read_text())["features"]) == 0  # whose columns are in its features
    for kind in ("fgb", "gpkg", "pmtiles"):
        path = tables[f"polygons.{kind}"]
        assert len(gpd.read_file(path, layer="polygons")) == 0
        assert columns <= set(pyogrio.read_info(path, layer="polygons")["fields"])


@pytest.mark.fault(75)
@pytest.mark.parametrize("more", [[], ["--min-area", "900"], ["--simplify", "25"]])
def test_fault_75_every_geometry_is_valid_and_areas_are_those_of_the_pixels(ends, words, tmp_path, more):
    assert ends("run", *words, *more, "--quiet")[0] == 0
    with rasterio.open(tmp_path / "map" / "classes.tif") as file:
        counts = np.bincount(file.read(1).ravel(), minlength=256)[:254]
        pixel_m2 = abs(file.transform.determinant)
    read = {name: tmp_path / "map" / name for name in POLYGONS}
    tables = {name: gpd.read_file(read[name]) for name in ("polygons.geojson", "polygons.fgb")}
    tables["polygons.gpkg"] = gpd.read_file(read["polygons.gpkg"], layer="polygons")
    tables["polygons.parquet"] = gpd.read_parquet(read["polygons.parquet"])
    for name, table in tables.items():
        assert len(table)
        assert shapely.is_valid(table.geometry.values).all(), name
        assert (table.groupby("class")["pixels"].sum() == counts[counts > 0]).all(), name
        if name != "polygons.geojson" and "--simplify" not in more:  # degrees have no area; simplified outlines another
            assert (table.area.groupby(table["class"]).sum() == counts[counts > 0] * pixel_m2).all(), name
