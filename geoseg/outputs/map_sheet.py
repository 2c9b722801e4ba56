"""The map on the report's page: pictures as data addresses, scale bar, north and corners."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image

from geoseg.outputs.geodesy import Geodesy
from geoseg.outputs.legend import ClassTable
from geoseg.outputs.preview import colour_classes, encoded, imagery_picture

_WIDTH = 1000.0  # of the drawing; text and lines of the template are sized for it
_MIN_PICTURE_PX = 600
_LEAST_M = 1e-3


@dataclass(frozen=True, slots=True)
class ScaleBar:
    """A round distance.

    Attributes:
        width: In units of the drawing.
        label: With its unit.
    """

    width: float
    label: str


@dataclass(frozen=True, slots=True)
class MapSheet:
    """What the template draws.

    Attributes:
        width: Of the drawing.
        height: Of the drawing; true to the ground, whatever the shape of a pixel.
        classes: Classes, as a ``data:`` address.
        imagery: Imagery, as a ``data:`` address, or nothing.
        scale: Scale bar, or ``None`` without a CRS.
        north: Degrees from up to true north, clockwise, at the middle.
        corners: Longitude and latitude of the corners from upper left clockwise, as eight numbers in a text.
        captions: The corners for people: upper left, upper right, lower left, lower right.
    """

    width: float
    height: float
    classes: str
    imagery: str
    scale: ScaleBar | None
    north: float
    corners: str
    captions: tuple[str, ...]


def map_sheet(
    pixels: NDArray[np.uint8],
    geobox: GeoBox,
    classes: ClassTable,
    imagery: NDArray[np.uint8] | None,
    valid: NDArray[np.bool_] | None,
) -> MapSheet:
    """Lays the map out; arguments as those of the report."""
    rows, cols = pixels.shape
    pictures = (
        data_address(colour_classes(pixels, classes), "PNG"),
        "" if imagery is None else picture_data(imagery, valid),
    )
    if geobox.crs is None:
        return MapSheet(_WIDTH, round(_WIDTH * rows / cols, 1), *pictures, None, 0.0, "", ())
    geodesy = Geodesy(geobox.crs, geobox.transform)
    # In halves: the way round a globe ends where it began.
    # A row along a pole has no width: the next one stands for it.
    widths_m = (
        sum(geodesy.distance_m((cols * a, rows * at), (cols * (a + 0.5), rows * at)) for a in (0.0, 0.5))
        for at in (0.5, 1.0, 0.0)
    )
    width_m = next(filter(lambda width: width > _LEAST_M, widths_m), _LEAST_M)
    height_m = sum(geodesy.distance_m((cols / 2, rows * a), (cols / 2, rows * (a + 0.5))) for a in (0.0, 0.5))
    height = round(_WIDTH * height_m / width_m, 1)
    corners = geodesy.points(np.array([(0, 0), (cols, 0), (cols, rows), (0, rows)], float))
    upper_left, upper_right, lower_right, lower_left = (_place(lon, lat) for lon, lat in corners)
    captions = (f"↖ {upper_left}", f"{upper_right} ↗", f"↙ {lower_left}", f"{lower_right} ↘")
    return MapSheet(
        _WIDTH,
        height,
        *pictures,
        _scale_bar(width_m),
        _north(geodesy, rows, cols, height),
        " ".join(f"{number:.6f}" for number in corners.ravel()),
        captions,
    )


def picture_data(imagery: NDArray[np.uint8], valid: NDArray[np.bool_] | None) -> str:
    """Imagery as a ``data:`` address."""
    return data_address(_smooth(imagery_picture(imagery, valid)), "WEBP")


def _scale_bar(width_m: float) -> ScaleBar:
    most_m = width_m / 4
    power = 10.0 ** math.floor(math.log10(most_m))
    length_m = max(step * power for step in (1, 2, 5) if step * power <= most_m)
    if length_m >= 1000:
        label = f"{length_m / 1000:g} km"
    elif length_m >= 1:
        label = f"{length_m:g} m"
    else:
        label = f"{length_m * 100:g} cm"
    return ScaleBar(round(_WIDTH * length_m / width_m, 1), label)


def _north(geodesy: Geodesy, rows: int, cols: int, height: float) -> float:
    col, row = geodesy.north((cols / 2, rows / 2))
    return round(math.degrees(math.atan2(col * _WIDTH / cols, -row * height / rows)), 1)


def _place(lon: float, lat: float) -> str:
    return f"{abs(lat):.4f}° {'S' if lat < 0 else 'N'}, {abs(lon):.4f}° {'W' if lon < 0 else 'E'}"


def _smooth(picture: Image.Image) -> Image.Image:
    """Small imagery is enlarged, so that compression does not show."""
    factor = math.ceil(_MIN_PICTURE_PX / max(picture.size))
    return picture if factor <= 1 else picture.resize((picture.width * factor, picture.height * factor))


def data_address(picture: Image.Image, kind: Literal["PNG", "WEBP"]) -> str:
    """A picture as an address that holds it."""
    return f"data:image/{kind.lower()};base64," + base64.b64encode(encoded(picture, kind)).decode()
