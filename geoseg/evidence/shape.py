"""Length, width and direction of an outline, from its second moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

Float = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shape:
    """The ellipse that has the same second moments as an outline.

    Attributes:
        spread: float64 (2, 2), the second moments about the centre, divided by the area; east and north, in m².
        centre_px: Column and row of the centre of area.
    """

    spread: Float
    centre_px: tuple[float, float]

    @property
    def length_m(self) -> float:
        """Long axis of the ellipse."""
        return 4 * float(np.sqrt(self._axes[0][1]))

    @property
    def width_m(self) -> float:
        """Short axis of the ellipse."""
        return 4 * float(np.sqrt(self._axes[0][0]))

    @property
    def elongation(self) -> float:
        """Long axis over short axis, at least 1."""
        low, high = self._axes[0]
        return float(np.sqrt(high / low))

    @property
    def azimuth_deg(self) -> float:
        """Direction of the long axis, clockwise from north, 0 up to 180."""
        east, north = self._axes[1][:, 1]
        return float(np.rad2deg(np.arctan2(east, north)) % 180)

    def elongation_along(self, azimuth_deg: float) -> float:
        """Extent along a direction over the extent across it: above 1 where the outline lies along it."""
        angle = np.deg2rad(azimuth_deg)
        along, across = np.array([np.sin(angle), np.cos(angle)]), np.array([np.cos(angle), -np.sin(angle)])
        return float(np.sqrt((along @ self.spread @ along) / (across @ self.spread @ across)))

    @property
    def _axes(self) -> tuple[Float, Float]:
        values, vectors = np.linalg.eigh(self.spread)
        return values, vectors


def shape_of(polygon: shapely.Polygon, steps_m: Float) -> Shape:
    """Moments of a polygon, holes taken off.

    Args:
        polygon: In pixel coordinates (x = column, y = row), of some area.
        steps_m: (2, 2), see `geoseg.evidence.ground.Ground.steps_m`, at about its middle.
    """
    origin = np.array(polygon.envelope.centroid.coords[0])
    rings = [polygon.exterior, *polygon.interiors]
    total = np.zeros(6)
    for number, ring in enumerate(rings):
        sums = _ring_moments((shapely.get_coordinates(ring) - origin) @ steps_m)
        total += np.sign(sums[0]) * sums * (1 if number == 0 else -1)
    area, x, y, xx, xy, yy = total
    centre = np.array([x, y]) / area
    spread = np.array([[xx, xy], [xy, yy]]) / area - np.outer(centre, centre)
    col, row = origin + centre @ np.linalg.inv(steps_m)
    return Shape(spread, (float(col), float(row)))


def _ring_moments(xy: Float) -> Float:
    """Area and moments of a ring, signed by its sense: 1, x, y, x², xy, y² over its inside (Green's theorem)."""
    x0, y0, x1, y1 = xy[:-1, 0], xy[:-1, 1], xy[1:, 0], xy[1:, 1]
    cross = x0 * y1 - x1 * y0
    return np.array(
        [
            cross.sum() / 2,
            ((x0 + x1) * cross).sum() / 6,
            ((y0 + y1) * cross).sum() / 6,
            ((x0**2 + x0 * x1 + x1**2) * cross).sum() / 12,
            ((2 * x0 * y0 + x0 * y1 + x1 * y0 + 2 * x1 * y1) * cross).sum() / 24,
            ((y0**2 + y0 * y1 + y1**2) * cross).sum() / 12,
        ]
    )
