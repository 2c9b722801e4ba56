"""Metres on the ground for a pixel grid, wherever it lies: geographic, projected, or turned."""

from __future__ import annotations

import copy

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS
from pyproj import Geod, Transformer

Float = NDArray[np.float64]


class Ground:
    """True distances and directions on one pixel grid.

    A step of one pixel is measured on the ellipsoid, so that a degree of longitude is as short as it is at its latitude
    and a metre of Web Mercator as long as it is on the ground.

    Args:
        crs: CRS of the grid.
        transform: From (column, row) to the CRS.
    """

    def __init__(self, crs: CRS, transform: Affine) -> None:
        self.crs, self.transform = crs, transform
        self._to_lonlat = Transformer.from_crs(crs.proj, 4326, always_xy=True)
        self._geod: Geod = crs.proj.get_geod() or Geod(ellps="WGS84")

    def moved(self, transform: Affine) -> Ground:
        """The same on another grid of the same CRS, without looking the projection up again."""
        other = copy.copy(self)
        other.transform = transform
        return other

    def lonlat(self, points: Float) -> Float:
        """Points (column, row), float64 (n, 2), to longitude and latitude in degrees."""
        a, b, c, d, e, f = tuple(self.transform)[:6]
        col, row = points[:, 0], points[:, 1]
        return np.column_stack(self._to_lonlat.transform(c + col * a + row * b, f + col * d + row * e))

    def steps_m(self, points: Float) -> Float:
        """What one pixel is at some points.

        Args:
            points: (column, row), float64 (n, 2).

        Returns:
            float64 (n, 2, 2): east and north, in metres, of a step of one column, and of a step of one row.
        """
        here = self.lonlat(points)
        steps = np.empty((len(points), 2, 2))
        for axis, step in enumerate(([1.0, 0.0], [0.0, 1.0])):
            there = self.lonlat(points + np.array(step))
            azimuth, _, length = self._geod.inv(here[:, 0], here[:, 1], there[:, 0], there[:, 1])
            angle = np.deg2rad(np.asarray(azimuth))
            steps[:, axis, 0] = np.asarray(length) * np.sin(angle)
            steps[:, axis, 1] = np.asarray(length) * np.cos(angle)
        return steps

    def distance_m(self, start: tuple[float, float], end: tuple[float, float]) -> float:
        """Geodesic distance in metres between two points (column, row)."""
        (lon0, lat0), (lon1, lat1) = self.lonlat(np.array([start, end], float))
        return float(self._geod.inv(lon0, lat0, lon1, lat1)[2])
