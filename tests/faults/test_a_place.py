"""Faults 9 to 15: where a region can lie, and how large it can be."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pystac
import pytest
import rasterio
import rasterio.features
import shapely
from odc.geo import CRS
from pyproj import Transformer
from rasterio.warp import transform_geom
from shapely.geometry import MultiPolygon, Polygon, box, mapping

from geoseg.aoi import AOI
from geoseg.cli import main
from geoseg.errors import RequestError
from geoseg.grid import Lattice
from geoseg.models import ModelFolder
from geoseg.plan import check_area_of_use, place_region, search_bounds
from geoseg.scenes.catalogs import find_items
from tests.faults import painted
from tests.faults.regions import FIELD, Ends, collection, feature, km2, polygon, refused, written

# 9 to 12: where on Earth


WEST, EAST, SOUTH, NORTH = 179.994, -179.995, 49.998, 50.003
BY_HAND = MultiPolygon([box(WEST, SOUTH, 180, NORTH), box(-180, SOUTH, EAST, NORTH)])


@pytest.mark.fault(9)
@pytest.mark.parametrize(
    "aoi",
    [
        f"{WEST},{SOUTH},{EAST},{NORTH}",
        mapping(box(WEST, SOUTH, EAST + 360, NORTH)),
        mapping(Polygon([(WEST, SOUTH), (EAST, SOUTH), (EAST, NORTH), (WEST, NORTH)])),
        collection(feature(BY_HAND.geoms[0]), feature(BY_HAND.geoms[1])),
    ],
    ids=["box", "past-180", "jump", "features"],
)
def test_fault_09_across_the_antimeridian(made: Callable[..., Any], aoi: Any) -> None:
    classes, report, _ = made(aoi, "across.tif")
    by_hand, expected, _ = made(mapping(BY_HAND), "across.tif")
    np.testing.assert_array_equal(classes, by_hand)
    assert report["pixels"]["aoi"] == expected["pixels"]["aoi"]
    assert report["pixels"]["aoi"] == pytest.approx(km2(box(WEST, SOUTH, EAST + 360, NORTH)) * 1e4, rel=0.03)
    assert report["pixels"]["nodata_unobserved"] == 0
    assert max(classes.shape) < 120


@pytest.mark.fault(9)
def test_fault_09_both_sides_are_searched(tmp_path: Path) -> None:
    catalog = pystac.Catalog("all", "items all round the globe")
    for lon in (-179.9, -170.0, 0.0, 170.0, 179.9):
        outline = box(lon - 0.05, -17.05, lon + 0.05, -16.95)
        moment = pystac.utils.str_to_datetime("2022-01-01T00:00:00Z")
        catalog.add_item(pystac.Item(f"at {lon}", mapping(outline), list(outline.bounds), moment, {}))
    catalog.normalize_and_save(str(tmp_path), pystac.CatalogType.SELF_CONTAINED)

    def found(aoi: str, margin_m: float = 3_000) -> set[str]:
        items = find_items(str(tmp_path / "catalog.json"), None, search_bounds(AOI.read(aoi), margin_m), None).items
        return {item.id for item in items}

    assert found("179.5,-17.2,-179.5,-16.8") == {"at 179.9", "at -179.9"}
    assert found("179.92,-17,179.99,-16.99") == {"at 179.9"}
    assert found("179.99,-17,180,-16.99", 20_000) == {"at 179.9", "at -179.9"}  # the margin reaches over
    assert found("-180,-18,180,-16") == {item.id for item in catalog.get_items()}


@pytest.mark.fault(9)
@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3857"])
@pytest.mark.parametrize("aoi", [f"{WEST},{SOUTH},{EAST},{NORTH}", f"{WEST},{SOUTH},179.999,{NORTH}", ""])
def test_fault_09_a_grid_that_ends_there_is_refused(ends: Ends, crs: str, aoi: str) -> None:
    """Also where the scene alone crosses: its map would be 360 degrees wide, or have holes."""
    words = ("--crs", crs, "--resolution", "0.0001" if crs == "EPSG:4326" else "10")
    status, err = ends(*([f"--aoi={aoi}"] if aoi else []), *words, scene="across.tif")
    assert status == 2
    given, _, todo = err.splitlines()
    assert "180th meridian" in given
    assert crs in given
    assert "--crs EPSG:32601" in todo or "--crs EPSG:32660" in todo


@pytest.mark.fault(9)
def test_fault_09_the_zone_of_the_other_side_is_as_good(made: Callable[..., Any]) -> None:
    classes, report, _ = made(mapping(BY_HAND), "across.tif", crs="EPSG:32601", resolution=10.0)
    assert report["pixels"]["aoi"] == pytest.approx(km2(box(WEST, SOUTH, EAST + 360, NORTH)) * 1e4, rel=0.03)
    assert report["pixels"]["nodata_unobserved"] == 0
    assert max(classes.shape) < 130


@pytest.mark.fault(10)
@pytest.mark.parametrize(
    ("aoi", "crs", "fitting"),
    [
        ("174.7,-41.4,174.9,-41.2", "EPSG:32633", "EPSG:32760"),
        ("-180,89,180,90", "EPSG:32633", "EPSG:3413"),
        ("-180,-90,180,-89", "EPSG:6933", "EPSG:3031"),
        ("10,70,11,85.5", "EPSG:32632", "EPSG:6933"),
    ],
)
def test_fault_10_beyond_the_crs(ends: Ends, aoi: str, crs: str, fitting: str) -> None:
    given, expected, todo = refused(ends, aoi, "--crs", crs)
    assert crs in given
    assert "area of use" in expected
    assert "latitude" in expected
    assert f"--crs {fitting}" in todo
    check_area_of_use(AOI.read(aoi), CRS(fitting))


@pytest.mark.fault(10)
def test_fault_10_a_ring_round_a_pole_is_no_region_of_a_zone(ends: Ends, tmp_path: Path) -> None:
    ring = [[(lon + 180) % 360 - 180, 89.5] for lon in range(0, 361, 30)]
    given, _, todo = refused(ends, written(tmp_path / "pole.geojson", polygon(*ring)), "--crs", "EPSG:32633")
    assert "pole" in given
    assert "EPSG:3413" in todo


@pytest.mark.fault(10)
def test_fault_10_scenes_may_reach_past_their_zone(ends: Ends) -> None:
    check_area_of_use(AOI.read("119.8,31,121.2,32"), CRS("EPSG:32651"))  # zone 51 starts at 120 E
    with pytest.raises(RequestError):
        check_area_of_use(AOI.read("114,31,121.2,32"), CRS("EPSG:32651"))


@pytest.mark.fault(10)
@pytest.mark.parametrize("spelling", ["ring", "box"])
def test_fault_10_a_polar_grid_takes_the_pole(spelling: str) -> None:
    ring = [((lon + 180) % 360 - 180, 89.0) for lon in range(0, 360, 5)]
    aoi = AOI.read(mapping(Polygon(ring)) if spelling == "ring" else "-180,89,180,90")
    lattice = Lattice.from_resolution("EPSG:3413", 1_000.0)
    check_area_of_use(aoi, lattice.crs)
    region = place_region(aoi, [], lattice)
    rows, cols = np.mgrid[region.window.row0 : region.window.row1, region.window.col0 : region.window.col1] + 0.5
    to_degrees = Transformer.from_crs("EPSG:3413", "EPSG:4326", always_xy=True)
    _, lat = to_degrees.transform(cols * 1_000.0, -rows * 1_000.0)
    wrong = region.mask(region.window) != (lat > 89)
    assert not (wrong & (np.abs(lat - 89) > 0.01)).any()  # a hundredth of a degree is a pixel


@pytest.mark.fault(11)
@pytest.mark.parametrize(
    ("ring", "first", "cause"),
    [
        ([[-33.9, 81.2], [-33.9, 151.3], [-33.8, 151.2]], "(-33.9, 151.3)", "swapped"),
        ([[500000, 5000000], [510000, 5000000], [510000, 5010000]], "(500000, 5e+06)", "metres"),
    ],
)
def test_fault_11_coordinates_that_are_none(
    ends: Ends, tmp_path: Path, ring: list[Any], first: str, cause: str
) -> None:
    given, _, todo = refused(ends, written(tmp_path / "odd.geojson", polygon(*ring, ring[0])))
    assert first in given
    assert cause in todo


@pytest.mark.fault(11)
def test_fault_11_swapped_but_legal_coordinates_end_with_3(ends: Ends) -> None:
    south, west, north, east = FIELD.bounds
    status, err = ends(f"--aoi={west},{south},{east},{north}")
    assert status == 3
    assert "longitude 45.1460 E to 45.1510 E, latitude 15.0040 N to 15.0100 N" in err.splitlines()[0]


@pytest.mark.fault(12)
def test_fault_12_the_crs_of_a_file_is_honoured(made: Callable[..., Any], tmp_path: Path) -> None:
    metres = Polygon([(500_203, 5_000_000 - 805), (500_911, 5_000_000 - 795), (500_807, 5_000_000 - 203)])
    to_degrees = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    by_hand = Polygon([to_degrees.transform(x, y) for x, y in metres.exterior.coords])
    expected, plain, _ = made(mapping(by_hand))
    geopandas.GeoDataFrame(geometry=[metres], crs="EPSG:32633").to_file(tmp_path / "utm.gpkg")
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    files = {
        "utm.gpkg": None,
        "utm.geojson": {**mapping(metres), "crs": named},
        "inner.geojson": collection({**feature(metres), "crs": named}),
        "crs84.geojson": {
            **mapping(by_hand),
            "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}},
        },
        "4326.geojson": {**mapping(by_hand), "crs": {"type": "name", "properties": {"name": "EPSG:4326"}}},
    }
    for name, document in files.items():
        if document is not None:
            written(tmp_path / name, document)
        region = AOI.read(tmp_path / name)
        assert region.geometry.equals_exact(AOI.read(by_hand).geometry, 1e-9), name
        warned = region.warnings
        assert bool(warned) == (name not in {"utm.gpkg", "crs84.geojson"})
        assert all("crs member" in warning for warning in warned)
    for name in ("utm.gpkg", "utm.geojson"):
        classes, report, _ = made(tmp_path / name)
        np.testing.assert_array_equal(classes, expected, err_msg=name)
        warned = [warning for warning in report["warnings"] if warning not in plain["warnings"]]
        assert len(warned) == (name == "utm.geojson")


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("member", "words"),
    [
        ({"type": "name", "properties": {"name": "EPSG:99999"}}, "EPSG:99999"),
        ({"type": "link", "properties": {"href": "https://example.org/crs"}}, "link"),
        ("EPSG:32633", "EPSG:32633"),
    ],
)
def test_fault_12_a_crs_that_cannot_be_honoured_is_refused(
    ends: Ends, tmp_path: Path, member: object, words: str
) -> None:
    document = {**mapping(FIELD), "crs": member}
    given, _, _ = refused(ends, written(tmp_path / "crs.geojson", document))
    assert words in given


# 13 to 15: sizes


@pytest.mark.fault(13)
def test_fault_13_a_huge_region_is_refused_before_any_search(ends: Ends, tmp_path: Path, world: Path) -> None:
    for words in (("--max-area", "0.1"), ()):
        aoi = "-120,-50,120,50" if not words else ",".join(map(str, FIELD.bounds))
        given, expected, todo = refused(ends, aoi, *words)
        assert "km2" in given
        assert "tiles" in given
        assert f"at most {'0' if words else '500,000'} km2" in expected
        assert "--max-area" in todo
    area = AOI.read("-120,-50,120,50").area_km2
    assert f"{area:,.0f} km2" in given
    assert float(todo.split("--max-area ")[1].split()[0]) > area
    model = ["--model", str(world / "model"), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:  # a catalogue that was asked would be missed with 1
        main(["run", "--catalog", str(tmp_path / "none.json"), "--aoi=-120,-50,120,50", *model])
    assert ended.value.code == 2


@pytest.mark.fault(13)
def test_fault_13_a_map_of_too_many_pixels_is_refused(ends: Ends) -> None:
    aoi = ",".join(map(str, FIELD.bounds))
    given, expected, todo = refused(ends, aoi, "--max-pixels", "1000")
    assert "pixels" in given
    assert "tiles" in given
    assert "1,000 pixels" in expected
    assert "--max-pixels" in todo
    assert ends(f"--aoi={aoi}", "--max-pixels", todo.split("--max-pixels ")[1].split()[0])[0] == 0


@pytest.mark.fault(13)
def test_fault_13_scenes_all_over_the_world_ask_for_a_region(
    tmp_path: Path, positions: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "world"
    for zone in (1, 20, 33, 60):
        for half in (326, 327):
            painted.paint(folder / f"{half}{zone:02d}.tif", (40, 40), crs=f"EPSG:{half}{zone:02d}")
    monkeypatch.setattr(sys.modules["geoseg.pipeline.prepare"], "plan_tiles", None)  # refused before tiles are counted
    with pytest.raises(RequestError) as refusal:
        painted.planned(positions, folder, cache=tmp_path)
    assert "the box around 8 scenes" in refusal.value.given
    assert "20,000,000,000 pixels" in refusal.value.expected
    assert "--aoi" in refusal.value.todo
    monkeypatch.undo()
    prepared = painted.planned(positions, folder, cache=tmp_path, aoi="14.9,45.14,15.1,45.2")  # in zone 33
    assert painted.read(prepared)[1].sum() == 40 * 40


@pytest.mark.fault(14)
@pytest.mark.parametrize(
    ("region", "shape_"),
    [(box(15.007, 45.148, 15.007 + 1e-6, 45.148 + 1e-6), (1, 1)), (box(15.005, 45.148, 15.009, 45.148 + 2e-6), None)],
    ids=["tiny", "sliver"],
)
def test_fault_14_less_than_a_pixel_is_every_pixel_touched(
    made: Callable[..., Any], region: Polygon, shape_: tuple[int, int] | None
) -> None:
    classes, report, out = made(mapping(region))
    with rasterio.open(out / "classes.tif") as file:
        placed = transform_geom("EPSG:4326", str(file.crs), mapping(shapely.segmentize(region, 1e-4)))
        touched = rasterio.features.geometry_mask(
            [placed], classes.shape, file.transform, all_touched=True, invert=True
        )
    assert touched.any()
    np.testing.assert_array_equal(classes < 254, touched)
    assert report["pixels"]["classified"] == touched.sum()
    assert shape_ in {None, classes.shape}


@pytest.mark.fault(14)
def test_fault_14_a_tiny_feature_beside_a_large_one_has_its_pixel(made: Callable[..., Any]) -> None:
    tiny = box(15.013, 45.1475, 15.013 + 1e-6, 45.1475 + 1e-6)
    alone, _, _ = made(mapping(FIELD))
    classes, report, out = made(collection(feature(FIELD, id="field"), feature(tiny, id="well")))
    with (out / "areas.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    counted = {name: sum(int(r["pixels"]) for r in rows if r["feature"] == name) for name in ("all", "field", "well")}
    field = int((alone < 254).sum())
    assert counted == {"all": field + 1, "field": field, "well": 1}
    assert (classes < 254).sum() == report["pixels"]["aoi"] == field + 1


def bombs(folder: Path) -> list[Path]:
    """Files that cost much to parse, or hold no numbers."""
    digits = "1" * 10_000_000
    rest = "[15.1,45],[15.1,45.1],[15,45.1]"
    texts = {
        "vertices": f'{{"type":"Polygon","coordinates":[[{"[15.0000001,45.0000001]," * 1_200_000}[15.1,45]]]}}',
        "nested": '{"type":"Polygon","coordinates":' + "[" * 10_000 + "]" * 10_000 + "}",
        "objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
        "fraction": f'{{"type":"Polygon","coordinates":[[[15.{digits},45],{rest},[15,45]]]}}',
        "integer": f'{{"type":"Polygon","coordinates":[[[{digits},45],{rest},[15,45]]]}}',
        "large": f'{{"type":"Polygon","coordinates":[[[1e308,45],{rest},[1e308,45]]]}}',
        "overflow": f'{{"type":"Polygon","coordinates":[[[1e999,45],{rest},[1e999,45]]]}}',
        "nan": f'{{"type":"Polygon","coordinates":[[[NaN,45],{rest},[NaN,45]]]}}',
        "infinity": f'{{"type":"Polygon","coordinates":[[[-Infinity,45],{rest},[-Infinity,45]]]}}',
        "numbers": '{"type":"Polygon","coordinates":[' + "1," * 10_000_000 + "1]}",
        "spaces": " " * 80_000_000 + "{}",
    }
    hidden = ("vertices", "nested", "fraction", "overflow", "numbers", "spaces")  # under a name that is none of JSON's
    names = [(name, ".geojson") for name in texts] + [(name, ".txt") for name in hidden]
    return [written(folder / f"{name}{suffix}", texts[name]) for name, suffix in names]


MEASURE = """
import sys, time
from geoseg.aoi import AOI
from geoseg.errors import InvalidAOIError
AOI.read("15,45,15.1,45.1")
def peak():  # of this program: what getrusage says starts with the peak of the process that started it
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
idle = peak()
for path in sys.argv[1:]:
    start = time.process_time()
    try:
        AOI.read(path)
        print(path, "accepted")
    except InvalidAOIError as err:
        assert err.exit_code == 2 and path in err.given and len(str(err)) < 1000
        print(path, "refused", time.process_time() - start, (peak() - idle) / 1000)
