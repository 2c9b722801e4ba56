"""A tile's key: equal for equal pixels, down to the last bit of the coordinates. The rest is in tests/pipeline."""

from __future__ import annotations

import pickle

import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from geoseg.grid import Lattice, Window
from geoseg.keys import KeyParts, Keys, _item_facts, _shared_facts
from geoseg.plan import cover
from geoseg.scenes import BandSource, Found, Item
from geoseg.scenes.sensors import SENSORS
from geoseg.store import digest_of
from geoseg.tiles import Tile


def key_on(lattice: Lattice) -> str:
    parts = KeyParts("m", "first", "reflectance", ("red",), lattice, "torch-cpu", "float32", 2, (4, 1))
    return parts.key(Tile(3, 4, 8, 256), [], {})


@given(st.integers(0, 9_000_000), st.integers(0, 90_000_000))
def test_coordinates_in_decimals_do_not_split_a_grid(col, row):
    """0.3 is not three times 0.1; the difference must reach neither the digits nor the sign of a zero."""
    corner = round(col * 0.1, 1), round(row * 0.1, 1)
    raster = GeoBox((5, 5), Affine(0.1, 0, corner[0], 0, -0.1, corner[1]), "EPSG:32633")
    assert key_on(Lattice.from_geobox(raster)) == key_on(Lattice.from_resolution("EPSG:32633", 0.1))


def make_item(number: int, corner: tuple[int, int]) -> Item:
    geobox = GeoBox((60, 60), Affine(10, 0, corner[0] * 10, 0, -10, -corner[1] * 10), "EPSG:32633")
    source = BandSource("red", 1, f'https://example.org/{number}.tif?sig="items":null')
    named = f'scene "tile":null {number}'
    day = f"2022-01-{1 + number % 3:02d}T10:00:00Z"
    return Item(named, "c", SENSORS["rgb"], day, "", None, "", geobox, {"red": source}, None, False, "", {})


CORNERS = st.lists(st.tuples(st.integers(-200, 200), st.integers(-200, 200)), min_size=1, max_size=12)


@given(CORNERS, st.tuples(st.integers(-200, 200), st.integers(-200, 200), st.integers(1, 150), st.integers(1, 150)))
def test_scenes_of_a_window_are_those_whose_outline_touches_it_in_the_order_of_the_rule(corners, place):
    lattice = Lattice.from_resolution("EPSG:32633", 10.0)
    items = [make_item(number, corner) for number, corner in enumerate(corners)]
    coverage = cover(Found(tuple(items)), "first", lattice)
    row, col, height, width = place
    window = Window(row, col, row + height, col + width)
    box = shapely.box(window.col0, window.row0, window.col1, window.row1)
    expected = [
        [item.id for item in scene.items if coverage.outlines[item.key].intersects(box)] for scene in coverage.scenes
    ]
    found = [[item.id for item in scene.items] for scene in coverage.touching(window)]
    assert found == [names for names in expected if names]


def test_words_that_are_made_once_give_the_key_of_the_whole_document():
    """Also after other tiles and items, when it was sent, and for names that look like the places to be filled."""
    parts = KeyParts(
        'm "items":null', "first", "x", ("red",), Lattice.from_resolution("EPSG:32633", 10.0), "b", "p", 1, (4, 1)
    )
    items = [make_item(number, (number, 0)) for number in range(3)]
    facts = {source.href: f"length={number}" for number, item in enumerate(items) for source in item.sources}
    keys = Keys(parts, facts)
    for tile, some in ((Tile(3, 4, 8, 256), items), (Tile(-3, 4, 8, 256), items[:1]), (Tile(3, 4, 8, 256), [])):
        content = _shared_facts(parts)
        content["tile"] = (tile.row, tile.col, tile.side_cells, tile.cell_px)
        content["items"] = [_item_facts(item, facts) for item in some]
        assert keys.of(tile, some) == digest_of(content)
        assert pickle.loads(pickle.dumps(keys)).of(tile, some) == digest_of(content)
