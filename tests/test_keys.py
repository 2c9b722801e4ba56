"""A tile's key: equal for equal pixels, down to the last bit of the coordinates. The rest is in tests/pipeline."""

from __future__ import annotations

from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox

from geoseg.grid import Lattice
from geoseg.keys import KeyParts
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
