"""Polygons of a finished map: 4-connected regions of one class, joined over block borders.

This room owns regions: their outlines, statistics, the minimum mapping unit and the simplification that keeps borders
shared. It knows pixels only; coordinates enter in ``to_crs_geometry``. It reads no files and writes none.
"""

from geoseg.polygons.geometry import to_crs_geometry
from geoseg.polygons.join import polygonize
from geoseg.polygons.regions import RegionBatch
from geoseg.polygons.sieve import sieve
from geoseg.polygons.simplify import simplify
from geoseg.polygons.source import ArraySource, ClassSource, OverSource

__all__ = [
    "ArraySource",
    "ClassSource",
    "OverSource",
    "RegionBatch",
    "polygonize",
    "sieve",
    "simplify",
    "to_crs_geometry",
]