"""


@pytest.mark.fault(15)
def test_fault_15_bombs_are_refused_soon_and_in_little_memory(tmp_path: Path) -> None:
    """The limits of the list of faults. Time of this process alone: it only computes, and a busy machine is no failure.

    Memory is the peak over all files up to this one.
    """
    paths = bombs(tmp_path)
    words = [sys.executable, "-c", MEASURE, *map(str, paths)]
    lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == len(paths)
    for line in lines:
        path, verdict, *measured = line.split()
        assert verdict == "refused", path
        seconds, megabytes = map(float, measured)
        assert seconds < 2, line
        assert megabytes < 200, line


@pytest.mark.fault(15)
@pytest.mark.parametrize("far", ["1e9", "1111111111111111111116", "-1e12"])
def test_fault_15_a_box_longer_than_the_globe_is_refused_before_it_has_vertices(ends: Ends, far: str) -> None:
    given, expected, _ = refused(ends, f"15,45,{far},46" if far[0] != "-" else f"{far},45,16,46")
    assert far in given
    assert "longitude -180 to 180" in expected


@pytest.mark.fault(15)
def test_fault_15_ends_with_2(ends: Ends, tmp_path: Path) -> None:
    path = written(tmp_path / "deep.geojson", '{"type":"Polygon","coordinates":' + "[" * 10_000 + "]" * 10_000 + "}")
    assert "nested" in refused(ends, path)[0]


@pytest.mark.fault(15)
def test_fault_15_brackets_in_words_are_no_nesting() -> None:
    words = '"' + "[{" * 5_000 + r"\\" + r"\"" + "[" * 5_000 + '9"' + "1" * 5_000
    document = {**feature(FIELD), "properties": {"note": words}}
    assert AOI.from_bytes(json.dumps(document).encode()).geometry.equals(FIELD)
