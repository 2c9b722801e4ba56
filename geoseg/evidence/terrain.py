"""What the ground does under and around an outline: slope, relief, aspect, drop and runout."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

# Below it the ground has no direction worth naming.
_LEAST_GRADIENT = 0.01


@dataclass(frozen=True, slots=True)
class Terrain:
    """Facts of one outline; ``None`` where the elevations do not tell.

    Attributes:
        slope_mean_deg: Mean slope inside.
        slope_p90_deg: Slope that nine tenths of the pixels do not exceed.
        slope_spread: Slope of the 90th minus that of the 10th percentile, over the mean.
        gentle_share: Share of the pixels with a slope below the limit, 0 to 1.
        aspect_deg: Direction in which the inside falls as a whole, clockwise from north, 0 up to 360.
        height_drop_m: Highest minus lowest pixel inside.
        hypsometric_integral: Mean height above the lowest pixel inside, over the drop.
        highest: (row, column) of the highest pixel of the window inside.
        lowest: The lowest; of equal ones the first in reading order.
        relief_m: Highest minus lowest pixel of the whole window.
        known_share: Share of the pixels inside that have an elevation, 0 to 1.
    """

    slope_mean_deg: float | None = None
    slope_p90_deg: float | None = None
    slope_spread: float | None = None
    gentle_share: float | None = None
    aspect_deg: float | None = None
    height_drop_m: float | None = None
    hypsometric_integral: float | None = None
    highest: tuple[int, int] | None = None
    lowest: tuple[int, int] | None = None
    relief_m: float | None = None
    known_share: float = 0.0


def gradient(elevation_m: Float, steps_m: Float) -> tuple[Float, Float]:
    """Rise per metre to the east and to the north, by Horn's weights over three by three pixels.

    Args:
        elevation_m: (rows, cols), NaN where unknown.
        steps_m: (rows, 2, 2), east and north in metres of a step of one column and of one row, for each row of pixels.

    Returns:
        Two arrays (rows, cols); NaN at the rim and wherever one of the nine elevations is unknown.

    References:
        Horn: Hill shading and the reflectance map, doi:10.1109/PROC.1981.11918.
    """
    east, north = np.full(elevation_m.shape, np.nan), np.full(elevation_m.shape, np.nan)
    if min(elevation_m.shape) < 3:
        return east, north
    z = elevation_m
    top, middle, bottom = z[:-2], z[1:-1], z[2:]
    by_col = (
        (top[:, 2:] + 2 * middle[:, 2:] + bottom[:, 2:]) - (top[:, :-2] + 2 * middle[:, :-2] + bottom[:, :-2])
    ) / 8
    by_row = (
        (bottom[:, :-2] + 2 * bottom[:, 1:-1] + bottom[:, 2:]) - (top[:, :-2] + 2 * top[:, 1:-1] + top[:, 2:])
    ) / 8
    # The middle has no weight in Horn's sums, but an unknown middle is an unknown slope.
    hole = np.isnan(middle[:, 1:-1])
    (col_east, col_north), (row_east, row_north) = np.moveaxis(steps_m[1:-1], 0, -1)
    determinant = col_east * row_north - col_north * row_east
    inner = np.s_[1:-1, 1:-1]
    east[inner] = (by_col * row_north[:, None] - by_row * col_north[:, None]) / determinant[:, None]
    north[inner] = (by_row * col_east[:, None] - by_col * row_east[:, None]) / determinant[:, None]
    east[inner][hole] = north[inner][hole] = np.nan
    return east, north


def slope_deg(east: Float, north: Float) -> Float:
    """Slope in degrees from the two gradients."""
    return np.rad2deg(np.arctan(np.hypot(east, north)))


def terrain_of(elevation_m: Float, steps_m: Float, inside: NDArray[np.bool_], gentle_deg: float) -> Terrain:
    """Facts of the pixels inside an outline.

    Args:
        elevation_m: (rows, cols) of a window around it, NaN where unknown.
        steps_m: (rows, 2, 2), see `gradient`.
        inside: (rows, cols), where the outline is.
        gentle_deg: Slopes below it are gentle.
    """
    heights = np.where(inside, elevation_m, np.nan)
    known = np.isfinite(heights)
    if not known.any():
        return Terrain()
    east, north = gradient(elevation_m, steps_m)
    sloped = inside & np.isfinite(east)
    slopes = slope_deg(east[sloped], north[sloped])
    highest, lowest = (divmod(int(find(heights)), heights.shape[1]) for find in (np.nanargmax, np.nanargmin))
    drop = float(heights[highest] - heights[lowest])
    facts = Terrain(
        height_drop_m=drop,
        hypsometric_integral=float((heights[known].mean() - heights[lowest]) / drop) if drop else None,
        highest=highest,
        lowest=lowest,
        relief_m=float(np.nanmax(elevation_m) - np.nanmin(elevation_m)),
        known_share=float(known.sum() / inside.sum()),
    )
    if not slopes.size:
        return facts
    mean_east, mean_north = float(east[sloped].mean()), float(north[sloped].mean())
    falls = np.hypot(mean_east, mean_north) >= _LEAST_GRADIENT
    mean, (low, high) = float(slopes.mean()), np.quantile(slopes, [0.1, 0.9]).tolist()
    return replace(
        facts,
        slope_mean_deg=mean,
        slope_p90_deg=high,
        slope_spread=(high - low) / mean if mean else None,
        gentle_share=float((slopes < gentle_deg).mean()),
        aspect_deg=float(np.rad2deg(np.arctan2(-mean_east, -mean_north)) % 360) if falls else None,
    )
